//! One watch, as Python uses it: starts the threads, returns what they saw, and ends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::gc_pauses::GcListener;
use crate::gil::known_objects::KnownObjects;
use crate::gil::reader::Reader;
use crate::gil::{Gil, ThreadIds, Unreadable};
use crate::histogram::{positive, seconds};
use crate::system::clock::now_ns;
use crate::system::own_threads::OwnThreads;
use crate::system::signals;
use crate::watch::gil_usage::GilUsage;
use crate::watch::hang::Hang;
use crate::watch::heartbeat::Heartbeat;
use crate::watch::heartbeat_file::HeartbeatFile;
use crate::watch::logs::{LogSettings, Logs};
use crate::watch::native_stacks::NativeStacks;
use crate::watch::reports::{StallReport, ThreadInfo, WatchTotals};
use crate::watch::state::{Settings, WatchState};
use crate::watch::threads::Threads;
use crate::watch::totals::totals;
use crate::watch::{prober, sampler, stacks};

/// How long a wait without a limit lasts: a century.
const LONGEST_WAIT: Duration = Duration::from_secs(100 * 365 * 86_400);
const WAIT_FOR_PROBER: Duration = Duration::from_millis(1);

#[pyclass(frozen, module = "gilscope._core")]
pub struct Watcher {
    pub state: Arc<WatchState>,
    unreadable: Option<Unreadable>,
    stacks_unreadable: Option<Unreadable>,
    gc_listener: Py<GcListener>,
    threads: OwnThreads,
    loops: AtomicU64,
    /// The process of the threads. A forked child does not have them, and a lock that one of them held stays locked there.
    pid: u32,
    pub heartbeat_file: Option<Arc<HeartbeatFile>>,
}

#[pymethods]
impl Watcher {
    #[new]
    #[pyo3(signature = (*, stall, heartbeat, sample, probe, trace, read_gil, current_task,
        logs=None, hang=None, exits=false, heartbeat_file=None, dump_signal=None,
    ))]
    #[allow(clippy::too_many_arguments)] // keywords, all of them
    fn new(
        py: Python<'_>,
        stall: f64,
        heartbeat: f64,
        sample: f64,
        probe: f64,
        trace: bool,
        read_gil: bool,
        current_task: Py<PyAny>,
        logs: Option<LogSettings>,
        hang: Option<f64>,
        exits: bool,
        heartbeat_file: Option<Vec<u8>>,
        dump_signal: Option<i32>,
    ) -> PyResult<Self> {
        let settings = Settings {
            stall_ns: positive("stall", stall)?,
            heartbeat_ns: positive("heartbeat", heartbeat)?,
            sample_ns: positive("sample", sample)?,
            probe_ns: positive("probe", probe)?,
            trace,
            hang: Hang::wanted(hang, exits)?,
            dump_signal,
        };
        stacks::prepare(py)?;
        let located = if read_gil {
            Gil::locate(py)?
        } else {
            Err(Unreadable::Declined)
        };
        let mut native_stacks = None;
        let mut stacks_unreadable = located.err();
        if located.is_ok() {
            match Reader::in_process(py)? {
                Ok(reader) => {
                    let objects = KnownObjects::learn(py)?;
                    native_stacks = Some(NativeStacks::new(reader, objects));
                }
                Err(why) => stacks_unreadable = Some(why),
            }
        }
        let heartbeat_file = heartbeat_file.map(HeartbeatFile::open).transpose()?;
        let state = Arc::new(WatchState::new(
            settings,
            located.ok(),
            Threads::Own,
            now_ns(),
        ));
        state.dump_requests.listen()?;
        state
            .prober_takes_stacks
            .store(native_stacks.is_none(), Ordering::Relaxed); // used by itself
        let watcher = Self {
            state: Arc::clone(&state),
            unreadable: located.err(),
            stacks_unreadable,
            gc_listener: Py::new(py, state.gc.clone())?,
            threads: OwnThreads::new(),
            loops: AtomicU64::new(0),
            pid: std::process::id(),
            heartbeat_file: heartbeat_file.map(Arc::new),
        };
        if let Some(logs) = logs {
            Logs::start(&state, logs)?;
        }
        let sampled = Arc::clone(&state);
        watcher.start("gilscope-sample", move || {
            sampler::run(&sampled, native_stacks);
        })?;
        watcher.start("gilscope-probe", move || {
            // The thread keeps one thread state: then attaching takes 50 ns, and 300 ns with a new one each time.
            let _ = Python::try_attach(|py| py.detach(|| prober::run(&state, &current_task)));
        })?;
        watcher.start_writing()?; // last: if the start fails, the file is gone when the error is raised
        Ok(watcher)
    }

    /// The code of the reason why the GIL cannot be read; `None` if it can.
    #[getter]
    fn gil_unreadable(&self) -> Option<&'static str> {
        self.unreadable.map(Unreadable::code)
    }

    /// The code of the reason why stacks cannot be read without the GIL; `None` if they can.
    #[getter]
    fn stacks_unreadable(&self) -> Option<&'static str> {
        self.stacks_unreadable.map(Unreadable::code)
    }

    /// Whether the system has refused to report what a thread is waiting for.
    #[getter]
    fn system_calls_hidden(&self) -> bool {
        self.state.system_calls_hidden.load(Ordering::Relaxed) // used by itself
    }

    /// When the watch began, on the clock of `time.monotonic`.
    #[getter]
    fn began(&self) -> f64 {
        seconds(self.state.started_ns)
    }

    /// The callback for `gc.callbacks`.
    #[getter]
    fn gc_listener(&self, py: Python<'_>) -> Py<GcListener> {
        self.gc_listener.clone_ref(py)
    }

    /// Watch one more loop.
    fn add_heartbeat(&self) -> PyResult<Heartbeat> {
        self.must_own_threads()?;
        // Relaxed: the number is used by itself.
        let number = self.loops.fetch_add(1, Ordering::Relaxed) + 1;
        let heartbeat = Heartbeat::new(number, Arc::clone(&self.state));
        self.state.add_heartbeat(Arc::clone(&heartbeat.state));
        Ok(heartbeat)
    }

    /// Stop watching a loop.
    fn remove_heartbeat(&self, heartbeat: &Heartbeat) -> PyResult<()> {
        self.must_own_threads()?;
        self.state.remove_heartbeat(&heartbeat.state);
        Ok(())
    }

    /// Start the thread of Python that calls `report` with this watcher.
    fn start_reporter(slf: &Bound<'_, Self>, report: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().must_own_threads()?;
        let start = slf.py().import("_thread")?.getattr("start_new_thread")?;
        signals::blocked(|| start.call1((report, (slf,)))).map(drop)
    }

    /// Wait, detached, for the next stall that is over; `None` once the watch is closed and there are no more, and if none
    /// comes within `timeout`.
    #[pyo3(signature = (timeout=f64::INFINITY))]
    fn next_stall(&self, py: Python<'_>, timeout: f64) -> PyResult<Option<StallReport>> {
        self.must_own_threads()?;
        self.state.name_own_thread();
        let timeout = Duration::try_from_secs_f64(timeout).unwrap_or(LONGEST_WAIT);
        let stall = py.detach(|| {
            let stall = self.state.next_stall(timeout);
            // The prober waits for the GIL, to take the stacks of whoever has it: this thread must not get it first.
            while stall.is_none()
                && !self.state.is_closing()
                && self.state.stack_requests.is_pending()
            {
                std::thread::sleep(WAIT_FOR_PROBER);
            }
            stall
        });
        let Some(stall) = stall else {
            return Ok(None);
        };
        let unnamed = stall.threads().any(|ids| self.info(ids).name.is_none());
        if self.state.gil_usage.with(GilUsage::take_unnamed) || unnamed {
            prober::read_names(py, &self.state);
        }
        Ok(Some(stall.into_report(|ids| self.info(ids))))
    }

    /// Whether `next_stall` will return no more stalls.
    #[getter]
    fn has_ended(&self) -> bool {
        self.state.has_ended()
    }

    /// The sums up to now.
    fn totals(&self, py: Python<'_>) -> PyResult<WatchTotals> {
        self.must_own_threads()?;
        prober::read_names(py, &self.state);
        Ok(totals(&self.state, |ids| self.info(ids)))
    }

    /// How often a dump was requested since the last call.
    fn take_dump_requests(&self) -> u64 {
        self.state.dump_requests.take()
    }

    /// Give the dump signal back to the program. In a forked child too.
    fn leave_dump_signal(&self) {
        self.state.dump_requests.leave_signal();
    }

    /// End the threads and wait for them, detached. What was seen stays: `next_stall` returns the rest, and then `None`.
    fn close(&self, py: Python<'_>) {
        if self.must_own_threads().is_err() {
            return;
        }
        self.state.dump_requests.leave_signal();
        self.state.close();
        py.detach(|| {
            self.threads.join();
            self.end_writing();
        });
    }
}

impl Watcher {
    pub fn must_own_threads(&self) -> PyResult<()> {
        if std::process::id() == self.pid {
            Ok(())
        } else {
            Err(PyRuntimeError::new_err(
                "this watch belongs to the parent process: start another one in the forked child",
            ))
        }
    }

    pub fn info(&self, ids: ThreadIds) -> ThreadInfo {
        ThreadInfo {
            native_id: ids.native,
            name: self.state.names.with(|names| names.get(&ids).cloned()),
        }
    }

    fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> PyResult<()> {
        let builder = std::thread::Builder::new().name(name.into());
        match signals::blocked(|| builder.spawn(run)) {
            Ok(thread) => {
                self.threads.add(thread);
                Ok(())
            }
            Err(error) => {
                self.state.close();
                Err(error.into())
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.state.dump_requests.leave_signal();
        if self.must_own_threads().is_ok() {
            self.state.close();
            if let Some(logs) = self.state.logs.get() {
                logs.end_soon();
            }
        }
    }
}
