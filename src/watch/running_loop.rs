//! Sees which event loop runs in which thread: a stand-in for `asyncio.events._set_running_loop`, which every loop calls
//! when it begins to run and when it stops, whatever its class and however its `run_forever` is written.
//!
//! It is native so that it has no frame: the program's tracebacks, its `inspect.stack()` and its warnings are those of a
//! program that is not watched. A loop written in Cython looks `_set_running_loop` up once, when it is imported, and so may
//! have the original; for such a class there is [`RunForever`].

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::watch::listener::tell;

/// Python's functions that are called when a loop begins to run in the calling thread, and when it has stopped.
struct Listeners {
    begin: Py<PyAny>,
    end: Py<PyAny>,
}

/// Called in place of `asyncio.events._set_running_loop`.
#[pyclass(frozen, module = "gilscope._core")]
pub struct SetRunningLoop {
    set: Py<PyAny>,
    get: Py<PyAny>,
    listeners: Listeners,
}

#[pymethods]
impl SetRunningLoop {
    #[new]
    #[pyo3(signature = (*, set, get, begin, end))]
    fn new(set: Py<PyAny>, get: Py<PyAny>, begin: Py<PyAny>, end: Py<PyAny>) -> Self {
        Self {
            set,
            get,
            listeners: Listeners { begin, end },
        }
    }

    #[getter]
    fn original(&self, py: Python<'_>) -> Py<PyAny> {
        self.set.clone_ref(py)
    }

    #[pyo3(signature = (event_loop, /))]
    fn __call__(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        let before = self.get.bind(py).call0()?;
        self.set.bind(py).call1((event_loop,))?;
        // nest_asyncio sets the loop that runs already, again and again.
        if before.is(event_loop) {
            return Ok(());
        }
        if !before.is_none() {
            announce(&self.listeners.end, &before)?;
        }
        if !event_loop.is_none() {
            announce(&self.listeners.begin, event_loop)?;
        }
        Ok(())
    }
}

/// Called in place of the `run_forever` of a native class.
#[pyclass(frozen, module = "gilscope._core")]
pub struct RunForever {
    run_forever: Py<PyAny>,
    listeners: Listeners,
}

#[pymethods]
impl RunForever {
    #[new]
    #[pyo3(signature = (run_forever, *, begin, end))]
    fn new(run_forever: Py<PyAny>, begin: Py<PyAny>, end: Py<PyAny>) -> Self {
        Self {
            run_forever,
            listeners: Listeners { begin, end },
        }
    }

    /// Binds to a loop, like a function.
    fn __get__<'py>(
        slf: &Bound<'py, Self>,
        event_loop: Option<&Bound<'py, PyAny>>,
        _class: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match event_loop {
            None => Ok(slf.clone().into_any()),
            Some(event_loop) => {
                let types = slf.py().import("types")?;
                types.getattr("MethodType")?.call1((slf, event_loop))
            }
        }
    }

    #[pyo3(signature = (event_loop, /, *args, **kwargs))]
    fn __call__<'py>(
        &self,
        event_loop: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = event_loop.py();
        announce(&self.listeners.begin, event_loop)?;
        let bound = self.run_forever.bind(py);
        let ended = bound
            .call_method1("__get__", (event_loop,))
            .and_then(|method| method.call(args, kwargs));
        let announced = announce(&self.listeners.end, event_loop);
        let returned = ended?;
        announced.map(|()| returned)
    }
}

fn announce(listener: &Py<PyAny>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    tell(listener.bind(py), &PyTuple::new(py, [event_loop])?, None).map(drop)
}
