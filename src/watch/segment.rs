//! A part of a late period: the time whose samples belong to one stack sample.
//!
//! One stack is one moment. While a loop is late, stacks are requested again and again. The samples between a request and its
//! answer belong to the answer's stacks, and the others to the stacks that are nearest in time.

use crate::watch::evidence::Evidence;
use crate::watch::stack_requests::StackSample;
use crate::watch::thread_files::CpuTimes;

/// Stacks are requested once a loop is late by this part of a stall, and then again after [`pause_ns`].
pub const FIRST_REQUEST_PART: u64 = 2;
const MIN_PAUSE_PART: u64 = 5;
/// The pause grows with the lateness, so the number of requests grows with its logarithm: 40 in 2 s, 80 in a minute.
const PAUSE_PART_OF_LATENESS: u64 = 10;
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

/// How long to wait for the next request, at `late_ns`.
pub fn pause_ns(stall_ns: u64, late_ns: u64, sample: &StackSample) -> u64 {
    (stall_ns / MIN_PAUSE_PART)
        .max(late_ns / PAUSE_PART_OF_LATENESS)
        .max(PAUSES_PER_TAKE * sample.took_ns)
}
