//! The sums of a watch up to now.

use std::sync::atomic::Ordering;

use crate::gil::ThreadIds;
use crate::histogram::seconds;
use crate::system::clock::now_ns;
use crate::watch::logs::Logs;
use crate::watch::reports::{ThreadInfo, WatchTotals};
use crate::watch::state::WatchState;

/// `info` looks a thread's name up.
pub fn totals(state: &WatchState, info: impl Fn(ThreadIds) -> ThreadInfo) -> WatchTotals {
    let (last_ns, samples, held_ns, by_thread) = state.gil_usage.with(|usage| {
        if !state.is_closing() {
            // A sample taken here would only show that this thread holds the GIL.
            usage.add_unchanged_if_overdue(now_ns());
        }
        let by_thread: Vec<_> = usage
            .by_thread
            .iter()
            .map(|(&ids, &sum)| (ids, sum))
            .collect();
        (usage.last_ns, usage.samples, usage.held_ns, by_thread)
    });
    let skipped_ns = state.skipped_ns.load(Ordering::Relaxed); // a sum, used by itself
    WatchTotals {
        elapsed: seconds(last_ns.saturating_sub(state.started_ns + skipped_ns)),
        samples,
        held: seconds(held_ns),
        held_by: by_thread
            .into_iter()
            .map(|(ids, sum_ns)| (info(ids), seconds(sum_ns)))
            .collect(),
        waits: state.waits.copy(),
        lags: state.lags.copy(),
        collected: seconds(state.gc.collected_ns()),
        cost: seconds(state.cost_ns()),
        lost: state.lost(),
        log_dropped: state.logs.get().map_or(0, Logs::dropped),
    }
}
