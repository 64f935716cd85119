//! Arguments from Python, with errors that say which argument was wrong and what it may be.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;

/// A count, from anything with `__index__`. What `__index__` itself raises is passed on.
///
/// PyO3 by itself raises `OverflowError` outside of `u64` and names neither the argument nor its range.
pub fn count(n: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = n.py();
    let kind = n.get_type();
    // Python looks the method up on the type, so that is where to ask: the class `int` has one and is not an integer.
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
