//! Awaitables whose workers never attach to the interpreter.
//!
//! Releasing the GIL during the work is half the matter; who takes it at the end is the other half. Here nobody does who
//! did not have it: a worker leaves its plain result in the loop's mailbox and writes to an eventfd, and the loop, which holds the
//! GIL whenever it runs Python, takes all results that have arrived and settles the futures that it made itself.
//!
//! ```text
//! loop's thread:  start -> promise (inbox.rs) -> submit (pool.rs) ............ drain -> future.set_result (inbox.rs)
//! worker:                                         work -> post (mailbox.rs) -> notify (system/event_fd.rs)
//! ```
//!
//! It assumes of a loop that it has `create_future`, that its futures are `asyncio`'s, and that it drops its readers when
//! it is closed; see `inbox.rs`.

mod inbox;
mod mailbox;
mod pool;
mod threshold;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::prelude::*;

use crate::arguments;
use crate::countdown::{count_down_until, is_set};
use crate::per_process::PerProcess;
use inbox::{Inbox, Promise};
use mailbox::{Letter, Outcome, Plain};
use pool::Pool;
use threshold::Threshold;

/// Count `n` down to 0 on a thread of the bridge; await the returned future for the number of decrements.
#[pyfunction]
pub fn countdown_bridge<'py>(
    py: Python<'py>,
    n: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let n = arguments::count(n)?;
    start(py, move |stop| count_down_until(n, || is_set(stop)))
}

/// Panic with this message on a thread of the bridge; await the returned future for the exception.
#[pyfunction]
pub fn panic_bridge(py: Python<'_>, message: String) -> PyResult<Bound<'_, PyAny>> {
    start(py, move |_| -> () { panic!("{message}") })
}

/// Let the bridge have up to `at_least` workers, and return how many it may have.
#[pyfunction]
#[pyo3(signature = (*, at_least = 0))]
pub fn bridge_workers(at_least: usize) -> PyResult<usize> {
    Ok(Host::of_this_process()?.pool.grow(at_least))
}

/// Has a worker do the work, and returns the running loop's future for its result.
///
/// The flag is set when nobody waits for the result any more: the work must look at it every few milliseconds. Neither the
/// work nor its result may hold a Python reference.
fn start<T, F>(py: Python<'_>, work: F) -> PyResult<Bound<'_, PyAny>>
where
    T: Plain + 'static,
    F: FnOnce(&AtomicBool) -> T + Send + 'static,
{
    let host = Host::of_this_process()?;
    let _stay = host.threshold.cross(py);
    let inbox = Inbox::of_running_loop(py, host)?;
    let Promise {
        future,
        slot,
        stop,
        mailbox,
    } = inbox.promise(py)?;
    let job = move || {
        let outcome = outcome_of(work, &stop);
        mailbox.post(Letter { slot, outcome })
    };
    if let Err(error) = host.pool.submit(Box::new(job)) {
        inbox.forget(slot);
        return Err(error.into());
    }
    Ok(future)
}

fn outcome_of<T: Plain + 'static>(
    work: impl FnOnce(&AtomicBool) -> T,
    stop: &AtomicBool,
) -> Outcome {
    if is_set(stop) {
        return Outcome::Unwanted;
    }
    // What the work shares with others is what it brought: that it is whole after a panic is the work's affair.
    match catch_unwind(AssertUnwindSafe(|| work(stop))) {
        Ok(_) if is_set(stop) => Outcome::Unwanted,
        Ok(value) => Outcome::Done(Box::new(value)),
        Err(panic) => Outcome::Panicked(
            panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".into()),
        ),
    }
}

/// What a process has of the bridge.
struct Host {
    pool: Pool,
    threshold: Threshold,
    /// By the address of the loop, which the inbox keeps from being reused.
    inboxes: Mutex<HashMap<usize, Weak<Inbox>>>,
}

static HOST: PerProcess<Host> = PerProcess::new();

impl Host {
    fn of_this_process() -> PyResult<&'static Self> {
        HOST.get_or_try_init(|| {
            Ok(Self {
                pool: Pool::new(),
                threshold: Threshold::default(),
                inboxes: Mutex::default(),
            })
        })
    }

    fn inbox(&self, key: usize) -> Option<Arc<Inbox>> {
        self.inboxes().get(&key).and_then(Weak::upgrade)
    }

    fn remember(&self, key: usize, inbox: &Arc<Inbox>) {
        let mut inboxes = self.inboxes();
        inboxes.retain(|_, inbox| inbox.strong_count() > 0);
        inboxes.insert(key, Arc::downgrade(inbox));
    }

    fn inboxes(&self) -> MutexGuard<'_, HashMap<usize, Weak<Inbox>>> {
        // Nothing that can panic, and no Python code, runs under the lock.
        self.inboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Have `atexit` wait until no other thread is inside the bridge. The workers end with the process.
pub fn close_at_exit(py: Python<'_>) -> PyResult<()> {
    let close = wrap_pyfunction!(close, py)?;
    py.import("atexit")?
        .call_method1("register", (close,))
        .map(drop)
}

#[pyfunction]
fn close(py: Python<'_>) {
    if let Some(host) = HOST.get() {
        py.detach(|| host.threshold.close());
    }
}
