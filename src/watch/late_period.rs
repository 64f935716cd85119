//! The time during which a loop's heartbeat is late: collects the samples as evidence.

use crate::gc_pauses::GcListener;
use crate::gil::{Gil, GilState, ThreadIds};
use crate::watch::evidence::Evidence;
use crate::watch::gil_usage::Hold;
use crate::watch::thread_files::{Activity, CpuTimes, ThreadFiles};

/// A sample counts for the time since the last one, but not for more than this: what happened before that is unknown.
const MAX_NS_PER_SAMPLE: u64 = 5_000_000;
/// A hold is long if it takes more than this many switch intervals of CPU time, or of sleep. A thread that runs Python
/// releases the GIL after one, if another thread asks for it.
pub const LONG_HOLD_SWITCH_INTERVALS: u64 = 4;
/// The CPU time of a hold's thread is measured once the hold has lasted for this many switch intervals.
const MEASURED_HOLD_SWITCH_INTERVALS: u64 = 2;
/// Contenders with figures of their own in one stall.
const MAX_CONTENDERS: usize = 32;

/// A loop that is late now.
pub struct LatePeriod {
    pub id: u64,
    pub due_ns: u64,
    /// When the loop was late by half a stall, and which thread held the GIL then.
    pub noticed: Option<(u64, Option<ThreadIds>)>,
    evidence: Evidence,
    cpu_before: Option<CpuTimes>,
    switches_before: Option<u64>,
    last_activity: Option<Activity>,
    waited_for: Option<WaitedFor>,
}

/// The hold whose end the loop is waiting for.
struct WaitedFor {
    hold: Hold,
    waited_ns: u64,
    long_ns: u64,
    /// The holder's files, and its CPU times when the hold had become worth measuring.
    measured: Option<(ThreadFiles, Option<CpuTimes>)>,
}

/// What the sampler sees at one moment.
pub struct Sample<'a> {
    /// The time since the last sample.
    pub gap_ns: u64,
    pub gil: Option<(Gil, GilState)>,
    pub hold: Option<Hold>,
    pub gc: &'a GcListener,
}

impl Sample<'_> {
    pub fn holder(&self) -> Option<ThreadIds> {
        self.gil.and_then(|(_, state)| state.holder)
    }
}

impl LatePeriod {
    pub fn new(id: u64, due_ns: u64, cpu_before: Option<CpuTimes>) -> Self {
        Self {
            id,
            due_ns,
            noticed: None,
            evidence: Evidence::default(),
            cpu_before,
            switches_before: None,
            last_activity: None,
            waited_for: None,
        }
    }

    /// The threads that the loop has waited for so far.
    pub fn contenders(&self) -> impl Iterator<Item = ThreadIds> + use<'_> {
        self.evidence.contenders.keys().copied()
    }

    /// Adds what a sample shows of the loop's thread, and of the thread that it waits for. Returns that thread.
    pub fn add(
        &mut self,
        late_ns: u64,
        sample: &Sample<'_>,
        own: ThreadIds,
        files: &ThreadFiles,
    ) -> Option<ThreadIds> {
        let activity = self.activity(sample, own, files);
        let span_ns = self.counts_for(activity, sample.gap_ns.min(late_ns));
        let evidence = &mut self.evidence;
        if let Some((_, state)) = sample.gil {
            let before = *self.switches_before.get_or_insert(state.switches);
            evidence.switches = state.switches.saturating_sub(before);
        }
        let spent = match activity {
            Activity::HoldsGil => &mut evidence.held_ns,
            Activity::WaitsForGil => &mut evidence.waited_ns,
            Activity::Sleeps => &mut evidence.slept_ns,
            Activity::Runs => &mut evidence.ran_without_gil_ns,
            Activity::Unknown => &mut evidence.unknown_ns,
        };
        *spent += span_ns;
        match activity {
            Activity::WaitsForGil | Activity::Unknown => {
                return self.add_contender(span_ns, sample);
            }
            Activity::HoldsGil if sample.gc.is_collecting_in(own.ident) => {
                evidence.collected_ns += span_ns;
            }
            _ => (),
        }
        self.end_wait();
        None
    }

    fn activity(&self, sample: &Sample<'_>, own: ThreadIds, files: &ThreadFiles) -> Activity {
        let holds = |holder: ThreadIds| holder.native != 0 && holder.native == own.native;
        if sample.holder().is_some_and(holds) {
            return Activity::HoldsGil;
        }
        match files.activity(sample.gil.map(|(gil, _)| gil)) {
            // A waiting thread wakes up every switch interval, asks for the GIL again, and waits on: one wait for one hold.
            Activity::Runs if self.still_waits_for(sample.hold) => Activity::WaitsForGil,
            activity => activity,
        }
    }

    fn still_waits_for(&self, hold: Option<Hold>) -> bool {
        let same = |waited_for: &WaitedFor| {
            hold.is_some_and(|hold| {
                hold.by == waited_for.hold.by && hold.from_ns == waited_for.hold.from_ns
            })
        };
        self.waited_for.as_ref().is_some_and(same)
    }

    /// How much of a gap a sample counts for. An activity that is the same before and after a long gap is taken to have
    /// lasted; otherwise it is unknown what happened in between.
    fn counts_for(&mut self, activity: Activity, gap_ns: u64) -> u64 {
        let lasted = self.last_activity.replace(activity) == Some(activity);
        let span_ns = if lasted {
            gap_ns
        } else {
            gap_ns.min(MAX_NS_PER_SAMPLE)
        };
        self.evidence.sampled_ns += span_ns;
        self.evidence.unsampled_ns += gap_ns - span_ns;
        span_ns
    }

    /// Counts `span_ns` to the thread that holds the GIL. Returns that thread.
    fn add_contender(&mut self, span_ns: u64, sample: &Sample<'_>) -> Option<ThreadIds> {
        let (holder, hold, (gil, _)) = (sample.holder()?, sample.hold?, sample.gil?);
        if !self.still_waits_for(Some(hold)) {
            self.end_wait();
            self.waited_for = Some(WaitedFor {
                hold,
                waited_ns: 0,
                long_ns: LONG_HOLD_SWITCH_INTERVALS * gil.interval_ns(),
                measured: None,
            });
        }
        let waited_for = self.waited_for.as_mut()?;
        waited_for.hold = hold;
        let contenders = &mut self.evidence.contenders;
        if contenders.len() >= MAX_CONTENDERS && !contenders.contains_key(&holder) {
            return None;
        }
        let contender = contenders.entry(holder).or_default();
        let length_ns = hold.length_ns();
        contender.held_ns += span_ns;
        contender.longest_ns = contender.longest_ns.max(length_ns);
        if sample.gc.is_collecting_in(holder.ident) {
            contender.collected_ns += span_ns;
        }
        waited_for.waited_ns += span_ns;
        if waited_for.measured.is_none()
            && length_ns > MEASURED_HOLD_SWITCH_INTERVALS * gil.interval_ns()
        {
            let files = ThreadFiles::new(holder.native);
            let cpu = files.cpu_times();
            waited_for.measured = Some((files, cpu));
        }
        Some(holder)
    }

    /// The hold that the loop waited for has ended, or the loop waits no more: was the hold long, or was its thread only not
    /// running?
    fn end_wait(&mut self) {
        let Some(ended) = self.waited_for.take() else {
            return;
        };
        let (Some((files, before)), Some(contender)) = (
            ended.measured,
            self.evidence.contenders.get_mut(&ended.hold.by),
        ) else {
            return;
        };
        let queued_ns = before.zip(files.cpu_times()).map_or(0, |(before, after)| {
            after.queued_ns.saturating_sub(before.queued_ns)
        });
        contender.queued_ns += queued_ns;
        if ended.hold.length_ns().saturating_sub(queued_ns) > ended.long_ns {
            contender.held_long_ns += ended.waited_ns;
        }
    }

    /// Ends the period: the heartbeat came at `came_ns`, and `cpu` is what the loop's thread has used by now.
    pub fn finish(
        mut self,
        came_ns: u64,
        cpu: Option<CpuTimes>,
    ) -> (Option<(u64, Option<ThreadIds>)>, Evidence) {
        self.end_wait();
        let seen_ns = self.evidence.sampled_ns + self.evidence.unsampled_ns;
        self.evidence.unsampled_ns += came_ns.saturating_sub(self.due_ns).saturating_sub(seen_ns);
        self.evidence.cpu = self.cpu_before.zip(cpu).map(|(before, after)| CpuTimes {
            ran_ns: after.ran_ns.saturating_sub(before.ran_ns),
            queued_ns: after.queued_ns.saturating_sub(before.queued_ns),
        });
        (self.noticed, self.evidence)
    }
}
