//! The request that a web application is answering, read from a frame with an ASGI scope.
//!
//! ASGI applications and middlewares are coroutines with the arguments `scope`, `receive` and `send`. `PyFrame_GetVarString`
//! reads one of them and changes nothing. CPython has it since 3.12; `f_locals` of 3.11 would keep the frame's variables alive
//! for longer than the program does, so there no request is known.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::watch::text::text;

const SCOPE: &CStr = c"scope";
const ARGUMENTS: [&str; 3] = ["scope", "receive", "send"];
/// `CO_COROUTINE` of CPython's `code.h`.
const IS_COROUTINE: u32 = 0x80;
/// Longer paths are cut.
const MAX_CHARACTERS: usize = 200;

/// The names of attributes and keys, made beforehand: see [`super::stacks`].
pub struct Names {
    co_flags: Py<PyAny>,
    co_varnames: Py<PyAny>,
    method: Py<PyAny>,
    path: Py<PyAny>,
}

impl Names {
    pub fn new(py: Python<'_>) -> Self {
        let name = |name: &str| pyo3::types::PyString::intern(py, name).unbind().into_any();
        Self {
            co_flags: name("co_flags"),
            co_varnames: name("co_varnames"),
            method: name("method"),
            path: name("path"),
        }
    }
}

/// The method and the path of the request that this frame handles, as in `GET /report`; only the path for a websocket.
pub fn request(frame: &Bound<'_, PyAny>, code: &Bound<'_, PyAny>, names: &Names) -> Option<String> {
    let py = frame.py();
    let flags: u32 = code
        .getattr(names.co_flags.bind(py).cast().ok()?)
        .ok()?
        .extract()
        .ok()?;
    if flags & IS_COROUTINE == 0 || !has_arguments(code, names)? {
        return None;
    }
    let scope = variable(frame, SCOPE)?;
    let scope = scope.cast_exact::<PyDict>().ok()?;
    let word = |name: &Py<PyAny>| {
        let value = scope.get_item(name.bind(py)).ok().flatten();
        value
            .map(|value| text(&value))
            .filter(|word| !word.is_empty())
    };
    let path: String = word(&names.path)?.chars().take(MAX_CHARACTERS).collect();
    Some(match word(&names.method) {
        Some(method) => format!("{method} {path}"),
        None => path,
    })
}

fn has_arguments(code: &Bound<'_, PyAny>, names: &Names) -> Option<bool> {
    let variables = code
        .getattr(names.co_varnames.bind(code.py()).cast().ok()?)
        .ok()?;
    let variables = variables.cast_into::<PyTuple>().ok()?;
    let is_there = |name: &str| {
        variables
            .iter()
            .take(4)
            .any(|variable| text(&variable) == name)
    };
    Some(ARGUMENTS.iter().all(|name| is_there(name)))
}

type GetVariable =
    unsafe extern "C" fn(*mut pyo3::ffi::PyObject, *const c_char) -> *mut pyo3::ffi::PyObject;

fn variable<'py>(frame: &Bound<'py, PyAny>, name: &CStr) -> Option<Bound<'py, PyAny>> {
    static FUNCTION: OnceLock<Option<GetVariable>> = OnceLock::new();
    let function = (*FUNCTION.get_or_init(|| {
        // SAFETY: looks up a NUL-terminated name among the loaded symbols.
        let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"PyFrame_GetVarString".as_ptr()) };
        // SAFETY: in every version of CPython that has it, the function takes a frame and a C string, and returns an object.
        (!symbol.is_null())
            .then(|| unsafe { std::mem::transmute::<*mut libc::c_void, GetVariable>(symbol) })
    }))?;
    // SAFETY: `frame` is a frame, the thread is attached, and the name ends with NUL. The function returns a new reference, or
    // null with an exception set, and `from_owned_ptr_or_err` takes either.
    unsafe { Bound::from_owned_ptr_or_err(frame.py(), function(frame.as_ptr(), name.as_ptr())) }
        .ok()
}
