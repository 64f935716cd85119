//! Arguments from Python, with errors that say which argument was wrong and what it may be.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;

/// A count, from anything with `__index__`.
///
/// PyO3 by itself raises `OverflowError` outside of `u64` and names no range.
pub fn count(n: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = n.py();
    n.extract::<u64>().map_err(|error| {
        if error.is_instance_of::<PyOverflowError>(py) {
            PyValueError::new_err("n must be from 0 to 2**64-1")
        } else if error.is_instance_of::<PyTypeError>(py)
            && !n.hasattr("__index__").unwrap_or(false)
        {
            let name = n
                .get_type()
                .name()
                .map_or_else(|_| "?".into(), |name| name.to_string());
            PyTypeError::new_err(format!(
                "n must be an integer from 0 to 2**64-1, not {name}"
            ))
        } else {
            error
        }
    })
}
