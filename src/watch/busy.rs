//! What a watched loop is doing at a planned sample.

use crate::gil::ThreadIds;
use crate::watch::expectation::Expectation;
use crate::watch::gil_wait::Sample;
use crate::watch::loop_time::Doing;
use crate::watch::native_stacks::NativeStacks;
use crate::watch::thread_files::{Activity, SleepsIn, ThreadFiles};
use crate::watch::watched_loop::WatchedLoop;

impl WatchedLoop {
    /// Notes what the loop is doing. What follows in this sample is answered by the same look at its thread.
    pub fn see(&mut self, sample: &Sample<'_>, native: Option<&mut NativeStacks>) {
        self.doing = None;
        self.files.end_sample();
        let runs = self.heartbeat.alarm.expectation() != Expectation::Nothing;
        if !runs || self.heartbeat.is_unproven() || self.heartbeat.thread() != self.thread() {
            return;
        }
        self.files.begin_sample();
        if self.files.is_reported() {
            self.doing = Some(self.look(sample, native));
        }
    }

    /// Whether the loop is asleep now.
    pub fn has_fallen_asleep(&mut self) -> bool {
        self.files.begin_sample();
        self.is_asleep(None)
    }

    /// What follows is not answered by the last look any more.
    pub fn end_look(&self) {
        self.files.end_sample();
    }

    /// The run-queue delay of the loop's thread so far.
    pub fn queued_ns(&self) -> Option<u64> {
        self.files.cpu_times().map(|cpu| cpu.queued_ns)
    }

    /// Whether the last look shows the loop asleep in its selector, whichever call that is.
    fn is_asleep(&mut self, native: Option<&mut NativeStacks>) -> bool {
        let call = self.files.sleeps_in();
        if call == SleepsIn::Runs || self.sleep.is_asleep(call, &self.heartbeat) {
            return call != SleepsIn::Runs;
        }
        if self.sleep.knows_selector() {
            return false;
        }
        let Some(place) = self.files.selects_at() else {
            return false;
        };
        let thread = (self.thread().native, self.heartbeat.below());
        self.selector.is_at(place, thread, &self.files, native)
    }

    fn look(&mut self, sample: &Sample<'_>, native: Option<&mut NativeStacks>) -> Doing {
        if self.is_asleep(native) {
            return Doing::Asleep;
        }
        doing(sample, self.thread(), &self.files)
    }
}

/// What the thread `own` of a loop is doing that is not asleep in its selector.
pub fn doing(sample: &Sample<'_>, own: ThreadIds, files: &ThreadFiles) -> Doing {
    let holder = sample.holder().filter(|holder| holder.native != 0);
    let holds_gil = holder.is_some_and(|holder| holder.native == own.native);
    match files.activity(sample.gil.map(|(gil, _)| gil)) {
        Activity::HoldsGil => Doing::HoldsGil,
        Activity::Runs if holds_gil => Doing::HoldsGil,
        // The GIL was read some microseconds before the thread's call.
        Activity::Sleeps if holds_gil && sample.is_same_hold_now() => Doing::HoldsGil,
        Activity::Runs if sample.gil.is_none() => Doing::Unknown,
        Activity::Runs => Doing::Runs,
        Activity::Sleeps => Doing::Sleeps,
        Activity::WaitsForGil => {
            let other = holder.filter(|_| !holds_gil);
            Doing::WaitsForGil(other.unwrap_or_default())
        }
        Activity::Unknown => Doing::Unknown,
    }
}
