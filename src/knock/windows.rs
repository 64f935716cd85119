//! Lowers the switch interval for most of the time, and leaves it as it is for the rest.
//!
//! At a lowered interval a long hold cannot be mistaken for anything else; at the program's own interval a thread that waits
//! shows what it really waits for. Code that runs once must be seen at both. The interval changes only when the knocker holds
//! the GIL, so a wait that has begun at one interval ends at it.

use pyo3::prelude::*;

use crate::gil::switch_interval;
use crate::system::pace::Pace;
use crate::system::scheduling::{self, Priority};

const LOWERED_NS: u64 = 40_000_000;
const USUAL_NS: u64 = 10_000_000;

pub struct Windows {
    lowered_us: u32,
    until_ns: u64,
    pub is_lowered: bool,
}

impl Windows {
    pub fn new(lowered_us: u32) -> Self {
        Self {
            lowered_us,
            until_ns: 0,
            is_lowered: false,
        }
    }

    /// Changes the interval if it is time. An interval that cannot be changed stays as it is.
    pub fn change_if_due(&mut self, py: Python<'_>, pace: &mut Pace, now_ns: u64) {
        if now_ns < self.until_ns {
            return;
        }
        if self.is_lowered {
            self.end(py);
            scheduling::request(Priority::Ordinary);
            self.until_ns = now_ns + pace.jittered_ns(USUAL_NS);
        } else {
            self.is_lowered = switch_interval::lower(py, self.lowered_us).is_ok();
            scheduling::request(Priority::RealTime);
            self.until_ns = now_ns + pace.jittered_ns(LOWERED_NS);
        }
    }

    /// Restores the interval.
    pub fn end(&mut self, py: Python<'_>) {
        if self.is_lowered {
            self.is_lowered = false;
            let _ = switch_interval::restore(py, self.lowered_us); // fails only without memory
        }
    }
}
