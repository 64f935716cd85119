//! The futures of one event loop that wait for a worker, and the reader callback that settles them.
//!
//! Who owns a `PendingFutures`? An event loop has no hook for its end. So the owner is the reader callback that the loop
//! registers for the eventfd. `loop.close()` drops its readers, in asyncio and in uvloop. That drops the `PendingFutures`
//! and, as soon as no worker needs it, the eventfd, whose number can be reused only then. A loop that is collected without
//! having been closed does the same. All other references to a `PendingFutures` are weak: a future that outlives its loop
//! keeps nothing else alive.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyNotImplementedError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{PyTraverseError, PyVisit, intern};
use slab::Slab;

use super::completion_queue::{Completion, CompletionQueue, Outcome};
use super::{BRIDGE, Bridge};
use crate::locked::Locked;
use crate::system::event_fd::EventFd;

/// How long one turn of the loop may settle futures. Each settled future causes about as much work again in the next turn:
/// even a loop that is flooded with results starts a new turn about every millisecond.
const MAX_SETTLING_PER_TURN: Duration = Duration::from_micros(200);
const FUTURES_BETWEEN_CLOCK_READS: usize = 16;

pub struct PendingFutures {
    pid: u32,
    event_loop: Py<PyAny>,
    create_future: Py<PyAny>,
    completions: Arc<CompletionQueue>,
    /// By token.
    pending: Locked<Slab<Pending>>,
    /// Completions that were taken from the queue and are not settled yet.
    taken: Locked<VecDeque<Completion>>,
}

struct Pending {
    future: Py<PyAny>,
    /// The future's done callback. It is removed before the result is set, so that only cancelling calls it.
    cancel: Py<Cancel>,
}

/// A new pending future, and what its worker needs.
pub struct Registered<'py> {
    pub future: Bound<'py, PyAny>,
    pub token: usize,
    pub cancelled: Arc<AtomicBool>,
    pub completions: Arc<CompletionQueue>,
}

impl PendingFutures {
    /// The pending futures of the loop that runs in this thread.
    pub fn of_running_loop(py: Python<'_>, bridge: &'static Bridge) -> PyResult<Arc<Self>> {
        static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let event_loop = GET_RUNNING_LOOP
            .import(py, "asyncio", "get_running_loop")?
            .call0()?;
        let loop_address = event_loop.as_ptr().addr();
        if let Some(pending) = bridge.pending_futures(loop_address) {
            return Ok(pending);
        }
        let pending = Self::add_to_loop(&event_loop)?;
        bridge.insert(loop_address, &pending);
        Ok(pending)
    }

    /// Has the loop watch a new eventfd with a callback that owns the new `PendingFutures`.
    fn add_to_loop(event_loop: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        let py = event_loop.py();
        let wakeup = EventFd::new()?;
        let fileno = wakeup.fileno();
        let pending = Arc::new(Self {
            pid: std::process::id(),
            event_loop: event_loop.clone().unbind(),
            create_future: event_loop.getattr("create_future")?.unbind(),
            completions: Arc::new(CompletionQueue::new(wakeup)),
            pending: Locked::default(),
            taken: Locked::default(),
        });
        let reader = Bound::new(py, BridgeReader(Arc::clone(&pending)))?;
        let callback = reader.getattr("settle_completed")?;
        event_loop
            .call_method1(intern!(py, "add_reader"), (fileno, callback))
            .map_err(|error| {
                if error.is_instance_of::<PyNotImplementedError>(py) {
                    needs_add_reader(event_loop)
                } else {
                    error
                }
            })?;
        Ok(pending)
    }

    /// Has the loop create a future for a result to come.
    pub fn register<'py>(&self, py: Python<'py>) -> PyResult<Registered<'py>> {
        let future = self.create_future.bind(py).call0()?;
        let cancelled = Arc::<AtomicBool>::default();
        let cancel = Bound::new(py, Cancel(Arc::clone(&cancelled)))?;
        future.call_method1(intern!(py, "add_done_callback"), (&cancel,))?;
        let new = Pending {
            future: future.clone().unbind(),
            cancel: cancel.unbind(),
        };
        let token = self.pending.with(|pending| pending.insert(new));
        let completions = Arc::clone(&self.completions);
        Ok(Registered {
            future,
            token,
            cancelled,
            completions,
        })
    }

    /// Removes a pending future whose work was not submitted.
    pub fn deregister(&self, token: usize) {
        let pending = self.pending.with(|pending| pending.try_remove(token));
        drop(pending); // runs Python code, so not under the lock
    }

    /// Settles the futures whose completions have arrived, as many as one turn of the loop allows.
    fn settle_completed(&self, py: Python<'_>) -> PyResult<()> {
        if std::process::id() != self.pid {
            return Ok(()); // a forked child that ends its parent's loop: the eventfd is still the parent's
        }
        let _entered = BRIDGE.get().map(|bridge| bridge.exit_gate.enter(py));
        let completions = &self.completions;
        self.taken.with(|taken| completions.drain_into(taken));
        let start = Instant::now();
        for number in 1.. {
            let Some(completion) = self.taken.with(VecDeque::pop_front) else {
                break;
            };
            let settled = self.settle(py, completion);
            let is_time_up = number % FUTURES_BETWEEN_CLOCK_READS == 0
                && start.elapsed() >= MAX_SETTLING_PER_TURN;
            if settled.is_err() || is_time_up {
                if !self.taken.with(|taken| taken.is_empty()) {
                    self.completions.wake_loop();
                }
                return settled;
            }
        }
        Ok(())
    }

    fn settle(&self, py: Python<'_>, completion: Completion) -> PyResult<()> {
        let settled = self.pending.with(|all| all.remove(completion.token));
        let Pending { future, cancel } = settled;
        let future = future.bind(py);
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(()); // cancelled before its result arrived
        }
        match completion.outcome {
            Outcome::Cancelled => return Ok(()),
            Outcome::Returned(value) => {
                future.call_method1(intern!(py, "remove_done_callback"), (cancel,))?;
                let value = value.into_python(py)?;
                future.call_method1(intern!(py, "set_result"), (value,))?;
            }
            Outcome::Panicked(message) => {
                let error = PyRuntimeError::new_err(format!("a worker panicked: {message}"));
                future.call_method1(intern!(py, "set_exception"), (error,))?;
            }
        }
        Ok(())
    }
}

fn needs_add_reader(event_loop: &Bound<'_, PyAny>) -> PyErr {
    let kind = event_loop.get_type();
    PyNotImplementedError::new_err(format!(
        "countdown_bridge needs an event loop that implements add_reader, and {kind} does not: \
         use asyncio.SelectorEventLoop or uvloop"
    ))
}

impl Drop for PendingFutures {
    /// The loop is closed or collected: stops the work that is still running for it.
    fn drop(&mut self) {
        self.pending.with(|all| {
            for (_, pending) in all.iter() {
                pending.cancel.get().set();
            }
        });
    }
}

/// What the loop calls when its eventfd is readable.
#[pyclass(frozen)]
struct BridgeReader(Arc<PendingFutures>);

#[pymethods]
impl BridgeReader {
    fn settle_completed(&self, py: Python<'_>) -> PyResult<()> {
        self.0.settle_completed(py)
    }

    /// The loop owns this reader, which references the loop and its futures: the garbage collector must see the cycle.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0.event_loop)?;
        visit.call(&self.0.create_future)?;
        // If the lock is taken, another thread is using the futures. Objects that are not visited are not collected.
        let visited = self.0.pending.visit(|pending| {
            pending
                .iter()
                .try_for_each(|(_, Pending { future, cancel })| {
                    visit.call(future)?;
                    visit.call(cancel)
                })
        });
        visited.unwrap_or(Ok(()))
    }
}

/// A done callback that stops the work of its future. The loop calls it when the future is cancelled.
#[pyclass(frozen)]
struct Cancel(Arc<AtomicBool>);

impl Cancel {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed); // see `is_set`
    }
}

#[pymethods]
impl Cancel {
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        self.set();
    }
}
