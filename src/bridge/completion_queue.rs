//! The queue of finished work of one event loop: workers push completions, the loop takes them.
//!
//! A worker writes to the loop's eventfd only if the queue was empty, because the loop takes everything that it finds. The
//! loop clears the eventfd before it takes the completions. A completion that arrives after that finds the queue empty and
//! notifies the loop again, so none is lost.

use std::collections::VecDeque;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

use crate::locked::Locked;
use crate::system::event_fd::EventFd;

/// A result that becomes a Python object on the loop's thread. It must not hold a Python reference itself.
pub trait PlainValue: Send {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>>;
}

impl<T: Send + for<'py> IntoPyObject<'py>> PlainValue for T {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        (*self).into_py_any(py)
    }
}

/// How a job ended.
pub enum Outcome {
    Returned(Box<dyn PlainValue>),
    /// The job panicked with this message.
    Panicked(String),
    /// The job was stopped early or never started, because its future was cancelled or its loop was closed.
    Cancelled,
}

pub struct Completion {
    /// Identifies the pending future (see `PendingFutures`).
    pub token: usize,
    pub outcome: Outcome,
}

pub struct CompletionQueue {
    completions: Locked<VecDeque<Completion>>,
    wakeup: EventFd,
}

impl CompletionQueue {
    pub fn new(wakeup: EventFd) -> Self {
        Self {
            completions: Locked::default(),
            wakeup,
        }
    }

    /// Called by workers. Returns whether earlier completions were still in the queue.
    pub fn push(&self, completion: Completion) -> bool {
        let was_empty = self.completions.with(|completions| {
            completions.push_back(completion);
            completions.len() == 1
        });
        if was_empty {
            self.wakeup.notify();
        }
        !was_empty
    }

    /// Called by the loop. Moves all completions to the end of `taken`.
    pub fn drain_into(&self, taken: &mut VecDeque<Completion>) {
        self.wakeup.clear();
        self.completions
            .with(|completions| taken.append(completions));
    }

    /// Makes the loop call its reader again in its next turn.
    pub fn wake_loop(&self) {
        self.wakeup.notify();
    }
}
