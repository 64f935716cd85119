//! Refuses to load in a subinterpreter, and finds the main thread, the only one that handles Python signals.

use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::locked::Locked;

/// Raises `ImportError` in a subinterpreter.
///
/// CPython 3.12 and later refuse this module in an isolated subinterpreter. A legacy one, and any of CPython 3.11, would
/// load it and then share its static variables with the main interpreter.
pub fn required(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: both functions need an attached thread, which `_py` proves. Its interpreter outlives the call.
    let id = unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) };
    if id == 0 {
        return Ok(());
    }
    Err(PyImportError::new_err(format!(
        "gilscope._core works only in the main interpreter, not in subinterpreter {id}: \
         use gilscope.countdown_python or gilscope.countdown_cooperative, which do not need it"
    )))
}

/// The process id, and the id of its main thread according to `threading`.
static MAIN_THREAD: Locked<Option<(u32, u64)>> = Locked::new(None);

/// Whether this is the main thread, which alone runs Python's signal handlers: in others `check_signals` does nothing.
///
/// `threading.main_thread` is Python code, and may release the GIL. If the interpreter is finalizing, CPython then ends a
/// daemon thread by unwinding its stack, and the process aborts when the unwinding reaches Rust. So this function calls it
/// only once per process. (In a forked child, the thread that forked is the main thread.)
pub fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import(intern!(py, "threading"))?;
    let this: u64 = threading
        .call_method0(intern!(py, "get_ident"))?
        .extract()?;
    let pid = std::process::id();
    let known = MAIN_THREAD.with(|known| known.filter(|(known_pid, _)| *known_pid == pid));
    if let Some((_, main)) = known {
        return Ok(this == main);
    }
    // No lock is held here, because this code may release the GIL. At worst two threads do the same lookup.
    let main: u64 = threading
        .call_method0(intern!(py, "main_thread"))?
        .getattr(intern!(py, "ident"))?
        .extract()?;
    MAIN_THREAD.with(|known| *known = Some((pid, main)));
    Ok(this == main)
}
