//! One loop's heartbeat: when the next beat is due, when it came, and how late.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::histogram::Histogram;
use crate::locked::Locked;
use crate::system::clock::now_ns;
use crate::watch::alarm::Alarm;
use crate::watch::beat_ring::BeatRing;
use crate::watch::expectation::Expectation;
use crate::watch::prober::read_names;
use crate::watch::silence::PublishedSilence;
use crate::watch::stacks::Below;
use crate::watch::state::{Settings, WatchState};
use crate::watch::timer::Timer;

/// Late beats of one loop that the sampler has not taken yet: beyond this, the oldest are dropped.
const MAX_LATE_BEATS: usize = 64;

/// A beat that came too late.
#[derive(Clone, Copy)]
pub struct LateBeat {
    pub due_ns: u64,
    pub came_ns: u64,
}

/// What the loop's thread writes and the sampler reads.
pub struct HeartbeatState {
    pub loop_number: u64,
    /// When the next beat is due. The sampler reads it at every sample.
    pub alarm: Alarm,
    ident: AtomicU64,
    native: AtomicU64,
    /// It is unknown whether this loop runs our callbacks at all: that it is late shows nothing yet.
    is_unproven: AtomicBool,
    late: Locked<VecDeque<LateBeat>>,
    beats: Arc<BeatRing>,
    settings: Settings,
    lag: Histogram,
    below: Locked<Option<Below>>,
    /// The argument for asyncio's `current_task`. `None` once the loop has stopped.
    event_loop: Locked<Option<Py<PyAny>>>,
    /// Its address; 0 once the loop has stopped.
    event_loop_address: AtomicUsize,
    /// What the sampler knows of how long the loop has been silent.
    pub silence: PublishedSilence,
}

impl HeartbeatState {
    /// When the next beat is due; 0 if none is, because the loop does not run, or because it sleeps in its selector.
    pub fn due_ns(&self) -> u64 {
        self.alarm.expectation().due_ns()
    }

    pub fn thread(&self) -> ThreadIds {
        ThreadIds {
            ident: self.ident.load(Ordering::Relaxed), // ordered by `alarm`
            native: self.native.load(Ordering::Relaxed),
        }
    }

    pub fn period_ns(&self) -> u64 {
        self.settings.heartbeat_ns
    }

    pub fn is_unproven(&self) -> bool {
        self.is_unproven.load(Ordering::Relaxed) // a sample more or less does not matter
    }

    /// The oldest late beat that was due at `due_ns` or before.
    pub fn take_late(&self, due_ns: u64) -> Option<LateBeat> {
        self.late
            .with(|late| (late.front()?.due_ns <= due_ns).then(|| late.pop_front())?)
    }

    pub fn take_any_late(&self) -> Option<LateBeat> {
        self.late.with(VecDeque::pop_front)
    }

    pub fn event_loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.event_loop
            .with_python(py, |event_loop| Some(event_loop.as_ref()?.clone_ref(py)))
    }

    /// The address of the loop's object, to compare with; 0 once the loop has stopped.
    pub fn event_loop_address(&self) -> usize {
        self.event_loop_address.load(Ordering::Relaxed) // ordered by `due_ns`
    }

    /// The frame below the loop's callbacks, once it is known.
    pub fn below(&self) -> Option<Below> {
        self.below.with(|below| *below)
    }

    /// The loop slept, up to `now_ns`, for so many heartbeats, which would all have been on time.
    pub fn record_slept(&self, now_ns: u64, beats: u64) {
        self.lag.record_many_ns(0, beats);
        self.beats.add(now_ns, 0);
    }

    /// Counts the beat that is due, if there is one, as come now. Returns whether it is late enough to be a stall.
    fn record_beat(&self, now_ns: u64) -> bool {
        let Expectation::Beat { due_ns } = self.alarm.expectation() else {
            return false; // if the loop slept, it has just been woken
        };
        let mut lag_ns = now_ns.saturating_sub(due_ns);
        // It is unknown when exactly a loop that slept began to run. If it was done soon after that was seen, it was not late.
        let known_ns = now_ns.saturating_sub(due_ns.max(self.alarm.woken_ns()));
        if known_ns <= self.settings.heartbeat_ns {
            lag_ns = known_ns;
        }
        let is_stall = lag_ns >= self.settings.stall_ns;
        if is_stall {
            self.late.with(|late| {
                if late.len() == MAX_LATE_BEATS {
                    late.pop_front();
                }
                late.push_back(LateBeat {
                    due_ns,
                    came_ns: now_ns,
                });
            });
        }
        self.lag
            .record_schedule_ns(lag_ns, self.settings.heartbeat_ns);
        self.beats.add(now_ns, lag_ns);
        is_stall
    }
}

/// A loop's heartbeat, as Python uses it.
#[pyclass(frozen, module = "gilscope._core")]
pub struct Heartbeat {
    pub state: Arc<HeartbeatState>,
    watch: Arc<WatchState>,
    has_beaten: AtomicBool,
}

impl Heartbeat {
    pub fn new(loop_number: u64, watch: Arc<WatchState>) -> Self {
        let state = Arc::new(HeartbeatState {
            loop_number,
            alarm: Alarm::new(),
            ident: AtomicU64::new(0),
            native: AtomicU64::new(0),
            is_unproven: AtomicBool::new(false),
            late: Locked::default(),
            settings: watch.settings,
            lag: watch.lags.clone(),
            beats: Arc::clone(&watch.beats),
            below: Locked::default(),
            event_loop: Locked::default(),
            event_loop_address: AtomicUsize::new(0),
            silence: PublishedSilence::default(),
        });
        Self {
            state,
            watch,
            has_beaten: AtomicBool::new(false),
        }
    }

    fn record_beat(&self, py: Python<'_>, now_ns: u64) {
        if self.state.record_beat(now_ns) {
            self.watch
                .stack_requests
                .answer_from_loop(py, &self.watch, self.state.loop_number);
        }
    }
}

#[pymethods]
impl Heartbeat {
    /// The file that is readable from when a beat is due until the next one is expected.
    fn fileno(&self) -> Option<i32> {
        self.state.alarm.timer.as_ref().map(Timer::fileno)
    }

    /// Whether a beat has ever come.
    #[getter]
    fn has_beaten(&self) -> bool {
        self.has_beaten.load(Ordering::Relaxed) // written with the GIL held
    }

    /// The loop begins to run in this thread: expect the first beat.
    #[pyo3(signature = (*, event_loop, ident, native_id, proven))]
    fn start(
        &self,
        py: Python<'_>,
        event_loop: Py<PyAny>,
        ident: u64,
        native_id: u64,
        proven: bool,
    ) {
        let state = &self.state;
        state.ident.store(ident, Ordering::Relaxed); // ordered by `alarm`
        state.native.store(native_id, Ordering::Relaxed);
        let address = event_loop.as_ptr() as usize;
        state.event_loop_address.store(address, Ordering::Relaxed); // ordered by `expect`
        let earlier = state
            .event_loop
            .with_python(py, |it| it.replace(event_loop));
        drop(earlier); // not under the lock: it may run any code
        state.is_unproven.store(!proven, Ordering::Relaxed); // ordered by `alarm`
        let own = ThreadIds {
            ident,
            native: native_id,
        };
        if !self.watch.names.with(|names| names.contains_key(&own)) {
            read_names(py, &self.watch); // while the loop stalls, it may be too late
        }
        state.alarm.expect(now_ns() + state.settings.heartbeat_ns);
    }

    /// The loop calls its callbacks from a frame at this depth of a stack whose outermost frame runs the code with this id.
    fn runs_above(&self, depth: usize, root: usize) {
        let below = Below { depth, root };
        self.state.below.with(|it| *it = Some(below));
    }

    /// A beat: count its lag, and expect the next one.
    fn beat(&self, py: Python<'_>) {
        let now_ns = now_ns();
        // Relaxed: with the GIL held, both.
        self.has_beaten.store(true, Ordering::Relaxed);
        self.state.is_unproven.store(false, Ordering::Relaxed);
        self.record_beat(py, now_ns);
        self.state
            .alarm
            .expect(now_ns + self.state.settings.heartbeat_ns);
    }

    /// In a forked child: leave the parent's timer alone from now on.
    fn part_from_parent(&self) {
        if let Some(timer) = &self.state.alarm.timer {
            timer.part_from_parent();
        }
    }

    /// The loop stops, or its watch ends: count the expected beat as come now, if this loop has ever called for one.
    fn stop(&self, py: Python<'_>) {
        if !self.state.is_unproven() {
            self.record_beat(py, now_ns());
        }
        self.state.alarm.expect(0);
        self.state.event_loop_address.store(0, Ordering::Relaxed); // compared, never dereferenced
        let ended = self.state.event_loop.with_python(py, Option::take);
        drop(ended); // as in `start`
    }
}
