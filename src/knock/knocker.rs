//! The knocker, as Python uses it.
//!
//! `start` returns once the thread has attached for the first time, and `stop` once the thread has ended. At interpreter
//! exit, `atexit` stops the knockers that are left. For one that is started even later, by another `atexit` function,
//! `try_attach` fails, or `PyO3` parks the thread where `CPython` would end it.

use std::sync::{Arc, Weak, mpsc};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::gil::switch_interval::microseconds;
use crate::histogram::nanoseconds;
use crate::knock::keeper::{Keepers, LongWait};
use crate::knock::knock_thread::KnockThread;
use crate::knock::tally::{Knock, KnockTally};
use crate::locked::Locked;
use crate::system::clock::now_ns;
use crate::system::scheduling::Priority;

/// A thread that asks for the GIL at random moments.
#[pyclass(frozen, module = "gilscope._core")]
pub struct Knocker(Arc<KnockThread>);

/// The knockers that may be running, for `atexit`.
static STARTED: Locked<Vec<Weak<KnockThread>>> = Locked::new(Vec::new());

#[pymethods]
impl Knocker {
    #[new]
    #[pyo3(signature = (*, mean_gap, watched, keep, ordinary=false, lowered=None, stacks_over=None))]
    fn new(
        py: Python<'_>,
        mean_gap: f64,
        watched: Option<i32>,
        keep: usize,
        ordinary: bool,
        lowered: Option<f64>,
        stacks_over: Option<f64>,
    ) -> PyResult<Self> {
        let mean_gap_ns = nanoseconds(mean_gap)?;
        if mean_gap_ns < 1000 {
            return Err(PyValueError::new_err(
                "mean_gap must be at least a microsecond",
            ));
        }
        let lowered_us = lowered.map(microseconds).transpose()?;
        let priority = if ordinary {
            Priority::Ordinary
        } else {
            Priority::RealTime
        };
        let keepers = match stacks_over {
            Some(least) => Keepers::new(py, nanoseconds(least)?)?,
            None => None,
        };
        let thread = KnockThread::new(mean_gap_ns, watched, priority, lowered_us, keepers, keep);
        Ok(Self(Arc::new(thread)))
    }

    /// Start the thread; return after its first attach.
    fn start(&self, py: Python<'_>) -> PyResult<()> {
        let knock_thread = &self.0;
        knock_thread.must_belong_to_this_process()?;
        py.detach(|| {
            if !knock_thread.claim_start() {
                return Err("a knocker starts only once");
            }
            STARTED.with(|started| {
                started.retain(|other| other.strong_count() > 0);
                started.push(Arc::downgrade(knock_thread));
            });
            let (attached, first_attach) = mpsc::channel();
            let mut started = knock_thread.spawn("gilscope-knock", move |it| it.run(&attached));
            if started.is_ok() && knock_thread.keepers.is_some() {
                started = knock_thread.spawn("gilscope-look", KnockThread::look_until_stopped);
            }
            started.map_err(|_| "the system cannot start another thread")?;
            first_attach
                .recv()
                .map_err(|_| "the interpreter is shutting down")
        })
        .map_err(|why| PyRuntimeError::new_err(format!("the knocker cannot start: {why}")))
    }

    /// Stop the thread, and return once it has ended.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.0.end());
    }

    /// Like `start`, in one step: no exception of a signal handler can come between it and `__exit__`.
    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().start(slf.py())?;
        Ok(slf)
    }

    /// Like `stop`.
    #[pyo3(signature = (*exception))]
    fn __exit__(&self, exception: &Bound<'_, PyTuple>) {
        self.stop(exception.py());
    }

    /// Start a thread that never attaches, and writes to `fd` how long the current wait has lasted.
    fn write_wait(&self, py: Python<'_>, fd: i32, period: f64) -> PyResult<()> {
        self.0.must_belong_to_this_process()?;
        let period_ns = nanoseconds(period)?;
        let write = move |it: &KnockThread| it.write_wait_until_stopped(fd, period_ns);
        py.detach(|| self.0.spawn("gilscope-wait", write))?;
        Ok(())
    }

    /// Start a thread that never attaches, and ends the process if the GIL is not released any more.
    fn end_process_if_stuck(
        &self,
        py: Python<'_>,
        fd: i32,
        after: f64,
        message: String,
    ) -> PyResult<()> {
        self.0.must_belong_to_this_process()?;
        let after_ns = nanoseconds(after)?;
        let end = move |it: &KnockThread| it.end_process_if_stuck(fd, after_ns, &message);
        py.detach(|| self.0.spawn("gilscope-stuck", end))?;
        Ok(())
    }

    /// What has been counted so far.
    ///
    /// The GIL is kept: the thread holds the lock for some nanoseconds and never while it waits for the GIL, and a knock
    /// that waits for the caller is counted as waiting.
    fn tally(&self) -> PyResult<KnockTally> {
        self.0.must_belong_to_this_process()?;
        Ok(self.0.tally.with(|tally| tally.read(now_ns())))
    }

    /// The wait that a share `q` of the knocks did not exceed.
    fn wait_quantile(&self, q: f64) -> PyResult<Option<f64>> {
        if !(0.0..=1.0).contains(&q) {
            return Err(PyValueError::new_err("q must be from 0 to 1"));
        }
        self.0.must_belong_to_this_process()?;
        Ok(self.0.tally.with(|tally| tally.wait_quantile(q)))
    }

    /// The waits in which one thread kept the GIL for longer than `stacks_over`.
    fn long_waits(&self) -> PyResult<Vec<LongWait>> {
        self.0.must_belong_to_this_process()?;
        let keepers = self.0.keepers.as_ref();
        Ok(keepers.map(Keepers::long_waits).unwrap_or_default())
    }

    /// The knocks that were kept, in order.
    fn knocks(&self) -> PyResult<Vec<Knock>> {
        self.0.must_belong_to_this_process()?;
        Ok(self.0.tally.with(|tally| tally.kept.clone()))
    }
}

impl Drop for Knocker {
    fn drop(&mut self) {
        // No one can read the figures any more. This does not wait for the thread, which may need the GIL, held here.
        self.0.ask_to_stop();
    }
}

/// Have `atexit` stop the knockers that are left, while the interpreter still works.
pub fn stop_at_exit(py: Python<'_>) -> PyResult<()> {
    let stop = wrap_pyfunction!(stop_all, py)?;
    py.import("atexit")?
        .call_method1("register", (stop,))
        .map(drop)
}

#[pyfunction]
fn stop_all(py: Python<'_>) {
    py.detach(|| {
        // In a forked child the lock may stay locked for ever: then there is nothing to stop.
        let started = STARTED.visit(Vec::clone);
        for knock_thread in started.unwrap_or_default() {
            if let Some(knock_thread) = knock_thread.upgrade() {
                knock_thread.end();
            }
        }
    });
}
