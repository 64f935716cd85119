//! One loop of another process, as the sampler watches it: its turns, and the stalls among them.

use super::kind::{Call, Kind};
use super::places::Places;
use super::turn_log::{LagCounter, TurnLog};
use super::turns::{Look, Turn, Turns};
use crate::gil::stack::Stack;
use crate::gil::{Gil, ThreadIds};
use crate::watch::busy::doing;
use crate::watch::gil_wait::Sample;
use crate::watch::heartbeat::LateBeat;
use crate::watch::late_period::LatePeriod;
use crate::watch::loop_time::Doing;
use crate::watch::native_stacks::NativeStacks;
use crate::watch::reports::FinishedStall;
use crate::watch::rhythm::{FULL_RATE_PART_OF_STALL, LATE_PART_OF_STALL};
use crate::watch::segment::BY_SAMPLER;
use crate::watch::stall_so_far::LateNow;
use crate::watch::state::WatchState;
use crate::watch::thread_files::{CpuTimes, SleepsIn, ThreadFiles};

/// A loop that has not been found where it was in so many samples has ended.
const MAX_MISSED: u32 = 3;

pub struct AttachedLoop {
    pub number: u64,
    pub thread: ThreadIds,
    pub kind: Kind,
    files: ThreadFiles,
    turns: Turns,
    lags: LagCounter,
    seen_ns: u64,
    /// The epoll file in which the loop has been seen to sleep.
    selector: Option<i32>,
    /// When the current turn began, and the CPU times of the loop's thread soon after.
    turn: Option<(u64, Option<CpuTimes>)>,
    late_period: Option<LatePeriod>,
    /// Whether a stack has shown, since the current turn became late, that the loop runs.
    confirmed: bool,
    missed: u32,
}

/// What a sample has shown of a loop.
pub struct Added {
    pub doing: Doing,
    pub stall: Option<FinishedStall>,
    /// The loop does not run any more.
    pub has_ended: bool,
}

/// What is needed to add a sample.
pub struct Outside<'a> {
    pub watch: &'a WatchState,
    pub places: &'a Places,
    pub native: &'a mut NativeStacks,
    pub log: &'a mut TurnLog,
    pub gil: Gil,
}

impl AttachedLoop {
    pub fn new(
        number: u64,
        thread: ThreadIds,
        kind: Kind,
        files: ThreadFiles,
        now_ns: u64,
    ) -> Self {
        Self {
            number,
            thread,
            kind,
            files,
            turns: Turns::new(now_ns),
            lags: LagCounter::new(number, now_ns),
            seen_ns: now_ns,
            selector: None,
            turn: None,
            late_period: None,
            confirmed: false,
            missed: 0,
        }
    }

    /// The loop's thread has been found to run another loop on top of this one, or this one again in another frame.
    pub fn change_kind(&mut self, kind: Kind) {
        self.kind = kind;
        self.missed = 0;
    }

    /// The run-queue delay of the loop's thread so far.
    pub fn queued_ns(&self) -> Option<u64> {
        self.files.cpu_times().map(|cpu| cpu.queued_ns)
    }

    /// Whether the loop is asleep now.
    pub fn has_fallen_asleep(&mut self, places: &Places) -> bool {
        self.files.begin_sample();
        let look = self
            .kind
            .look(places, Call::of(&self.files), (self.seen_ns, self.seen_ns));
        look == Some(Look::Asleep)
    }

    pub fn is_late(&self) -> bool {
        self.late_period.is_some()
    }

    pub fn may_stall(&self, now_ns: u64, stall_ns: u64) -> bool {
        let since_ns = self.turns.since_ns();
        since_ns
            .is_some_and(|since| now_ns.saturating_sub(since) >= stall_ns / FULL_RATE_PART_OF_STALL)
    }

    /// Adds a sample.
    pub fn add(&mut self, sample: &Sample<'_>, mut outside: Outside<'_>) -> Added {
        let now_ns = sample.now_ns;
        // All that follows is of one moment.
        self.files.begin_sample();
        let look = self.look(sample, &mut outside);
        let Some(look) = look else {
            self.missed += 1;
            let has_ended = self.missed > MAX_MISSED;
            let stall = has_ended.then(|| self.end(now_ns, &mut outside)).flatten();
            return Added {
                doing: doing(sample, self.thread, &self.files),
                stall,
                has_ended,
            };
        };
        self.missed = 0;
        self.seen_ns = now_ns;
        let before_ns = self.turns.since_ns();
        let turn = self.turns.add(now_ns, look);
        let stall = turn.and_then(|turn| self.ended(turn, &mut outside));
        let Some(since_ns) = self.turns.since_ns() else {
            self.turn = None;
            let into = (
                &mut *outside.log,
                &outside.watch.lags,
                &*outside.watch.beats,
            );
            self.lags.sleeps(now_ns, into);
            return Added {
                doing: Doing::Asleep,
                stall,
                has_ended: false,
            };
        };
        if self.turn.is_none_or(|(of_ns, _)| of_ns != since_ns) && before_ns == Some(since_ns) {
            self.turn = Some((since_ns, self.files.cpu_times()));
        }
        let stall_ns = outside.watch.settings.stall_ns;
        let late_ns = now_ns.saturating_sub(since_ns);
        let mut added = Added {
            doing: doing(sample, self.thread, &self.files),
            stall,
            has_ended: false,
        };
        if late_ns >= stall_ns / LATE_PART_OF_STALL {
            self.add_late(sample, since_ns, &mut outside, &mut added);
        }
        added
    }

    fn add_late(
        &mut self,
        sample: &Sample<'_>,
        since_ns: u64,
        outside: &mut Outside<'_>,
        added: &mut Added,
    ) {
        if self.files.is_stopped() {
            // Time in which the process is stopped is not the program's.
            let turn = self.turns.end(sample.now_ns);
            added.stall = turn
                .and_then(|turn| self.ended(turn, outside))
                .or(added.stall.take());
            added.doing = Doing::Asleep;
            return;
        }
        if !self.confirmed {
            match outside.native.reader.stack(self.thread.native) {
                Ok(stack) if self.kind.is_in(&stack) => self.confirmed = true,
                Ok(_) => {
                    // The frame was left, and nothing has used its memory since.
                    self.missed = MAX_MISSED;
                    added.has_ended = true;
                    self.forget_turn(sample.now_ns);
                    return;
                }
                Err(_) => {} // until the next sample
            }
        }
        let stall_ns = outside.watch.settings.stall_ns;
        let cpu = self.turn.and_then(|(_, cpu)| cpu);
        let late_ns = sample.now_ns.saturating_sub(since_ns);
        // What the loop does now, it has done since the turn began.
        let since_begun = Sample {
            gap_ns: late_ns,
            planned_gap_ns: late_ns,
            ..*sample
        };
        let is_first = self.late_period.is_none();
        let may_have_lasted = late_ns <= 2 * stall_ns / LATE_PART_OF_STALL;
        let sample = if is_first && may_have_lasted {
            &since_begun
        } else {
            sample
        };
        let late_period = self
            .late_period
            .get_or_insert_with(|| LatePeriod::new(since_ns, stall_ns, BY_SAMPLER, cpu));
        late_period.add(sample, self.thread, &self.files);
        let (kind, files, places) = (&mut self.kind, &self.files, outside.places);
        let (turns, seen_ns) = (&self.turns, self.seen_ns);
        let is_over = || {
            files.begin_sample();
            let look = kind.look(places, Call::of(files), (seen_ns, sample.now_ns));
            look.is_none_or(|look| !turns.goes_on(look))
        };
        late_period.read_stacks(
            (outside.watch, outside.native),
            sample,
            (self.thread, &self.files, 0),
            is_over,
        );
    }

    fn look(&mut self, sample: &Sample<'_>, outside: &mut Outside<'_>) -> Option<Look> {
        let sleeps = self.files.sleeps_in();
        if matches!(sleeps, SleepsIn::Epoll(file) if self.selector == Some(file)) {
            return Some(Look::Asleep);
        }
        if self.kind.wants_stack(sleeps)
            && let Ok(stack) = outside.native.reader.stack(self.thread.native)
            && self.sleeps_on(sleeps)
        {
            self.kind.note_stack(sleeps, &stack);
        }
        let call = Call::of(&self.files);
        let times = (self.seen_ns, sample.now_ns);
        let look = self.kind.look(outside.places, call, times);
        if look == Some(Look::Asleep)
            && let SleepsIn::Epoll(file) = sleeps
            && self.sleeps_on(sleeps)
        {
            self.selector = Some(file);
        }
        look
    }

    /// Whether the thread still sleeps where it slept.
    fn sleeps_on(&self, sleeps: SleepsIn) -> bool {
        self.files.begin_sample();
        self.files.sleeps_in() == sleeps
    }

    /// The loop has ended, or is not watched any longer: ends its turn.
    pub fn end(&mut self, now_ns: u64, outside: &mut Outside<'_>) -> Option<FinishedStall> {
        let turn = self.turns.end(now_ns)?;
        self.ended(turn, outside)
    }

    fn forget_turn(&mut self, now_ns: u64) {
        self.turns.end(now_ns);
        self.late_period = None;
        self.turn = None;
    }

    fn ended(&mut self, turn: Turn, outside: &mut Outside<'_>) -> Option<FinishedStall> {
        let into = (
            &mut *outside.log,
            &outside.watch.lags,
            &*outside.watch.beats,
        );
        self.lags.ended(turn, into);
        self.confirmed = false;
        let before = self.turn.take();
        let late_period = self.late_period.take();
        let stall_ns = outside.watch.settings.stall_ns;
        if turn.length_ns() < stall_ns {
            return None;
        }
        let cpu = before.and_then(|(_, cpu)| cpu);
        let late_period = late_period
            .unwrap_or_else(|| LatePeriod::new(turn.began_ns, stall_ns, BY_SAMPLER, cpu));
        let due_ns = late_period.due_ns;
        let (noticed, segments, _) = late_period.finish(turn.ended_ns, self.files.cpu_times());
        Some(FinishedStall {
            loop_number: self.number,
            thread: self.thread,
            late: LateBeat {
                due_ns,
                came_ns: turn.ended_ns,
            },
            noticed,
            segments,
            below: None,
            told: false,
        })
    }

    /// What the loop is late for by now; `None` if it is not.
    pub fn late_now<'a>(&'a mut self, sample: &Sample<'_>) -> Option<LateNow<'a>> {
        let late_period = self.late_period.as_mut()?;
        if sample.now_ns < late_period.stalled_since_ns() {
            return None;
        }
        let evidence = late_period.evidence_so_far(self.files.cpu_times());
        Some(LateNow {
            loop_number: self.number,
            thread: self.thread,
            due_ns: late_period.due_ns,
            now_ns: sample.now_ns,
            evidence,
            holder: late_period.holder(sample, self.thread),
            stacks: late_period.latest_stacks(sample.now_ns),
            below: None,
        })
    }

    /// Whether this stack of its thread shows the loop.
    pub fn is_in(&self, stack: &Stack) -> bool {
        self.kind.is_in(stack)
    }
}
