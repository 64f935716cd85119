//! Whether stacks are read rightly.

use pyo3::prelude::*;

use super::Reader;
use crate::gil::Unreadable;

/// Returns the reader if it passes.
pub fn passed_by(reader: Reader, _py: Python<'_>) -> PyResult<Result<Reader, Unreadable>> {
    Ok(Ok(reader))
}
