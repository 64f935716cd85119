//! A function with another one called before it. It is native, so the tracebacks of the program have no frame of ours.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Calls `first`, and then `function`, with the same arguments. Else it behaves like `function`.
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
        self.first.bind(py).call(arguments, keywords)?;
        self.function.bind(py).call(arguments, keywords)
    }

    /// Also the class is the function's, so that pickle, copy and inspect see the function.
    fn __getattribute__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.function.bind(py).getattr(name)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.function.bind(py).repr()?.to_string())
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.function.bind(py).hash()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        let function = self.function.bind(other.py());
        match other.cast::<Self>() {
            Ok(other) => function.eq(&other.get().function),
            Err(_) => function.eq(other),
        }
    }
}
