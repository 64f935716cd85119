//! One loop, as the sampler watches it: notices when its heartbeat is late, collects evidence, and reports the stall.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::gil::ThreadIds;
use crate::watch::expectation::Expectation;
use crate::watch::gil_wait::Sample;
use crate::watch::heartbeat::{HeartbeatState, LateBeat};
use crate::watch::late_period::{LatePeriod, Noticed};
use crate::watch::loop_time::Doing;
use crate::watch::native_stacks::NativeStacks;
use crate::watch::reports::FinishedStall;
use crate::watch::rhythm::{FULL_RATE_PART_OF_STALL, LATE_PART_OF_STALL};
use crate::watch::segment::{BY_PROBER, BY_SAMPLER, Segment};
use crate::watch::selector::Selector;
use crate::watch::silence::{Limits, Silence};
use crate::watch::sleep::Sleep;
use crate::watch::stacks::Stack;
use crate::watch::stall_so_far::LateNow;
use crate::watch::state::WatchState;
use crate::watch::thread_files::{CpuTimes, ThreadFiles};

/// A stall that is over, with the number of the stack request that it may be waiting for.
pub type OpenStall = (Option<u64>, FinishedStall);

/// What is said of a stall while it lasts waits for its stacks for this long.
const MAX_WAIT_FOR_STACKS_NS: u64 = 8_000_000;

pub struct WatchedLoop {
    pub heartbeat: Arc<HeartbeatState>,
    thread: ThreadIds,
    pub(super) files: ThreadFiles,
    due_ns: u64,
    /// The CPU times of the loop's thread when the beat that is due now was first seen.
    cpu: Option<CpuTimes>,
    late_period: Option<LatePeriod>,
    pub silence: Silence,
    pub(super) sleep: Sleep,
    pub(super) selector: Selector,
    /// What the last planned sample showed; `None` if the loop did not run, or if the system does not report it.
    pub doing: Option<Doing>,
    /// The loop slept, and has been seen to run since then: its heartbeat may be late already.
    woken: bool,
}

impl WatchedLoop {
    pub fn new(heartbeat: Arc<HeartbeatState>) -> Self {
        let due_ns = heartbeat.due_ns();
        let thread = heartbeat.thread();
        let files = ThreadFiles::new(thread.native);
        // No beat is due before the loop starts and after it has ended.
        let cpu = (due_ns != 0).then(|| files.cpu_times()).flatten();
        Self {
            heartbeat,
            thread,
            files,
            due_ns,
            cpu,
            late_period: None,
            silence: Silence::default(),
            sleep: Sleep::default(),
            selector: Selector::default(),
            doing: None,
            woken: false,
        }
    }

    /// Adds a sample to the time for which the loop has given no heartbeat. Must follow [`Self::add`].
    pub fn add_silence(&mut self, sample: &Sample<'_>, limits: Limits) {
        let due_ns = if self.heartbeat.is_unproven() {
            0
        } else {
            self.due_ns
        };
        let waits = self
            .late_period
            .as_ref()
            .is_some_and(LatePeriod::waits_for_gil);
        self.silence
            .add(due_ns, (sample.now_ns, sample.gap_ns), waits, limits);
        self.heartbeat.silence.publish(&self.silence);
    }

    pub fn thread(&self) -> ThreadIds {
        self.thread
    }

    /// Whether the loop's thread sleeps in a system call that loops sleep in.
    pub fn selects(&self) -> bool {
        self.files.selects()
    }

    /// The loop's stack that was taken last in this late period, by a thread that attached, and when that was.
    pub fn stack_taken(&self) -> Option<(u64, &Stack)> {
        self.late_period.as_ref()?.stack_taken(self.thread.ident)
    }

    pub fn is_late(&self) -> bool {
        (self.late_period.is_some() || self.woken) && !self.heartbeat.is_unproven()
    }

    /// Whether the loop is so late at `now_ns` that it may well stall: then each sample matters.
    pub fn may_stall(&self, now_ns: u64, stall_ns: u64) -> bool {
        self.is_late() && now_ns.saturating_sub(self.due_ns) >= stall_ns / FULL_RATE_PART_OF_STALL
    }

    /// Whether a heartbeat is expected, or may be soon.
    pub fn is_awake(&self) -> bool {
        self.due_ns != 0 || self.sleep.may_have_ended()
    }

    /// When the beat was due that is late now.
    pub fn late_since_ns(&self) -> Option<u64> {
        let late_period = self.late_period.as_ref().filter(|_| self.is_late());
        late_period.map(|late_period| late_period.due_ns)
    }

    /// Whether the loop is late and the system does not report what its thread, which is alive, is waiting for.
    pub fn hides_system_calls(&self) -> bool {
        self.is_late() && self.heartbeat.due_ns() == self.due_ns && self.files.hides_system_calls()
    }

    /// Adds a sample. Stacks are read by `native`; without that they are requested, and `requests_so_far` numbers the requests.
    /// Stalls that are over go to `open`. A loop that sleeps is only
    /// put to sleep if it `may_sleep`.
    pub fn add(
        &mut self,
        watch: &WatchState,
        sample: &Sample<'_>,
        native: Option<&mut NativeStacks>,
        requests_so_far: &mut u64,
        open: &mut Vec<OpenStall>,
        may_sleep: bool,
    ) {
        let mut woken = None;
        if let Expectation::Asleep { seen_ns } = self.heartbeat.alarm.expectation() {
            let limits = (seen_ns, watch.settings.stall_ns);
            woken = self
                .sleep
                .follow(sample, limits, &self.heartbeat, &self.files);
        }
        let due_ns = self.heartbeat.due_ns();
        if due_ns != self.due_ns {
            self.end_late_period(watch, open);
            self.due_ns = due_ns;
            let thread = self.heartbeat.thread();
            if thread != self.thread {
                self.thread = thread;
                self.files = ThreadFiles::new(thread.native);
            }
            self.cpu = match woken {
                Some(woken) => woken.cpu,
                None => self.files.cpu_times(),
            };
            self.woken = woken.is_some_and(|woken| !woken.unseen);
            if self.woken {
                return; // what the loop does once the timer has woken it is seen at the next sample
            }
        }
        let stall_ns = watch.settings.stall_ns;
        if due_ns == 0 {
            return;
        }
        let late_ns = sample.now_ns.saturating_sub(due_ns);
        if late_ns < stall_ns / LATE_PART_OF_STALL {
            if may_sleep {
                self.sleep
                    .may_begin(sample, due_ns, &self.heartbeat, &self.files);
            }
            return;
        }
        // What the loop does now, it has done since it began to run.
        let since_due = Sample {
            gap_ns: late_ns,
            planned_gap_ns: late_ns,
            ..*sample
        };
        let was_woken = std::mem::take(&mut self.woken);
        let sample = if was_woken { &since_due } else { sample };
        // Where the system hides what a thread waits for, the prober's wait for the GIL is evidence.
        let native = native.filter(|_| !watch.system_calls_hidden.load(Ordering::Relaxed)); // used by itself
        let cpu = self.cpu;
        let pauses = if native.is_some() {
            BY_SAMPLER
        } else {
            BY_PROBER
        };
        let late_period = self
            .late_period
            .get_or_insert_with(|| LatePeriod::new(due_ns, stall_ns, pauses, cpu));
        late_period.add(sample, self.thread, &self.files);
        if let Some(native) = native {
            let of_loop = (
                self.thread,
                &self.files,
                self.heartbeat.event_loop_address(),
            );
            let is_over = || self.heartbeat.due_ns() != due_ns;
            late_period.read_stacks((watch, native), sample, of_loop, is_over);
            return;
        }
        late_period.request_stacks(
            &watch.stack_requests,
            sample,
            (self.heartbeat.loop_number, self.thread.ident),
            requests_so_far,
        );
    }

    /// What the loop is late for by now; `None` if it is not late.
    ///
    /// If the sampler `reads_stacks`, `None` until it has read some since the late period became a stall, or has failed to for a
    /// while.
    pub fn late_now<'a>(
        &'a mut self,
        sample: &Sample<'_>,
        reads_stacks: bool,
    ) -> Option<LateNow<'a>> {
        let late_period = self.late_period.as_mut()?;
        let is_in_time =
            reads_stacks && sample.now_ns < late_period.stalled_since_ns() + MAX_WAIT_FOR_STACKS_NS;
        if is_in_time && !late_period.has_stacks_of_stall() {
            return None;
        }
        let evidence = late_period.evidence_so_far(self.files.cpu_times());
        Some(LateNow {
            loop_number: self.heartbeat.loop_number,
            thread: self.thread,
            due_ns: late_period.due_ns,
            now_ns: sample.now_ns,
            evidence,
            holder: late_period.holder(sample, self.thread),
            stacks: late_period.latest_stacks(sample.now_ns),
            below: self.heartbeat.below(),
        })
    }

    /// The late beat has come, or the loop has stopped: adds the stall to `open`, if it was one.
    pub fn end_late_period(&mut self, watch: &WatchState, open: &mut Vec<OpenStall>) {
        let cpu = self.files.cpu_times();
        self.woken = false;
        if let Some(late_period) = self.late_period.take() {
            match self.heartbeat.take_late(late_period.due_ns) {
                Some(late) => {
                    let (noticed, segments, pending) = late_period.finish(late.came_ns, cpu);
                    open.push((pending, self.stall(late, noticed, segments)));
                }
                None => late_period
                    .pending()
                    .iter()
                    .for_each(|&id| watch.stack_requests.cancel(id)),
            }
        }
        // Stalls that began and ended while the sampler itself did not run.
        while let Some(late) = self.heartbeat.take_any_late() {
            let unseen =
                LatePeriod::new(late.due_ns, watch.settings.stall_ns, BY_SAMPLER, self.cpu);
            let (noticed, segments, _) = unseen.finish(late.came_ns, cpu);
            open.push((None, self.stall(late, noticed, segments)));
        }
    }

    fn stall(&self, late: LateBeat, noticed: Noticed, segments: Vec<Segment>) -> FinishedStall {
        FinishedStall {
            loop_number: self.heartbeat.loop_number,
            thread: self.thread,
            late,
            noticed,
            segments,
            below: self.heartbeat.below(),
            told: false,
        }
    }
}
