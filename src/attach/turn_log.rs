//! The latest turns of all loops, and the distribution of lags that follows from them.
//!
//! The lag at a moment is how long the loop needs until it takes up something that becomes due then: the rest of its turn, and
//! nothing if it sleeps. It is counted once every 10 ms, as in a watch: of a long turn the whole length, and 10 ms less each time.
//! Short turns that no sample has seen count as asleep.

use std::collections::VecDeque;

use super::turns::Turn;
use crate::histogram::Histogram;
use crate::watch::beat_ring::BeatRing;

/// A lag is counted once in this time.
pub const BEAT_NS: u64 = 10_000_000;
/// How many lags are kept one by one.
const MAX_KEPT: usize = 300_000;

/// A lag of a loop: as long as the rest of the turn that ended then.
#[derive(Clone, Copy)]
pub struct LoopLag {
    pub loop_number: u64,
    pub at_ns: u64,
    pub lag_ns: u64,
}

#[derive(Default)]
pub struct TurnLog(VecDeque<LoopLag>);

impl TurnLog {
    fn add(&mut self, lag: LoopLag) {
        if self.0.len() == MAX_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(lag);
    }

    /// The lags after `since_ns`, in the order in which they were counted.
    pub fn since(&self, since_ns: u64) -> Vec<LoopLag> {
        let after = self.0.iter().rev();
        let mut after: Vec<LoopLag> = after
            .take_while(|lag| lag.at_ns + 1_000_000_000 > since_ns)
            .filter(|lag| lag.at_ns > since_ns)
            .copied()
            .collect();
        after.reverse();
        after
    }
}

/// Counts one loop's lags.
pub struct LagCounter {
    loop_number: u64,
    /// Up to when everything is counted, except `left_ns`.
    until_ns: u64,
    left_ns: u64,
}

impl LagCounter {
    pub fn new(loop_number: u64, now_ns: u64) -> Self {
        Self {
            loop_number,
            until_ns: now_ns,
            left_ns: 0,
        }
    }

    /// The loop slept at `now_ns`.
    pub fn sleeps(&mut self, now_ns: u64, into: (&mut TurnLog, &Histogram, &BeatRing)) {
        self.left_ns += now_ns.saturating_sub(self.until_ns);
        self.until_ns = self.until_ns.max(now_ns);
        self.count(now_ns, 0, into);
    }

    /// A turn has ended.
    pub fn ended(&mut self, turn: Turn, (log, lags, beats): (&mut TurnLog, &Histogram, &BeatRing)) {
        self.sleeps(turn.began_ns, (log, lags, beats));
        let length_ns = turn.ended_ns.saturating_sub(self.until_ns);
        self.until_ns = self.until_ns.max(turn.ended_ns);
        if length_ns < BEAT_NS {
            self.left_ns += length_ns;
            self.count(turn.ended_ns, length_ns, (log, lags, beats));
            return;
        }
        self.left_ns += length_ns % BEAT_NS;
        let mut lag_ns = length_ns;
        while lag_ns >= BEAT_NS {
            lags.record_ns(lag_ns);
            log.add(self.lag(turn.ended_ns, lag_ns));
            lag_ns -= BEAT_NS;
        }
        beats.add(turn.ended_ns, length_ns);
    }

    fn count(
        &mut self,
        now_ns: u64,
        lag_ns: u64,
        (log, lags, beats): (&mut TurnLog, &Histogram, &BeatRing),
    ) {
        while self.left_ns >= BEAT_NS {
            self.left_ns -= BEAT_NS;
            lags.record_ns(lag_ns);
            log.add(self.lag(now_ns, lag_ns));
            beats.add(now_ns, lag_ns);
        }
    }

    fn lag(&self, at_ns: u64, lag_ns: u64) -> LoopLag {
        LoopLag {
            loop_number: self.loop_number,
            at_ns,
            lag_ns,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LagCounter, TurnLog};
    use crate::attach::turns::Turn;
    use crate::histogram::Histogram;
    use crate::watch::beat_ring::BeatRing;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_long_turn_counts_once_for_each_beat_and_short_ones_by_their_share_of_the_time() {
        let (mut log, lags, beats) = (
            TurnLog::default(),
            Histogram::new(),
            BeatRing::new(100_000, false),
        );
        let mut counter = LagCounter::new(3, 0);
        counter.sleeps(100 * MS, (&mut log, &lags, &beats));
        counter.ended(
            Turn {
                began_ns: 100 * MS,
                ended_ns: 135 * MS,
            },
            (&mut log, &lags, &beats),
        );
        for at in 0..10 {
            counter.ended(
                Turn {
                    began_ns: (135 + 2 * at) * MS,
                    ended_ns: (136 + 2 * at) * MS,
                },
                (&mut log, &lags, &beats),
            );
        }
        let found: Vec<u64> = log.since(0).iter().map(|lag| lag.lag_ns / MS).collect();
        assert_eq!(found[..10], [0; 10]);
        assert_eq!(found[10..13], [35, 25, 15]);
        assert_eq!(found.len(), 15); // one for each 10 ms of the 154
        assert!(log.since(120 * MS).iter().all(|lag| lag.at_ns > 120 * MS));
    }
}
