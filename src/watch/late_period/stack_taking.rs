//! When stacks are taken of a late loop, and to which part of the late period they belong.

use super::LatePeriod;
use crate::gil::ThreadIds;
use crate::watch::gil_wait::Sample;
use crate::watch::native_stacks::NativeStacks;
use crate::watch::segment::Segment;
use crate::watch::stack_requests::{StackRequests, StackSample};
use crate::watch::state::WatchState;
use crate::watch::thread_files::{Activity, ThreadFiles};

/// Stacks of a hold are read once it has lasted for this part of a stall.
const HOLD_PART: u64 = 10;
/// If the stack of the thread that holds the GIL could not be read this often in a row, the others have to do.
const MAX_FAILURES: u32 = 5;
/// For how many holds in one late period stacks are read before it is time to: their number is limited, as all others are.
const MAX_UNSEEN_HOLDS: u32 = 200;
/// How often stacks are requested early in one late period, because the callback does something else.
const MAX_EARLY_REQUESTS: usize = 30;

impl LatePeriod {
    /// Requests stacks if it is time to. `requests_so_far` numbers them.
    pub fn request_stacks(
        &mut self,
        requests: &StackRequests,
        sample: &Sample<'_>,
        (loop_number, ident): (u64, u64),
        requests_so_far: &mut u64,
    ) {
        if let Some(answer) = self.pending.and_then(|id| requests.take_sample(id)) {
            self.set_sample(answer, sample.now_ns);
        }
        if self.pending.is_none() && sample.now_ns >= self.next_request_ns {
            let is_first = self.noticed.is_none();
            self.noticed
                .get_or_insert_with(|| (sample.now_ns, sample.holder()));
            *requests_so_far += 1;
            self.pending = Some(*requests_so_far);
            let stacks_of_others = is_first && self.wait.is_none();
            requests.ask(
                *requests_so_far,
                sample.now_ns,
                loop_number,
                ident,
                stacks_of_others,
            );
            for contender in self.evidence().contenders.keys() {
                requests.add_thread(*requests_so_far, contender.ident);
            }
        }
        if let (Some(id), Some(wait)) = (self.pending, &self.wait) {
            requests.add_thread(id, wait.hold.by.ident);
        }
    }

    /// Reads stacks if it is time to: because the last ones are old, or do not show the hold that the loop waits for.
    /// `is_over` says whether the late beat has come meanwhile. Returns whether there are new stacks.
    pub fn read_stacks(
        &mut self,
        (watch, native): (&WatchState, &mut NativeStacks),
        sample: &Sample<'_>,
        (own, files, event_loop): (ThreadIds, &ThreadFiles, usize),
        is_over: impl FnOnce() -> bool,
    ) -> bool {
        let hold_is_unseen = self.hold_is_unseen();
        let is_due = sample.now_ns >= self.next_request_ns;
        if !(is_due || hold_is_unseen) || !native.has_time() {
            return false;
        }
        if !is_due {
            self.unseen_holds += 1;
        }
        self.noticed
            .get_or_insert_with(|| (sample.now_ns, sample.holder()));
        let others: Vec<_> = self.evidence().contenders.keys().copied().collect();
        let takes_less = self.failures >= MAX_FAILURES;
        let answer = native.take(
            watch,
            sample,
            own,
            others.into_iter(),
            event_loop,
            takes_less,
        );
        let Some(answer) = answer.filter(|_| !is_over()) else {
            self.failures += 1;
            return false; // until the next sample
        };
        self.failures = 0;
        if self.border_ns.is_some() {
            self.begin_segment(files.cpu_times()); // the last segment has stacks of its own
        }
        if self.is_like_the_segment_before(&answer) {
            let cpu = files.cpu_times();
            self.end_last_segment(cpu);
            self.merge_last_segment();
        }
        self.set_sample(answer, sample.now_ns);
        true
    }

    /// Whether the loop waits for a hold that the last stacks cannot show, and that has lasted long enough to matter.
    fn hold_is_unseen(&self) -> bool {
        let (Some(wait), Some(last)) = (&self.wait, self.segments.last()) else {
            return false;
        };
        if self.unseen_holds > MAX_UNSEEN_HOLDS {
            return false;
        }
        let is_long_enough = wait.hold.length_ns() >= self.stall_ns / HOLD_PART;
        is_long_enough
            && wait.hold.by.native != 0
            && last.sample.as_ref().is_some_and(|sample| {
                sample.attached_ns < wait.hold.from_ns || !sample.has_stack_of(wait.hold.by)
            })
            && self.failures < MAX_FAILURES
    }

    fn is_like_the_segment_before(&self, answer: &StackSample) -> bool {
        matches!(&self.segments[..], [.., before, _]
            if before.sample.as_ref().is_some_and(|sample| sample.shows_same(answer)))
    }

    /// The last stacks show nothing of what the callback does now, if it held the GIL then and waits now, or the reverse.
    pub(super) fn request_early_if_changed(
        &mut self,
        activity: Activity,
        now_ns: u64,
        files: &ThreadFiles,
    ) {
        let holds = match activity {
            Activity::HoldsGil => true,
            Activity::Sleeps | Activity::Runs => false,
            Activity::WaitsForGil | Activity::Unknown => return,
        };
        let changed = self.held_at_sample == Some(!holds);
        if self.border_ns.is_none() {
            self.held_at_sample = Some(holds); // the next stacks will show just this
        }
        if !changed
            || self.pending.is_some()
            || self.early_requests >= MAX_EARLY_REQUESTS
            || (self.border_ns.is_none() && self.segments.len() < 2)
        {
            return;
        }
        self.early_requests += 1;
        self.next_request_ns = self
            .next_request_ns
            .min(now_ns + self.pauses.early_ns(self.stall_ns));
        if self.border_ns.is_some() {
            self.border_ns = Some(now_ns);
        } else {
            // What this segment has seen is like what the last stacks show.
            let cpu = files.cpu_times();
            self.end_last_segment(cpu);
            self.merge_last_segment();
            self.segments.push(Segment::new(cpu));
        }
    }

    fn set_sample(&mut self, answer: StackSample, now_ns: u64) {
        let late_ns = answer.attached_ns.saturating_sub(self.due_ns);
        let pause_ns = self.pauses.pause_ns(self.stall_ns, late_ns, &answer);
        let after_ns = answer.attached_ns + pause_ns;
        self.next_request_ns = after_ns.max(now_ns);
        if late_ns < self.stall_ns {
            // When the late period becomes a stall, the line that is reported at once is of that moment.
            let stall_at_ns = self.due_ns + self.stall_ns;
            self.next_request_ns = self.next_request_ns.min(stall_at_ns.max(now_ns));
        }
        self.border_ns = Some(answer.attached_ns.midpoint(self.next_request_ns));
        self.pending = None;
        if let Some(segment) = self.segments.last_mut() {
            segment.sample = Some(answer);
        }
    }
}
