//! The single holds and beats of a watch that traces.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::gil::ThreadIds;
use crate::histogram::seconds;
use crate::watch::beat_ring::BEATS_KEPT;
use crate::watch::gil_usage::Hold;
use crate::watch::hold_ring::HOLDS_KEPT;
use crate::watch::reports::{Beat, GilHold};
use crate::watch::ring::{Kept, Span};
use crate::watch::watcher::Watcher;

/// The latest holds, if the watch traces.
#[pyfunction]
pub fn traced_holds(watcher: &Watcher) -> PyResult<Vec<GilHold>> {
    watcher.must_own_threads()?;
    if !watcher.state.settings.trace {
        return Ok(Vec::new());
    }
    let holds = watcher.state.gil_usage.with(|usage| usage.kept(0, true));
    let report = |hold: Hold| GilHold {
        thread: watcher.info(hold.by),
        start: seconds(hold.from_ns),
        end: seconds(hold.to_ns),
    };
    Ok(holds.latest(HOLDS_KEPT).map(report).collect())
}

/// The latest beats, if the watch traces.
#[pyfunction]
pub fn traced_beats(watcher: &Watcher) -> PyResult<Vec<Beat>> {
    watcher.must_own_threads()?;
    if !watcher.state.settings.trace {
        return Ok(Vec::new());
    }
    let report = |beat: Span| Beat {
        at: seconds(beat.to_ns),
        lag: seconds(beat.length_ns()),
    };
    let beats = watcher.state.beats.kept(0);
    Ok(beats.latest(BEATS_KEPT).map(report).collect())
}

/// Beats and holds as packed numbers of 64 bits, and the names of threads.
pub type Trace<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Vec<(u64, String)>);

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
    if !state.settings.trace {
        return packed_trace(py, watcher, &[], &[]);
    }
    let after = |kept: Kept, since_ns: u64| -> Vec<Span> {
        kept.spans().filter(|span| span.to_ns > since_ns).collect()
    };
    let beats = after(state.beats.kept(beat_ns), beat_ns);
    let holds = state.gil_usage.with(|usage| usage.kept(hold_ns, complete));
    packed_trace(py, watcher, &beats, &after(holds, hold_ns))
}

pub fn packed_trace<'py>(
    py: Python<'py>,
    watcher: &Watcher,
    beats: &[Span],
    holds: &[Hold],
) -> Trace<'py> {
    let mut names: Vec<_> = watcher.state.names.with(|known| {
        let mut threads: Vec<_> = holds.iter().map(|hold| hold.by).collect();
        threads.sort_unstable_by_key(|by| (by.native, by.ident));
        threads.dedup();
        let named = |by: &ThreadIds| Some((by.native, known.get(by)?.clone()));
        threads.iter().filter_map(named).collect()
    });
    names.sort_unstable();
    names.dedup();
    let beats = beats.iter().flat_map(|beat| [beat.to_ns, beat.length_ns()]);
    let holds = holds
        .iter()
        .flat_map(|hold| [hold.by.native, hold.from_ns, hold.to_ns]);
    (packed(py, beats), packed(py, holds), names)
}

fn packed(py: Python<'_>, numbers: impl Iterator<Item = u64>) -> Bound<'_, PyBytes> {
    let bytes: Vec<u8> = numbers.flat_map(u64::to_ne_bytes).collect();
    PyBytes::new(py, &bytes)
}
