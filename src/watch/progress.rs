//! What `gilscope watch` passes to the reporter process while the program runs.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::histogram::seconds;
use crate::system::clock::now_ns;
use crate::watch::reporter_process::ReporterProcess;
use crate::watch::reports::ThreadInfo;
use crate::watch::watcher::Watcher;

/// Note each sample of `watcher` in the page that `reporter` reads.
#[pyfunction]
pub fn share_samples(watcher: &Watcher, reporter: &ReporterProcess) {
    // A watcher has one reporter: a second one would be ignored.
    let _ = watcher.state.page.set(Arc::clone(&reporter.page));
}

/// The loops that are late now by more than a stall: thread, ident of the thread, and when the late beat was due.
#[pyfunction]
pub fn stalled_now(watcher: &Watcher) -> Vec<(ThreadInfo, u64, f64)> {
    let now_ns = now_ns();
    let state = &watcher.state;
    let stalled = state.heartbeats().into_iter().filter_map(|heartbeat| {
        let due_ns = heartbeat.due_ns();
        let late_ns = now_ns.saturating_sub(due_ns);
        let late = due_ns != 0 && late_ns > state.settings.stall_ns && !heartbeat.is_unproven();
        late.then(|| {
            let ids = heartbeat.thread();
            (watcher.info(ids), ids.ident, seconds(due_ns))
        })
    });
    stalled.collect()
}
