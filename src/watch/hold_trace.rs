//! The latest holds of the GIL, for a dump and for a chart.

use crate::gil::GilState;
use crate::watch::gil_usage::Hold;
use crate::watch::hold_ring::HoldRing;
use crate::watch::ring::Kept;

/// The holds as the planned samples saw them. Each has its halves of the gaps at its ends: the sum of their lengths is the time
/// that [`crate::watch::gil_usage::GilUsage`] credits.
pub struct HoldTrace {
    ring: HoldRing,
    last: Option<GilState>,
    /// When the gap before the current hold, or before the time without one, is divided.
    from_ns: u64,
}

impl HoldTrace {
    /// `trace`: whether the latest holds are kept whatever their age.
    pub fn new(now_ns: u64, trace: bool) -> Self {
        Self {
            ring: HoldRing::new(trace),
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
            self.keep(Hold {
                by,
                from_ns: self.from_ns,
                to_ns: border_ns,
            });
        }
        self.from_ns = border_ns;
        self.last = Some(state);
    }

    /// Keeps a hold that has ended.
    pub fn keep(&mut self, hold: Hold) {
        self.ring.add(hold);
    }

    /// The latest holds, those that ended after `since_ns` and maybe some before; and the current one, if the last planned
    /// sample is given, which showed it.
    pub fn kept(&self, since_ns: u64, last_ns: Option<u64>) -> Kept {
        let mut kept = self.ring.kept(since_ns);
        let current = self.last.and_then(|last| last.holder).zip(last_ns);
        kept.rest.extend(current.map(|(by, last_ns)| Hold {
            by,
            from_ns: self.from_ns,
            to_ns: last_ns,
        }));
        kept
    }

    /// How many bytes the holds take.
    pub fn size(&self) -> usize {
        self.ring.size()
    }
}
