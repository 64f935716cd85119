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

/// Stacks that are older do not show what the loop does now, unless it has been late for so long that they are taken seldom.
const MAX_AGE_OF_STACKS_NS: u64 = 20_000_000;
const MAX_AGE_PART_OF_LATENESS: u64 = 10;

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

    /// The latest stacks, unless they are too old to show what the loop does now.
    pub fn latest_stacks(&self, now_ns: u64) -> Option<&StackSample> {
        let late_ns = now_ns.saturating_sub(self.due_ns);
        let max_age_ns = MAX_AGE_OF_STACKS_NS.max(late_ns / MAX_AGE_PART_OF_LATENESS);
        self.last_stacks().filter(|stacks| {
            // The prober's stacks are as old as the hold for which it waits.
            stacks.asked_ns.is_some() || stacks.attached_ns + max_age_ns >= now_ns
        })
    }

    /// Whether stacks have been taken since the late period became a stall.
    pub fn has_stacks_of_stall(&self) -> bool {
        self.last_stacks()
            .is_some_and(|stacks| stacks.attached_ns >= self.stalled_since_ns())
    }

    /// When the late period became a stall.
    pub fn stalled_since_ns(&self) -> u64 {
        self.due_ns + self.stall_ns
    }

    fn last_stacks(&self) -> Option<&StackSample> {
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
