//! For how long a loop was saturated: in stretches of ten seconds or longer over which it was hardly ever asleep.

use std::collections::VecDeque;

/// Busy for more than this part of ten seconds is saturated.
const SATURATED_PERCENT: u64 = 90;
const STRETCH_NS: u64 = 10_000_000_000;
const BIN_NS: u64 = 1_000_000_000;

/// About a second of a loop's time.
#[derive(Clone, Copy)]
struct Bin {
    busy_ns: u64,
    length_ns: u64,
    is_counted: bool,
}

#[derive(Default)]
pub struct Saturation {
    pub saturated_ns: u64,
    /// The bins of the last ten seconds.
    bins: VecDeque<Bin>,
    /// The sums where the next bin begins.
    busy_ns: u64,
    asleep_ns: u64,
}

impl Saturation {
    /// Follows the sums of a loop.
    pub fn add(&mut self, busy_ns: u64, asleep_ns: u64) {
        let busy = busy_ns.saturating_sub(self.busy_ns);
        let length_ns = busy + asleep_ns.saturating_sub(self.asleep_ns);
        if length_ns < BIN_NS {
            return;
        }
        (self.busy_ns, self.asleep_ns) = (busy_ns, asleep_ns);
        self.bins.push_back(Bin {
            busy_ns: busy,
            length_ns,
            is_counted: false,
        });
        let mut all_ns: u64 = self.bins.iter().map(|bin| bin.length_ns).sum();
        while let Some(first) = self.bins.front()
            && all_ns - first.length_ns >= STRETCH_NS
        {
            all_ns -= first.length_ns;
            self.bins.pop_front();
        }
        let all_busy_ns: u64 = self.bins.iter().map(|bin| bin.busy_ns).sum();
        if all_ns >= STRETCH_NS && all_busy_ns > all_ns / 100 * SATURATED_PERCENT {
            for bin in self.bins.iter_mut().filter(|bin| !bin.is_counted) {
                bin.is_counted = true;
                self.saturated_ns += bin.length_ns;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BIN_NS, Saturation};

    const MS: u64 = 1_000_000;

    /// Seconds of saturation after these many seconds each with this percentage of busy time.
    fn saturated(stretches: &[(u64, u64)]) -> u64 {
        let mut saturation = Saturation::default();
        let (mut busy_ns, mut asleep_ns) = (0, 0);
        for &(seconds, percent) in stretches {
            for _ in 0..seconds * 100 {
                busy_ns += percent * MS / 10;
                asleep_ns += (100 - percent) * MS / 10;
                saturation.add(busy_ns, asleep_ns);
            }
        }
        saturation.saturated_ns / BIN_NS
    }

    #[test]
    fn less_than_ten_seconds_are_no_saturation() {
        assert_eq!(saturated(&[(8, 100), (60, 10)]), 0);
        assert_eq!(saturated(&[(600, 90)]), 0);
    }

    #[test]
    fn each_second_of_a_saturated_stretch_counts_once() {
        assert_eq!(saturated(&[(10, 95)]), 10);
        assert_eq!(saturated(&[(60, 95)]), 60);
        // Ten seconds with one quiet second in them are saturated as well.
        assert_eq!(saturated(&[(12, 100), (60, 10), (11, 100)]), 13 + 12);
    }

    #[test]
    fn one_quiet_second_does_not_end_a_stretch() {
        assert_eq!(saturated(&[(10, 100), (1, 50), (10, 100)]), 21);
    }
}
