//! A function of the program's with one of ours called before it, and maybe one after it. It is native, so the tracebacks of
//! the program have no frame of ours.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::watch::listener::tell;

/// Calls `first`, then `function` with the same arguments, and then `then` with what `first` returned, unless `function` has
/// raised. Else it behaves like `function`.
#[pyclass(frozen, module = "gilscope._core")]
pub struct CallFirst {
    function: Py<PyAny>,
    first: Py<PyAny>,
    then: Option<Py<PyAny>>,
}

#[pymethods]
impl CallFirst {
    #[new]
    #[pyo3(signature = (function, first, then=None))]
    fn new(function: Py<PyAny>, first: Py<PyAny>, then: Option<Py<PyAny>>) -> Self {
        Self {
            function,
            first,
            then,
        }
    }

    #[pyo3(signature = (*arguments, **keywords))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        arguments: &Bound<'py, PyTuple>,
        keywords: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let before = tell(self.first.bind(py), arguments, keywords)?;
        let returned = self.function.bind(py).call(arguments, keywords)?;
        if let (Some(then), Some(before)) = (&self.then, before) {
            tell(then.bind(py), &PyTuple::new(py, [before])?, None)?;
        }
        Ok(returned)
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
