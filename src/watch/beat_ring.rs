//! The beats of all loops in the last minutes, or the probes: when each came, and how late. In bounded memory.
//!
//! A second has room for some 500 beats one by one, which is five loops. If there are more, of what is left of that second only the latest beat of each
//! hundredth is kept: the longest lag is never lost.

use crate::gil::ThreadIds;
use crate::locked::Locked;
use crate::watch::allowance::Allowance;
use crate::watch::hold_ring::AGE_NS;
use crate::watch::ring::{Kept, Limits, Ring, Span};

/// How many beats are kept at least in a watch that traces, whatever their age.
pub const BEATS_KEPT: usize = 100_000;
/// What the beats of all loops may take, and what the probes may.
pub const BYTES_OF_BEATS: usize = 2_200_000;
pub const BYTES_OF_PROBES: usize = 250_000;
const MAX_SECONDS_LEFT: usize = 20;
const SECOND_NS: u64 = 1_000_000_000;
const SLOT_NS: u64 = 10_000_000;
/// A lag is kept to within this.
const UNIT_NS: u64 = 1000;

/// The loops' threads add to it, and any thread may read it.
pub struct BeatRing(Locked<Beats>);

struct Beats {
    ring: Ring,
    merges: bool,
    /// The second of the last beat.
    second: u64,
    left: Allowance,
    /// The longest of the lags in a slot, if beats are merged.
    longest: Option<Span>,
}

impl BeatRing {
    /// A watch that traces merges no beats.
    pub fn new(bytes: usize, trace: bool) -> Self {
        let limits = Limits {
            age_ns: AGE_NS,
            bytes,
            spans: if trace { BEATS_KEPT } else { 0 },
            unit_ns: UNIT_NS,
        };
        Self(Locked::new(Beats {
            ring: Ring::new(limits),
            merges: !trace,
            second: 0,
            left: Allowance::new(bytes / 800, MAX_SECONDS_LEFT),
            longest: None,
        }))
    }

    /// Adds a beat that came at `at_ns`, late by `lag_ns`.
    pub fn add(&self, at_ns: u64, lag_ns: u64) {
        let beat = Span {
            by: ThreadIds::default(),
            from_ns: at_ns.saturating_sub(lag_ns),
            to_ns: at_ns,
        };
        self.0.with(|beats| beats.add(beat));
    }

    /// The beats that came after `since_ns`, and maybe some before. A beat is a span from when it was due.
    pub fn kept(&self, since_ns: u64) -> Kept {
        self.0.with(|beats| {
            let mut kept = beats.ring.kept(since_ns);
            kept.rest.extend(beats.longest);
            kept
        })
    }

    /// How many bytes the beats take.
    pub fn size(&self) -> usize {
        self.0.with(|beats| beats.ring.size())
    }
}

impl Beats {
    fn add(&mut self, beat: Span) {
        let second = beat.to_ns / SECOND_NS;
        if second != self.second {
            self.write_longest();
            self.left.add(second.saturating_sub(self.second));
            self.second = second;
        }
        if !self.merges || !self.left.is_used_up() {
            self.left.take(self.ring.add(beat));
            return;
        }
        let slot = |beat: Span| beat.to_ns / SLOT_NS;
        match self.longest {
            Some(longest) if slot(longest) == slot(beat) => {
                if beat.length_ns() > longest.length_ns() {
                    self.longest = Some(beat);
                }
            }
            _ => {
                self.write_longest();
                self.longest = Some(beat);
            }
        }
    }

    fn write_longest(&mut self) {
        if let Some(longest) = self.longest.take() {
            self.ring.add(longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_OF_BEATS, BYTES_OF_PROBES, BeatRing, SECOND_NS};

    const START_NS: u64 = 1_000_000 * SECOND_NS;

    /// Ten minutes of this many loops that beat every 10 ms. Their lags repeat every 997 beats; one of them is a second.
    fn ten_minutes(loops: u64, trace: bool) -> (BeatRing, u64) {
        let ring = BeatRing::new(BYTES_OF_BEATS, trace);
        let (mut number, mut late) = (0, 0);
        for beat in 1..60_001 {
            for of in 0..loops {
                number += 1;
                let is_late = number % 997 == 0;
                late += u64::from(is_late);
                let lag_ns = if is_late {
                    1_000_000_000
                } else {
                    number % 997 * 300
                };
                ring.add(START_NS + beat * 10_000_000 + of * 90_000, lag_ns);
            }
            assert!(trace || ring.size() <= BYTES_OF_BEATS);
        }
        (ring, late)
    }

    #[test]
    fn ten_minutes_of_five_loops_are_kept_one_by_one() {
        let (ring, late) = ten_minutes(5, false);
        let kept = ring.kept(0);
        assert_eq!(kept.spans().count(), 300_000);
        let seen = kept
            .spans()
            .filter(|beat| beat.length_ns() >= 1_000_000_000);
        assert_eq!(seen.count() as u64, late);
    }

    #[test]
    fn ten_minutes_of_a_hundred_loops_keep_the_longest_lag_of_each_hundredth_of_a_second() {
        let (ring, _) = ten_minutes(100, false);
        let kept = ring.kept(0);
        let first = kept.spans().next().unwrap();
        assert!(
            first.to_ns < START_NS + 2 * SECOND_NS,
            "nothing was dropped"
        );
        let mut seconds: Vec<_> = kept
            .spans()
            .filter(|beat| beat.length_ns() >= 1_000_000_000)
            .map(|beat| beat.to_ns / SECOND_NS)
            .collect();
        seconds.dedup();
        assert!(seconds.len() >= 599, "{}", seconds.len());
    }

    #[test]
    fn a_trace_keeps_each_beat() {
        let ring = BeatRing::new(BYTES_OF_BEATS, true);
        for beat in 0..50_000 {
            ring.add(START_NS + beat * 20_000, 1000);
        }
        assert_eq!(ring.kept(0).spans().count(), 50_000);
    }

    #[test]
    fn ten_minutes_of_probes_take_little() {
        let ring = BeatRing::new(BYTES_OF_PROBES, false);
        for probe in 0..12_000 {
            ring.add(START_NS + probe * 50_000_000, probe % 100 * 3000);
        }
        assert_eq!(ring.kept(0).spans().count(), 12_000);
        assert!(ring.size() < 120_000, "{}", ring.size());
    }
}
