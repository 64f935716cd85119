//! One watch, as Python has it: it starts the threads, hands out what they saw, and ends them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::gil::{Gil, ThreadIds, Unreadable};
use crate::histogram::{nanoseconds, seconds};
use crate::system::clock::now_ns;
use crate::watch::collections::CollectionListener;
use crate::watch::heart::Heart;
use crate::watch::sampler;
use crate::watch::shared::{Settings, Shared, guard};
use crate::watch::stacks;
use crate::watch::witness;

/// A snapshot does not trust a last sample that is older than this many periods.
const STALE_SAMPLES: u64 = 2;

#[pyclass(frozen, module = "gilscope._core")]
pub struct Watcher {
    shared: Arc<Shared>,
    unreadable: Option<Unreadable>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    hearts: AtomicU64,
    /// The threads are this process's: a forked child has none, and whatever they had locked stays locked there.
    pid: u32,
}

#[pymethods]
impl Watcher {
    #[new]
    #[pyo3(signature = (*, stall, heartbeat, sample, knock, trace, read_gil, current_task))]
    #[allow(clippy::too_many_arguments)] // keywords, all of them
    fn new(
        py: Python<'_>,
        stall: f64,
        heartbeat: f64,
        sample: f64,
        knock: f64,
        trace: bool,
        read_gil: bool,
        current_task: Py<PyAny>,
    ) -> PyResult<Self> {
        let settings = Settings {
            stall_ns: positive("stall", stall)?,
            heartbeat_ns: positive("heartbeat", heartbeat)?,
            sample_ns: positive("sample", sample)?,
            knock_ns: positive("knock", knock)?,
            trace,
        };
        stacks::prepare(py);
        let located = if read_gil {
            Gil::locate(py)?
        } else {
            Err(Unreadable::Declined)
        };
        let shared = Arc::new(Shared::new(settings, located.ok(), now_ns()));
        let watcher = Self {
            shared: Arc::clone(&shared),
            unreadable: located.err(),
            threads: Mutex::default(),
            hearts: AtomicU64::new(0),
            pid: std::process::id(),
        };
        let sampled = Arc::clone(&shared);
        watcher.start("gilscope-sample", move || sampler::run(&sampled))?;
        watcher.start("gilscope-witness", move || {
            // One thread state, kept: an attachment costs 50 ns where a new thread state costs 300.
            let _ = Python::try_attach(|py| py.detach(|| witness::run(&shared, &current_task)));
        })?;
        Ok(watcher)
    }

    /// Why the GIL cannot be read here, as a word.
    #[getter]
    fn gil_unreadable(&self) -> Option<&'static str> {
        self.unreadable.map(Unreadable::code)
    }

    /// When the watch began, on the clock of `time.monotonic`.
    #[getter]
    fn began(&self) -> f64 {
        seconds(self.shared.started_ns)
    }

    fn collection_listener(&self) -> CollectionListener {
        CollectionListener(Arc::clone(&self.shared.collections))
    }

    /// A heart for one more loop.
    fn add_heart(&self) -> PyResult<Heart> {
        self.in_own_process()?;
        // Relaxed: only a number.
        let number = self.hearts.fetch_add(1, Ordering::Relaxed) + 1;
        let heart = Heart::new(number, Arc::clone(&self.shared));
        self.shared.add_pulse(Arc::clone(&heart.pulse));
        Ok(heart)
    }

    /// Look after this heart no more.
    fn remove_heart(&self, heart: &Heart) -> PyResult<()> {
        self.in_own_process()?;
        self.shared.remove_pulse(heart.pulse.number);
        Ok(())
    }

    /// Wait, detached, for the next stall that is over; `None` when the watch is closed and there are no more.
    fn fetch<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        self.in_own_process()?;
        self.shared.name_own_thread();
        let Some(report) = py.detach(|| self.shared.fetch()) else {
            return Ok(None);
        };
        // Not only those that were seen to hold the GIL: a loop that sleeps in its callback may never have been.
        let parties = || std::iter::once(&report.own).chain(report.evidence.rivals.keys());
        let unknown = parties().any(|&ids| self.name(ids).is_none());
        if guard(&self.shared.ledger).take_strangers() || unknown {
            witness::learn_names(py, &self.shared);
        }
        report.to_dict(py, |ids| self.name(ids)).map(Some)
    }

    /// What has been seen so far.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.in_own_process()?;
        witness::learn_names(py, &self.shared);
        let (last_ns, samples, held_ns, by_thread) = {
            let mut ledger = guard(&self.shared.ledger);
            let now_ns = now_ns();
            if now_ns > ledger.last_ns + STALE_SAMPLES * self.shared.settings.sample_ns
                && !self.shared.is_closing()
            {
                // The sampler is not being run. To look in its stead would tell only that this thread holds the GIL.
                ledger.stay_as_seen(now_ns);
            }
            let by_thread: Vec<_> = ledger
                .by_thread
                .iter()
                .map(|(&ids, &sum)| (ids, sum))
                .collect();
            (ledger.last_ns, ledger.samples, ledger.held_ns, by_thread)
        };
        let snapshot = PyDict::new(py);
        snapshot.set_item(
            "elapsed",
            seconds(last_ns.saturating_sub(self.shared.started_ns)),
        )?;
        snapshot.set_item("samples", samples)?;
        snapshot.set_item("held", seconds(held_ns))?;
        let threads = by_thread
            .into_iter()
            .map(|(ids, sum)| (ids.native, self.name(ids), seconds(sum)))
            .collect::<Vec<_>>();
        snapshot.set_item("held_by", threads)?;
        snapshot.set_item("waits", self.shared.waits.copy())?;
        snapshot.set_item("lags", self.shared.lags.copy())?;
        snapshot.set_item("collected", seconds(self.shared.collections.spent_ns()))?;
        snapshot.set_item("cost", seconds(self.shared.ran_ns()))?;
        snapshot.set_item("lost", self.shared.lost())?;
        Ok(snapshot)
    }

    /// The holds of the last minutes, as (native id, name, from, to), if the watch traces.
    #[allow(clippy::type_complexity)] // plain data for Python
    fn holds(&self) -> PyResult<Vec<(u64, Option<String>, f64, f64)>> {
        self.in_own_process()?;
        let holds = guard(&self.shared.ledger).traced();
        let row = |hold: crate::watch::ledger::Hold| {
            let (from, to) = (seconds(hold.from_ns), seconds(hold.to_ns));
            (hold.by.native, self.name(hold.by), from, to)
        };
        Ok(holds.into_iter().map(row).collect())
    }

    /// When each beat of the last minutes came, and how late, if the watch traces. Of the loops that are watched now.
    fn beats(&self) -> PyResult<Vec<(f64, f64)>> {
        self.in_own_process()?;
        let beats = guard(&self.shared.beats);
        let row = |&(at_ns, lag_ns): &(u64, u64)| (seconds(at_ns), seconds(lag_ns));
        Ok(beats.iter().map(row).collect())
    }

    /// End the threads and wait for them, detached. What was seen stays; `fetch` gives what is left, and then `None`.
    fn close(&self, py: Python<'_>) {
        if self.in_own_process().is_err() {
            return;
        }
        self.shared.close();
        let threads = std::mem::take(&mut *guard(&self.threads));
        py.detach(|| {
            for thread in threads {
                // A thread that panicked has printed why; the watch is over in any case.
                let _ = thread.join();
            }
        });
    }
}

impl Watcher {
    fn in_own_process(&self) -> PyResult<()> {
        if std::process::id() == self.pid {
            Ok(())
        } else {
            Err(PyRuntimeError::new_err(
                "this watch is the parent process's: start a new one in the child",
            ))
        }
    }

    fn name(&self, ids: ThreadIds) -> Option<String> {
        guard(&self.shared.names).get(&ids).cloned()
    }

    fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> PyResult<()> {
        let thread = std::thread::Builder::new().name(name.into()).spawn(run);
        match thread {
            Ok(thread) => {
                guard(&self.threads).push(thread);
                Ok(())
            }
            Err(error) => {
                self.shared.close();
                Err(error.into())
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if self.in_own_process().is_ok() {
            self.shared.close();
        }
    }
}

fn positive(name: &str, duration: f64) -> PyResult<u64> {
    match nanoseconds(duration)? {
        0 => Err(PyValueError::new_err(format!(
            "{name} must be more than 0 seconds"
        ))),
        duration_ns => Ok(duration_ns),
    }
}
