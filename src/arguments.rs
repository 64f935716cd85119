//! Conversion of Python arguments, with errors that name the argument and its valid range.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

/// Converts any object with `__index__` to a count. Exceptions that `__index__` raises are passed on.
///
/// PyO3's own conversion raises `OverflowError` outside `u64`, and names neither the argument nor its range.
pub fn count(n: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = n.py();
    let kind = n.get_type();
    // Check the type, as Python does: the class `int` itself has an attribute `__index__` but is not an integer.
    if !kind.hasattr(intern!(py, "__index__"))? {
        return Err(PyTypeError::new_err(format!(
            "n must be an integer from 0 to 2**64-1, not {}",
            kind.name()?
        )));
    }
    let whole = py
        .import(intern!(py, "operator"))?
        .call_method1(intern!(py, "index"), (n,))?;
    whole
        .extract()
        .map_err(|_| PyValueError::new_err("n must be from 0 to 2**64-1"))
}
