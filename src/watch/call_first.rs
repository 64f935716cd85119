//! A function of the program's with one of ours called before it, and maybe one after it. It is native, so the tracebacks of
//! the program have no frame of ours.

use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::watch::listener::tell;
use crate::watch::plain_call::{PyObject_Call, raised, set_call};

/// Calls `first`, then `function` with the same arguments, and then `then` with what `first` returned, unless `function` has
/// raised. Else it behaves like `function`.
#[pyclass(frozen, module = "gilscope._core")]
pub struct CallFirst {
    function: Py<PyAny>,
    first: Py<PyAny>,
    then: Option<Py<PyAny>>,
}

#[pymethods]
impl CallFirst {
    #[new]
    #[pyo3(signature = (function, first, then=None))]
    fn new(function: Py<PyAny>, first: Py<PyAny>, then: Option<Py<PyAny>>) -> Self {
        Self {
            function,
            first,
            then,
        }
    }

    /// Also the class is the function's, so that pickle, copy and inspect see the function.
    fn __getattribute__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.function.bind(py).getattr(name)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.function.bind(py).repr()?.to_string())
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.function.bind(py).hash()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let function = self.function.bind(other.py());
        match other.cast::<Self>() {
            Ok(other) => function.eq(&other.get().function),
            Err(_) => function.eq(other),
        }
    }
}

/// Adds `__call__` to the class.
pub fn make_callable(py: Python<'_>) -> PyResult<()> {
    set_call(&py.get_type::<CallFirst>(), call)
}

/// `CallFirst.__call__`. The program's function may take long, see [`crate::watch::plain_call`].
unsafe extern "C-unwind" fn call(
    slf: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: the interpreter passes a `CallFirst`, a tuple, and a dictionary or null, and keeps them alive.
    unsafe {
        let (function, before) = begin(slf, arguments, keywords);
        if function.is_null() {
            return function;
        }
        let returned = PyObject_Call(function, arguments, keywords);
        end(slf, before, returned)
    }
}

/// Returns the function and what `first` has returned; null instead of the function if it has raised. The function is
/// borrowed, what `first` has returned is given away.
#[inline(never)]
unsafe fn begin(
    slf: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> (*mut PyObject, *mut PyObject) {
    // SAFETY: as for `call`; the thread is attached.
    let (py, slf, arguments, keywords) = unsafe {
        let py = Python::assume_attached();
        (
            py,
            Bound::from_borrowed_ptr(py, slf).cast_into_unchecked::<CallFirst>(),
            Bound::from_borrowed_ptr(py, arguments).cast_into_unchecked::<PyTuple>(),
            Bound::from_borrowed_ptr_or_opt(py, keywords)
                .map(|keywords| keywords.cast_into_unchecked::<PyDict>()),
        )
    };
    match tell(slf.get().first.bind(py), &arguments, keywords.as_ref()) {
        Ok(before) => (
            slf.get().function.as_ptr(),
            before.map_or(std::ptr::null_mut(), Bound::into_ptr),
        ),
        Err(error) => (raised(py, error), std::ptr::null_mut()),
    }
}

#[inline(never)]
unsafe fn end(slf: *mut PyObject, before: *mut PyObject, returned: *mut PyObject) -> *mut PyObject {
    // SAFETY: as for `call`. `before` and `returned` are references that belong to this function, or null.
    let (py, slf, before) = unsafe {
        let py = Python::assume_attached();
        (
            py,
            Bound::from_borrowed_ptr(py, slf).cast_into_unchecked::<CallFirst>(),
            Bound::from_owned_ptr_or_opt(py, before),
        )
    };
    let (Some(then), Some(before), false) = (&slf.get().then, before, returned.is_null()) else {
        return returned; // `before` is a number: dropping it runs no code
    };
    // SAFETY: as above, and not null.
    let returned = unsafe { Bound::from_owned_ptr(py, returned) };
    let told = PyTuple::new(py, [before]).and_then(|before| tell(then.bind(py), &before, None));
    match told {
        Ok(_) => returned.into_ptr(),
        Err(error) => raised(py, error),
    }
}
