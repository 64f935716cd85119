//! A part of a late period: the time whose samples belong to one stack sample.
//!
//! One stack is one moment. While a loop is late, stacks are requested again and again. The samples between a request and its
//! answer belong to the answer's stacks, and the others to the stacks that are nearest in time.

use crate::watch::evidence::Evidence;
use crate::watch::stack_requests::StackSample;
use crate::watch::thread_files::CpuTimes;

/// When stacks are taken: once a loop is late by a part of a stall, and then again after [`Pauses::pause_ns`].
#[derive(Clone, Copy)]
pub struct Pauses {
    pub first_part: u64,
    min_part: u64,
    /// The pause grows with the lateness, so the number of stacks grows with its logarithm.
    part_of_lateness: u64,
    /// How soon after a change stacks are taken again.
    early_part: u64,
}

/// By the prober, which has to acquire the GIL: 40 times in 2 s, 80 times in a minute.
pub const BY_PROBER: Pauses = Pauses {
    first_part: 2,
    min_part: 5,
    part_of_lateness: 10,
    early_part: 10,
};
/// By the sampler, without the GIL: 90 times in 2 s, 180 times in a minute.
pub const BY_SAMPLER: Pauses = Pauses {
    first_part: 2,
    min_part: 10,
    part_of_lateness: 25,
    early_part: u64::MAX,
};
/// By the sampler of another process, to which a stack costs more: 60 times in 2 s, 130 times in a minute.
pub const FROM_OUTSIDE: Pauses = Pauses {
    first_part: 2,
    min_part: 6,
    part_of_lateness: 20,
    early_part: u64::MAX,
};
/// Taking stacks may use up this part of the time: deep stacks are taken less often.
const PAUSES_PER_TAKE: u64 = 20;

#[derive(Default)]
pub struct Segment {
    pub evidence: Evidence,
    /// The CPU times of the loop's thread when the segment began.
    cpu_before: Option<CpuTimes>,
    pub sample: Option<StackSample>,
}

impl Segment {
    pub fn new(cpu_before: Option<CpuTimes>) -> Self {
        Self {
            cpu_before,
            ..Self::default()
        }
    }

    /// The evidence as it would be if the segment ended now.
    pub fn evidence_so_far(&self, cpu: Option<CpuTimes>) -> Evidence {
        let mut ended = Self {
            evidence: self.evidence.clone(),
            cpu_before: self.cpu_before,
            sample: None,
        };
        ended.end(cpu);
        ended.evidence
    }

    /// Ends the segment; `cpu` is what the loop's thread has used by now.
    pub fn end(&mut self, cpu: Option<CpuTimes>) {
        self.evidence.cpu = self.cpu_before.zip(cpu).map(|(before, after)| CpuTimes {
            ran_ns: after.ran_ns.saturating_sub(before.ran_ns),
            queued_ns: after.queued_ns.saturating_sub(before.queued_ns),
        });
    }

    /// Whether the stacks are of a moment when `hold` lasted that was first seen at `from_ns`.
    pub fn shows_hold(&self, from_ns: u64) -> bool {
        self.sample
            .as_ref()
            .is_some_and(|sample| from_ns <= sample.attached_ns)
    }
}

impl Pauses {
    /// How long to wait for the next stacks, at `late_ns`.
    pub fn pause_ns(self, stall_ns: u64, late_ns: u64, sample: &StackSample) -> u64 {
        (stall_ns / self.min_part)
            .max(late_ns / self.part_of_lateness)
            .max(PAUSES_PER_TAKE * sample.took_ns)
    }

    /// How long to wait for the next stacks after the loop's thread has begun to do something else.
    pub fn early_ns(self, stall_ns: u64) -> u64 {
        stall_ns / self.early_part
    }
}
