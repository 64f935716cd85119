//! Where this module may be loaded, and which thread Python sends its signals to.

use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// The process and the thread in it that `threading` named as the main one.
static MAIN_THREAD: Mutex<Option<(u32, u64)>> = Mutex::new(None);

/// Whether this is the thread in which Python runs signal handlers: elsewhere `check_signals` is a no-op.
///
/// `threading.main_thread` is Python code, and may give the GIL up. Where the interpreter is finalizing CPython then ends
/// a daemon thread by unwinding it, which aborts the process when it meets Rust. So it is asked once a process (in the
/// child of a fork the forking thread is the main one), and not in each call.
pub fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import(intern!(py, "threading"))?;
    let this: u64 = threading
        .call_method0(intern!(py, "get_ident"))?
        .extract()?;
    let pid = std::process::id();
    let known = main_thread().filter(|(asked_in, _)| *asked_in == pid);
    if let Some((_, main)) = known {
        return Ok(this == main);
    }
    // No lock is held while this may let another thread run: the worst is that two ask.
    let main: u64 = threading
        .call_method0(intern!(py, "main_thread"))?
        .getattr(intern!(py, "ident"))?
        .extract()?;
    *main_thread() = Some((pid, main));
    Ok(this == main)
}

fn main_thread() -> MutexGuard<'static, Option<(u32, u64)>> {
    MAIN_THREAD.lock().unwrap_or_else(PoisonError::into_inner)
}
