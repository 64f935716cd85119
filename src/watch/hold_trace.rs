//! The latest holds of the GIL, one by one, as the planned samples saw them.

use crate::gil::GilState;
use crate::watch::hold_ring::HoldRing;
use crate::watch::ring::{Kept, Span};

/// Each hold has its halves of the gaps at its ends: the sum of their lengths is the time that
/// [`crate::watch::gil_usage::GilUsage`] credits.
pub struct HoldTrace {
    ring: HoldRing,
    last: Option<GilState>,
    /// When the gap before the current hold, or before the time without one, is divided.
    from_ns: u64,
}

impl HoldTrace {
    /// A watch that traces keeps more of them.
    pub fn new(now_ns: u64, traces: bool) -> Self {
        Self {
            ring: HoldRing::new(traces),
            last: None,
            from_ns: now_ns,
        }
    }

    /// Adds a planned sample; the gap before it is divided at `border_ns`.
    pub fn add(&mut self, border_ns: u64, state: GilState) {
        if self.last == Some(state) && state.holder.is_some() {
            return;
        }
        if let Some(by) = self.last.and_then(|last| last.holder) {
            self.ring.add(Span {
                by,
                from_ns: self.from_ns,
                to_ns: border_ns,
            });
        }
        self.from_ns = border_ns;
        self.last = Some(state);
    }

    /// The latest holds, those that ended after `since_ns` and maybe some before. If `last_ns` is given, the last planned sample
    /// was then, and the current hold is one of them.
    pub fn kept(&self, since_ns: u64, last_ns: Option<u64>) -> Kept {
        let mut kept = self.ring.kept(since_ns);
        let holder = self.last.and_then(|last| last.holder);
        if let (Some(by), Some(to_ns)) = (holder, last_ns) {
            kept.rest.push(Span {
                by,
                from_ns: self.from_ns,
                to_ns,
            });
        }
        kept
    }

    /// How many bytes they take.
    pub fn size(&self) -> usize {
        self.ring.size()
    }
}
