//! Reads a variable of a frame, and changes nothing.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyDict;

type GetVariable =
    unsafe extern "C" fn(*mut pyo3::ffi::PyObject, *const c_char) -> *mut pyo3::ffi::PyObject;

static IS_FREE_THREADED: OnceLock<bool> = OnceLock::new();

/// Must be called before [`variable`], which finds none otherwise.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    let flags: String = py.import("sys")?.getattr("abiflags")?.extract()?;
    IS_FREE_THREADED.get_or_init(|| flags.contains('t'));
    Ok(())
}

/// `None` also on a free-threaded build: the variables of a frame that runs in another thread cannot be read there.
pub fn variable<'py>(frame: &Bound<'py, PyAny>, name: &CStr) -> Option<Bound<'py, PyAny>> {
    if IS_FREE_THREADED.get().copied().unwrap_or(true) {
        return None;
    }
    let Some(function) = get_variable() else {
        return variable_of_3_11(frame, name);
    };
    // SAFETY: `frame` is a frame, the thread is attached, and the name ends with NUL. The function returns a new reference, or
    // null with an exception set, and `from_owned_ptr_or_err` takes either.
    unsafe { Bound::from_owned_ptr_or_err(frame.py(), function(frame.as_ptr(), name.as_ptr())) }
        .ok()
}

/// `PyFrame_GetVarString`, which CPython has since 3.12.
fn get_variable() -> Option<GetVariable> {
    static FUNCTION: OnceLock<Option<GetVariable>> = OnceLock::new();
    *FUNCTION.get_or_init(|| {
        // SAFETY: looks up a NUL-terminated name among the loaded symbols.
        let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"PyFrame_GetVarString".as_ptr()) };
        // SAFETY: in every version of CPython that has it, the function takes a frame and a C string, and returns an object.
        (!symbol.is_null())
            .then(|| unsafe { std::mem::transmute::<*mut libc::c_void, GetVariable>(symbol) })
    })
}

/// In 3.11, `f_locals` copies the frame's variables into a dictionary that the frame keeps, which would keep them alive for
/// longer than the program does. So the copy is emptied, unless the program has it too, because it has called `locals()`.
fn variable_of_3_11<'py>(frame: &Bound<'py, PyAny>, name: &CStr) -> Option<Bound<'py, PyAny>> {
    const REFERENCES_OF_THE_FRAME_AND_OURS: isize = 2;
    let copy = frame.getattr("f_locals").ok()?;
    let copy = copy.cast_into::<PyDict>().ok()?;
    let value = copy.get_item(name.to_str().ok()?).ok().flatten();
    // SAFETY: reads a number of an object that `copy` keeps alive, and this thread is attached.
    let references = unsafe { pyo3::ffi::Py_REFCNT(copy.as_ptr()) };
    if references == REFERENCES_OF_THE_FRAME_AND_OURS {
        copy.clear(); // destroys nothing: the frame has its variables still
    }
    value
}
