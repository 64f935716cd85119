//! Calls our Python functions from within calls of the program's.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::watch::program::without_traceback;

/// Calls a function of ours. What it raises stays here, and `None` is returned. What a signal handler of the program has raised
/// in it meanwhile, such as `KeyboardInterrupt` or a timeout, passes, without the frames of ours.
pub fn tell<'py>(
    function: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = function.py();
    match function.call(arguments, keywords) {
        Err(error)
            if error.is_instance_of::<PyException>(py)
                && !is_of_signal_handler(py, &error).unwrap_or(false) =>
        {
            error.write_unraisable(py, Some(function));
            Ok(None)
        }
        Err(error) => Err(without_traceback(py, error)),
        Ok(returned) => Ok(Some(returned)),
    }
}

/// Whether a signal handler of the program's is among the frames that the exception has passed.
fn is_of_signal_handler(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    let signal = py.import("signal")?;
    let mut handlers = Vec::new();
    for number in signal.call_method0("valid_signals")?.try_iter()? {
        let handler = signal.call_method1("getsignal", (number?,))?;
        let code = handler.getattr("__code__");
        handlers.extend(code.or_else(|_| handler.getattr("__call__")?.getattr("__code__")));
    }
    let mut next = error.traceback(py).map(Bound::into_any);
    while let Some(traceback) = next.filter(|traceback| !traceback.is_none()) {
        let code = traceback.getattr("tb_frame")?.getattr("f_code")?;
        if handlers.iter().any(|handler| handler.is(&code)) {
            return Ok(true);
        }
        next = Some(traceback.getattr("tb_next")?);
    }
    Ok(false)
}
