//! Random times between samples, so that samples do not fall into step with the program.
//!
//! A fixed period aliases. A program that holds the GIL for 5 us in every 100 us was measured at a share of 0.0015 instead
//! of 0.05 by 10 000 samples a second.

use std::time::{SystemTime, UNIX_EPOCH};

/// A stream of random gaps between samples: Steele, Lea and Flood's `SplitMix64`, seeded by the clock. Not cryptographic.
pub struct Pace(u64);

impl Pace {
    pub fn new() -> Self {
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(1, |since| since.subsec_nanos());
        // The address of a local differs between threads, and between processes where Linux randomizes addresses.
        let address = std::ptr::from_ref(&nanos) as u64;
        Self(address.rotate_left(32) ^ u64::from(nanos))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1]: never 0, so that its logarithm is finite.
    #[allow(clippy::cast_precision_loss)] // 53 bits fit
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// An exponential gap. The samples form a Poisson process, which measures the share of time of a state without bias.
    pub fn exponential_ns(&mut self, mean_ns: u64) -> u64 {
        scaled(mean_ns, -self.unit().ln())
    }

    /// A gap between 0.5 and 1.5 times `period_ns`: unbiased, and never long without a sample.
    pub fn jittered_ns(&mut self, period_ns: u64) -> u64 {
        scaled(period_ns, 0.5 + self.unit())
    }

    /// A gap between 8/9 and 10/9 of `period_ns`, for long gaps whose longest matters.
    pub fn narrow_ns(&mut self, period_ns: u64) -> u64 {
        scaled(period_ns, (8.0 + 2.0 * self.unit()) / 9.0)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    #[cfg(test)]
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)] // a precision of 2^-53 is enough, and both factors are above 0
fn scaled(mean_ns: u64, factor: f64) -> u64 {
    (mean_ns as f64 * factor) as u64
}

#[cfg(test)]
mod tests {
    use super::Pace;

    const MEAN: u64 = 500_000;
    const COUNT: u64 = 100_000;

    fn mean(mut gap: impl FnMut() -> u64) -> u64 {
        (0..COUNT).map(|_| gap()).sum::<u64>() / COUNT
    }

    #[test]
    fn exponential_gaps_have_the_mean_and_the_tail_of_the_distribution() {
        let mut pace = Pace(7);
        assert!(mean(|| pace.exponential_ns(MEAN)).abs_diff(MEAN) < MEAN / 50);
        let longer = (0..COUNT)
            .filter(|_| pace.exponential_ns(MEAN) > MEAN)
            .count() as u64;
        assert!(longer.abs_diff(COUNT * 368 / 1000) < COUNT / 50); // 1/e
    }

    #[test]
    fn jittered_periods_stay_between_half_and_one_and_a_half() {
        let mut pace = Pace(7);
        assert!(
            (0..COUNT).all(|_| { (MEAN / 2..=MEAN * 3 / 2).contains(&pace.jittered_ns(MEAN)) })
        );
        assert!(mean(|| pace.jittered_ns(MEAN)).abs_diff(MEAN) < MEAN / 50);
    }

    #[test]
    fn narrow_gaps_stay_within_a_ninth_of_their_mean() {
        let mut pace = Pace(7);
        let bounds = MEAN * 8 / 9..=MEAN * 10 / 9;
        assert!((0..COUNT).all(|_| bounds.contains(&pace.narrow_ns(MEAN))));
        assert!(mean(|| pace.narrow_ns(MEAN)).abs_diff(MEAN) < MEAN / 50);
    }

    #[test]
    fn two_seeds_give_different_gaps() {
        assert_ne!(Pace(1).next(), Pace(2).next());
    }
}
