//! What the system's clocks and accounts say at a moment, to a knock and to Python.

use pyo3::prelude::*;

use crate::histogram::seconds;
use crate::system::clock::now_ns;
use crate::system::run_queue::ThreadStats;

/// What Linux has booked for the watched thread and for this one; all 0 where it does not tell.
#[derive(Default)]
#[allow(clippy::struct_field_names)] // `_ns` is the unit
pub struct Reading {
    pub at_ns: u64,
    pub ran_ns: u64,
    pub queued_ns: u64,
    pub own_queued_ns: u64,
}

impl Reading {
    /// The watched thread may have ended: then its account stands still.
    pub fn take(accounts: Option<(&ThreadStats, &ThreadStats)>) -> Self {
        let Some((watched, own)) = accounts else {
            return Self::default();
        };
        Self {
            at_ns: now_ns(),
            ran_ns: watched.cpu_time_ns().unwrap_or_default(),
            queued_ns: watched.run_queue_delay_ns().unwrap_or_default(),
            own_queued_ns: own.run_queue_delay_ns().unwrap_or_default(),
        }
    }
}

/// The time on the knocks' clock.
#[pyfunction]
pub fn monotonic() -> f64 {
    seconds(now_ns())
}

/// How long a thread of this process has stood in run queues.
#[pyfunction]
pub fn run_queue_delay(thread: i32) -> Option<f64> {
    ThreadStats::of(thread)?.run_queue_delay_ns().map(seconds)
}
