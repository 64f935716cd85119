//! Python stacks as plain data, taken with nothing but the C API: no Python code runs, so the GIL is not given up halfway
//! and all of them are of one moment. Frames are let go before the GIL is.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// Frames kept of one stack: the innermost.
const DEPTH: usize = 64;
/// Stacks taken when nobody knows which threads matter.
const THREADS: usize = 16;

#[derive(Clone)]
pub struct Frame {
    pub file: String,
    pub line: u32,
    pub function: String,
}

/// One thread's stack, innermost frame first.
#[derive(Clone)]
pub struct Stack {
    pub ident: u64,
    pub frames: Vec<Frame>,
}

/// The task that a loop is in a step of.
#[derive(Clone)]
pub struct Task {
    pub name: String,
    pub coroutine: String,
}

/// The stacks of the threads named, and where that is at most the loop's own, of some more.
pub fn take(py: Python<'_>, idents: &[u64]) -> PyResult<Vec<Stack>> {
    let frames = py
        .import(intern!(py, "sys"))?
        .call_method0(intern!(py, "_current_frames"))?
        .cast_into::<PyDict>()?;
    let mut wanted: Vec<u64> = idents.to_vec();
    if wanted.len() < 2 {
        let others = frames.keys().extract::<Vec<u64>>()?;
        let others = others.into_iter().filter(|ident| !idents.contains(ident));
        wanted.extend(others.take(THREADS));
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

fn walk(innermost: Bound<'_, PyAny>) -> PyResult<Vec<Frame>> {
    let py = innermost.py();
    let mut frames = Vec::new();
    let mut at = innermost;
    while !at.is_none() && frames.len() < DEPTH {
        let code = at.getattr(intern!(py, "f_code"))?;
        frames.push(Frame {
            file: code.getattr(intern!(py, "co_filename"))?.extract()?,
            // A frame between two lines has none.
            line: at.getattr(intern!(py, "f_lineno"))?.extract().unwrap_or(0),
            function: code.getattr(intern!(py, "co_qualname"))?.extract()?,
        });
        at = at.getattr(intern!(py, "f_back"))?;
    }
    Ok(frames)
}

/// The task that `event_loop` is in a step of, if it is in one. `current_task` is CPython's own function.
pub fn task(
    current_task: &Bound<'_, PyAny>,
    event_loop: &Bound<'_, PyAny>,
) -> PyResult<Option<Task>> {
    let py = event_loop.py();
    let task = current_task.call1((event_loop,))?;
    if task.is_none() {
        return Ok(None);
    }
    let coroutine = task.call_method0(intern!(py, "get_coro"))?;
    let qualname = coroutine.getattr(intern!(py, "__qualname__"));
    Ok(Some(Task {
        name: task.call_method0(intern!(py, "get_name"))?.extract()?,
        coroutine: qualname.and_then(|name| name.extract()).unwrap_or_default(),
    }))
}

/// The names of the threads that `threading` knows, as (ident, native id, name).
pub fn thread_names(py: Python<'_>) -> PyResult<Vec<(u64, u64, String)>> {
    let active = py
        .import(intern!(py, "threading"))?
        .getattr(intern!(py, "_active"))?
        .cast_into::<PyDict>()?;
    let threads: Bound<'_, PyList> = active.items();
    let mut names = Vec::with_capacity(threads.len());
    for item in threads {
        let (ident, thread): (u64, Bound<'_, PyAny>) = item.extract()?;
        let native = thread
            .getattr(intern!(py, "_native_id"))
            .and_then(|id| id.extract());
        let name = thread
            .getattr(intern!(py, "_name"))
            .and_then(|name| name.extract());
        if let (Ok(native), Ok(name)) = (native, name) {
            names.push((ident, native, name));
        }
    }
    Ok(names)
}
