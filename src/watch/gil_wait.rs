//! A late loop that waits for the GIL: for which thread, and whether that thread holds the GIL for long.

use crate::gil::{Gil, GilState, ThreadIds};
use crate::watch::evidence::{Contender, Evidence};
use crate::watch::gil_usage::Hold;
use crate::watch::thread_files::{CpuTimes, ThreadFiles};
use crate::watch::threads::Threads;

/// A hold is long if it takes more than this many switch intervals of CPU time, or of sleep. A thread that runs Python
/// releases the GIL after one, if another thread asks for it.
pub const LONG_HOLD_SWITCH_INTERVALS: u64 = 4;
/// The CPU time of a hold's thread is measured once the hold has lasted for this many switch intervals.
const MEASURED_HOLD_SWITCH_INTERVALS: u64 = 2;
/// Contenders with figures of their own in one segment.
const MAX_CONTENDERS: usize = 32;

/// What the sampler sees at one moment.
#[derive(Clone, Copy)]
pub struct Sample<'a> {
    pub now_ns: u64,
    /// The time since the last sample.
    pub gap_ns: u64,
    /// How long that time was meant to be.
    pub planned_gap_ns: u64,
    pub gil: Option<(Gil, GilState)>,
    pub hold: Option<Hold>,
    /// How often the GIL has changed hands, without the prober's turns.
    pub switches: i64,
    /// The prober holds the GIL, or has just held it.
    pub probed: bool,
    /// The `ident` of the thread in which the garbage collector runs; 0 if it does not run.
    pub collector: u64,
    pub threads: &'a Threads,
}

impl Sample<'_> {
    pub fn holder(&self) -> Option<ThreadIds> {
        self.gil.and_then(|(_, state)| state.holder)
    }

    /// Whether the thread that held the GIL when the sample was taken has held it ever since.
    pub fn is_same_hold_now(&self) -> bool {
        self.gil.is_some_and(|(gil, state)| gil.read() == state)
    }

    /// Whether the garbage collector runs in the thread with this `ident`.
    pub fn is_collecting_in(&self, ident: u64) -> bool {
        ident != 0 && self.collector == ident
    }

    pub fn is_gil_free(&self) -> bool {
        !self.probed && self.gil.is_some_and(|(_, state)| state.holder.is_none())
    }
}

/// How the loop depends on the thread that holds the GIL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    WaitsForGil,
    /// It waits, and the system does not report for what.
    MayWaitForGil,
    /// It sleeps for something else, which may be what a third thread does, once it has the GIL.
    Sleeps,
}

/// A wait of the loop for one thread: until another thread has acquired the GIL, or the loop's own.
///
/// The thread may release the GIL meanwhile. If it does that too briefly for any other thread to acquire the GIL, the loop
/// waits on, for the same thread. The prober's turns do not end the wait either.
pub struct GilWait {
    /// The hold that the loop waits for, with all that follow it until another thread gets its turn.
    pub hold: Hold,
    pub kind: Kind,
    switches: i64,
    /// What has not been added to the evidence yet.
    waited_ns: u64,
    collected_ns: u64,
    long_ns: u64,
    /// The holder's files, and its CPU times when the hold had become worth measuring.
    measured: Option<(ThreadFiles, Option<CpuTimes>)>,
    queued_ns: u64,
}

impl GilWait {
    /// `None` if no other thread holds the GIL.
    pub fn begin(sample: &Sample<'_>, kind: Kind) -> Option<Self> {
        let (hold, (gil, state)) = (sample.hold?, sample.gil?);
        (state.holder.is_some() && !sample.probed).then(|| Self {
            hold,
            kind,
            switches: sample.switches,
            waited_ns: 0,
            collected_ns: 0,
            long_ns: LONG_HOLD_SWITCH_INTERVALS * gil.interval_ns(),
            measured: None,
            queued_ns: 0,
        })
    }

    /// Whether the loop, which has not acquired the GIL, still waits for the same thread.
    pub fn goes_on(&self, sample: &Sample<'_>) -> bool {
        sample.probed || self.is_for(sample.holder(), sample.switches)
    }

    fn is_for(&self, holder: Option<ThreadIds>, switches: i64) -> bool {
        switches <= self.switches && holder.is_none_or(|by| by == self.hold.by)
    }

    /// Adds a sample of a wait that goes on.
    pub fn add(&mut self, span_ns: u64, sample: &Sample<'_>) {
        if sample.holder() == Some(self.hold.by) {
            self.hold.to_ns = sample.now_ns;
        }
        self.waited_ns += span_ns;
        if sample.is_collecting_in(self.hold.by.ident) {
            self.collected_ns += span_ns;
        }
        let worth_measuring_ns =
            self.long_ns / LONG_HOLD_SWITCH_INTERVALS * MEASURED_HOLD_SWITCH_INTERVALS;
        if self.measured.is_none() && self.hold.length_ns() > worth_measuring_ns {
            let files = sample.threads.files(self.hold.by.native);
            let cpu = files.cpu_times();
            self.measured = Some((files, cpu));
        }
    }

    /// Whether the hold is long so far, or was only long because its thread was not running.
    pub fn is_long(&mut self) -> bool {
        let Some((files, before)) = &self.measured else {
            return false;
        };
        let queued_ns = before.zip(files.cpu_times()).map_or(0, |(before, after)| {
            after.queued_ns.saturating_sub(before.queued_ns)
        });
        self.queued_ns = self.queued_ns.max(queued_ns);
        self.hold.length_ns().saturating_sub(self.queued_ns) > self.long_ns
    }

    /// Adds the wait so far to the evidence. Only what follows will be added the next time.
    pub fn credit(&mut self, evidence: &mut Evidence) {
        let is_long = self.is_long();
        match self.kind {
            Kind::WaitsForGil => evidence.waited_ns += self.waited_ns,
            Kind::MayWaitForGil => evidence.unknown_ns += self.waited_ns,
            Kind::Sleeps => {}
        }
        let long_ns = is_long.then_some((self.hold.from_ns, self.hold.to_ns));
        let contender = match self.kind {
            Kind::Sleeps => Contender {
                held_while_loop_slept_ns: self.waited_ns,
                long_ns,
                ..Contender::default()
            },
            Kind::WaitsForGil | Kind::MayWaitForGil => Contender {
                held_ns: self.waited_ns,
                held_long_ns: if is_long { self.waited_ns } else { 0 },
                longest_ns: self.hold.length_ns(),
                queued_ns: self.queued_ns,
                collected_ns: self.collected_ns,
                held_while_loop_slept_ns: 0,
                long_ns,
            },
        };
        let contenders = &mut evidence.contenders;
        let has_room = contenders.len() < MAX_CONTENDERS || contenders.contains_key(&self.hold.by);
        if has_room && (is_long || self.kind != Kind::Sleeps) {
            contenders
                .entry(self.hold.by)
                .or_default()
                .merge(&contender);
        }
        (self.waited_ns, self.collected_ns) = (0, 0);
    }

    /// Adds the wait so far to a copy of the evidence: it will be added to the evidence itself again.
    pub fn credit_so_far(&mut self, evidence: &mut Evidence) {
        let (waited_ns, collected_ns) = (self.waited_ns, self.collected_ns);
        self.credit(evidence);
        (self.waited_ns, self.collected_ns) = (waited_ns, collected_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::{GilWait, Kind};
    use crate::gil::ThreadIds;
    use crate::watch::evidence::Evidence;
    use crate::watch::gil_usage::Hold;

    const HOG: ThreadIds = ThreadIds {
        ident: 7,
        native: 7,
    };
    const OTHER: ThreadIds = ThreadIds {
        ident: 8,
        native: 8,
    };

    fn wait(long_ns: u64) -> GilWait {
        GilWait {
            hold: Hold {
                by: HOG,
                from_ns: 1_000,
                to_ns: 31_000,
            },
            kind: Kind::WaitsForGil,
            switches: 5,
            waited_ns: 25_000,
            collected_ns: 0,
            long_ns,
            measured: Some((crate::watch::thread_files::ThreadFiles::new(0), None)),
            queued_ns: 0,
        }
    }

    #[test]
    fn a_release_that_no_other_thread_can_use_does_not_end_a_wait() {
        let wait = wait(20_000);
        assert!(wait.is_for(Some(HOG), 5));
        assert!(wait.is_for(None, 5));
    }

    #[test]
    fn a_turn_of_the_prober_does_not_end_a_wait() {
        let wait = wait(20_000);
        assert!(wait.is_for(None, 4)); // its turn counts as two before the hog is back
        assert!(wait.is_for(Some(HOG), 5));
    }

    #[test]
    fn a_turn_of_another_thread_ends_a_wait() {
        let wait = wait(20_000);
        assert!(!wait.is_for(Some(OTHER), 6));
        assert!(!wait.is_for(Some(HOG), 7));
        assert!(!wait.is_for(None, 6));
    }

    #[test]
    fn a_wait_is_credited_once_and_as_long_if_the_hold_is() {
        let mut evidence = Evidence::default();
        let mut long = wait(20_000);
        long.credit(&mut evidence);
        long.credit(&mut evidence);
        assert_eq!(evidence.waited_ns, 25_000);
        let figures = &evidence.contenders[&HOG];
        assert_eq!((figures.held_ns, figures.held_long_ns), (25_000, 25_000));
        assert!(figures.held_at(30_000, 40_000));
        assert!(!figures.held_at(32_000, 40_000)); // asked for when the hold was over
        let mut evidence = Evidence::default();
        wait(40_000).credit(&mut evidence);
        assert_eq!(evidence.contenders[&HOG].held_long_ns, 0);
    }

    #[test]
    fn beside_a_loop_that_sleeps_only_a_long_hold_counts_and_no_wait() {
        let mut evidence = Evidence::default();
        let kind = Kind::Sleeps;
        GilWait {
            kind,
            ..wait(40_000)
        }
        .credit(&mut evidence);
        assert!(evidence.contenders.is_empty());
        GilWait {
            kind,
            ..wait(20_000)
        }
        .credit(&mut evidence);
        let figures = &evidence.contenders[&HOG];
        assert_eq!(
            (figures.held_ns, figures.held_while_loop_slept_ns),
            (0, 25_000)
        );
        assert_eq!(
            evidence.waited_ns + evidence.unknown_ns + evidence.slept_ns,
            0
        );
    }
}
