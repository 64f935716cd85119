//! Methods that call functions of the program's and have nothing of Rust's to clean up meanwhile.
//!
//! Up to 3.13, `CPython` ends a daemon thread that wants the GIL while the interpreter shuts down by `pthread_exit`, which
//! unwinds the thread's stack. That aborts the process if it meets a function of `PyO3`'s, or one with something to drop. So a
//! method in which a thread may be for long is added to its type by hand.

use std::ffi::c_int;

use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::types::PyType;

/// Gets the object, the tuple of the arguments, and the dictionary of the keywords or null. Returns a new reference, or null
/// with an exception set.
pub type Method =
    unsafe extern "C-unwind" fn(*mut PyObject, *mut PyObject, *mut PyObject) -> *mut PyObject;

unsafe extern "C-unwind" {
    /// `CPython`'s function. Declared here because it may unwind.
    pub fn PyObject_Call(
        callable: *mut PyObject,
        arguments: *mut PyObject,
        keywords: *mut PyObject,
    ) -> *mut PyObject;
}

/// Makes `method` the `__call__` of a type.
pub fn set_call(kind: &Bound<'_, PyType>, method: Method) -> PyResult<()> {
    const FLAGS: c_int = ffi::METH_VARARGS | ffi::METH_KEYWORDS;
    // SAFETY: the two types of functions differ only in that the first may unwind, and its callers are C.
    let method = unsafe { std::mem::transmute::<Method, ffi::PyCFunctionWithKeywords>(method) };
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: c"__call__".as_ptr(),
        ml_meth: ffi::PyMethodDefPointer {
            PyCFunctionWithKeywords: method,
        },
        ml_flags: FLAGS,
        ml_doc: std::ptr::null(),
    }));
    // SAFETY: attached; a type, and a definition that lives for ever. The result is a new reference, or null with an exception.
    let descriptor = unsafe {
        let descriptor = ffi::PyDescr_NewMethod(kind.as_type_ptr(), &raw mut *definition);
        Bound::from_owned_ptr_or_err(kind.py(), descriptor)
    }?;
    kind.setattr("__call__", descriptor)
}

/// Null, with the exception set.
pub fn raised(py: Python<'_>, error: PyErr) -> *mut PyObject {
    error.restore(py);
    std::ptr::null_mut()
}
