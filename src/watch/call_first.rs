//! A function with another one called before it. It is native, so the tracebacks of the program have no frame of ours.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Calls `first`, and then `function`. Has the attributes of `function`.
#[pyclass(frozen, module = "gilscope._core")]
pub struct CallFirst {
    first: Py<PyAny>,
    function: Py<PyAny>,
}

#[pymethods]
impl CallFirst {
    #[new]
    fn new(function: Py<PyAny>, first: Py<PyAny>) -> Self {
        Self { first, function }
    }

    #[pyo3(signature = (*arguments, **keywords))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        arguments: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.first.bind(py).call1(arguments)?;
        self.function.bind(py).call(arguments, keywords)
    }

    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.function.bind(py).getattr(name)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.function.bind(py).repr()?.to_string())
    }
}
