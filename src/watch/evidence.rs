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
    /// In long holds while the loop slept in the kernel for something else.
    pub held_while_loop_slept_ns: u64,
    /// When its latest long hold was seen first and last.
    pub long_ns: Option<(u64, u64)>,
}

impl Contender {
    pub fn merge(&mut self, other: &Self) {
        self.held_ns += other.held_ns;
        self.held_long_ns += other.held_long_ns;
        self.longest_ns = self.longest_ns.max(other.longest_ns);
        self.queued_ns += other.queued_ns;
        self.collected_ns += other.collected_ns;
        self.held_while_loop_slept_ns += other.held_while_loop_slept_ns;
        self.long_ns = other.long_ns.or(self.long_ns);
    }

    /// Whether a stack of this thread that was requested and taken at these times shows what it held the GIL for.
    pub fn held_at(&self, asked_ns: u64, attached_ns: u64) -> bool {
        self.long_ns
            .is_none_or(|(from_ns, to_ns)| from_ns <= attached_ns && to_ns >= asked_ns)
    }
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

impl Evidence {
    /// Adds what follows directly.
    pub fn merge(&mut self, later: Self) {
        self.sampled_ns += later.sampled_ns;
        self.unsampled_ns += later.unsampled_ns;
        self.held_ns += later.held_ns;
        self.collected_ns += later.collected_ns;
        self.waited_ns += later.waited_ns;
        self.slept_ns += later.slept_ns;
        self.ran_without_gil_ns += later.ran_without_gil_ns;
        self.unknown_ns += later.unknown_ns;
        self.cpu = self.cpu.zip(later.cpu).map(|(one, other)| CpuTimes {
            ran_ns: one.ran_ns + other.ran_ns,
            queued_ns: one.queued_ns + other.queued_ns,
        });
        self.switches += later.switches;
        for (thread, contender) in later.contenders {
            self.contenders.entry(thread).or_default().merge(&contender);
        }
    }
}
