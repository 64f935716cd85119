//! How often stacks of busy loops are read: at random, and so seldom that it takes little CPU time.

use crate::system::pace::Pace;

/// How much busy time lies between two stacks, on average.
const MEAN_NS: u64 = 12_500_000;
/// However much a stack takes, so much busy time lies between two at most.
const MAX_MEAN_NS: u64 = 10_000_000_000;
/// Reading stacks takes at most this part of a core on average.
const PARTS: u64 = 50;
/// After this time the mean is adjusted.
const WINDOW_NS: u64 = 250_000_000;

#[allow(clippy::struct_field_names)] // `_ns` is the unit
pub struct StackBudget {
    mean_ns: u64,
    window_began_ns: u64,
    spent_ns: u64,
}

impl Default for StackBudget {
    fn default() -> Self {
        Self {
            mean_ns: MEAN_NS,
            window_began_ns: 0,
            spent_ns: 0,
        }
    }
}

impl StackBudget {
    /// Whether to read a stack at a sample that stands for `weight_ns`. That depends on chance, and on how much was spent before;
    /// not on what the sample shows.
    pub fn wants_stack(&mut self, pace: &mut Pace, now_ns: u64, weight_ns: u64) -> bool {
        self.adjust(now_ns);
        // As often as an event of a Poisson process falls into that time.
        let is_hit = pace.exponential_ns(self.mean_ns) < weight_ns;
        is_hit && self.spent_ns < 2 * WINDOW_NS / PARTS
    }

    /// Counts CPU time that was spent on stacks.
    pub fn spend(&mut self, took_ns: u64) {
        self.spent_ns += took_ns;
    }

    fn adjust(&mut self, now_ns: u64) {
        let window_ns = now_ns.saturating_sub(self.window_began_ns);
        if window_ns < WINDOW_NS {
            return;
        }
        // Three quarters of what is allowed, so that the mean stays below it.
        let aim_ns = (window_ns / PARTS * 3 / 4).max(1);
        let wanted = u128::from(self.mean_ns) * u128::from(self.spent_ns) / u128::from(aim_ns);
        let wanted_ns = u64::try_from(wanted).unwrap_or(u64::MAX);
        self.mean_ns = wanted_ns.max(self.mean_ns / 2).clamp(MEAN_NS, MAX_MEAN_NS);
        self.window_began_ns = now_ns;
        // What was spent beyond what is allowed must be saved first.
        self.spent_ns = self.spent_ns.saturating_sub(window_ns / PARTS);
    }
}

#[cfg(test)]
mod tests {
    use super::{MEAN_NS, PARTS, StackBudget};
    use crate::system::pace::Pace;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;

    /// How many stacks are read in half a minute of samples of this weight, and which part of the time that takes, in thousandths.
    fn read(loops: u64, weight_ns: u64, took_ns: u64) -> (u64, u64) {
        let (mut budget, mut pace) = (StackBudget::default(), Pace::seeded(7));
        let mut count = 0;
        for sample in 1..=30 * SECOND / weight_ns {
            for _ in 0..loops {
                if budget.wants_stack(&mut pace, sample * weight_ns, weight_ns) {
                    budget.spend(took_ns);
                    count += 1;
                }
            }
        }
        (count, count * took_ns / (30 * SECOND / 1000))
    }

    #[test]
    fn some_eighty_stacks_are_read_in_a_second_of_busy_time_whatever_the_gaps_are() {
        let expected = 30 * SECOND / MEAN_NS;
        for weight_ns in [MS / 2, MS, 2 * MS] {
            let (count, _) = read(1, weight_ns, 50_000);
            assert!(count.abs_diff(expected) < expected / 7, "{count}");
        }
    }

    #[test]
    fn stacks_take_no_more_than_a_fiftieth_of_a_core() {
        for (loops, took_ns) in [
            (1, 50_000),
            (1, 2 * MS),
            (1, 20 * MS),
            (30, 100_000),
            (1000, 100_000),
        ] {
            let (count, thousandths) = read(loops, 4 * MS, took_ns);
            assert!(count > 10, "{count}");
            assert!(
                thousandths <= 1000 / PARTS + 2,
                "{loops} {took_ns}: {thousandths}"
            );
        }
    }
}
