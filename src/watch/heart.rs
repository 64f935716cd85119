//! One loop's heartbeat: when the next beat is due, and what came of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::histogram::Histogram;
use crate::system::clock::now_ns;
use crate::watch::alarm::Alarm;
use crate::watch::shared::{Settings, Shared, guard};

/// Stalls of one loop that nobody has fetched yet: beyond this, the oldest go.
const UNFETCHED: usize = 64;
/// Lags kept for a chart: those of the last minutes.
const TRACED: usize = 100_000;

/// A beat that came too late.
#[derive(Clone, Copy)]
pub struct LateBeat {
    pub due_ns: u64,
    pub came_ns: u64,
}

/// Beats, for a chart: when each came, and how late.
pub type Beats = Mutex<VecDeque<(u64, u64)>>;

/// What the loop's thread writes and the sampler reads.
pub struct Pulse {
    pub number: u64,
    /// When the beat under way is due; 0 while the loop does not run. The sampler reads it at every sample.
    due_ns: AtomicU64,
    ident: AtomicU64,
    native: AtomicU64,
    late: Mutex<VecDeque<LateBeat>>,
    traced: Option<Arc<Beats>>,
    settings: Settings,
    lag: Histogram,
    /// What `asyncio` calls the current task is asked for this loop. Gone once the loop has stopped.
    event_loop: Mutex<Option<Py<PyAny>>>,
}

impl Pulse {
    pub fn due_ns(&self) -> u64 {
        // Acquire: pairs with the Release in `expect`, so that the ids, and the late beat, written before are seen.
        self.due_ns.load(Ordering::Acquire)
    }

    pub fn thread(&self) -> ThreadIds {
        ThreadIds {
            ident: self.ident.load(Ordering::Relaxed), // ordered by `due_ns`
            native: self.native.load(Ordering::Relaxed),
        }
    }

    /// The oldest late beat that was due at `due_ns` or before.
    pub fn take_late(&self, due_ns: u64) -> Option<LateBeat> {
        let mut late = guard(&self.late);
        (late.front()?.due_ns <= due_ns).then(|| late.pop_front())?
    }

    pub fn take_any_late(&self) -> Option<LateBeat> {
        guard(&self.late).pop_front()
    }

    pub fn event_loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        guard(&self.event_loop).as_ref().map(|it| it.clone_ref(py))
    }

    fn expect(&self, due_ns: u64) {
        self.due_ns.store(due_ns, Ordering::Release); // see `due_ns`
    }

    /// Counts the beat that is under way, if one is, as come now. Whether it is so late that it is a stall.
    fn come(&self, now_ns: u64) -> bool {
        let due_ns = self.due_ns.load(Ordering::Relaxed); // written by this thread
        if due_ns == 0 {
            return false;
        }
        let lag_ns = now_ns.saturating_sub(due_ns);
        self.lag
            .record_schedule_ns(lag_ns, self.settings.heartbeat_ns);
        if lag_ns >= self.settings.stall_ns {
            let mut late = guard(&self.late);
            if late.len() == UNFETCHED {
                late.pop_front();
            }
            late.push_back(LateBeat {
                due_ns,
                came_ns: now_ns,
            });
        }
        if let Some(traced) = &self.traced {
            let mut traced = guard(traced);
            if traced.len() == TRACED {
                traced.pop_front();
            }
            traced.push_back((now_ns, lag_ns));
        }
        lag_ns >= self.settings.stall_ns
    }
}

/// A loop's heart, as Python has it.
#[pyclass(frozen, module = "gilscope._core")]
pub struct Heart {
    pub pulse: Arc<Pulse>,
    shared: Arc<Shared>,
    alarm: Option<Alarm>,
}

impl Heart {
    pub fn new(number: u64, shared: Arc<Shared>) -> Self {
        let pulse = Arc::new(Pulse {
            number,
            due_ns: AtomicU64::new(0),
            ident: AtomicU64::new(0),
            native: AtomicU64::new(0),
            late: Mutex::default(),
            settings: shared.settings,
            lag: shared.lags.clone(),
            traced: shared.settings.trace.then(|| Arc::clone(&shared.beats)),
            event_loop: Mutex::default(),
        });
        Self {
            pulse,
            shared,
            alarm: Alarm::new(),
        }
    }

    fn come(&self, py: Python<'_>, now_ns: u64) {
        if self.pulse.come(now_ns) {
            self.shared
                .desk
                .testify_for(py, &self.shared, self.pulse.number);
        }
    }

    /// 0: no more.
    fn expect(&self, due_ns: u64) {
        self.pulse.expect(due_ns);
        if let Some(alarm) = &self.alarm {
            alarm.set(due_ns);
        }
    }
}

#[pymethods]
impl Heart {
    /// The loop's number, from 1.
    #[getter]
    fn number(&self) -> u64 {
        self.pulse.number
    }

    /// The file that can be read when a beat is due, until the next one is expected.
    fn fileno(&self) -> Option<i32> {
        self.alarm.as_ref().map(Alarm::number)
    }

    /// The loop begins to run in this thread: expect the first beat.
    #[pyo3(signature = (*, event_loop, ident, native_id))]
    fn start(&self, event_loop: Py<PyAny>, ident: u64, native_id: u64) {
        let pulse = &self.pulse;
        pulse.ident.store(ident, Ordering::Relaxed); // ordered by `expect`
        pulse.native.store(native_id, Ordering::Relaxed);
        let earlier = guard(&pulse.event_loop).replace(event_loop);
        drop(earlier); // not under the lock: it may run anything
        self.expect(now_ns() + pulse.settings.heartbeat_ns);
    }

    /// A beat: count its lag, and expect the next one.
    fn beat(&self, py: Python<'_>) {
        let now_ns = now_ns();
        self.come(py, now_ns);
        self.expect(now_ns + self.pulse.settings.heartbeat_ns);
    }

    /// The loop stops, or is not to be watched any more: count the beat that was expected as come now.
    fn stop(&self, py: Python<'_>) {
        self.come(py, now_ns());
        self.expect(0);
        let gone = guard(&self.pulse.event_loop).take();
        drop(gone); // as in `start`
    }
}
