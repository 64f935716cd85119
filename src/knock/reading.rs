//! The CPU times and run-queue delays at the beginning and the end of a knock; and two clocks for Python.

use pyo3::prelude::*;

use crate::histogram::seconds;
use crate::system::clock::now_ns;
use crate::system::run_queue::ThreadStats;

/// The figures of the watched thread and of the knocker's own thread; all 0 if the system does not provide them.
#[derive(Default)]
#[allow(clippy::struct_field_names)] // `_ns` is the unit
pub struct Reading {
    pub at_ns: u64,
    pub ran_ns: u64,
    pub queued_ns: u64,
    pub own_queued_ns: u64,
}

impl Reading {
    /// The watched thread's figures are 0 if it has ended: so they may be smaller than before.
    pub fn take(stats: Option<(&ThreadStats, &ThreadStats)>) -> Self {
        let Some((watched, own)) = stats else {
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

/// The time on the clock that knocks use.
#[pyfunction]
pub fn monotonic() -> f64 {
    seconds(now_ns())
}

/// The run-queue delay of a thread of this process so far.
#[pyfunction]
pub fn run_queue_delay(thread: i32) -> Option<f64> {
    ThreadStats::of(thread)?.run_queue_delay_ns().map(seconds)
}
