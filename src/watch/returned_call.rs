//! Which call a thread of a pool has just returned from, while it passes the result on.
//!
//! A hog that releases the GIL again and again, but too briefly for anyone to acquire it, may be seen no earlier than that.

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyTuple};

use crate::watch::stacks::FrameData;
use crate::watch::text::text;
use crate::watch::variables::variable;

/// The function of `concurrent.futures.thread` that makes the call and then passes its result on.
const MAKES_CALLS: &str = "_WorkItem.run";
const PASS_RESULTS_ON: [&str; 2] = ["Future.set_result", "Future.set_exception"];
/// A call may be wrapped this often.
const MAX_WRAPPERS: usize = 4;

/// The types whose attributes are known to run no Python code when they are read.
pub struct Types {
    function: Py<PyAny>,
    method: Py<PyAny>,
    partial: Py<PyAny>,
    context: Py<PyAny>,
}

impl Types {
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let named =
            |module: &str, name: &str| Ok::<_, PyErr>(py.import(module)?.getattr(name)?.unbind());
        Ok(Self {
            function: named("types", "FunctionType")?,
            method: named("types", "MethodType")?,
            partial: named("functools", "partial")?,
            context: named("contextvars", "Context")?,
        })
    }

    /// The code that a call of `callable` runs.
    fn code<'py>(&self, callable: Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let mut callable = callable;
        for _ in 0..=MAX_WRAPPERS {
            let kind = callable.get_type();
            callable = if kind.is(&self.function) {
                return callable.getattr("__code__").ok();
            } else if kind.is(&self.method) {
                callable.getattr("__func__").ok()?
            } else if kind.is(&self.partial) {
                let called = callable.getattr("func").ok()?;
                if self.runs_in_context(&called) {
                    let arguments = callable.getattr("args").ok()?;
                    arguments.cast_exact::<PyTuple>().ok()?.get_item(0).ok()?
                } else {
                    called
                }
            } else {
                return None;
            };
        }
        None
    }

    /// Whether it is the `Context.run` with which `asyncio.to_thread` calls what it was given.
    fn runs_in_context(&self, called: &Bound<'_, PyAny>) -> bool {
        called.cast_exact::<PyCFunction>().is_ok()
            && called
                .getattr("__self__")
                .is_ok_and(|owner| owner.get_type().is(&self.context))
    }
}

/// Whether the second of these two functions has called the first to pass a result on.
pub fn passes_result_on(inner: &FrameData, outer: &FrameData) -> bool {
    PASS_RESULTS_ON.contains(&&*inner.2) && *outer.2 == *MAKES_CALLS
}

/// The function that `frame`, one of [`MAKES_CALLS`], has called, at its first line.
pub fn called(frame: &Bound<'_, PyAny>, types: &Types) -> Option<FrameData> {
    let item = variable(frame, c"self")?;
    let function = if let Ok(task) = item.getattr("task") {
        task.cast_exact::<PyTuple>().ok()?.get_item(0).ok()? // since 3.14
    } else {
        item.getattr("fn").ok()?
    };
    let code = types.code(function)?;
    Some((
        text(&code.getattr("co_filename").ok()?).into(),
        code.getattr("co_firstlineno").ok()?.extract().ok()?,
        text(&code.getattr("co_qualname").ok()?).into(),
    ))
}
