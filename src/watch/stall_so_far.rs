//! A late period while it lasts: its evidence so far, and its latest stacks.

use crate::gil::ThreadIds;
use crate::watch::cause_so_far::{self, Cause, Probe};
use crate::watch::evidence::Evidence;
use crate::watch::gil_wait::Sample;
use crate::watch::late_period::LatePeriod;
use crate::watch::logs::Logs;
use crate::watch::stack_requests::StackSample;
use crate::watch::stacks::Below;
use crate::watch::thread_files::CpuTimes;

/// A loop that is late at this moment, by the threshold or more.
pub struct LateNow<'a> {
    pub loop_number: u64,
    pub thread: ThreadIds,
    pub due_ns: u64,
    pub now_ns: u64,
    pub evidence: Evidence,
    /// The other thread that holds the GIL, and since when it has been seen to.
    pub holder: Option<(ThreadIds, u64)>,
    /// The latest stacks of this late period.
    pub stacks: Option<&'a StackSample>,
    pub below: Option<Below>,
}

impl LateNow<'_> {
    pub fn late_ns(&self) -> u64 {
        self.now_ns.saturating_sub(self.due_ns)
    }

    pub fn cause(&self, logs: &Logs) -> Cause {
        let probe = self.stacks.and_then(|stacks| probe(stacks, self.now_ns));
        cause_of(&self.evidence, self.late_ns(), probe, logs)
    }
}

/// How long the prober waited for the GIL, if it took these stacks; `end_ns` is when the stall ended, or now.
pub fn probe(stacks: &StackSample, end_ns: u64) -> Option<Probe> {
    stacks.asked_ns.map(|asked_ns| Probe {
        waited_ns: stacks.attached_ns.saturating_sub(asked_ns),
        asked_ago_ns: end_ns.saturating_sub(asked_ns),
    })
}

/// The cause that `evidence` shows of a stall of `late_ns`.
pub fn cause_of(evidence: &Evidence, late_ns: u64, probe: Option<Probe>, logs: &Logs) -> Cause {
    if logs.reads_gil {
        cause_so_far::cause(evidence, late_ns, logs.stall_ns, probe)
    } else {
        cause_so_far::without_gil(evidence, late_ns, logs.stall_ns, probe)
    }
}

impl LatePeriod {
    /// The evidence so far; `cpu` is what the loop's thread has used by now.
    pub fn evidence_so_far(&mut self, cpu: Option<CpuTimes>) -> Evidence {
        let mut whole: Option<Evidence> = None;
        let last = self.segments.len() - 1;
        for (index, segment) in self.segments.iter().enumerate() {
            let evidence = if index == last {
                segment.evidence_so_far(cpu)
            } else {
                segment.evidence.clone()
            };
            match &mut whole {
                Some(whole) => whole.merge(evidence),
                None => whole = Some(evidence),
            }
        }
        let mut whole = whole.unwrap_or_default();
        if let Some(wait) = &mut self.wait {
            wait.credit_so_far(&mut whole);
        }
        whole
    }

    pub fn latest_stacks(&self) -> Option<&StackSample> {
        self.segments
            .iter()
            .rev()
            .find_map(|segment| segment.sample.as_ref())
    }

    /// The thread other than `own` that holds the GIL, and since when it has been seen to: for as long as the loop has waited
    /// for no other thread, whatever short breaks it made.
    pub fn holder(&self, sample: &Sample<'_>, own: ThreadIds) -> Option<(ThreadIds, u64)> {
        let by = sample.holder().filter(|_| !sample.probed)?;
        if by.native == 0 || by.native == own.native {
            return None;
        }
        let of_wait = self.wait.as_ref().map(|wait| wait.hold);
        let hold = of_wait.filter(|hold| hold.by == by).or(sample.hold)?;
        Some((by, hold.from_ns))
    }
}
