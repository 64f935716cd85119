//! A loop's half of the bridge: the futures that it waits for, and the callback that settles them.
//!
//! Whose is an inbox? A loop has no hook for its end, so the inbox belongs to what ends with the loop: the handle of the
//! reader that the loop registers for it. `loop.close()` drops its readers, in asyncio and in uvloop, and with them the
//! inbox and, as soon as no worker needs it, the descriptor, whose number can be reused only then. A loop that is collected
//! without having been closed does the same. Everything else that knows an inbox holds it weakly: a future that outlives
//! its loop keeps nothing alive.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyNotImplementedError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{PyTraverseError, PyVisit, intern};
use slab::Slab;

use super::mailbox::{Letter, Mailbox, Outcome};
use super::{HOST, Host};
use crate::system::event_fd::EventFd;

/// How long one turn of the loop goes on settling futures. Each one settled makes work for the turn after it, about as
/// much again: a loop that is flooded with results still turns every millisecond or so.
const TURN: Duration = Duration::from_micros(200);
/// Futures between two looks at the clock.
const STRIDE: usize = 16;

pub struct Inbox {
    pid: u32,
    event_loop: Py<PyAny>,
    create_future: Py<PyAny>,
    mailbox: Arc<Mailbox>,
    pending: Mutex<Slab<Pending>>,
    /// What was in the mailbox and waits for its turn.
    taken: Mutex<VecDeque<Letter>>,
}

struct Pending {
    future: Py<PyAny>,
    /// Called by the future when it is done; taken off when the result arrives, so that only cancelling calls it.
    withdraw: Py<Withdraw>,
}

/// A future that was promised, and what its worker needs to know.
pub struct Promise<'py> {
    pub future: Bound<'py, PyAny>,
    pub slot: usize,
    pub stop: Arc<AtomicBool>,
    pub mailbox: Arc<Mailbox>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No Python code runs, and nothing panics, under a lock of this module.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    /// The inbox of the loop that runs in this thread.
    pub fn of_running_loop(py: Python<'_>, host: &'static Host) -> PyResult<Arc<Self>> {
        static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let event_loop = GET_RUNNING_LOOP
            .import(py, "asyncio", "get_running_loop")?
            .call0()?;
        // The address is the loop's for as long as there is an inbox, which holds the loop.
        let key = event_loop.as_ptr().addr();
        match host.inbox(key) {
            Some(inbox) => Ok(inbox),
            None => Self::open(&event_loop, key, host),
        }
    }

    fn open(event_loop: &Bound<'_, PyAny>, key: usize, host: &'static Host) -> PyResult<Arc<Self>> {
        let py = event_loop.py();
        let bell = EventFd::new()?;
        let number = bell.number();
        let inbox = Arc::new(Self {
            pid: std::process::id(),
            event_loop: event_loop.clone().unbind(),
            create_future: event_loop.getattr("create_future")?.unbind(),
            mailbox: Arc::new(Mailbox::new(bell)),
            pending: Mutex::default(),
            taken: Mutex::default(),
        });
        let drain = Drain::method_of(py, &inbox)?;
        event_loop
            .call_method1(intern!(py, "add_reader"), (number, drain))
            .map_err(|error| {
                if error.is_instance_of::<PyNotImplementedError>(py) {
                    needs_add_reader(event_loop)
                } else {
                    error
                }
            })?;
        host.remember(key, &inbox);
        Ok(inbox)
    }

    /// Has the loop make a future for a result to come.
    pub fn promise<'py>(&self, py: Python<'py>) -> PyResult<Promise<'py>> {
        let future = self.create_future.bind(py).call0()?;
        let stop = Arc::<AtomicBool>::default();
        let withdraw = Bound::new(py, Withdraw(Arc::clone(&stop)))?;
        future.call_method1(intern!(py, "add_done_callback"), (&withdraw,))?;
        let slot = lock(&self.pending).insert(Pending {
            future: future.clone().unbind(),
            withdraw: withdraw.unbind(),
        });
        let mailbox = Arc::clone(&self.mailbox);
        Ok(Promise {
            future,
            slot,
            stop,
            mailbox,
        })
    }

    /// Takes back a promise that no worker knows of.
    pub fn forget(&self, slot: usize) {
        let pending = lock(&self.pending).try_remove(slot);
        drop(pending); // after the lock is given up
    }

    /// Settles the futures whose results have arrived, as many as fit in a turn.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        if std::process::id() != self.pid {
            return Ok(()); // a forked child that ends its parent's loop: the bell is still the parent's
        }
        let _stay = HOST.get().map(|host| host.threshold.cross(py));
        self.mailbox.empty_into(&mut lock(&self.taken));
        let begun = Instant::now();
        for number in 1.. {
            let Some(letter) = lock(&self.taken).pop_front() else {
                break;
            };
            let settled = self.settle(py, letter);
            if settled.is_err() || (number % STRIDE == 0 && begun.elapsed() >= TURN) {
                if !lock(&self.taken).is_empty() {
                    self.mailbox.ring();
                }
                return settled;
            }
        }
        Ok(())
    }

    fn settle(&self, py: Python<'_>, letter: Letter) -> PyResult<()> {
        let Pending { future, withdraw } = lock(&self.pending).remove(letter.slot);
        let future = future.bind(py);
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(()); // cancelled: the result is late
        }
        match letter.outcome {
            Outcome::Unwanted => return Ok(()),
            Outcome::Done(value) => {
                future.call_method1(intern!(py, "remove_done_callback"), (withdraw,))?;
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

impl Drop for Inbox {
    /// The loop is closed or gone: nobody waits for the work any more.
    fn drop(&mut self) {
        for (_, pending) in lock(&self.pending).iter() {
            pending.withdraw.get().set();
        }
    }
}

/// What the loop calls when the bell rings.
#[pyclass(frozen)]
struct Drain(Arc<Inbox>);

impl Drain {
    fn method_of<'py>(py: Python<'py>, inbox: &Arc<Inbox>) -> PyResult<Bound<'py, PyAny>> {
        Bound::new(py, Self(Arc::clone(inbox)))?.getattr("drain")
    }
}

#[pymethods]
impl Drain {
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        self.0.drain(py)
    }

    /// The loop holds the inbox and the inbox holds the loop, its futures too: the collector has to see that.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0.event_loop)?;
        visit.call(&self.0.create_future)?;
        // Locked: then another thread is using the inbox, and what is not visited is not collected.
        if let Ok(pending) = self.0.pending.try_lock() {
            for (_, Pending { future, withdraw }) in pending.iter() {
                visit.call(future)?;
                visit.call(withdraw)?;
            }
        }
        Ok(())
    }
}

/// Tells a worker that its result is not wanted. The loop calls it when the future is cancelled.
#[pyclass(frozen)]
struct Withdraw(Arc<AtomicBool>);

impl Withdraw {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed); // see `is_set`
    }
}

#[pymethods]
impl Withdraw {
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        self.set();
    }
}
