//! How long each thread held the GIL: sums that only grow, and the single holds.

use std::collections::HashMap;

use crate::gil::{GilState, ThreadIds};
use crate::watch::hold_trace::HoldTrace;
use crate::watch::long_hold::LongHold;
use crate::watch::ring::{Kept, Span};

/// Threads with a sum of their own. If there are more, those that held the GIL for the shortest time share one.
const MAX_THREADS: usize = 256;
/// A hold that is longer may be a hog's.
const LONG_HOLD_NS: u64 = 10_000_000;

/// One uninterrupted hold of the GIL, as far as the samples saw it.
pub type Hold = Span;

/// The sums, and the current hold.
pub struct GilUsage {
    /// When the last planned sample was taken.
    pub last_ns: u64,
    /// When the next one is planned.
    pub planned_ns: u64,
    pub samples: u64,
    pub held_ns: u64,
    pub by_thread: HashMap<ThreadIds, u64>,
    trace: HoldTrace,
    last: Option<GilState>,
    /// The last sample, planned or not.
    seen_ns: u64,
    seen: Option<GilState>,
    hold: Option<Hold>,
    long: Option<LongHold>,
    /// Whether `by_thread` has a thread whose name has not been read.
    has_unnamed: bool,
}

impl GilUsage {
    pub fn new(now_ns: u64, trace: bool) -> Self {
        Self {
            last_ns: now_ns,
            planned_ns: now_ns,
            samples: 0,
            held_ns: 0,
            by_thread: HashMap::new(),
            trace: HoldTrace::new(now_ns, trace),
            last: None,
            seen_ns: now_ns,
            seen: None,
            hold: None,
            long: None,
            has_unnamed: false,
        }
    }

    /// Adds a planned sample. Half of the time since the last planned sample counts for what that one showed, half for what this
    /// one shows. This is unbiased, because the gaps are random, and their lengths do not depend on what the samples at their
    /// ends show; and it is complete: no time is lost when the sampler itself does not run.
    pub fn add(&mut self, now_ns: u64, state: GilState) {
        if now_ns < self.last_ns {
            return; // another thread has added a later sample first
        }
        let gap = now_ns - self.last_ns;
        let earlier = self.last.and_then(|last| last.holder);
        if self.last.is_some() {
            self.credit(earlier, gap / 2);
        }
        self.credit(state.holder, gap - gap / 2);
        self.trace.add(self.last_ns + gap / 2, state);
        self.samples += 1;
        self.last = Some(state);
        self.last_ns = now_ns;
        self.follow(now_ns, state);
    }

    /// What happened up to `now_ns` is unknown: it counts for no thread.
    pub fn skip(&mut self, now_ns: u64) {
        let free = GilState {
            holder: None,
            switches: 0,
        };
        self.trace.add(self.last_ns, free);
        (self.last, self.seen, self.hold) = (None, None, None);
        (self.last_ns, self.seen_ns) = (now_ns, now_ns);
    }

    /// Follows the current hold. A sample that was not planned is not credited to the thread that holds the GIL.
    pub fn follow(&mut self, now_ns: u64, state: GilState) {
        if now_ns < self.seen_ns {
            return; // as above
        }
        if let Some(long) = &mut self.long {
            long.add(now_ns - self.seen_ns, state);
        }
        match (&mut self.hold, state.holder) {
            (Some(hold), Some(_)) if self.seen == Some(state) => {
                hold.to_ns = now_ns;
                if hold.length_ns() > LONG_HOLD_NS {
                    self.long = Some(LongHold::new(*hold, state.switches));
                }
            }
            (_, holder) => {
                self.hold = holder.map(|by| Hold {
                    by,
                    from_ns: now_ns,
                    to_ns: now_ns,
                });
            }
        }
        self.seen = Some(state);
        self.seen_ns = now_ns;
    }

    /// Adds a sample that shows the same as the last one, if the sampler has not run for much longer than planned.
    pub fn add_unchanged_if_overdue(&mut self, now_ns: u64) {
        let gap_ns = self.planned_ns.saturating_sub(self.last_ns);
        if let Some(last) = self.last
            && now_ns > self.planned_ns + gap_ns
        {
            self.add(now_ns, last);
        }
    }

    /// The current hold, from the first sample that showed it to the last.
    pub fn current_hold(&self) -> Option<Hold> {
        self.hold
    }

    /// The latest holds, those that ended after `since_ns` and maybe some before. With the current one, if `complete`, the sum of
    /// their lengths is the credited time.
    pub fn kept(&self, since_ns: u64, complete: bool) -> Kept {
        self.trace.kept(since_ns, complete.then_some(self.last_ns))
    }

    /// Keeps a hold that has ended.
    pub fn keep(&mut self, hold: Hold) {
        self.trace.keep(hold);
    }

    /// How many bytes the latest holds take.
    pub fn size_of_holds(&self) -> usize {
        self.trace.size()
    }

    /// The last long hold, if it lasted until `since_ns` or longer.
    pub fn long_hold(&self, since_ns: u64, now_ns: u64) -> Option<LongHold> {
        let long = self.long.filter(|long| long.hold.to_ns >= since_ns)?;
        Some(long.seen_until(self.seen_ns, now_ns))
    }

    /// There is a thread without a name, which has not been seen to hold the GIL.
    pub fn note_unnamed(&mut self) {
        self.has_unnamed = true;
    }

    /// Whether a thread without a name has been added since the last call of [`Self::take_unnamed`].
    pub fn has_unnamed(&self) -> bool {
        self.has_unnamed
    }

    /// Whether a thread without a name has been added since the last call.
    pub fn take_unnamed(&mut self) -> bool {
        std::mem::take(&mut self.has_unnamed)
    }

    fn credit(&mut self, holder: Option<ThreadIds>, span_ns: u64) {
        let Some(thread) = holder else { return };
        self.held_ns += span_ns;
        if let Some(sum) = self.by_thread.get_mut(&thread) {
            *sum += span_ns;
            return;
        }
        if self.by_thread.len() >= MAX_THREADS {
            self.merge_smallest();
        }
        self.has_unnamed = true;
        self.by_thread.insert(thread, span_ns);
    }

    /// Merges the half that held the GIL for the shortest time into one entry without ids.
    fn merge_smallest(&mut self) {
        let mut sums: Vec<_> = self.by_thread.drain().collect();
        sums.sort_unstable_by_key(|&(_, sum)| std::cmp::Reverse(sum));
        let small = sums.split_off(MAX_THREADS / 2);
        self.by_thread.extend(sums);
        *self.by_thread.entry(ThreadIds::default()).or_default() +=
            small.iter().map(|&(_, sum)| sum).sum::<u64>();
    }
}

#[cfg(test)]
mod tests {
    use super::{GilUsage, MAX_THREADS};
    use crate::gil::{GilState, ThreadIds};

    fn held(native: u64, switches: u64) -> GilState {
        let ids = ThreadIds {
            ident: native,
            native,
        };
        GilState {
            holder: Some(ids),
            switches,
        }
    }

    const FREE: GilState = GilState {
        holder: None,
        switches: 0,
    };

    #[test]
    fn a_gap_is_divided_between_the_two_samples_at_its_ends() {
        let mut usage = GilUsage::new(0, false);
        usage.add(0, FREE);
        usage.add(1000, held(7, 1));
        usage.add(2000, held(7, 1));
        usage.add(3000, FREE);
        assert_eq!(usage.held_ns, 2000);
        usage.add(1_000_000, FREE);
        assert_eq!(usage.held_ns, 2000);
    }

    #[test]
    fn a_hold_goes_on_until_the_gil_changes_hands() {
        let mut usage = GilUsage::new(0, true);
        usage.add(0, held(7, 1));
        usage.add(1000, held(7, 1));
        assert!(
            usage
                .current_hold()
                .is_some_and(|hold| hold.to_ns - hold.from_ns == 1000)
        );
        usage.add(2000, held(7, 3));
        assert!(
            usage
                .current_hold()
                .is_some_and(|hold| hold.from_ns == 2000)
        );
    }

    #[test]
    fn the_sum_of_the_kept_holds_is_the_credited_time() {
        let mut usage = GilUsage::new(0, true);
        for (at, state) in [
            (1000, held(7, 1)),
            (1700, held(7, 1)),
            (3001, held(8, 2)), // seen once
            (4000, FREE),
            (9000, held(7, 3)),
            (9500, held(7, 3)),
        ] {
            usage.add(at, state);
        }
        let kept: Vec<_> = usage.kept(0, true).spans().collect();
        let ends: Vec<_> = kept.iter().map(|hold| (hold.from_ns, hold.to_ns)).collect();
        assert_eq!(ends, [(500, 2350), (2350, 3500), (6500, 9500)]);
        let sum: u64 = kept.iter().map(|hold| hold.length_ns()).sum();
        assert_eq!(sum, usage.held_ns);
    }

    #[test]
    fn a_stack_is_too_late_once_the_hog_may_have_acquired_the_gil_again() {
        let mut usage = GilUsage::new(0, false);
        usage.add(0, held(7, 1));
        usage.add(20_000_000, held(7, 1));
        let moved_on = |usage: &GilUsage, now_ns, switches, sleeps| {
            let long = usage.long_hold(0, now_ns).unwrap();
            long.may_have_moved_on(switches, || sleeps)
        };
        assert!(!moved_on(&usage, 20_000_000, 3, true));
        usage.add(21_000_000, held(8, 2));
        assert!(!moved_on(&usage, 21_000_000, 3, true));
        assert!(!moved_on(&usage, 21_000_000, 4, false)); // only others have had the GIL
        assert!(moved_on(&usage, 21_000_000, 4, true));
        assert!(moved_on(&usage, 27_000_000, 4, false)); // it is unknown who had it
        usage.add(22_000_000, held(7, 5));
        assert!(moved_on(&usage, 22_000_000, 6, false));
        assert!(usage.long_hold(20_500_000, 22_000_000).is_none());
    }

    #[test]
    fn any_number_of_threads_takes_constant_memory_and_no_time_is_lost() {
        let mut usage = GilUsage::new(0, false);
        for thread in 0..10_000 {
            usage.add(thread * 1000, held(thread + 1, thread));
        }
        assert!(usage.by_thread.len() <= MAX_THREADS);
        assert_eq!(usage.by_thread.values().sum::<u64>(), 9_999_000);
    }
}
