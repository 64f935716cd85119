//! Python stacks as plain data, taken with the C API only. No Python code runs, so the GIL is not released in between, and
//! all stacks are of one moment. References to frames are dropped before the GIL is released.
//!
//! For the same reason, [`prepare`] makes the attribute names beforehand: making them at their first use, as `pyo3::intern`
//! does, releases the GIL.

use std::collections::VecDeque;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

use crate::gil::stack::Certainty;
use crate::watch::asgi;
use crate::watch::returned_call;
use crate::watch::text::{Text, text};
use crate::watch::thread_names;
use crate::watch::variables;

/// How many frames are kept of each end of a stack: the innermost show what it was doing, the outermost what called that.
const FRAMES_KEPT_AT_EACH_END: usize = 64;
/// How many stacks of other threads are taken if it is unknown which threads matter.
const MAX_OTHER_THREADS: usize = 16;

macro_rules! names {
    ($($name:ident),* $(,)?) => {
        /// The names of the attributes that are read of frames and tasks.
        #[allow(non_snake_case)] // as Python has them
        struct Names {
            $($name: Py<PyString>,)*
            current_frames: Py<PyAny>,
            asgi: asgi::Names,
            of_callables: Option<returned_call::Types>,
        }

        impl Names {
            fn new(py: Python<'_>) -> PyResult<Self> {
                Ok(Self {
                    $($name: PyString::intern(py, stringify!($name)).unbind(),)*
                    // Imported here: later, `builtins.__import__` may be the program's.
                    current_frames: py.import("sys")?.getattr("_current_frames")?.unbind(),
                    asgi: asgi::Names::new(py),
                    of_callables: returned_call::Types::new(py).ok(),
                })
            }
        }
    };
}

names! {
    f_code, co_filename, co_firstlineno, co_qualname, f_lineno, f_back,
    get_coro, __qualname__, get_name,
}

static NAMES: PyOnceLock<Names> = PyOnceLock::new();

/// Must be called before any other function of this module.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    variables::prepare(py)?;
    thread_names::prepare(py)?;
    NAMES.get_or_try_init(py, || Names::new(py)).map(drop)
}

fn names(py: Python<'_>) -> PyResult<&'static Names> {
    NAMES
        .get(py)
        .ok_or_else(|| PyRuntimeError::new_err("the names are not prepared"))
}

/// While it lasts, no garbage is collected. `CPython` 3.11 collects where it allocates, so the program's finalizers would run
/// in the thread that takes a stack, and `sys._current_frames` would wait for itself: it allocates under a lock that collecting
/// needs. Later versions collect only between two bytecodes.
pub struct NoCollection {
    was_enabled: bool,
}

impl NoCollection {
    pub fn new(py: Python<'_>) -> Self {
        let affected = py.version_info() < (3, 12);
        // SAFETY: the thread is attached.
        let was_enabled = affected && unsafe { pyo3::ffi::PyGC_Disable() } == 1;
        Self { was_enabled }
    }
}

impl Drop for NoCollection {
    fn drop(&mut self) {
        if self.was_enabled {
            // SAFETY: made by an attached thread, which has stayed attached: nothing that is called meanwhile detaches.
            unsafe { pyo3::ffi::PyGC_Enable() };
        }
    }
}

/// `sys._current_frames`, without a collection meanwhile.
#[pyfunction]
pub fn current_frames(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let _collects_no_garbage = NoCollection::new(py);
    prepare(py)?;
    names(py)?.current_frames.bind(py).call0()
}

/// A frame's file, line and function. Without a file, it stands for as many frames as it has for a line.
pub type FrameData = (Text, u32, Text);

/// From where a loop calls its callbacks: the depth of that frame, 1 for the outermost, and the id of the outermost code.
#[derive(Clone, Copy)]
pub struct Below {
    pub depth: usize,
    pub root: usize,
}

/// One thread's stack, innermost frame first.
pub struct Stack {
    pub ident: u64,
    pub frames: Vec<FrameData>,
    /// How many frames it had, and the id of the outermost one's code.
    pub depth: usize,
    pub root: usize,
    /// The request that a web application is answering.
    pub request: Option<String>,
    /// Why the frames are right.
    pub certainty: Certainty,
}

/// The task that a loop is running a step of.
#[derive(PartialEq, Eq)]
pub struct CurrentTask {
    pub name: String,
    pub coroutine: String,
}

impl Stack {
    /// How many of the frames lie above the one that calls the loop's callbacks: all, if this is another stack, to which the
    /// program has switched.
    pub fn above(&self, below: Below) -> Option<usize> {
        if self.root != below.root {
            return Some(self.frames.len());
        }
        let index = self.depth.checked_sub(below.depth)?;
        let gap = self.frames.iter().position(|(file, ..)| file.is_empty());
        match gap {
            Some(gap) if index >= gap => {
                (gap + below.depth < self.frames.len()).then(|| self.frames.len() - below.depth)
            }
            _ => Some(index),
        }
    }
}

/// Takes the stacks of the threads with these `ident`s, the loop's first. If it is alone, some others' too, if so wanted. A
/// stack that cannot be read is left out.
pub fn take(py: Python<'_>, idents: &[u64], stacks_of_others: bool) -> PyResult<Vec<Stack>> {
    let names = names(py)?;
    let _collects_no_garbage = NoCollection::new(py);
    let frames = names.current_frames.bind(py).call0()?;
    let frames = frames.cast_into::<PyDict>()?;
    let mut wanted: Vec<u64> = idents.to_vec();
    if wanted.len() < 2 && stacks_of_others {
        let others = frames.keys().extract::<Vec<u64>>()?;
        let others = others.into_iter().filter(|ident| !idents.contains(ident));
        wanted.extend(others.take(MAX_OTHER_THREADS));
    }
    let mut stacks = Vec::with_capacity(wanted.len());
    for (index, ident) in wanted.into_iter().enumerate() {
        if let Ok(Some(frame)) = frames.get_item(ident)
            && let Ok(mut stack) = walk(frame, index == 0)
        {
            stack.ident = ident;
            stacks.push(stack);
        }
    }
    Ok(stacks)
}

fn walk(innermost: Bound<'_, PyAny>, looks_for_request: bool) -> PyResult<Stack> {
    let names = names(innermost.py())?;
    let mut inner = Vec::new();
    let mut outer = VecDeque::new();
    let mut depth = 0;
    let mut at = innermost;
    while !at.is_none() {
        depth += 1;
        let next = at.getattr(&names.f_back)?;
        if inner.len() < FRAMES_KEPT_AT_EACH_END {
            inner.push(at);
        } else {
            if outer.len() == FRAMES_KEPT_AT_EACH_END {
                outer.pop_front();
            }
            outer.push_back(at);
        }
        at = next;
    }
    let left_out = depth - inner.len() - outer.len();
    let mut frames: Vec<FrameData> = Vec::with_capacity(inner.len());
    for frame in &inner {
        let outer = data(frame, names)?;
        if let (Some(inner), Some(types)) = (frames.last(), &names.of_callables)
            && returned_call::passes_result_on(inner, &outer)
        {
            frames.extend(returned_call::called(frame, types));
        }
        frames.push(outer);
    }
    if left_out > 0 {
        let count = u32::try_from(left_out).unwrap_or(u32::MAX);
        frames.push(left_out_frame(count));
    }
    for frame in &outer {
        frames.push(data(frame, names)?);
    }
    let outermost = outer.back().or(inner.last());
    let root = outermost.map(|frame| frame.getattr(&names.f_code));
    // The outermost application is the first to know the request.
    let request = looks_for_request
        .then(|| {
            outer
                .iter()
                .rev()
                .chain(inner.iter().rev())
                .find_map(|frame| {
                    let code = frame.getattr(&names.f_code).ok()?;
                    asgi::request(frame, &code, &names.asgi)
                })
        })
        .flatten();
    Ok(Stack {
        ident: 0,
        frames,
        depth,
        root: root.transpose()?.map_or(0, |code| code.as_ptr() as usize),
        request,
        certainty: Certainty::Proved, // this thread has the GIL
    })
}

/// Stands for `count` frames that are left out.
pub fn left_out_frame(count: u32) -> FrameData {
    ("".into(), count, "frames left out".into())
}

fn data(frame: &Bound<'_, PyAny>, names: &Names) -> PyResult<FrameData> {
    let code = frame.getattr(&names.f_code)?;
    let line = |line: Bound<'_, PyAny>| line.extract::<u32>().ok().filter(|&line| line > 0);
    // Code that the compiler has added has no line number: it belongs to the function.
    let number = match line(frame.getattr(&names.f_lineno)?) {
        None => line(code.getattr(&names.co_firstlineno)?),
        number => number,
    };
    Ok((
        text(&code.getattr(&names.co_filename)?).into(),
        number.unwrap_or(1),
        text(&code.getattr(&names.co_qualname)?).into(),
    ))
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
        name: text(&task.call_method0(&names.get_name)?),
        coroutine: qualname.map(|name| text(&name)).unwrap_or_default(),
    }))
}
