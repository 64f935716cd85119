//! The last minutes of a watch, for a dump: sums and a timeline of a stretch of time, made from the rings. It is done here and
//! detached, so that a dump does not hold the GIL for long.

use std::collections::HashMap;

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::histogram::{Histogram, nanoseconds, seconds};
use crate::watch::beat_ring::BEATS_KEPT;
use crate::watch::checkpoints::Checkpoint;
use crate::watch::gil_usage::Hold;
use crate::watch::hold_ring::HOLDS_KEPT;
use crate::watch::loop_reports::LoopSums;
use crate::watch::prober;
use crate::watch::reports::ThreadInfo;
use crate::watch::ring::{Kept, Span};
use crate::watch::state::WatchState;
use crate::watch::timeline::{Grid, held, worst};
use crate::watch::traced::{Trace, packed_trace};
use crate::watch::watcher::Watcher;

/// Threads with a sum of their own in a dump; the others share one.
const MAX_THREADS: usize = 256;

/// A stretch of time, and what the watch saw in it.
#[pyclass(frozen, get_all, module = "gilscope._core")]
pub struct Recent {
    begin: f64,
    end: f64,
    samples: u64,
    held: f64,
    held_by: Vec<(ThreadInfo, f64)>,
    waits: Histogram,
    lags: Histogram,
    collected: f64,
    cost: f64,
    lost: u64,
    loops: Vec<LoopSums>,
    width: f64,
    worst: Vec<Option<f64>>,
    tracks: Vec<(ThreadInfo, Vec<f64>)>,
}

/// The stretch from `since` or from when all was kept, whichever is later, to the last sample.
#[pyfunction]
#[pyo3(signature = (watcher, *, since, max_bins, seconds_per_bin, max_tracks))]
pub fn recent(
    py: Python<'_>,
    watcher: &Watcher,
    since: f64,
    max_bins: u64,
    seconds_per_bin: f64,
    max_tracks: usize,
) -> PyResult<Recent> {
    watcher.must_own_threads()?;
    prober::read_names(py, &watcher.state);
    let since_ns = nanoseconds(since)?;
    let least_ns = nanoseconds(seconds_per_bin)?.max(1);
    py.detach(|| {
        let window = Window::new(&watcher.state, since_ns);
        let grid = Grid::new(window.begin_ns, window.end_ns, max_bins, least_ns);
        Ok(window.report(watcher, grid, max_tracks))
    })
}

/// The latest beats and holds that ended after `since`, packed as by `trace_after`.
#[pyfunction]
#[pyo3(signature = (watcher, *, since))]
pub fn recent_trace<'py>(py: Python<'py>, watcher: &Watcher, since: f64) -> PyResult<Trace<'py>> {
    watcher.must_own_threads()?;
    prober::read_names(py, &watcher.state);
    let since_ns = nanoseconds(since)?;
    let (beats, holds) = py.detach(|| {
        let window = Window::new(&watcher.state, since_ns);
        let beats: Vec<Span> = window.within(&window.beats).collect();
        let holds: Vec<Hold> = window.holds().collect();
        let (beats, holds) = (latest(beats, BEATS_KEPT), latest(holds, HOLDS_KEPT));
        (beats, holds)
    });
    Ok(packed_trace(py, watcher, &beats, &holds))
}

/// A copy of what the rings have of a stretch of time.
struct Window {
    begin_ns: u64,
    end_ns: u64,
    all_holds: Kept,
    beats: Kept,
    probes: Kept,
    sums: Checkpoint,
    heartbeat_ns: u64,
}

impl Window {
    fn new(state: &WatchState, since_ns: u64) -> Self {
        let (all_holds, end_ns) = state
            .gil_usage
            .with(|usage| (usage.kept(since_ns, true), usage.last_ns));
        let beats = state.beats.kept(since_ns);
        let probes = state.probes.kept(since_ns);
        let begin_ns = since_ns
            .max(state.started_ns)
            .max(all_holds.complete_since_ns)
            .max(beats.complete_since_ns)
            .max(probes.complete_since_ns)
            .min(end_ns);
        let before = state.checkpoints.with(|all| all.at(begin_ns));
        let sums = state
            .checkpoint(end_ns)
            .since(&if before.at_ns <= begin_ns {
                before
            } else {
                Checkpoint::default() // the watch has just begun
            });
        Self {
            begin_ns,
            end_ns,
            all_holds,
            beats,
            probes,
            sums,
            heartbeat_ns: state.settings.heartbeat_ns,
        }
    }

    /// The spans that ended since this time began. A beat may have come after the last sample.
    fn within<'a>(&self, kept: &'a Kept) -> impl Iterator<Item = Span> + use<'a> {
        let begin_ns = self.begin_ns;
        kept.spans().filter(move |span| span.to_ns > begin_ns)
    }

    /// The holds, cut off where this time begins.
    fn holds(&self) -> impl Iterator<Item = Hold> {
        self.within(&self.all_holds).map(|hold| Hold {
            from_ns: hold.from_ns.max(self.begin_ns),
            ..hold
        })
    }

    fn report(&self, watcher: &Watcher, grid: Grid, max_tracks: usize) -> Recent {
        let (waits, lags) = (Histogram::new(), Histogram::new());
        for probe in self.within(&self.probes) {
            waits.record_ns(probe.length_ns());
        }
        for beat in self.within(&self.beats) {
            lags.record_schedule_ns(beat.length_ns(), self.heartbeat_ns);
        }
        let by_thread = self.by_thread();
        let apart: Vec<ThreadIds> = by_thread
            .iter()
            .map(|&(by, _)| by)
            .filter(|by| *by != ThreadIds::default())
            .take(max_tracks)
            .collect();
        let named = |by: ThreadIds| watcher.info(by);
        Recent {
            begin: seconds(self.begin_ns),
            end: seconds(self.end_ns),
            samples: self.sums.samples,
            held: seconds(by_thread.iter().map(|&(_, sum)| sum).sum()),
            held_by: by_thread
                .iter()
                .map(|&(by, sum)| (named(by), seconds(sum)))
                .collect(),
            waits,
            lags,
            collected: seconds(self.sums.collected_ns),
            cost: seconds(self.sums.cost_ns),
            lost: self.sums.lost,
            loops: self
                .sums
                .loops
                .iter()
                .map(|sums| sums.named(named))
                .collect(),
            width: seconds(grid.width_ns),
            worst: worst(self.within(&self.beats), grid)
                .into_iter()
                .map(|lag| lag.map(seconds))
                .collect(),
            tracks: held(self.holds(), &apart, grid)
                .into_iter()
                .map(|(by, bins)| (named(by), bins.into_iter().map(seconds).collect()))
                .collect(),
        }
    }

    /// How long each thread held the GIL, the longest holder first. Beyond `MAX_THREADS` they share an entry without ids.
    fn by_thread(&self) -> Vec<(ThreadIds, u64)> {
        let mut sums: HashMap<ThreadIds, u64> = HashMap::new();
        for hold in self.holds() {
            *sums.entry(hold.by).or_default() += hold.length_ns();
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_unstable_by_key(|&(_, sum)| std::cmp::Reverse(sum));
        if sums.len() > MAX_THREADS {
            let others = sums.split_off(MAX_THREADS);
            let others_ns: u64 = others.iter().map(|&(_, sum)| sum).sum();
            match sums.iter_mut().find(|sum| sum.0 == ThreadIds::default()) {
                Some((_, sum)) => *sum += others_ns,
                None => sums.push((ThreadIds::default(), others_ns)),
            }
        }
        sums
    }
}

fn latest(mut spans: Vec<Span>, count: usize) -> Vec<Span> {
    spans.split_off(spans.len().saturating_sub(count))
}
