//! Sees which event loop runs in which thread: a stand-in for `asyncio.events._set_running_loop`, which every loop calls
//! when it begins to run and when it stops, whatever its class and however its `run_forever` is written.
//!
//! It is native so that it has no frame: the program's tracebacks, its `inspect.stack()` and its warnings are those of a
//! program that is not watched. A loop written in Cython looks `_set_running_loop` up once, when it is imported, and so may
//! have the original; for such a class there is [`RunForever`].

use pyo3::exceptions::PyTypeError;
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::watch::listener::tell;
use crate::watch::plain_call::{PyObject_Call, raised, set_call};

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
}

fn announce(listener: &Py<PyAny>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    tell(listener.bind(py), &PyTuple::new(py, [event_loop])?, None).map(drop)
}

/// Adds `__call__` to the class.
pub fn make_callable(py: Python<'_>) -> PyResult<()> {
    set_call(&py.get_type::<RunForever>(), call)
}

/// `RunForever.__call__(event_loop, *arguments, **keywords)`. The loop runs for long, see [`crate::watch::plain_call`].
unsafe extern "C-unwind" fn call(
    slf: *mut PyObject,
    arguments: *mut PyObject,
    keywords: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: the interpreter passes a `RunForever`, a tuple, and a dictionary or null, and keeps them alive.
    unsafe {
        let (method, others) = begin(slf, arguments);
        if method.is_null() {
            return method;
        }
        let returned = PyObject_Call(method, others, keywords);
        end(slf, arguments, (method, others), returned)
    }
}

/// Returns the loop's own method and its arguments, which are given away; null instead of the method after an exception.
#[inline(never)]
unsafe fn begin(slf: *mut PyObject, arguments: *mut PyObject) -> (*mut PyObject, *mut PyObject) {
    // SAFETY: as for `call`; the thread is attached.
    let (py, slf, arguments) = unsafe { borrowed(slf, arguments) };
    let begun = || {
        let event_loop = arguments
            .get_item(0)
            .map_err(|_| PyTypeError::new_err("run_forever() needs an event loop"))?;
        let method = slf.get().run_forever.bind(py);
        let method = method.call_method1("__get__", (&event_loop,))?;
        announce(&slf.get().listeners.begin, &event_loop)?;
        Ok((method, arguments.get_slice(1, arguments.len())))
    };
    match begun() {
        Ok((method, others)) => (method.into_ptr(), others.into_ptr()),
        Err(error) => (raised(py, error), std::ptr::null_mut()),
    }
}

#[inline(never)]
unsafe fn end(
    slf: *mut PyObject,
    arguments: *mut PyObject,
    (method, others): (*mut PyObject, *mut PyObject),
    returned: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: as for `call`.
    let (py, slf, arguments) = unsafe { borrowed(slf, arguments) };
    // SAFETY: the reference belongs to this function; it is null if an exception is set.
    let ended = unsafe { Bound::from_owned_ptr_or_err(py, returned) };
    // SAFETY: these two belong to this function as well.
    drop(unsafe {
        (
            Bound::from_owned_ptr(py, method),
            Bound::from_owned_ptr(py, others),
        )
    });
    let announced = arguments
        .get_item(0)
        .and_then(|event_loop| announce(&slf.get().listeners.end, &event_loop));
    match ended.and_then(|returned| announced.map(|()| returned)) {
        Ok(returned) => returned.into_ptr(),
        Err(error) => raised(py, error),
    }
}

/// # Safety
/// As for [`call`]; the thread must be attached.
unsafe fn borrowed<'py>(
    slf: *mut PyObject,
    arguments: *mut PyObject,
) -> (Python<'py>, Bound<'py, RunForever>, Bound<'py, PyTuple>) {
    // SAFETY: the caller's.
    unsafe {
        let py = Python::assume_attached();
        (
            py,
            Bound::from_borrowed_ptr(py, slf).cast_into_unchecked(),
            Bound::from_borrowed_ptr(py, arguments).cast_into_unchecked(),
        )
    }
}
