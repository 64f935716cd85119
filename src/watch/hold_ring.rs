//! The holds of the GIL in the last minutes, in bounded memory and without a gap.
//!
//! A second has room for some 1200 holds one by one, and for those that the seconds before it did not have. If there are
//! more, the short ones of what is left of that second are merged: one hold for each thread, one after another. So the time that each thread held the GIL in each second stays as it
//! was, and only the order within a second is lost.

use crate::gil::ThreadIds;
use crate::watch::allowance::Allowance;
use crate::watch::ring::{Kept, Limits, Ring, Span};

/// Holds are kept this long.
pub const AGE_NS: u64 = 600_000_000_000;
/// How many holds are kept at least in a watch that traces, whatever their age.
pub const HOLDS_KEPT: usize = 200_000;
const MAX_BYTES: usize = 4_500_000;
const SECOND_NS: u64 = 1_000_000_000;
/// Bytes that a second may add for holds that are kept one by one. What it does not use is left for the next seconds, up to
/// `MAX_SECONDS_LEFT` of them. So ten minutes fit, with the merged holds and what the blocks of the ring take.
const BYTES_OF_A_SECOND: usize =
    (MAX_BYTES - 200_000) / (600 + MAX_SECONDS_LEFT) - 8 * MAX_THREADS_MERGED;
const MAX_SECONDS_LEFT: usize = 20;
/// Longer holds are always kept one by one: there cannot be many of them in a second.
const SHORT_NS: u64 = 20_000_000;
/// If more threads than this have holds that are merged, the others' become those of an unknown thread.
const MAX_THREADS_MERGED: usize = 64;

pub struct HoldRing {
    ring: Ring,
    merges: bool,
    /// The second in which the last hold ended.
    second: u64,
    left: Allowance,
    merged: Merged,
}

/// Holds of one second that have been merged so far.
#[derive(Default)]
struct Merged {
    from_ns: u64,
    sums: Vec<(ThreadIds, u64)>,
}

impl HoldRing {
    /// A watch that traces merges no holds.
    pub fn new(trace: bool) -> Self {
        let limits = Limits {
            age_ns: AGE_NS,
            bytes: MAX_BYTES,
            spans: if trace { HOLDS_KEPT } else { 0 },
            unit_ns: 1,
        };
        Self {
            ring: Ring::new(limits),
            merges: !trace,
            second: 0,
            left: Allowance::new(BYTES_OF_A_SECOND, MAX_SECONDS_LEFT),
            merged: Merged::default(),
        }
    }

    /// Adds a hold that ended after all others.
    pub fn add(&mut self, hold: Span) {
        let mut hold = hold;
        let second = hold.to_ns / SECOND_NS;
        if second != self.second {
            let border_ns = second * SECOND_NS;
            if !self.merged.sums.is_empty() && hold.from_ns < border_ns {
                let (before, after) = divided(hold, border_ns);
                self.add_to_second(before);
                hold = after;
            }
            self.write_merged();
            self.left.add(second.saturating_sub(self.second));
            self.second = second;
        }
        if hold.length_ns() > 0 {
            self.add_to_second(hold);
        }
    }

    /// The holds that ended after `since_ns`, and maybe some before.
    pub fn kept(&self, since_ns: u64) -> Kept {
        let mut kept = self.ring.kept(since_ns);
        kept.rest.extend(self.merged.spans());
        kept
    }

    /// How many bytes the holds take.
    pub fn size(&self) -> usize {
        self.ring.size() + self.merged.sums.capacity() * size_of::<(ThreadIds, u64)>()
    }

    fn add_to_second(&mut self, hold: Span) {
        let is_crowded = self.merges && self.left.is_used_up();
        if is_crowded && hold.length_ns() < SHORT_NS {
            self.merged.add(hold);
        } else {
            self.write_merged();
            self.left.take(self.ring.add(hold));
        }
    }

    fn write_merged(&mut self) {
        let merged = std::mem::take(&mut self.merged);
        for hold in merged.spans() {
            self.ring.add(hold);
        }
    }
}

impl Merged {
    fn add(&mut self, hold: Span) {
        if self.sums.is_empty() {
            self.from_ns = hold.from_ns;
        }
        let is_known = self.sums.iter().any(|&(by, _)| by == hold.by);
        let by = if is_known || self.sums.len() < MAX_THREADS_MERGED {
            hold.by
        } else {
            ThreadIds::default()
        };
        match self.sums.iter_mut().find(|sum| sum.0 == by) {
            Some((_, sum_ns)) => *sum_ns += hold.length_ns(),
            None => self.sums.push((by, hold.length_ns())),
        }
    }

    /// The sums, as holds that follow each other. They end before the last of the merged holds did, or with it.
    fn spans(&self) -> impl Iterator<Item = Span> {
        let mut from_ns = self.from_ns;
        self.sums.iter().map(move |&(by, sum_ns)| {
            let to_ns = from_ns + sum_ns;
            let span = Span { by, from_ns, to_ns };
            from_ns = to_ns;
            span
        })
    }
}

/// The parts of a hold before and after a moment in it.
fn divided(hold: Span, at_ns: u64) -> (Span, Span) {
    let before = Span {
        to_ns: at_ns,
        ..hold
    };
    let after = Span {
        from_ns: at_ns,
        ..hold
    };
    (before, after)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{HoldRing, MAX_BYTES, SECOND_NS};
    use crate::gil::ThreadIds;
    use crate::watch::ring::Span;

    const START_NS: u64 = 1_000_000 * SECOND_NS;

    fn ids(thread: u64) -> ThreadIds {
        ThreadIds {
            ident: 0x7f00_0000_0000 + thread,
            native: thread,
        }
    }

    /// Ten minutes in which the GIL changes hands every `step_ns`. Every ninth time it is free. Calls `check` now and then.
    fn ten_minutes(
        step_ns: u64,
        thread: impl Fn(u64) -> u64,
        mut check: impl FnMut(&HoldRing),
    ) -> (HoldRing, HashMap<(ThreadIds, u64), u64>) {
        let mut ring = HoldRing::new(false);
        let mut truth = HashMap::new();
        for step in 0..600 * SECOND_NS / step_ns {
            let from_ns = START_NS + step * step_ns + step % 7 * 11;
            let to_ns = START_NS + (step + 1) * step_ns + (step + 1) % 7 * 11;
            if step % 9 != 0 {
                let by = ids(thread(step));
                let hold = Span { by, from_ns, to_ns };
                ring.add(hold);
                add_by_second(&mut truth, hold);
            }
            if step % 1000 == 0 {
                check(&ring);
            }
        }
        (ring, truth)
    }

    fn add_by_second(sums: &mut HashMap<(ThreadIds, u64), u64>, span: Span) {
        let mut from_ns = span.from_ns;
        while from_ns < span.to_ns {
            let second = from_ns / SECOND_NS;
            let to_ns = span.to_ns.min((second + 1) * SECOND_NS);
            *sums.entry((span.by, second)).or_default() += to_ns - from_ns;
            from_ns = to_ns;
        }
    }

    fn by_second(ring: &HoldRing) -> HashMap<(ThreadIds, u64), u64> {
        let mut sums = HashMap::new();
        for span in ring.kept(0).spans() {
            add_by_second(&mut sums, span);
        }
        sums
    }

    #[test]
    fn ten_minutes_of_a_thousand_changes_a_second_are_kept_one_by_one() {
        for threads in [2, 40, 500] {
            let mut largest = 0;
            let (ring, truth) = ten_minutes(
                1_000_000,
                |step| step * 7 % threads,
                |ring| {
                    largest = largest.max(ring.size());
                },
            );
            assert!(largest <= MAX_BYTES, "{largest}");
            let count = ring.kept(0).spans().count();
            assert_eq!(count, 600_000 * 8 / 9, "{threads} threads");
            assert!(by_second(&ring) == truth, "{threads} threads");
        }
    }

    #[test]
    fn ten_minutes_of_more_changes_keep_the_time_of_each_thread_in_each_second() {
        let mut largest = 0;
        let (ring, truth) = ten_minutes(
            100_000,
            |step| step * 7 % 50,
            |ring| {
                largest = largest.max(ring.size());
            },
        );
        assert!(largest <= MAX_BYTES, "{largest}");
        assert!(by_second(&ring) == truth);
    }

    #[test]
    fn a_new_thread_for_each_hold_takes_no_more_memory_and_no_time_is_lost() {
        let mut largest = 0;
        let (ring, truth) = ten_minutes(
            500_000,
            |step| step + 1,
            |ring| {
                largest = largest.max(ring.size());
            },
        );
        assert!(largest <= MAX_BYTES, "{largest}");
        let total = |sums: HashMap<(ThreadIds, u64), u64>, second| {
            let of_it = sums.into_iter().filter(|&((_, at), _)| at == second);
            of_it.map(|(_, sum)| sum).sum::<u64>()
        };
        let last = (START_NS + 599 * SECOND_NS) / SECOND_NS;
        assert_eq!(total(by_second(&ring), last), total(truth, last));
    }

    #[test]
    fn a_trace_keeps_each_hold_however_short() {
        let mut ring = HoldRing::new(true);
        for step in 0..20_000 {
            let (from_ns, to_ns) = (START_NS + step * 1000, START_NS + step * 1000 + 500);
            ring.add(Span {
                by: ids(1),
                from_ns,
                to_ns,
            });
        }
        assert_eq!(ring.kept(0).spans().count(), 20_000);
    }

    #[test]
    fn a_service_that_does_nothing_takes_next_to_no_memory() {
        let mut ring = HoldRing::new(false);
        for second in 0..600 {
            let from_ns = START_NS + second * SECOND_NS;
            ring.add(Span {
                by: ids(1),
                from_ns,
                to_ns: from_ns + 1_000_000,
            });
        }
        assert!(ring.size() < 20_000, "{}", ring.size());
    }
}
