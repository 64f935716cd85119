//! A long hold of the GIL, and whether its thread is still at the line that held it.

use crate::gil::GilState;
use crate::watch::gil_usage::Hold;

/// A thread that gets the GIL between two samples that are no further apart does not run into its next request to release it.
const MAX_UNSEEN_NS: u64 = 5_000_000;

/// A long hold, and what its thread may have done since.
#[derive(Clone, Copy)]
pub struct LongHold {
    pub hold: Hold,
    /// The switch number at that time.
    switches: u64,
    /// A sample has shown that the thread has acquired the GIL again.
    again: bool,
    /// The longest time without a sample since.
    unseen_ns: u64,
}

impl LongHold {
    pub fn new(hold: Hold, switches: u64) -> Self {
        Self {
            hold,
            switches,
            again: false,
            unseen_ns: 0,
        }
    }

    /// Adds a sample, `gap_ns` after the one before it.
    pub fn add(&mut self, gap_ns: u64, state: GilState) {
        self.unseen_ns = self.unseen_ns.max(gap_ns);
        self.again |= state.switches != self.switches && state.holder == Some(self.hold.by);
    }

    /// The same, if the last sample was at `last_ns` and it is `now_ns`.
    pub fn seen_until(self, last_ns: u64, now_ns: u64) -> Self {
        Self {
            unseen_ns: self.unseen_ns.max(now_ns.saturating_sub(last_ns)),
            ..self
        }
    }

    /// Whether the thread may have run Python again by the time the switch number is `switches`: then its stack shows another
    /// line than that of the hold.
    ///
    /// Acquiring the GIL again takes the thread one switch, and taking its stack takes the prober another: up to two switches
    /// after the hold, the thread is still where the hold ended. After more it is there, or just behind, if no sample has
    /// shown that it had the GIL again, unless it sleeps: between two samples it had the time to end what it did.
    pub fn may_have_moved_on(&self, switches: u64, sleeps: impl FnOnce() -> bool) -> bool {
        switches > self.switches + 2 && (self.again || self.unseen_ns > MAX_UNSEEN_NS || sleeps())
    }
}
