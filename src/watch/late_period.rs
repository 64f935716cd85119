//! The time during which a loop's heartbeat is late: collects the samples as evidence, in segments with a stack sample each.

mod stack_taking;

use crate::gil::ThreadIds;
use crate::watch::evidence::Evidence;
use crate::watch::gil_wait::{GilWait, Kind, Sample};
use crate::watch::segment::{Pauses, Segment};
use crate::watch::stacks::Stack;
use crate::watch::thread_files::{Activity, CpuTimes, ThreadFiles};

/// A sample counts for the time since the last one, but not for more than this, unless the sampler meant to wait for longer: what
/// happened before that is unknown.
const MAX_NS_PER_SAMPLE: u64 = 5_000_000;

/// When stacks were first taken or requested, and which thread held the GIL then.
pub type Noticed = Option<(u64, Option<ThreadIds>)>;

/// A loop that is late now.
pub struct LatePeriod {
    pub due_ns: u64,
    pub(super) stall_ns: u64,
    pauses: Pauses,
    pub noticed: Noticed,
    /// There is always one at least.
    pub(super) segments: Vec<Segment>,
    /// The number of the request that has not been answered.
    pending: Option<u64>,
    next_request_ns: u64,
    /// Whether the loop's own callback held the GIL when the last stacks were taken; `None` if it waited for the GIL.
    held_at_sample: Option<bool>,
    early_requests: usize,
    /// When the time begins that is nearer to the next stack sample than to the last one.
    border_ns: Option<u64>,
    switches_before: Option<i64>,
    last_activity: Option<Activity>,
    /// How often in a row stacks could not be read.
    failures: u32,
    /// How often stacks were read early, for a hold that the last ones did not show.
    unseen_holds: u32,
    pub(super) wait: Option<GilWait>,
}

impl LatePeriod {
    pub fn new(due_ns: u64, stall_ns: u64, pauses: Pauses, cpu_before: Option<CpuTimes>) -> Self {
        Self {
            due_ns,
            stall_ns,
            pauses,
            noticed: None,
            segments: vec![Segment::new(cpu_before)],
            pending: None,
            next_request_ns: due_ns + stall_ns / pauses.first_part,
            held_at_sample: None,
            early_requests: 0,
            border_ns: None,
            switches_before: None,
            last_activity: None,
            wait: None,
            failures: 0,
            unseen_holds: 0,
        }
    }

    /// Adds what a sample shows of the loop's thread, and of the thread that it waits for.
    pub fn add(&mut self, sample: &Sample<'_>, own: ThreadIds, files: &ThreadFiles) {
        let activity = self.activity(sample, own, files);
        self.request_early_if_changed(activity, sample.now_ns, files);
        if self.border_ns.is_some_and(|at_ns| sample.now_ns >= at_ns) {
            self.begin_segment(files.cpu_times());
        }
        let late_ns = sample.now_ns.saturating_sub(self.due_ns);
        let span_ns = self.counts_for(
            activity,
            sample.gap_ns.min(late_ns),
            MAX_NS_PER_SAMPLE.max(sample.planned_gap_ns),
        );
        // During a turn of the prober the number is smaller by one for a moment: only what exceeds the highest counts.
        let highest = self.switches_before.unwrap_or(sample.switches);
        let switches = sample.switches - highest;
        self.switches_before = Some(highest.max(sample.switches));
        let evidence = self.evidence();
        evidence.switches += u64::try_from(switches).unwrap_or(0);
        match activity {
            Activity::WaitsForGil => self.add_wait(span_ns, sample, Kind::WaitsForGil),
            Activity::Unknown => self.add_wait(span_ns, sample, Kind::MayWaitForGil),
            Activity::Sleeps => {
                evidence.slept_ns += span_ns;
                self.add_wait(span_ns, sample, Kind::Sleeps);
            }
            Activity::HoldsGil => {
                evidence.held_ns += span_ns;
                if sample.is_collecting_in(own.ident) {
                    evidence.collected_ns += span_ns;
                }
                self.end_wait();
            }
            Activity::Runs => {
                evidence.ran_without_gil_ns += span_ns;
                self.end_wait();
            }
        }
    }

    fn begin_segment(&mut self, cpu: Option<CpuTimes>) {
        self.border_ns = None;
        if let (Some(wait), Some(segment)) = (&mut self.wait, self.segments.last_mut())
            && segment.shows_hold(wait.hold.from_ns)
            && wait.is_long()
        {
            wait.credit(&mut segment.evidence); // else all of the wait goes to the segment in which it ends
        }
        self.end_last_segment(cpu);
        self.segments.push(Segment::new(cpu));
    }

    fn end_last_segment(&mut self, cpu: Option<CpuTimes>) {
        if let Some(segment) = self.segments.last_mut() {
            segment.end(cpu);
        }
    }

    /// Adds the last segment to the one before it, whose stacks are the nearest.
    fn merge_last_segment(&mut self) {
        if let [.., nearest, rest] = &mut self.segments[..] {
            nearest.evidence.merge(std::mem::take(&mut rest.evidence));
            self.segments.pop();
        }
    }

    fn evidence(&mut self) -> &mut Evidence {
        let last = self.segments.len() - 1;
        &mut self.segments[last].evidence
    }

    fn activity(&self, sample: &Sample<'_>, own: ThreadIds, files: &ThreadFiles) -> Activity {
        let holds = |holder: ThreadIds| holder.native != 0 && holder.native == own.native;
        if sample.holder().is_some_and(holds) {
            return Activity::HoldsGil;
        }
        match files.activity(sample.gil.map(|(gil, _)| gil)) {
            // Whatever the thread waits for, the GIL is free.
            Activity::Unknown if sample.is_gil_free() => Activity::Sleeps,
            // A waiting thread wakes up every switch interval, asks for the GIL again, and waits on: one wait for one hold.
            Activity::Runs
                if self
                    .wait
                    .as_ref()
                    .is_some_and(|wait| wait.kind != Kind::Sleeps && wait.goes_on(sample)) =>
            {
                Activity::WaitsForGil
            }
            activity => activity,
        }
    }

    /// How much of a gap a sample counts for. An activity that is the same before and after a long gap is taken to have
    /// lasted; otherwise it is unknown what happened in between.
    fn counts_for(&mut self, activity: Activity, gap_ns: u64, limit_ns: u64) -> u64 {
        let lasted = self.last_activity.replace(activity) == Some(activity);
        let span_ns = if lasted { gap_ns } else { gap_ns.min(limit_ns) };
        let evidence = self.evidence();
        evidence.sampled_ns += span_ns;
        evidence.unsampled_ns += gap_ns - span_ns;
        span_ns
    }

    /// Counts `span_ns` to the thread that the loop waits for, or may be waiting for.
    fn add_wait(&mut self, span_ns: u64, sample: &Sample<'_>, kind: Kind) {
        let goes_on = |wait: &GilWait| wait.kind == kind && wait.goes_on(sample);
        if !self.wait.as_ref().is_some_and(goes_on) {
            self.end_wait();
            self.wait = GilWait::begin(sample, kind);
        }
        match (&mut self.wait, kind) {
            (Some(wait), _) => wait.add(span_ns, sample),
            (None, Kind::WaitsForGil) => self.evidence().waited_ns += span_ns,
            (None, Kind::MayWaitForGil) => self.evidence().unknown_ns += span_ns,
            (None, Kind::Sleeps) => {}
        }
    }

    /// The loop does not wait for that thread any more.
    fn end_wait(&mut self) {
        if let Some(mut wait) = self.wait.take() {
            wait.credit(self.evidence());
        }
    }

    /// Ends the period: the heartbeat came at `came_ns`, and `cpu` is what the loop's thread has used by now. Returns the
    /// number of the request whose answer belongs to the last segment.
    pub fn finish(
        mut self,
        came_ns: u64,
        cpu: Option<CpuTimes>,
    ) -> (Noticed, Vec<Segment>, Option<u64>) {
        self.end_wait();
        let seen_ns: u64 = self
            .segments
            .iter()
            .map(|segment| segment.evidence.sampled_ns + segment.evidence.unsampled_ns)
            .sum();
        self.evidence().unsampled_ns += came_ns.saturating_sub(self.due_ns).saturating_sub(seen_ns);
        self.end_last_segment(cpu);
        if self.pending.is_none() && self.segments.last().is_some_and(|it| it.sample.is_none()) {
            self.merge_last_segment(); // no stacks were requested any more
        }
        (self.noticed, self.segments, self.pending)
    }

    /// The number of the request that has not been answered.
    pub fn pending(&self) -> Option<u64> {
        self.pending
    }

    /// Whether the loop's thread waited for the GIL when the last sample was taken.
    pub fn waits_for_gil(&self) -> bool {
        self.last_activity == Some(Activity::WaitsForGil)
    }

    /// The latest stack of the thread `ident` that was taken, and when.
    pub fn stack_taken(&self, ident: u64) -> Option<(u64, &Stack)> {
        let mut samples = self.segments.iter().rev();
        let sample = samples.find_map(|segment| segment.sample.as_ref())?;
        let stack = sample.stacks.iter().find(|stack| stack.ident == ident)?;
        Some((sample.attached_ns, stack))
    }
}
