//! Awaitables whose worker threads never attach to the interpreter.
//!
//! A worker pushes its plain Rust result to the completion queue of the event loop and writes to the loop's eventfd. The
//! loop, which is attached whenever it runs Python, then takes all completions at once and settles the futures that it
//! made itself.
//!
//! ```text
//! loop's thread                                       worker thread
//! -------------                                       -------------
//! start              bridge.rs
//!   register         pending_futures.rs
//!   submit           worker_pool.rs  ---- job ---->   run the job                          worker_pool.rs
//!                                                       push completion                    completion_queue.rs
//! settle_completed   pending_futures.rs  <- eventfd -   notify, if the queue was empty     system/event_fd.rs
//!   future.set_result
//! ```
//!
//! The bridge assumes three things of an event loop: it has `create_future` and `add_reader`, its futures have the methods
//! of `asyncio.Future`, and it drops its readers when it is closed (see `pending_futures.rs`).

mod completion_queue;
mod exit_gate;
mod pending_futures;
mod worker_pool;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use pyo3::prelude::*;

use crate::arguments;
use crate::countdown::{count_down_until, is_set};
use crate::locked::Locked;
use crate::per_process::PerProcess;
use completion_queue::{Completion, Outcome, PlainValue};
use exit_gate::ExitGate;
use pending_futures::{PendingFutures, Registered};
use worker_pool::WorkerPool;

/// Count `n` down to 0 on a worker thread of the bridge; await the returned future for the number of decrements.
#[pyfunction]
pub fn countdown_bridge<'py>(
    py: Python<'py>,
    n: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let n = arguments::count(n)?;
    start(py, move |cancelled| {
        count_down_until(n, || is_set(cancelled))
    })
}

/// Allow the bridge up to `at_least` worker threads, and return how many it may start.
#[pyfunction]
#[pyo3(signature = (*, at_least = 0))]
pub fn bridge_workers(at_least: usize) -> PyResult<usize> {
    Ok(Bridge::of_this_process()?.workers.raise_limit(at_least))
}

/// Runs `work` on a worker thread and returns a future of the running loop for its result.
///
/// `work` gets a flag that is set when the future is cancelled or its loop is closed. `work` must check the flag every few
/// milliseconds. Neither `work` nor its result may hold a reference to a Python object.
pub fn start<T, F>(py: Python<'_>, work: F) -> PyResult<Bound<'_, PyAny>>
where
    T: PlainValue + 'static,
    F: FnOnce(&AtomicBool) -> T + Send + 'static,
{
    let bridge = Bridge::of_this_process()?;
    let _entered = bridge.exit_gate.enter(py);
    let pending = PendingFutures::of_running_loop(py, bridge)?;
    let Registered {
        future,
        token,
        cancelled,
        completions,
    } = pending.register(py)?;
    let job = move || {
        let outcome = outcome_of(work, &cancelled);
        completions.push(Completion { token, outcome })
    };
    if let Err(error) = bridge.workers.submit(Box::new(job)) {
        pending.deregister(token);
        return Err(error.into());
    }
    Ok(future)
}

fn outcome_of<T: PlainValue + 'static>(
    work: impl FnOnce(&AtomicBool) -> T,
    cancelled: &AtomicBool,
) -> Outcome {
    if is_set(cancelled) {
        return Outcome::Cancelled;
    }
    // `work` owns everything that it uses, so a panic leaves no broken state behind for other code to see.
    match catch_unwind(AssertUnwindSafe(|| work(cancelled))) {
        Ok(_) if is_set(cancelled) => Outcome::Cancelled,
        Ok(value) => Outcome::Returned(Box::new(value)),
        Err(panic) => Outcome::Panicked(
            panic
                .downcast_ref::<&str>()
                .map(ToString::to_string)
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "no message".into()),
        ),
    }
}

/// The bridge's state in one process.
struct Bridge {
    workers: WorkerPool,
    exit_gate: ExitGate,
    /// The pending futures of each event loop, by the loop's address. `PendingFutures` keeps its loop alive, so that no
    /// other loop gets the address while the entry is valid.
    loops: Locked<HashMap<usize, Weak<PendingFutures>>>,
}

static BRIDGE: PerProcess<Bridge> = PerProcess::new();

impl Bridge {
    fn of_this_process() -> PyResult<&'static Self> {
        BRIDGE.get_or_try_init(|| {
            Ok(Self {
                workers: WorkerPool::new(),
                exit_gate: ExitGate::default(),
                loops: Locked::default(),
            })
        })
    }

    fn pending_futures(&self, loop_address: usize) -> Option<Arc<PendingFutures>> {
        self.loops
            .with(|loops| loops.get(&loop_address).and_then(Weak::upgrade))
    }

    fn insert(&self, loop_address: usize, pending: &Arc<PendingFutures>) {
        self.loops.with(|loops| {
            loops.retain(|_, pending| pending.strong_count() > 0);
            loops.insert(loop_address, Arc::downgrade(pending));
        });
    }
}

/// Registers an `atexit` function that waits until no other thread is inside the bridge. The worker threads are not
/// stopped: they end with the process.
pub fn close_at_exit(py: Python<'_>) -> PyResult<()> {
    let close = wrap_pyfunction!(close, py)?;
    py.import("atexit")?
        .call_method1("register", (close,))
        .map(drop)
}

#[pyfunction]
fn close(py: Python<'_>) {
    if let Some(bridge) = BRIDGE.get() {
        py.detach(|| bridge.exit_gate.close());
    }
}
