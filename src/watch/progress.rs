//! What `gilscope watch` passes to the reporter process while the program runs.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::histogram::seconds;
use crate::system::clock::now_ns;
use crate::watch::gil_usage::Hold;
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

/// Beats and holds as packed numbers of 64 bits, and the names of threads: what `trace_after` returns.
type Trace<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Vec<(u64, String)>);

/// The beats and the holds that ended after the given moments, if the watch traces. A beat is its moment and its lag, a hold
/// its thread, its start and its end. The holds include the current one if `complete`.
#[pyfunction]
#[pyo3(signature = (watcher, *, beat_ns, hold_ns, complete))]
pub fn trace_after<'py>(
    py: Python<'py>,
    watcher: &Watcher,
    beat_ns: u64,
    hold_ns: u64,
    complete: bool,
) -> Trace<'py> {
    let state = &watcher.state;
    let beats: Vec<(u64, u64)> = state.beats.with(|beats| {
        let new = beats.iter().rev().take_while(|(at_ns, _)| *at_ns > beat_ns);
        new.copied().collect()
    });
    let holds: Vec<Hold> = state.gil_usage.with(|usage| {
        let new = |hold: &Hold| hold.to_ns > hold_ns;
        if complete {
            usage
                .traced_holds()
                .into_iter()
                .rev()
                .take_while(new)
                .collect()
        } else {
            usage
                .ended_holds()
                .rev()
                .take_while(|hold| new(hold))
                .copied()
                .collect()
        }
    });
    let mut names: Vec<_> = state.names.with(|known| {
        let named = |hold: &Hold| Some((hold.by.native, known.get(&hold.by)?.clone()));
        holds.iter().filter_map(named).collect()
    });
    names.sort_unstable();
    names.dedup();
    let beats = beats
        .iter()
        .rev()
        .flat_map(|&(at_ns, lag_ns)| [at_ns, lag_ns]);
    let holds = holds
        .iter()
        .rev()
        .flat_map(|hold| [hold.by.native, hold.from_ns, hold.to_ns]);
    (packed(py, beats), packed(py, holds), names)
}

fn packed(py: Python<'_>, numbers: impl Iterator<Item = u64>) -> Bound<'_, PyBytes> {
    let bytes: Vec<u8> = numbers.flat_map(u64::to_ne_bytes).collect();
    PyBytes::new(py, &bytes)
}
