//! The watch's sums, once a second for the last minutes: the difference of two is what happened between them.

use std::collections::VecDeque;

use crate::watch::hold_ring::AGE_NS;
use crate::watch::loop_reports::CopiedSums;

const BETWEEN_NS: u64 = 1_000_000_000;

/// The sums at one moment.
#[derive(Clone, Default)]
pub struct Checkpoint {
    pub at_ns: u64,
    pub samples: u64,
    pub collected_ns: u64,
    pub cost_ns: u64,
    pub lost: u64,
    pub loops: Vec<CopiedSums>,
}

#[derive(Default)]
pub struct Checkpoints(VecDeque<Checkpoint>);

impl Checkpoints {
    /// Whether it is time for the next one.
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.0
            .back()
            .is_none_or(|last| now_ns >= last.at_ns + BETWEEN_NS)
    }

    pub fn add(&mut self, checkpoint: Checkpoint) {
        while let Some(first) = self.0.front()
            && first.at_ns + AGE_NS + BETWEEN_NS < checkpoint.at_ns
        {
            self.0.pop_front();
        }
        self.0.push_back(checkpoint);
    }

    /// How many bytes they take.
    pub fn size(&self) -> usize {
        let loops: usize = self.0.iter().map(|it| it.loops.capacity()).sum();
        self.0.capacity() * size_of::<Checkpoint>() + loops * size_of::<CopiedSums>()
    }

    /// The last one at `at_ns` or before; the first if all are later. A watch begins with zeros.
    pub fn at(&self, at_ns: u64) -> Checkpoint {
        let later = self.0.partition_point(|it| it.at_ns <= at_ns);
        let at = later.saturating_sub(1);
        self.0.get(at).cloned().unwrap_or_default()
    }
}

impl Checkpoint {
    /// What happened since `earlier`.
    pub fn since(self, earlier: &Self) -> Self {
        Self {
            at_ns: self.at_ns,
            samples: self.samples.saturating_sub(earlier.samples),
            collected_ns: self.collected_ns.saturating_sub(earlier.collected_ns),
            cost_ns: self.cost_ns.saturating_sub(earlier.cost_ns),
            lost: self.lost.saturating_sub(earlier.lost),
            loops: CopiedSums::since(self.loops, &earlier.loops),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, Checkpoints};

    #[test]
    fn the_last_ten_minutes_are_kept_and_the_checkpoint_before_a_moment_is_found() {
        let mut checkpoints = Checkpoints::default();
        assert_eq!(checkpoints.at(5).samples, 0);
        for tenth in 0..20_000_u64 {
            let at_ns = tenth * 100_000_000;
            if checkpoints.is_due(at_ns) {
                checkpoints.add(Checkpoint {
                    at_ns,
                    samples: tenth,
                    ..Checkpoint::default()
                });
            }
        }
        assert_eq!(checkpoints.0.len(), 602);
        assert_eq!(checkpoints.at(1_999_500_000_000).samples, 19_990);
        assert_eq!(checkpoints.at(1_990_000_000_000).samples, 19_900);
        assert_eq!(checkpoints.at(0).samples, 13_980);
    }
}
