//! How busy one loop is: sums that only grow, from samples of what its thread was doing.
//!
//! Half of the time between two planned samples counts for what the first one showed, half for what the second one shows, as in
//! [`crate::watch::gil_usage`]. That is unbiased, because the gaps between planned samples do not depend on what the samples at
//! their ends show.
//!
//! Busy time waits here until a stack is read that it belongs to: see [`crate::watch::loop_times`].

use crate::gil::ThreadIds;
use crate::watch::saturation::Saturation;

/// What a loop's thread was doing when a sample was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// Asleep in the loop's selector.
    Asleep,
    HoldsGil,
    /// Another thread holds the GIL; the ids are 0 if it is unknown which one.
    WaitsForGil(ThreadIds),
    /// Asleep in the kernel, for something else than the loop's selector.
    Sleeps,
    /// Running or runnable, without the GIL.
    Runs,
    /// Busy, and the system does not report with what.
    Unknown,
}

/// What busy time is spent on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Spent {
    Computing,
    WaitingForGil,
    Sleeping,
    RunningWithoutGil,
    /// With the GIL held: runnable, and not running.
    NoCpuComputing,
    /// The same without the GIL.
    NoCpuWithoutGil,
    Unknown,
}

const KINDS: usize = 7;

impl Spent {
    pub const ALL: [Self; KINDS] = [
        Self::Computing,
        Self::WaitingForGil,
        Self::Sleeping,
        Self::RunningWithoutGil,
        Self::NoCpuComputing,
        Self::NoCpuWithoutGil,
        Self::Unknown,
    ];

    /// `None` for a loop that is asleep.
    pub fn of(doing: Doing) -> Option<Self> {
        match doing {
            Doing::Asleep => None,
            Doing::HoldsGil => Some(Self::Computing),
            Doing::WaitsForGil(_) => Some(Self::WaitingForGil),
            Doing::Sleeps => Some(Self::Sleeping),
            Doing::Runs => Some(Self::RunningWithoutGil),
            Doing::Unknown => Some(Self::Unknown),
        }
    }

    /// The name that Python has for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Computing => "computing",
            Self::WaitingForGil => "waiting for the GIL",
            Self::Sleeping | Self::RunningWithoutGil => "blocked",
            Self::NoCpuComputing | Self::NoCpuWithoutGil => "no CPU",
            Self::Unknown => "unknown",
        }
    }

    /// What a thread spends time on that does this and has no CPU for a part of the time.
    pub fn without_cpu(self) -> Option<Self> {
        match self {
            Self::Computing => Some(Self::NoCpuComputing),
            Self::RunningWithoutGil => Some(Self::NoCpuWithoutGil),
            _ => None,
        }
    }
}

/// The time of one loop.
pub struct LoopTime {
    pub thread: ThreadIds,
    pub busy_ns: u64,
    pub asleep_ns: u64,
    pub saturation: Saturation,
    /// The last planned sample; `None` if the loop did not run then.
    last: Option<(u64, Doing)>,
    /// Busy time that no stack stands for yet.
    waiting_ns: [u64; KINDS],
    /// The run-queue delay of the loop's thread when it was last read.
    queued_ns: Option<u64>,
    /// Run-queue delay that has not been found in the time of any samples yet.
    owed_ns: u64,
}

impl LoopTime {
    pub fn new(thread: ThreadIds) -> Self {
        Self {
            thread,
            busy_ns: 0,
            asleep_ns: 0,
            saturation: Saturation::default(),
            last: None,
            waiting_ns: [0; KINDS],
            queued_ns: None,
            owed_ns: 0,
        }
    }

    /// Adds a planned sample.
    pub fn add(&mut self, now_ns: u64, doing: Doing) {
        if let Some((last_ns, before)) = self.last {
            if now_ns < last_ns {
                return;
            }
            let gap_ns = now_ns - last_ns;
            self.credit(before, gap_ns / 2);
            self.credit(doing, gap_ns - gap_ns / 2);
            self.saturation.add(self.busy_ns, self.asleep_ns);
        }
        self.last = Some((now_ns, doing));
    }

    /// The loop did not run when a planned sample was taken: what follows is not its time.
    pub fn pause(&mut self) {
        self.last = None;
    }

    /// Adds the time of another loop, which has ended.
    pub fn merge(&mut self, ended: &Self) {
        self.busy_ns += ended.busy_ns;
        self.asleep_ns += ended.asleep_ns;
        self.saturation.saturated_ns += ended.saturation.saturated_ns;
        for (spent, ns) in ended.waiting_by_kind() {
            *self.waiting(spent) += ns;
        }
    }

    /// When the last planned sample was taken.
    pub fn last_ns(&self) -> Option<u64> {
        self.last.map(|(at_ns, _)| at_ns)
    }

    /// Takes the run-queue delay of the loop's thread up to now out of the time in which it was seen to run. The system counts a
    /// delay when the thread runs again, so some of it may belong to what is taken out the next time.
    pub fn share_out_delay(&mut self, queued_ns: Option<u64>) {
        let Some(queued_ns) = queued_ns else { return };
        let before_ns = self.queued_ns.replace(queued_ns).unwrap_or(queued_ns);
        self.owed_ns += queued_ns.saturating_sub(before_ns);
        let kinds = [Spent::Computing, Spent::RunningWithoutGil];
        let ran_ns: u64 = kinds.iter().map(|&kind| *self.waiting(kind)).sum();
        let moved_ns = self.owed_ns.min(ran_ns);
        if moved_ns == 0 {
            return;
        }
        self.owed_ns -= moved_ns;
        let own_ns = *self.waiting(Spent::Computing);
        let from_own_ns = part(moved_ns, own_ns, ran_ns);
        for (kind, part_ns) in [
            (Spent::Computing, from_own_ns),
            (Spent::RunningWithoutGil, moved_ns - from_own_ns),
        ] {
            *self.waiting(kind) -= part_ns;
            if let Some(without_cpu) = kind.without_cpu() {
                *self.waiting(without_cpu) += part_ns;
            }
        }
    }

    /// Takes the busy time of one kind that no stack stands for yet.
    pub fn take(&mut self, spent: Spent) -> u64 {
        std::mem::take(self.waiting(spent))
    }

    /// The busy time that no stack stands for yet, by kind.
    pub fn waiting_by_kind(&self) -> impl Iterator<Item = (Spent, u64)> {
        Spent::ALL.into_iter().zip(self.waiting_ns)
    }

    fn waiting(&mut self, spent: Spent) -> &mut u64 {
        &mut self.waiting_ns[spent as usize]
    }

    fn credit(&mut self, doing: Doing, span_ns: u64) {
        match Spent::of(doing) {
            None => self.asleep_ns += span_ns,
            Some(spent) => {
                self.busy_ns += span_ns;
                *self.waiting(spent) += span_ns;
            }
        }
    }
}

/// `whole * numerator / denominator`, at most `numerator`.
#[allow(clippy::cast_possible_truncation)] // not above `numerator`
fn part(whole: u64, numerator: u64, denominator: u64) -> u64 {
    let exact = u128::from(whole) * u128::from(numerator) / u128::from(denominator.max(1));
    exact.min(u128::from(numerator)) as u64
}

#[cfg(test)]
mod tests;
