//! What a stack alone does not show, read from memory as stacks are: the task that a loop runs, the request that a web
//! application answers, and the name of a thread.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use super::coroutines::Coroutines;
use super::objects::Objects;
use super::reader::Reader;
use super::requests::Requests;
use super::specimens::Specimens;
use super::stack::{Doubt, Stack};
use super::tasks::Tasks;
use super::thread_names::ThreadNames;
use crate::system::clock::now_ns;

/// How long reading a task, a request and the stack once more may take. Whoever reads may be made to wait, and the loop may go
/// on meanwhile: to a task whose coroutine has the memory of the one before, and runs the same code.
const MAX_NS: u64 = 2_000_000;
/// How often they are read, if the thread goes on meanwhile.
const MAX_READS: usize = 10;

/// What was read, which is right if a later stack has the same outermost frames still, so many of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Read<T> {
    pub value: T,
    pub frames: usize,
}

/// A stack, and what its thread was doing at the same time.
pub struct Seen {
    pub stack: Stack,
    /// The name of the task and the qualified name of its coroutine.
    pub task: Option<(String, String)>,
    /// As in `GET /report`.
    pub request: Option<String>,
}

impl Seen {
    pub fn only(stack: Stack) -> Self {
        Self {
            stack,
            task: None,
            request: None,
        }
    }
}

/// Where the objects of this interpreter keep what is read of them.
#[derive(Clone, Copy)]
pub struct KnownObjects {
    tasks: Option<Tasks>,
    requests: Requests,
    names: Option<ThreadNames>,
}

/// What `learn` finds out with objects whose contents are known.
fn learned<T>(
    py: Python<'_>,
    learn: impl Fn(&Specimens<'_>, Objects, Coroutines) -> PyResult<T>,
) -> PyResult<Option<T>> {
    let version = py.version_info();
    let try_to_learn = || {
        let flags: String = py.import("sys")?.getattr("abiflags")?.extract()?;
        if flags.contains('t') || version.major != 3 || !(11..=15).contains(&version.minor) {
            return Ok(None);
        }
        let specimens = Specimens::new(py)?;
        let Some(objects) = Objects::learn(&specimens)? else {
            return Ok(None);
        };
        let Some(coroutines) = Coroutines::learn(&objects, &specimens)? else {
            return Ok(None);
        };
        learn(&specimens, objects, coroutines).map(Some)
    };
    try_to_learn().or_else(|error: PyErr| {
        // Ctrl-C, for example, is for the program.
        if error.is_instance_of::<PyException>(py) {
            Ok(None)
        } else {
            Err(error)
        }
    })
}

impl KnownObjects {
    /// `None` if this interpreter keeps none of it where it is expected, or refuses to make the objects that would show it.
    /// Imports `_asyncio`.
    pub fn learn(py: Python<'_>) -> PyResult<Option<Self>> {
        learned(py, |specimens, objects, coroutines| {
            Ok(Self {
                tasks: Tasks::find(&objects, &coroutines, specimens)?,
                requests: Requests::new(py, objects, coroutines),
                names: ThreadNames::learn(py, &objects, &coroutines)?,
            })
        })
    }

    /// The same for the names of threads alone, which imports no asyncio.
    pub fn learn_names(py: Python<'_>) -> PyResult<Option<ThreadNames>> {
        let names = learned(py, |_, objects, coroutines| {
            ThreadNames::learn(py, &objects, &coroutines)
        });
        Ok(names?.flatten())
    }

    /// The name that `threading` has for the thread with this stack.
    pub fn thread_name(&self, stack: &Stack) -> Option<String> {
        self.names.as_ref()?.read(stack)
    }

    /// Reads the stack of the thread with this native id, with the task that the loop at the address `event_loop` is running
    /// there, and the request that the stack's outermost ASGI application answers. A task or a request that may be of another
    /// moment than the stack is left out.
    pub fn see(
        &mut self,
        reader: &mut Reader,
        native_id: u64,
        event_loop: usize,
    ) -> Result<Seen, Doubt> {
        self.see_by(|reader| reader.stack(native_id), reader, event_loop)
    }

    /// The same for a thread that runs, with as many of its outermost frames as can be read: see [`Reader::outermost`].
    pub fn see_outermost(
        &mut self,
        reader: &mut Reader,
        (native_id, least): (u64, usize),
        event_loop: usize,
    ) -> Result<Seen, Doubt> {
        self.see_by(
            |reader| reader.outermost(native_id, least),
            reader,
            event_loop,
        )
    }

    fn see_by(
        &mut self,
        read_stack: impl Fn(&mut Reader) -> Result<Stack, Doubt>,
        reader: &mut Reader,
        event_loop: usize,
    ) -> Result<Seen, Doubt> {
        let mut stack = read_stack(reader)?;
        for reads in 1..=MAX_READS {
            let begun_ns = now_ns();
            let read = || {
                let task = self.tasks.and_then(|tasks| tasks.read(event_loop, &stack));
                (task, self.requests.read(&stack))
            };
            let (task, request) = read();
            let frames = task.as_ref().map_or(0, |task| task.frames);
            let frames = frames.max(request.as_ref().map_or(0, |request| request.frames));
            // What changes while it is read differs. A task whose name is the same before and after a request has made it.
            let is_stable = frames == 0 || read() == (task.clone(), request.clone());
            let is_there = frames == 0 || (is_stable && reader.stands(&stack, frames));
            if is_there && now_ns().saturating_sub(begun_ns) < MAX_NS {
                return Ok(Seen {
                    stack,
                    task: task.map(|task| task.value),
                    request: request.map(|request| request.value),
                });
            }
            if reads < MAX_READS
                && let Ok(again) = read_stack(reader)
            {
                stack = again;
            }
        }
        Ok(Seen::only(stack))
    }
}
