//! What a stack alone does not show, read from memory as stacks are: the task that a loop runs, and the request that a web
//! application answers.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use super::coroutines::Coroutines;
use super::objects::Objects;
use super::requests::Requests;
use super::specimens::Specimens;
use super::stack::Stack;
use super::tasks::Tasks;

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
        let requests = Requests {
            objects,
            coroutines,
        };
        Ok(Some(Self { tasks, requests }))
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
