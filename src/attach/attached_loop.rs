//! One loop of another process, as the sampler watches it: its turns, and the stalls among them.

mod ending;
mod late;

use std::sync::atomic::Ordering;

use super::kind::{Call, Kind};
use super::places::Places;
use super::turn_log::{LagCounter, TurnLog};
use super::turns::{Look, Turn, Turns};
use crate::gil::ThreadIds;
use crate::watch::busy::doing;
use crate::watch::gil_wait::Sample;
use crate::watch::heartbeat::LateBeat;
use crate::watch::late_period::LatePeriod;
use crate::watch::loop_time::Doing;
use crate::watch::native_stacks::NativeStacks;
use crate::watch::reports::FinishedStall;
use crate::watch::rhythm::{FULL_RATE_PART_OF_STALL, LATE_PART_OF_STALL};
use crate::watch::segment::FROM_OUTSIDE;
use crate::watch::state::WatchState;
use crate::watch::thread_files::{CpuTimes, SleepsIn, ThreadFiles};

/// The CPU times are read this often, for a turn that begins and becomes late while the sampler does not run.
const NS_BETWEEN_CPU_TIMES: u64 = 10_000_000;

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
    /// The CPU times a little while ago, and when that was.
    cpu: (u64, Option<CpuTimes>),
    late_period: Option<LatePeriod>,
    /// How late the loop was when a stack has shown last, in the current turn, that it runs.
    confirmed_ns: u64,
    missed: u32,
    /// The process was stopped at the last sample, in a turn that was late.
    is_stopped: bool,
    /// When that was asked last, which takes some microseconds.
    stop_asked_ns: u64,
}

/// What a sample has shown of a loop.
#[derive(Default)]
pub struct Added {
    /// `None` if the process is stopped.
    pub doing: Option<Doing>,
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
            cpu: (0, None),
            late_period: None,
            confirmed_ns: 0,
            missed: 0,
            is_stopped: false,
            stop_asked_ns: 0,
        }
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

    /// Since when the loop is in its current turn; `None` if it sleeps.
    pub fn since_ns(&self) -> Option<u64> {
        self.turns.since_ns()
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
        self.is_stopped = self.is_stopped && self.files.is_stopped();
        if self.is_stopped {
            return Added::default();
        }
        // All that follows is of one moment.
        self.files.begin_sample();
        if !self.files.is_reported() && self.files.is_gone() {
            // Its frame may still be in memory.
            return Added {
                doing: None,
                stall: self.end(now_ns, &mut outside),
                has_ended: true,
            };
        }
        let look = self.look(sample, &mut outside);
        let Some(look) = look else {
            let has_ended = self.has_ended(now_ns, &mut outside);
            let stall = has_ended.then(|| self.end(now_ns, &mut outside)).flatten();
            return Added {
                doing: Some(doing(sample, self.thread, &self.files)),
                stall,
                has_ended,
            };
        };
        self.missed = 0;
        let added = self.follow(sample, look, outside);
        if now_ns >= self.cpu.0 + NS_BETWEEN_CPU_TIMES {
            self.cpu = (now_ns, self.files.cpu_times());
        }
        added
    }

    fn follow(&mut self, sample: &Sample<'_>, look: Look, mut outside: Outside<'_>) -> Added {
        let now_ns = sample.now_ns;
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
                doing: Some(Doing::Asleep),
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
            doing: Some(doing(sample, self.thread, &self.files)),
            stall,
            has_ended: false,
        };
        if late_ns >= stall_ns / LATE_PART_OF_STALL {
            self.add_late(sample, since_ns, &mut outside, &mut added);
        }
        added
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
        if call.is_hidden && self.files.times_run().is_some() {
            // The thread is alive. Relaxed: used by itself.
            outside
                .watch
                .system_calls_hidden
                .store(true, Ordering::Relaxed);
        }
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

    /// The CPU times when this turn began, or soon after, or soon before.
    fn cpu_before(&self, turn: Option<(u64, Option<CpuTimes>)>) -> Option<CpuTimes> {
        turn.and_then(|(_, cpu)| cpu).or(self.cpu.1)
    }

    /// The loop has ended, or is not watched any longer: ends its turn.
    pub fn end(&mut self, now_ns: u64, outside: &mut Outside<'_>) -> Option<FinishedStall> {
        let turn = self.turns.end(now_ns)?;
        self.ended(turn, outside)
    }

    fn ended(&mut self, turn: Turn, outside: &mut Outside<'_>) -> Option<FinishedStall> {
        let into = (
            &mut *outside.log,
            &outside.watch.lags,
            &*outside.watch.beats,
        );
        self.lags.ended(turn, into);
        self.confirmed_ns = 0;
        let before = self.turn.take();
        let late_period = self.late_period.take();
        let stall_ns = outside.watch.settings.stall_ns;
        if turn.length_ns() < stall_ns {
            return None;
        }
        let cpu = self.cpu_before(before);
        let late_period = late_period
            .unwrap_or_else(|| LatePeriod::new(turn.began_ns, stall_ns, FROM_OUTSIDE, cpu));
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
}
