//! Calls our Python functions from within calls of the program's.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::watch::program::without_traceback;

/// Calls a function of ours. What it raises stays here, and `None` is returned. What a signal handler of the program has raised
/// in it meanwhile, `KeyboardInterrupt` above all, passes, without the frames of ours.
pub fn tell<'py>(
    function: &Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = function.py();
    match function.call(arguments, keywords) {
        Err(error) if error.is_instance_of::<PyException>(py) => {
            error.write_unraisable(py, Some(function));
            Ok(None)
        }
        Err(error) => Err(without_traceback(py, error)),
        Ok(returned) => Ok(Some(returned)),
    }
}
