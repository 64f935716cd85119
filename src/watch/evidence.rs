//! Where a late loop's time went: the evidence from which Python decides a stall's cause.

use std::collections::HashMap;

use crate::gil::ThreadIds;
use crate::watch::thread_files::CpuTimes;

/// What another thread did while the loop waited for the GIL.
#[derive(Clone, Default)]
#[allow(clippy::struct_field_names)] // `_ns` is the unit
pub struct Contender {
    pub held_ns: u64,
    /// Of `held_ns`: in long holds.
    pub held_long_ns: u64,
    /// The longest of its holds, counted from its beginning, even if that was before the loop was late.
    pub longest_ns: u64,
    /// In its longer holds: runnable, and not running.
    pub queued_ns: u64,
    /// Of `held_ns`: in the garbage collector.
    pub collected_ns: u64,
}

/// Where the time went, from when the heartbeat was due.
#[derive(Clone, Default)]
pub struct Evidence {
    pub sampled_ns: u64,
    pub unsampled_ns: u64,
    /// The loop's thread held the GIL.
    pub held_ns: u64,
    /// Of `held_ns`: in the garbage collector.
    pub collected_ns: u64,
    /// The loop's thread waited for the GIL.
    pub waited_ns: u64,
    /// It slept in the kernel for something else.
    pub slept_ns: u64,
    /// It ran, or was runnable, without the GIL.
    pub ran_without_gil_ns: u64,
    /// It slept on a lock that may have been the GIL's or another.
    pub unknown_ns: u64,
    /// The CPU time and run-queue delay of the loop's thread; `None` if the system does not count them.
    pub cpu: Option<CpuTimes>,
    /// How often another thread acquired the GIL.
    pub switches: u64,
    pub contenders: HashMap<ThreadIds, Contender>,
}
