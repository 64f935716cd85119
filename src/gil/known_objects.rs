//! What a stack alone does not show, read from memory as stacks are: the task that a loop runs, and the request that a web
//! application answers.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use super::coroutines::Coroutines;
use super::objects::Objects;
use super::reader::Reader;
use super::requests::Requests;
use super::specimens::Specimens;
use super::stack::{Doubt, Stack};
use super::tasks::Tasks;
use crate::system::clock::now_ns;

/// How long after a stack what belongs to it may be read: for less than a loop takes to go on to another task, whose coroutine
/// may have the memory of the one before, and run the same code.
const MAX_NS: u64 = 100_000;
/// How often they are read, if reading takes longer, as on a busy machine.
const MAX_READS: usize = 4;

/// A stack, and what its thread was doing at the same time.
pub struct Seen {
    pub stack: Stack,
    /// The name of the task and the qualified name of its coroutine.
    pub task: Option<(String, String)>,
    /// As in `GET /report`.
    pub request: Option<String>,
}

/// Where the objects of this interpreter keep what is read of them.
#[derive(Clone, Copy)]
pub struct KnownObjects {
    tasks: Option<Tasks>,
    requests: Requests,
}

impl KnownObjects {
    /// `None` if this interpreter keeps none of it where it is expected, or refuses to make the objects that would show it.
    pub fn learn(py: Python<'_>) -> PyResult<Option<Self>> {
        Self::try_to_learn(py).or_else(|error| {
            // Ctrl-C, for example, is for the program.
            if error.is_instance_of::<PyException>(py) {
                Ok(None)
            } else {
                Err(error)
            }
        })
    }

    fn try_to_learn(py: Python<'_>) -> PyResult<Option<Self>> {
        let is_free_threaded = py
            .import("sys")?
            .getattr("abiflags")?
            .extract::<String>()?
            .contains('t');
        let version = py.version_info();
        if is_free_threaded || version.major != 3 || !(11..=15).contains(&version.minor) {
            return Ok(None);
        }
        let specimens = Specimens::new(py)?;
        let Some(objects) = Objects::learn(&specimens)? else {
            return Ok(None);
        };
        let Some(coroutines) = Coroutines::learn(&objects, &specimens)? else {
            return Ok(None);
        };
        let tasks = Tasks::find(&objects, &coroutines, &specimens)?;
        let requests = Requests::new(py, objects, coroutines);
        Ok(Some(Self { tasks, requests }))
    }

    /// Reads the stack of the thread with this native id, with the task that the loop at the address `event_loop` is running
    /// there, and the request that the stack's outermost ASGI application answers.
    pub fn see(
        &mut self,
        reader: &mut Reader,
        native_id: u64,
        event_loop: usize,
    ) -> Result<Seen, Doubt> {
        let mut reads = 0;
        loop {
            reads += 1;
            let stack = reader.stack(native_id)?;
            let begun_ns = now_ns();
            let is_still_the_moment = || now_ns().saturating_sub(begun_ns) < MAX_NS;
            let task = self.current_task(event_loop, &stack);
            let task_in_time = task.filter(|_| is_still_the_moment());
            let request = self.request(&stack);
            let request_in_time = request.filter(|_| is_still_the_moment());
            if reads == MAX_READS || is_still_the_moment() {
                return Ok(Seen {
                    stack,
                    task: task_in_time,
                    request: request_in_time,
                });
            }
        }
    }

    /// The name of the task that the loop at the address `event_loop` was running when the stack was read, and the qualified
    /// name of its coroutine. `None` as well if the loop has gone on since.
    pub fn current_task(&mut self, event_loop: usize, stack: &Stack) -> Option<(String, String)> {
        self.tasks.as_ref()?.current(event_loop, stack)
    }

    /// The method and the path of the request that the stack's outermost ASGI application answers, as in `GET /report`. `None`
    /// as well if the application has gone on since.
    pub fn request(&mut self, stack: &Stack) -> Option<String> {
        self.requests.current(stack)
    }
}
