//! One attachment, as Python uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pyo3::prelude::*;

use super::late_now::LateSeen;
use super::long_holds::LongHolds;
use super::places::Places;
use super::sampler::Sampler;
use super::turn_log::{BEAT_NS, TurnLog};
use crate::gil::ThreadIds;
use crate::gil::process::Process;
use crate::gil::process::cannot_attach::CannotAttach;
use crate::gil::reader::Reader;
use crate::histogram::{positive, seconds};
use crate::locked::Locked;
use crate::system::clock::now_ns;
use crate::system::own_threads::OwnThreads;
use crate::system::signals;
use crate::watch::reports::{StallReport, ThreadInfo, WatchTotals};
use crate::watch::state::{Settings, WatchState};
use crate::watch::threads::Threads;
use crate::watch::totals::totals;

/// What the sampling thread and Python share.
pub struct Shared {
    pub watch: WatchState,
    pub turns: Locked<TurnLog>,
    pub long_holds: Locked<LongHolds>,
    pub late: Locked<Vec<LateSeen>>,
    /// How many loops have been found.
    pub loops: AtomicU64,
    /// The process has ended, or runs another program.
    pub ended: AtomicBool,
}

#[pyclass(frozen, module = "gilscope._core")]
pub struct AttachedWatcher {
    pub shared: Arc<Shared>,
    pub reader: Locked<Reader>,
    pub process: Locked<Process>,
    version: (u8, u8, u8),
    threads: OwnThreads,
}

#[pymethods]
impl AttachedWatcher {
    #[new]
    #[pyo3(signature = (pid, *, stall, sample, trace))]
    fn new(
        py: Python<'_>,
        pid: libc::pid_t,
        stall: f64,
        sample: f64,
        trace: bool,
    ) -> PyResult<Self> {
        let settings = Settings {
            stall_ns: positive("stall", stall)?,
            heartbeat_ns: BEAT_NS,
            sample_ns: positive("sample", sample)?,
            probe_ns: BEAT_NS,
            trace,
            hang: None,
            dump_signal: None,
        };
        py.detach(|| Self::start(pid, settings))
    }

    /// The version of the process's Python.
    #[getter]
    fn version(&self) -> (u8, u8, u8) {
        self.version
    }

    /// When the attachment began, on the clock of `time.monotonic`.
    #[getter]
    fn began(&self) -> f64 {
        seconds(self.shared.watch.started_ns)
    }

    /// Whether the process has ended, or runs another program now.
    #[getter]
    fn ended(&self) -> bool {
        self.shared.ended.load(Ordering::Relaxed) // used by itself
    }

    /// Whether the system has refused to report what a thread is waiting for.
    #[getter]
    fn system_calls_hidden(&self) -> bool {
        let hidden = &self.shared.watch.system_calls_hidden;
        hidden.load(Ordering::Relaxed) // used by itself
    }

    /// How many loops have been found.
    #[getter]
    fn loops(&self) -> u64 {
        self.shared.loops.load(Ordering::Relaxed) // used by itself
    }

    /// Wait, detached, for the next stall that is over; `None` once there will be no more, and if none comes within `timeout`.
    fn next_stall(&self, py: Python<'_>, timeout: f64) -> Option<StallReport> {
        let timeout = Duration::try_from_secs_f64(timeout).unwrap_or_default();
        let stall = py.detach(|| {
            let stall = self.shared.watch.next_stall(timeout)?;
            for thread in stall.threads() {
                self.find_name(thread);
            }
            Some(stall)
        });
        stall.map(|stall| stall.into_report(|ids| self.info(ids)))
    }

    /// Whether `next_stall` will return no more stalls.
    #[getter]
    fn has_ended(&self) -> bool {
        self.shared.watch.has_ended()
    }

    /// The sums up to now.
    fn totals(&self) -> WatchTotals {
        totals(&self.shared.watch, |ids| self.info(ids))
    }

    /// Stop sampling. What was seen stays.
    fn close(&self, py: Python<'_>) {
        self.shared.watch.close();
        py.detach(|| self.threads.join());
    }
}

impl AttachedWatcher {
    fn start(pid: libc::pid_t, settings: Settings) -> PyResult<Self> {
        let process = Process::find(pid)?;
        let places = Places::of(&process).ok_or(CannotAttach::Layout(process.version()))?;
        let gil = process.gil();
        let shared = Arc::new(Shared {
            watch: WatchState::new(settings, Some(gil), Threads::of(pid), now_ns()),
            turns: Locked::default(),
            long_holds: Locked::new(LongHolds::new(gil)),
            late: Locked::default(),
            loops: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let watcher = Self {
            reader: Locked::new(process.reader()),
            process: Locked::new(Process::find(pid)?),
            version: process.version(),
            threads: OwnThreads::new(),
            shared: Arc::clone(&shared),
        };
        let mut sampler = Sampler::new(shared, process, Box::new(places));
        sampler.find_loops();
        let builder = std::thread::Builder::new().name("gilscope-attach".into());
        let thread = signals::blocked(|| builder.spawn(move || sampler.run()))?;
        watcher.threads.add(thread);
        Ok(watcher)
    }

    pub fn info(&self, ids: ThreadIds) -> ThreadInfo {
        ThreadInfo {
            native_id: ids.native,
            name: self
                .shared
                .watch
                .names
                .with(|names| names.get(&ids).cloned()),
        }
    }

    /// Reads the name of a thread that has not been met yet.
    fn find_name(&self, ids: ThreadIds) {
        if self
            .shared
            .watch
            .names
            .with(|names| names.contains_key(&ids))
        {
            return;
        }
        let Ok(stack) = self.reader.with(|reader| reader.stack(ids.native)) else {
            return;
        };
        if stack.thread == ids
            && let Some(name) = self.process.with(|process| process.thread_name(&stack))
        {
            self.shared
                .watch
                .names
                .with(|names| names.insert(ids, name));
        }
    }
}

impl Drop for AttachedWatcher {
    fn drop(&mut self) {
        self.shared.watch.close();
    }
}
