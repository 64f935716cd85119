//! What a stack alone does not show, read from memory as stacks are: the task that a loop runs, and the request that a web
//! application answers.

use pyo3::prelude::*;

use super::stack::Stack;

/// Where the objects of this interpreter keep what is read of them. For one reading thread.
pub struct KnownObjects {}

impl KnownObjects {
    /// `None` if this interpreter keeps none of it where it is expected.
    pub fn learn(_py: Python<'_>) -> PyResult<Option<Self>> {
        Ok(None)
    }

    /// The name and the coroutine of the task that the loop at this address was running when the stack was read.
    pub fn current_task(&mut self, _event_loop: usize, _stack: &Stack) -> Option<(String, String)> {
        None
    }

    /// The method and the path of the request that the stack's outermost ASGI application answers, as in `GET /report`.
    pub fn request(&mut self, _stack: &Stack) -> Option<String> {
        None
    }
}
