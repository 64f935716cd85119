//! The text of Python strings that need not be text: names of files, functions, threads and tasks.

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// A text that many frames share. In Python it is a `str`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Text(Arc<str>);

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<Arc<str>> for Text {
    fn from(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl<'py> IntoPyObject<'py> for Text {
    type Target = PyString;
    type Output = Bound<'py, PyString>;
    type Error = Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        Ok(PyString::new(py, &self))
    }
}

/// Returns a string as UTF-8. Lone surrogates, which stand for bytes of a file's name that are not UTF-8, are escaped as in
/// `\udce9`. Empty if `value` is not a string. Runs no Python code.
pub fn text(value: &Bound<'_, PyAny>) -> String {
    let Ok(string) = value.cast::<PyString>() else {
        return String::new();
    };
    match string.to_str() {
        Ok(text) => text.to_owned(),
        Err(_) => escaped(string).unwrap_or_default(),
    }
}

fn escaped(string: &Bound<'_, PyString>) -> Option<String> {
    let py = string.py();
    // SAFETY: `string` is a str, and the names end with NUL. The call returns a new reference, or null with an exception
    // set, and `from_owned_ptr_or_err` takes either. CPython has both the codec and the error handler built in.
    let bytes = unsafe {
        let encoded = pyo3::ffi::PyUnicode_AsEncodedString(
            string.as_ptr(),
            c"utf-8".as_ptr(),
            c"backslashreplace".as_ptr(),
        );
        Bound::from_owned_ptr_or_err(py, encoded)
    };
    let bytes = bytes.ok()?.cast_into::<PyBytes>().ok()?;
    Some(String::from_utf8_lossy(bytes.as_bytes()).into_owned())
}
