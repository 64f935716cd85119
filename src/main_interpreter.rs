//! Where this module may be loaded, and which thread Python sends its signals to.

use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;

/// Refuses to be loaded in a subinterpreter, with a reason.
///
/// CPython refuses by itself in an isolated one from 3.12 on; a legacy one, and every one of 3.11, would load a module
/// whose statics belong to another interpreter.
pub fn required(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: both functions need an attached thread, which `_py` proves; the interpreter that it is attached to
    // outlives the call.
    let id = unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) };
    if id == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(format!(
        "gilscope._core works in the main interpreter only, and this is subinterpreter {id}: \
         gilscope.countdown_python and gilscope.countdown_cooperative work here without it"
    )))
}

/// Whether this is the thread in which Python runs signal handlers: elsewhere `check_signals` is a no-op.
pub fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import(intern!(py, "threading"))?;
    let main = threading
        .call_method0(intern!(py, "main_thread"))?
        .getattr(intern!(py, "ident"))?;
    threading.call_method0(intern!(py, "get_ident"))?.eq(main)
}
