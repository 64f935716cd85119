//! The task that a loop is running a step of, read from memory.
//!
//! Where a task keeps its name and its coroutine, and where a thread keeps its current task, is found out at the start of a
//! watch, with tasks whose name and coroutine are known. They belong to a loop that runs nothing, and leave no trace.

use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBool, PyDict};

use super::coroutines::Coroutines;
use super::known_objects::Read;
use super::memory;
use super::objects::learned::{address_of, basic_size};
use super::objects::{MAX_CHARACTERS, Objects, field, only_offset};
use super::specimens::{Coroutine, Specimens};
use super::stack::{Certainty, Stack};
use crate::watch::running_loop::SetRunningLoop;

/// So much of a thread state is searched for its current task.
const MAX_THREAD_STATE: usize = 4096;

#[derive(Clone, Copy)]
pub struct Tasks {
    objects: Objects,
    coroutines: Coroutines,
    /// The address of `asyncio.Task`, and the offsets in a task.
    task: usize,
    name: usize,
    coroutine: usize,
    current: Current,
}

/// Where the current task is.
#[derive(Clone, Copy)]
enum Current {
    /// The address of the dictionary `_asyncio._current_tasks`, until 3.13: the loops' tasks.
    ByLoop(usize),
    /// Since 3.14 a thread state refers to the loop and the task that run there: the offsets.
    InThread { event_loop: usize, task: usize },
}

impl Tasks {
    /// `None` if a check fails.
    pub fn find(
        objects: &Objects,
        coroutines: &Coroutines,
        specimens: &Specimens<'_>,
    ) -> PyResult<Option<Self>> {
        let py = specimens.py();
        let asyncio = py.import("_asyncio")?;
        let kind = asyncio.getattr("Task")?.cast_into()?;
        let size = basic_size(&kind)?;
        let first = Known::new(specimens, &kind, "a known task")?;
        let second = Known::new(specimens, &kind, "another known task")?;
        let offset = |of: fn(&Known<'_>) -> usize| {
            let is_there = |known: &Known<'_>, at: usize| {
                objects.word(address_of(&known.task) + at) == Some(of(known))
            };
            let offsets = (field::SIZE..size).step_by(8);
            let offsets: Vec<usize> = offsets
                .filter(|&at| is_there(&first, at) && is_there(&second, at))
                .collect();
            only_offset(&offsets)
        };
        let (Some(name), Some(coroutine)) = (
            offset(|known| address_of(&known.name)),
            offset(|known| address_of(&known.coroutine.0)),
        ) else {
            return Ok(None);
        };
        let current = if py.version_info() < (3, 14) {
            let tasks = asyncio.getattr("_current_tasks")?;
            Some(Current::ByLoop(address_of(&tasks)))
        } else {
            in_thread(objects, &asyncio, &[first, second])?
        };
        Ok(current.map(|current| Self {
            objects: *objects,
            coroutines: *coroutines,
            task: address_of(&kind),
            name,
            coroutine,
            current,
        }))
    }

    /// The name and the coroutine's qualified name of the task that `event_loop` is running a step of.
    pub fn read(&self, event_loop: usize, stack: &Stack) -> Option<Read<(String, String)>> {
        let task = self.address(event_loop, stack.state)?;
        if !self.objects.extends(task, self.task) {
            return None;
        }
        let coroutine = self.objects.object(task + self.coroutine)?;
        let (function, frames) = if self.coroutines.has_frame(coroutine) {
            // Its frame is on the stack as long as the task is current: otherwise the loop has gone on since.
            let frame = self.coroutines.position(stack, coroutine)?;
            let function = self.coroutines.qualified_name(coroutine, MAX_CHARACTERS)?;
            (function, stack.frames.len() - frame)
        } else if stack.certainty == Certainty::Proved {
            (String::new(), stack.frames.len()) // native code: nothing on the stack shows it
        } else {
            return None;
        };
        Some(Read {
            value: (self.name(task)?, function),
            frames,
        })
    }

    fn name(&self, task: usize) -> Option<String> {
        let name = self.objects.object(task + self.name)?;
        // Since 3.14 a task without a name of its own has a number instead.
        match self.objects.number(name) {
            Some(number) => Some(format!("Task-{number}")),
            None => self.objects.text(name, MAX_CHARACTERS),
        }
    }

    fn address(&self, event_loop: usize, thread_state: usize) -> Option<usize> {
        match self.current {
            Current::ByLoop(tasks) => self.objects.value_of(tasks, event_loop),
            Current::InThread {
                event_loop: running,
                task,
            } => (self.objects.word(thread_state + running)? == event_loop)
                .then(|| self.objects.object(thread_state + task))
                .flatten(),
        }
    }
}

/// A task that is never scheduled.
struct Known<'py> {
    event_loop: Bound<'py, PyAny>,
    name: Bound<'py, PyAny>,
    coroutine: Coroutine<'py>,
    task: Bound<'py, PyAny>,
}

impl<'py> Known<'py> {
    fn new(
        specimens: &Specimens<'py>,
        kind: &Bound<'py, pyo3::types::PyType>,
        name: &str,
    ) -> PyResult<Self> {
        let py = specimens.py();
        // What a task asks of its loop: whether to debug, answered with no; to call the task soon, which this loop does not;
        // to report it, if an exception (Ctrl-C) prevents that the task is finished here.
        let bool = py.get_type::<PyBool>().into_any();
        let loop_methods = [
            ("get_debug", bool.clone()),
            ("call_exception_handler", bool),
            ("call_soon", py.import("_functools")?.getattr("partial")?),
        ]
        .into_py_dict(py)?;
        let event_loop = py
            .import("types")?
            .getattr("SimpleNamespace")?
            .call((), Some(&loop_methods))?;
        let name = pyo3::types::PyString::new(py, name).into_any();
        let coroutine = specimens.coroutine("plain", &["scope", "receive", "send"])?;
        let keywords = PyDict::new(py);
        keywords.set_item("loop", &event_loop)?;
        keywords.set_item("name", &name)?;
        let task = kind.call((&coroutine.0,), Some(&keywords))?;
        let known = Self {
            event_loop,
            name,
            coroutine,
            task,
        };
        // A task that is destroyed before it is done would be reported.
        known.task.setattr("_log_destroy_pending", false)?;
        Ok(known)
    }
}

/// Makes the known tasks the current ones of the calling thread, one after the other, and sees where the thread state refers
/// to them. The functions are native and never release the GIL: no other thread sees the tasks.
fn in_thread(
    objects: &Objects,
    asyncio: &Bound<'_, PyModule>,
    known: &[Known<'_>],
) -> PyResult<Option<Current>> {
    let py = asyncio.py();
    let builtin = py.import("types")?.getattr("BuiltinFunctionType")?;
    let function = |name: &str| -> PyResult<Option<Bound<'_, PyAny>>> {
        let mut function = asyncio.getattr(name)?;
        if let Ok(stand_in) = function.cast::<SetRunningLoop>() {
            function = stand_in.getattr("original")?;
        }
        Ok(function.is_exact_instance(&builtin).then_some(function))
    };
    let (Some(get), Some(set), Some(swap)) = (
        function("_get_running_loop")?,
        function("_set_running_loop")?,
        function("_swap_current_task")?,
    ) else {
        return Ok(None);
    };
    let running = get.call0()?;
    let mut offsets: Option<(Vec<usize>, Vec<usize>)> = None;
    for known in known {
        let event_loop = if running.is_none() {
            &known.event_loop
        } else {
            &running
        };
        if running.is_none() {
            set.call1((event_loop,))?;
        }
        let before = swap.call1((event_loop, &known.task));
        let state = memory::own_thread_state(py);
        let refer_to = |object: usize| -> Vec<usize> {
            (0..MAX_THREAD_STATE)
                .step_by(8)
                .map_while(|at| objects.word(state + at).map(|word| (at, word)))
                .filter_map(|(at, word)| (word == object).then_some(at))
                .collect()
        };
        let found = (
            refer_to(address_of(event_loop)),
            refer_to(address_of(&known.task)),
        );
        let restored = before.and_then(|before| swap.call1((event_loop, before)));
        if running.is_none() {
            set.call1((py.None(),))?;
        }
        restored?;
        let both = |before: &[usize], now: &[usize]| -> Vec<usize> {
            let both = before.iter().filter(|at| now.contains(at));
            both.copied().collect()
        };
        offsets = Some(match offsets {
            None => found,
            Some(before) => (both(&before.0, &found.0), both(&before.1, &found.1)),
        });
    }
    Ok(offsets.and_then(|(event_loop, task)| {
        Some(Current::InThread {
            event_loop: only_offset(&event_loop)?,
            task: only_offset(&task)?,
        })
    }))
}
