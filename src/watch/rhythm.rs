//! When the sampler looks next: seldom while nothing happens, often while a loop is late.
//!
//! A look is either planned or extra. Only planned looks are credited to the threads that hold the GIL. The gap after a planned
//! look is chosen without regard to what that look shows: its length was decided at the planned look before. A gap that were
//! shorter after a look that shows the GIL held would credit short holds with too little: half of the gap before a look and half of
//! the gap after it stand for what the look shows. Extra looks, between two planned ones, follow what has just been seen: a loop
//! that is late, or that has begun to run.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::system::pace::Pace;
use crate::watch::state::Settings;

/// A watch looks most often during this time after its start: a short program gets as many samples as it can.
const FULL_RATE_AT_START_NS: u64 = 3_000_000_000;
/// The same, as tests change it.
pub static FULL_RATE_FOR_NS: AtomicU64 = AtomicU64::new(FULL_RATE_AT_START_NS);
/// The GIL is taken for busy until it was free at all planned looks during this time.
const BUSY_FOR_NS: u64 = 250_000_000;
const BUSY_PERIODS: u64 = 4;
const QUIET_PERIODS: u64 = 18;
/// A loop is late after this part of the threshold. While the GIL is busy, gaps are no longer than this on average.
pub const LATE_PART_OF_STALL: u64 = 10;
/// The rate is full once a loop is late by this part of the threshold. A loop beside some busy threads is late by less all the time.
pub const FULL_RATE_PART_OF_STALL: u64 = 2;

/// How far apart the looks are on average.
#[derive(Clone, Copy)]
#[allow(clippy::struct_field_names)] // `_ns` is the unit
pub struct Periods {
    /// While a loop is late by some milliseconds, and at the start of a watch.
    pub full_ns: u64,
    /// While the GIL is held now and then, or a loop runs.
    pub busy_ns: u64,
    /// While the GIL is free and all loops sleep.
    pub quiet_ns: u64,
}

impl Periods {
    pub fn of(settings: &Settings) -> Self {
        Self::new(settings.sample_ns, settings.stall_ns, settings.heartbeat_ns)
    }

    /// A loop that sleeps and begins to run is seen after a gap, so the gap while all is quiet must not be longer than a
    /// heartbeat allows: see [`Self::longest_quiet_ns`].
    fn new(sample_ns: u64, stall_ns: u64, heartbeat_ns: u64) -> Self {
        let at_least = |wanted_ns: u64| wanted_ns.max(sample_ns);
        Self {
            full_ns: sample_ns,
            busy_ns: at_least((BUSY_PERIODS * sample_ns).min(stall_ns / LATE_PART_OF_STALL)),
            quiet_ns: at_least((QUIET_PERIODS * sample_ns).min(heartbeat_ns * 9 / 5)),
        }
    }

    /// Quiet gaps last from 8/9 to 10/9 of their mean: with the default of 18 ms, at most two heartbeats of 10 ms.
    #[cfg(test)]
    fn longest_quiet_ns(self) -> u64 {
        self.quiet_ns * 10 / 9
    }
}

/// What a look has shown.
#[derive(Clone, Copy, Default)]
pub struct Seen {
    /// A thread holds the GIL, or it is unknown whether one does.
    pub held: bool,
    /// A loop is so late that it may stall.
    pub late: bool,
    /// A loop may be running: its heartbeats are expected.
    pub awake: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rate {
    Full,
    Busy,
    Quiet,
}

pub struct Rhythm {
    pace: Pace,
    periods: Periods,
    full_until_ns: u64,
    busy_until_ns: u64,
    /// The rate of the gap that follows the next planned look.
    next_rate: Rate,
    rate: Rate,
    planned_ns: u64,
    next_ns: u64,
    /// What the last planned look stands for: half of the gap before it and half of the gap after it.
    weight_ns: u64,
    last_ns: u64,
}

impl Rhythm {
    /// The first look is planned for `now_ns`.
    pub fn new(pace: Pace, periods: Periods, now_ns: u64) -> Self {
        Self {
            pace,
            periods,
            // Relaxed: used by itself.
            full_until_ns: now_ns.saturating_add(FULL_RATE_FOR_NS.load(Ordering::Relaxed)),
            busy_until_ns: 0,
            next_rate: Rate::Full,
            rate: Rate::Full,
            planned_ns: now_ns,
            next_ns: now_ns,
            weight_ns: 0,
            last_ns: now_ns,
        }
    }

    /// Whether the watch has lasted for so long that it looks seldom if nothing happens.
    pub fn is_steady(&self, now_ns: u64) -> bool {
        now_ns >= self.full_until_ns
    }

    /// Whether a loop that sleeps is seen to run again so soon that no stall is missed.
    pub fn sees_waking_in_time(&self, stall_ns: u64, heartbeat_ns: u64) -> bool {
        let Periods {
            busy_ns, quiet_ns, ..
        } = self.periods;
        quiet_ns * 10 / 9 + busy_ns * 3 / 2 + heartbeat_ns <= stall_ns
    }

    /// Whether a look at `now_ns` is the planned one.
    pub fn is_planned(&self, now_ns: u64) -> bool {
        now_ns >= self.planned_ns
    }

    /// When the next planned look is.
    pub fn planned_ns(&self) -> u64 {
        self.planned_ns
    }

    /// When the next look is.
    pub fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// How much time the last planned look stands for. It does not depend on what that look has shown.
    pub fn weight_ns(&self) -> u64 {
        self.weight_ns
    }

    /// Chooses when to look next, after a look at `now_ns`. Returns whether that look was planned.
    pub fn follow(&mut self, now_ns: u64, seen: Seen) -> bool {
        let was_planned = self.is_planned(now_ns);
        if was_planned {
            self.rate = self.next_rate;
            self.next_rate = self.rate_after(now_ns, seen);
            let gap_ns = self.gap_ns_at(self.rate);
            self.planned_ns = now_ns + gap_ns;
            self.weight_ns = (now_ns - self.last_ns).midpoint(gap_ns);
            self.last_ns = now_ns;
        }
        let wanted = if seen.late {
            Rate::Full
        } else if seen.held || seen.awake {
            Rate::Busy
        } else {
            Rate::Quiet
        };
        self.next_ns = self.planned_ns;
        if self.period_ns(wanted) < self.period_ns(self.rate) {
            self.next_ns = self.planned_ns.min(now_ns + self.gap_ns_at(wanted));
        }
        was_planned
    }

    fn rate_after(&mut self, now_ns: u64, seen: Seen) -> Rate {
        if seen.held || seen.awake {
            self.busy_until_ns = now_ns + BUSY_FOR_NS;
        }
        if now_ns < self.full_until_ns {
            Rate::Full
        } else if now_ns < self.busy_until_ns {
            Rate::Busy
        } else {
            Rate::Quiet
        }
    }

    fn period_ns(&self, rate: Rate) -> u64 {
        match rate {
            Rate::Full => self.periods.full_ns,
            Rate::Busy => self.periods.busy_ns,
            Rate::Quiet => self.periods.quiet_ns,
        }
    }

    fn gap_ns_at(&mut self, rate: Rate) -> u64 {
        let period_ns = self.period_ns(rate);
        match rate {
            Rate::Full | Rate::Busy => self.pace.jittered_ns(period_ns),
            Rate::Quiet => self.pace.narrow_ns(period_ns),
        }
    }
}

#[cfg(test)]
mod tests;
