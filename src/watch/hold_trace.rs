//! The latest holds of the GIL, one by one, for a chart.

use std::collections::VecDeque;

use crate::gil::GilState;
use crate::watch::gil_usage::Hold;

/// How many holds are kept, the latest ones.
pub const HOLDS_KEPT: usize = 200_000;

/// The holds as the planned samples saw them. Each has its halves of the gaps at its ends: the sum of their lengths is the time
/// that [`crate::watch::gil_usage::GilUsage`] credits.
pub struct HoldTrace {
    kept: Option<VecDeque<Hold>>,
    last: Option<GilState>,
    /// When the gap before the current hold, or before the time without one, is divided.
    from_ns: u64,
}

impl HoldTrace {
    pub fn new(now_ns: u64, is_on: bool) -> Self {
        Self {
            kept: is_on.then(VecDeque::new),
            last: None,
            from_ns: now_ns,
        }
    }

    /// Adds a planned sample; the gap before it is divided at `border_ns`.
    pub fn add(&mut self, border_ns: u64, state: GilState) {
        let Some(kept) = &mut self.kept else { return };
        if self.last == Some(state) && state.holder.is_some() {
            return;
        }
        if let Some(by) = self.last.and_then(|last| last.holder) {
            if kept.len() == HOLDS_KEPT {
                kept.pop_front();
            }
            kept.push_back(Hold {
                by,
                from_ns: self.from_ns,
                to_ns: border_ns,
            });
        }
        self.from_ns = border_ns;
        self.last = Some(state);
    }

    /// The latest holds, if they are kept, and the current one, which the last planned sample showed at `last_ns`.
    pub fn all(&self, last_ns: u64) -> Vec<Hold> {
        let current = self.last.and_then(|last| last.holder).map(|by| Hold {
            by,
            from_ns: self.from_ns,
            to_ns: last_ns,
        });
        self.ended().copied().chain(current).collect()
    }

    /// The latest holds that have ended, if they are kept.
    pub fn ended(&self) -> impl DoubleEndedIterator<Item = &Hold> {
        self.kept.iter().flatten()
    }
}
