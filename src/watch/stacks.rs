//! Python stacks as plain data, taken with the C API only. No Python code runs, so the GIL is not released in between, and
//! all stacks are of one moment. References to frames are dropped before the GIL is released.
//!
//! For the same reason, [`prepare`] makes the attribute names beforehand: making them at their first use, as `pyo3::intern`
//! does, releases the GIL.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString};

/// How many frames are kept of one stack, the innermost ones.
const MAX_FRAMES: usize = 64;
/// How many stacks of other threads are taken if it is unknown which threads matter.
const MAX_OTHER_THREADS: usize = 16;

macro_rules! names {
    ($($name:ident),* $(,)?) => {
        /// The names of the attributes that are read of frames, threads and tasks.
        #[allow(non_snake_case)] // as Python has them
        struct Names {
            $($name: Py<PyString>,)*
        }

        impl Names {
            fn new(py: Python<'_>) -> Self {
                Self { $($name: PyString::intern(py, stringify!($name)).unbind(),)* }
            }
        }
    };
}

names! {
    sys, _current_frames, f_code, co_filename, co_qualname, f_lineno, f_back,
    get_coro, __qualname__, get_name,
    threading, _active, _native_id, _name,
}

static NAMES: PyOnceLock<Names> = PyOnceLock::new();

/// Must be called before any other function of this module.
pub fn prepare(py: Python<'_>) {
    NAMES.get_or_init(py, || Names::new(py));
}

fn names(py: Python<'_>) -> PyResult<&'static Names> {
    NAMES
        .get(py)
        .ok_or_else(|| PyRuntimeError::new_err("the names are not prepared"))
}

/// A frame's file, line and function.
pub type FrameData = (String, u32, String);

/// One thread's stack, innermost frame first.
pub struct Stack {
    pub ident: u64,
    pub frames: Vec<FrameData>,
}

/// The task that a loop is running a step of.
pub struct CurrentTask {
    pub name: String,
    pub coroutine: String,
}

/// Takes the stacks of the threads with these `ident`s. If there is at most one, the loop's, takes some others' too.
pub fn take(py: Python<'_>, idents: &[u64]) -> PyResult<Vec<Stack>> {
    let names = names(py)?;
    let frames = py
        .import(&names.sys)?
        .call_method0(&names._current_frames)?
        .cast_into::<PyDict>()?;
    let mut wanted: Vec<u64> = idents.to_vec();
    if wanted.len() < 2 {
        let others = frames.keys().extract::<Vec<u64>>()?;
        let others = others.into_iter().filter(|ident| !idents.contains(ident));
        wanted.extend(others.take(MAX_OTHER_THREADS));
    }
    let mut stacks = Vec::with_capacity(wanted.len());
    for ident in wanted {
        if let Some(frame) = frames.get_item(ident)? {
            stacks.push(Stack {
                ident,
                frames: walk(frame)?,
            });
        }
    }
    Ok(stacks)
}

fn walk(innermost: Bound<'_, PyAny>) -> PyResult<Vec<FrameData>> {
    let py = innermost.py();
    let names = names(py)?;
    let mut frames = Vec::new();
    let mut at = innermost;
    while !at.is_none() && frames.len() < MAX_FRAMES {
        let code = at.getattr(&names.f_code)?;
        frames.push((
            code.getattr(&names.co_filename)?.extract()?,
            // A frame between two lines has no line number.
            at.getattr(&names.f_lineno)?.extract().unwrap_or(0),
            code.getattr(&names.co_qualname)?.extract()?,
        ));
        at = at.getattr(&names.f_back)?;
    }
    Ok(frames)
}

/// The task that `event_loop` is running a step of, if any. `current_task` is CPython's own function.
pub fn task(
    current_task: &Bound<'_, PyAny>,
    event_loop: &Bound<'_, PyAny>,
) -> PyResult<Option<CurrentTask>> {
    let py = event_loop.py();
    let names = names(py)?;
    let task = current_task.call1((event_loop,))?;
    if task.is_none() {
        return Ok(None);
    }
    let coroutine = task.call_method0(&names.get_coro)?;
    let qualname = coroutine.getattr(&names.__qualname__);
    Ok(Some(CurrentTask {
        name: task.call_method0(&names.get_name)?.extract()?,
        coroutine: qualname.and_then(|name| name.extract()).unwrap_or_default(),
    }))
}

/// The threads that `threading` knows, as (ident, native id, name).
pub fn thread_names(py: Python<'_>) -> PyResult<Vec<(u64, u64, String)>> {
    let names = names(py)?;
    let active = py
        .import(&names.threading)?
        .getattr(&names._active)?
        .cast_into::<PyDict>()?;
    let threads: Bound<'_, PyList> = active.items();
    let mut rows = Vec::with_capacity(threads.len());
    for item in threads {
        let (ident, thread): (u64, Bound<'_, PyAny>) = item.extract()?;
        let native = thread
            .getattr(&names._native_id)
            .and_then(|id| id.extract());
        let name = thread.getattr(&names._name).and_then(|name| name.extract());
        if let (Ok(native), Ok(name)) = (native, name) {
            rows.push((ident, native, name));
        }
    }
    Ok(rows)
}
