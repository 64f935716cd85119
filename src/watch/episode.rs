//! What is seen while a loop is late: the evidence from which a stall's cause is told.

use std::collections::HashMap;

use crate::gil::{Gil, Look, ThreadIds};
use crate::watch::collections::Collections;
use crate::watch::ledger::Hold;
use crate::watch::thread::{Activity, Probe, Turns};

/// A sample speaks for the time since the last one, but not for longer than this: what is beyond, nobody saw.
const SAMPLE_SPEAKS_FOR_NS: u64 = 5_000_000;
/// A hold is long when it takes more than this many switch intervals of a processor's time, or of sleep: a thread that runs
/// Python gives the GIL up after one, if it is asked.
const LONG_HOLD_INTERVALS: u64 = 4;
/// A hold is looked at closely when it has lasted for this many.
const SUSPECT_INTERVALS: u64 = 2;
/// Threads whose holds are told apart in one stall.
const THREADS: usize = 32;

#[allow(clippy::struct_field_names)] // the unit
/// What another thread did while the loop waited for the GIL.
#[derive(Clone, Default)]
pub struct Rival {
    pub held_ns: u64,
    /// Of that: in long holds.
    pub long_ns: u64,
    /// The longest of its holds, from before the loop was late if it began then.
    pub longest_ns: u64,
    /// Of the longer ones: ready to run, and not run.
    pub queued_ns: u64,
    /// Of the holds: in the garbage collector.
    pub collects_ns: u64,
}

/// Where the time went, from when the loop was late.
#[derive(Clone, Default)]
pub struct Evidence {
    pub sampled_ns: u64,
    pub unsampled_ns: u64,
    /// The loop's thread held the GIL, and of that, collected garbage.
    pub held_ns: u64,
    pub collects_ns: u64,
    /// It waited for the GIL; slept in the kernel for something else; ran, or would have, without the GIL; not known.
    pub waits_ns: u64,
    pub sleeps_ns: u64,
    pub runs_ns: u64,
    pub unknown_ns: u64,
    /// What it had from the processors; `None` where the system does not count.
    pub turns: Option<Turns>,
    /// How often the GIL went to another thread.
    pub switches: u64,
    pub rivals: HashMap<ThreadIds, Rival>,
}

/// A loop's lateness under way.
pub struct Episode {
    pub id: u64,
    pub due_ns: u64,
    /// When the lateness was half a stall, and who held the GIL then: known while it lasted.
    pub noticed: Option<(u64, Option<ThreadIds>)>,
    evidence: Evidence,
    turns_before: Option<Turns>,
    switches_before: Option<u64>,
    seen_last: Option<Seen>,
    hold: Option<WaitedFor>,
}

/// What the loop's thread was about at one sample.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Holds,
    Is(Activity),
}

/// The hold that the loop is waiting for the end of.
struct WaitedFor {
    hold: Hold,
    waited_ns: u64,
    long_ns: u64,
    /// The holder's files and what it had had from the processors when the hold became suspect.
    suspect: Option<(Probe, Option<Turns>)>,
}

/// What the sampler sees at one moment.
pub struct Sight<'a> {
    pub gap_ns: u64,
    pub gil: Option<(Gil, Look)>,
    pub hold: Option<Hold>,
    pub collections: &'a Collections,
}

impl Episode {
    pub fn new(id: u64, due_ns: u64, turns_before: Option<Turns>) -> Self {
        Self {
            id,
            due_ns,
            noticed: None,
            evidence: Evidence::default(),
            turns_before,
            switches_before: None,
            seen_last: None,
            hold: None,
        }
    }

    /// The threads that have kept the loop waiting so far.
    pub fn rivals(&self) -> impl Iterator<Item = ThreadIds> + use<'_> {
        self.evidence.rivals.keys().copied()
    }

    /// Adds what is seen now of the loop's thread, and of the thread that it waits for. Returns that thread.
    pub fn add(
        &mut self,
        late_ns: u64,
        sight: &Sight<'_>,
        own: ThreadIds,
        probe: &Probe,
    ) -> Option<ThreadIds> {
        let holder = sight.gil.and_then(|(_, look)| look.holder);
        let seen = if holder.is_some_and(|it| it.native != 0 && it.native == own.native) {
            Seen::Holds
        } else {
            match probe.activity(sight.gil.map(|(gil, _)| gil)) {
                // It wakes up every switch interval, asks again, and waits on: all of it for the end of the same hold.
                Activity::Runs if self.still_waits_for(sight.hold) => {
                    Seen::Is(Activity::WaitsForGil)
                }
                activity => Seen::Is(activity),
            }
        };
        let span_ns = self.speaks_for(seen, sight.gap_ns.min(late_ns));
        let evidence = &mut self.evidence;
        if let Some((_, look)) = sight.gil {
            let before = *self.switches_before.get_or_insert(look.switches);
            evidence.switches = look.switches.saturating_sub(before);
        }
        let spent = match seen {
            Seen::Holds => &mut evidence.held_ns,
            Seen::Is(Activity::WaitsForGil) => &mut evidence.waits_ns,
            Seen::Is(Activity::Sleeps) => &mut evidence.sleeps_ns,
            Seen::Is(Activity::Runs) => &mut evidence.runs_ns,
            Seen::Is(Activity::Unknown) => &mut evidence.unknown_ns,
        };
        *spent += span_ns;
        match seen {
            Seen::Is(Activity::WaitsForGil | Activity::Unknown) => {
                return self.blame(holder, span_ns, sight);
            }
            Seen::Holds if sight.collections.under_way_in(own.ident) => {
                evidence.collects_ns += span_ns;
            }
            _ => (),
        }
        self.settle();
        None
    }

    fn still_waits_for(&self, hold: Option<Hold>) -> bool {
        let same = |at: &WaitedFor| {
            hold.is_some_and(|hold| hold.by == at.hold.by && hold.from_ns == at.hold.from_ns)
        };
        self.hold.as_ref().is_some_and(same)
    }

    /// How much of a gap a sample speaks for. What the sampler found before a long one and finds again behind it is taken
    /// to have lasted; otherwise nobody knows what was in between.
    fn speaks_for(&mut self, seen: Seen, gap_ns: u64) -> u64 {
        let lasted = self.seen_last.replace(seen) == Some(seen);
        let span_ns = if lasted {
            gap_ns
        } else {
            gap_ns.min(SAMPLE_SPEAKS_FOR_NS)
        };
        self.evidence.sampled_ns += span_ns;
        self.evidence.unsampled_ns += gap_ns - span_ns;
        span_ns
    }

    fn blame(
        &mut self,
        holder: Option<ThreadIds>,
        span_ns: u64,
        sight: &Sight<'_>,
    ) -> Option<ThreadIds> {
        let (holder, hold, (gil, _)) = (holder?, sight.hold?, sight.gil?);
        if !self.still_waits_for(Some(hold)) {
            self.settle();
            self.hold = Some(WaitedFor {
                hold,
                waited_ns: 0,
                long_ns: LONG_HOLD_INTERVALS * gil.interval_ns(),
                suspect: None,
            });
        }
        let waited_for = self.hold.as_mut()?;
        waited_for.hold = hold;
        let rivals = &mut self.evidence.rivals;
        if rivals.len() >= THREADS && !rivals.contains_key(&holder) {
            return None;
        }
        let rival = rivals.entry(holder).or_default();
        let length_ns = hold.length_ns();
        rival.held_ns += span_ns;
        rival.longest_ns = rival.longest_ns.max(length_ns);
        if sight.collections.under_way_in(holder.ident) {
            rival.collects_ns += span_ns;
        }
        waited_for.waited_ns += span_ns;
        if waited_for.suspect.is_none() && length_ns > SUSPECT_INTERVALS * gil.interval_ns() {
            let probe = Probe::new(holder.native);
            let turns = probe.turns();
            waited_for.suspect = Some((probe, turns));
        }
        Some(holder)
    }

    /// The hold that was waited for has ended, or the wait has: was it long, or was its holder only not run?
    fn settle(&mut self) {
        let Some(ended) = self.hold.take() else {
            return;
        };
        let (Some((probe, before)), Some(rival)) =
            (ended.suspect, self.evidence.rivals.get_mut(&ended.hold.by))
        else {
            return;
        };
        let queued_ns = before.zip(probe.turns()).map_or(0, |(before, after)| {
            after.queued_ns.saturating_sub(before.queued_ns)
        });
        rival.queued_ns += queued_ns;
        if ended.hold.length_ns().saturating_sub(queued_ns) > ended.long_ns {
            rival.long_ns += ended.waited_ns;
        }
    }

    /// Closes the books: the beat came at `came_ns`, and `turns` is what the loop's thread has had from the processors by now.
    pub fn finish(
        mut self,
        came_ns: u64,
        turns: Option<Turns>,
    ) -> (Option<(u64, Option<ThreadIds>)>, Evidence) {
        self.settle();
        let seen_ns = self.evidence.sampled_ns + self.evidence.unsampled_ns;
        self.evidence.unsampled_ns += came_ns.saturating_sub(self.due_ns).saturating_sub(seen_ns);
        self.evidence.turns = self.turns_before.zip(turns).map(|(before, after)| Turns {
            ran_ns: after.ran_ns.saturating_sub(before.ran_ns),
            queued_ns: after.queued_ns.saturating_sub(before.queued_ns),
        });
        (self.noticed, self.evidence)
    }
}
