//! A native thread that asks for the GIL at random moments, and counts how long it waits for it.
//!
//! Guarantees: a knock holds the GIL for some hundred nanoseconds and runs no Python. `start` returns once the thread has
//! attached for the first time, and `stop` once it is gone. The start of a knock is published before it attaches, so that
//! a thread that never attaches can tell of a wait that has no end yet. Memory is constant but for the knocks that are
//! kept on request. It assumes of the interpreter only the public C API.
//!
//! At interpreter exit, `atexit` stops the knockers that are left. One that comes too late even for that (started by a
//! later `atexit` function) is refused by `try_attach`, or parked by `PyO3` where `CPython` would end its thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::histogram::{nanoseconds, seconds};
use crate::knock::reading::Reading;
use crate::knock::tally::{Knock, KnockTally, Tally};
use crate::system::clock::now_ns;
use crate::system::other_threads::OtherThreads;
use crate::system::pace::Pace;
use crate::system::run_queue::{ThreadState, ThreadStats, own_tid, own_voluntary_switches};
use crate::system::scheduling::{self, Priority};

/// A thread that asks for the GIL at random moments.
#[pyclass(frozen, module = "gilscope._core")]
pub struct Knocker(Arc<Shared>);

/// What the thread and those who watch it share.
pub struct Shared {
    pid: u32,
    mean_gap_ns: u64,
    watched: Option<i32>,
    tally: Mutex<Tally>,
    stopping: Mutex<bool>,
    stop: Condvar,
    started: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// For `atexit`: the knockers that may be alive.
static STARTED: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

#[pymethods]
impl Knocker {
    #[new]
    #[pyo3(signature = (*, mean_gap, watched, keep))]
    fn new(mean_gap: f64, watched: Option<i32>, keep: usize) -> PyResult<Self> {
        let mean_gap_ns = nanoseconds(mean_gap)?;
        if mean_gap_ns < 1000 {
            return Err(PyValueError::new_err(
                "mean_gap must be at least a microsecond",
            ));
        }
        Ok(Self(Arc::new(Shared {
            pid: std::process::id(),
            mean_gap_ns,
            watched,
            tally: Mutex::new(Tally::new(keep)),
            stopping: Mutex::new(false),
            stop: Condvar::new(),
            started: AtomicBool::new(false),
            threads: Mutex::default(),
        })))
    }

    /// Start to knock; return after the first attach.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let shared = &self.0;
        shared.belongs_here()?;
        py.detach(|| {
            // Relaxed: the flag stands for itself alone.
            if shared.started.swap(true, Ordering::Relaxed) || *lock(&shared.stopping) {
                return Err("a knocker starts once");
            }
            lock(&STARTED).retain(|other| other.strong_count() > 0);
            lock(&STARTED).push(Arc::downgrade(shared));
            let (attached, first_attach) = mpsc::channel();
            let its = Arc::clone(shared);
            let spawned = std::thread::Builder::new()
                .name("gilscope-knock".into())
                .spawn(move || its.run(&attached));
            lock(&shared.threads).push(spawned.map_err(|_| "the system gave no thread")?);
            first_attach
                .recv()
                .map_err(|_| "the interpreter is shutting down")
        })
        .map_err(|why| PyRuntimeError::new_err(format!("the knocker cannot start: {why}")))
    }

    /// Stop, and return once the thread is gone.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.end());
    }

    /// `start`, in one step: no signal handler's exception can come between it and `__exit__`.
    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().start(slf.py())?;
        Ok(slf)
    }

    /// `stop`.
    #[pyo3(signature = (*exception))]
    fn __exit__(&self, exception: &Bound<'_, PyTuple>) {
        self.stop(exception.py());
    }

    /// Have another thread, which never attaches, write what the wait in progress has come to.
    fn tell(&self, fd: i32, period: f64) -> PyResult<()> {
        self.0.belongs_here()?;
        let period_ns = nanoseconds(period)?;
        let shared = Arc::clone(&self.0);
        let spawned = std::thread::Builder::new()
            .name("gilscope-tell".into())
            .spawn(move || shared.tell_until_stopped(fd, period_ns))?;
        lock(&self.0.threads).push(spawned);
        Ok(())
    }

    /// What has been counted up to now.
    ///
    /// The GIL is kept: the thread holds the lock for some nanoseconds and never while it waits for the GIL, and a knock
    /// that waits for the caller is seen waiting.
    fn tally(&self) -> PyResult<KnockTally> {
        self.0.belongs_here()?;
        Ok(lock(&self.0.tally).read(now_ns()))
    }

    /// The wait that a share `q` of the knocks did not exceed.
    fn wait_quantile(&self, q: f64) -> PyResult<Option<f64>> {
        if !(0.0..=1.0).contains(&q) {
            return Err(PyValueError::new_err("q must be from 0 to 1"));
        }
        self.0.belongs_here()?;
        Ok(lock(&self.0.tally).wait_quantile(q))
    }

    /// The knocks that were kept, in their order.
    fn knocks(&self) -> PyResult<Vec<Knock>> {
        self.0.belongs_here()?;
        Ok(lock(&self.0.tally).kept.clone())
    }
}

impl Drop for Knocker {
    fn drop(&mut self) {
        // Nobody can read it any more. It is not waited for: it may need the GIL, which is held here.
        if self.0.pid == std::process::id() {
            self.0.ask_to_stop();
        }
    }
}

impl Shared {
    /// A forked child has the object but not the thread, which may have held any of the locks at the fork.
    fn belongs_here(&self) -> PyResult<()> {
        if self.pid == std::process::id() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "this knocker belongs to the process that this one was forked from: make another",
        ))
    }

    /// Since when the knock in progress waits; for a native observer, who need not attach.
    #[allow(dead_code)] // the watch's
    pub fn waiting_since_ns(&self) -> Option<u64> {
        lock(&self.tally).waiting_since_ns
    }

    fn ask_to_stop(&self) {
        *lock(&self.stopping) = true;
        self.stop.notify_all();
    }

    fn end(&self) {
        if self.pid != std::process::id() {
            return;
        }
        self.ask_to_stop();
        // The lock is kept while they end, so that of two who stop them neither returns before they are gone.
        for thread in lock(&self.threads).drain(..) {
            let _ = thread.join(); // a panic of it has been printed
        }
    }

    /// Sleeps; returns whether to go on.
    fn sleep(&self, gap_ns: u64) -> bool {
        let stopping = lock(&self.stopping);
        let gap = Duration::from_nanos(gap_ns);
        let waited = self
            .stop
            .wait_timeout_while(stopping, gap, |stopping| !*stopping)
            .unwrap_or_else(PoisonError::into_inner);
        waited.1.timed_out()
    }

    fn run(&self, attached: &mpsc::Sender<()>) {
        scheduling::prepare_sampling_thread(Priority::RealTime);
        // Attached once all the way, and detached inside: the thread keeps its thread state, and a knock costs 50 ns
        // instead of 300.
        Python::try_attach(|py| {
            lock(&self.tally).begin(now_ns());
            let _ = attached.send(());
            py.detach(|| self.knock_until_stopped());
        });
    }

    fn knock_until_stopped(&self) {
        let mut pace = Pace::new();
        let watched = self.watched.and_then(ThreadStats::of);
        let own = watched.as_ref().and_then(|_| ThreadStats::of(own_tid()));
        let mut others = OtherThreads::except(self.watched.unwrap_or_default(), own_tid());
        let accounts = watched.as_ref().zip(own.as_ref());
        let mut last = Reading::take(accounts);
        while self.sleep(pace.exponential_ns(self.mean_gap_ns)) {
            let before = Reading::take(accounts);
            let doing = accounts.map(|(watched, _)| watched.state(before.ran_ns, before.at_ns));
            // Blocked, it may have another thread do its work.
            let met = (doing == Some(ThreadState::Blocked)).then(|| others.at_start());
            let sleeps = own_voluntary_switches();
            let start_ns = now_ns();
            lock(&self.tally).waiting_since_ns = Some(start_ns);
            let Some(end_ns) = Python::try_attach(|_| now_ns()) else {
                // The interpreter is finalizing. Returning would attach again: this thread is left to the process's end.
                loop {
                    std::thread::park();
                }
            };
            let slept = own_voluntary_switches()
                .zip(sleeps)
                .map(|(now, then)| now - then);
            let after = Reading::take(accounts);
            let mut knock = Knock {
                start: seconds(start_ns),
                wait: seconds(end_ns - start_ns),
                slept,
                doing: doing.map(|doing| doing as u8),
                of_another: false,
                ran_before: seconds(before.ran_ns - last.ran_ns),
                ran: seconds(after.ran_ns - before.ran_ns),
                queued_before: seconds(before.queued_ns - last.queued_ns),
                queued: seconds(after.queued_ns - before.queued_ns),
                own_queued_before: seconds(before.own_queued_ns - last.own_queued_ns),
                own_queued: seconds(after.own_queued_ns - before.own_queued_ns),
            };
            match met {
                Some(met) => {
                    if let Some(other) = others.most_delayed_at_end(&met) {
                        knock.doing = Some(other.state as u8);
                        knock.of_another = true;
                        knock.ran_before = seconds(other.cpu_time_before_ns);
                        knock.ran = seconds(other.cpu_time_ns);
                        knock.queued_before = seconds(other.run_queue_delay_before_ns);
                        knock.queued = seconds(other.run_queue_delay_ns);
                    }
                }
                None => others.skip_sample(),
            }
            lock(&self.tally).count(start_ns, end_ns, knock);
            last = after;
        }
    }
}

impl Shared {
    fn tell_until_stopped(&self, fd: i32, period_ns: u64) {
        scheduling::prepare_sampling_thread(Priority::RealTime);
        while self.sleep(period_ns) {
            let waiting = lock(&self.tally).waiting_since_ns;
            let waited_ns = waiting.map_or(0, |since| now_ns().saturating_sub(since));
            scheduling::overwrite(fd, &format!("{:020.9}\n", seconds(waited_ns)));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under one of the locks leaves at worst a tally that lacks a knock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Have `atexit` stop what is left, while the interpreter is whole.
pub fn stop_at_exit(py: Python<'_>) -> PyResult<()> {
    let stop = wrap_pyfunction!(stop_all, py)?;
    py.import("atexit")?
        .call_method1("register", (stop,))
        .map(drop)
}

#[pyfunction]
fn stop_all(py: Python<'_>) {
    py.detach(|| {
        // In a forked child another thread may have held the lock: then there is nothing to stop.
        let started = STARTED
            .try_lock()
            .map(|mut list| std::mem::take(&mut *list));
        for shared in started.unwrap_or_default() {
            if let Some(shared) = shared.upgrade() {
                shared.end();
            }
        }
    });
}
