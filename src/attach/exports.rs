//! What an attachment has seen lately, as plain data for Python.

use pyo3::prelude::*;

use super::watcher::AttachedWatcher;
use crate::gil::ThreadIds;
use crate::gil::process::Process;
use crate::histogram::{nanoseconds, seconds};
use crate::watch::loop_reports::{BusyTree, CopiedTree, LoopSums, copied_sums};
use crate::watch::native_stacks::converted;
use crate::watch::reports::{GilHold, ThreadInfo};
use crate::watch::stacks::FrameData;

/// A stack, innermost frame first.
type Frames = Vec<FrameData>;

/// The lags after `since`: the loop's number, when, and how long.
#[pyfunction]
pub fn attached_lags(watcher: &AttachedWatcher, since: f64) -> PyResult<Vec<(u64, f64, f64)>> {
    let since_ns = nanoseconds(since)?;
    let lags = watcher.shared.turns.with(|log| log.since(since_ns));
    Ok(lags
        .iter()
        .map(|lag| (lag.loop_number, seconds(lag.at_ns), seconds(lag.lag_ns)))
        .collect())
}

/// The holds of the GIL that ended after `since`, with the current one.
#[pyfunction]
pub fn attached_holds(watcher: &AttachedWatcher, since: f64) -> PyResult<Vec<GilHold>> {
    let since_ns = nanoseconds(since)?;
    let kept = watcher
        .shared
        .watch
        .gil_usage
        .with(|usage| usage.kept(since_ns, true));
    Ok(kept
        .spans()
        .filter(|hold| hold.to_ns > since_ns)
        .map(|hold| GilHold {
            thread: watcher.info(hold.by),
            start: seconds(hold.from_ns),
            end: seconds(hold.to_ns),
        })
        .collect())
}

/// The long holds that ended after `since`, with the current one: the hold, and the stack that held the GIL.
#[pyfunction]
pub fn attached_long_holds(
    watcher: &AttachedWatcher,
    since: f64,
) -> PyResult<Vec<(ThreadInfo, f64, f64, Frames)>> {
    let since_ns = nanoseconds(since)?;
    let holds = watcher
        .shared
        .long_holds
        .with(|holds| holds.since(since_ns));
    Ok(holds
        .into_iter()
        .map(|it| {
            let (start, length) = (seconds(it.hold.from_ns), seconds(it.hold.length_ns()));
            (watcher.info(it.hold.by), start, length, it.frames)
        })
        .collect())
}

/// What each loop does now that is late by more than the threshold: its number, since when, the cause, its thread and its stack,
/// and the other thread that holds the GIL and its stack.
#[allow(clippy::type_complexity)] // plain data
#[pyfunction]
pub fn attached_late_now(
    watcher: &AttachedWatcher,
) -> Vec<(
    u64,
    f64,
    &'static str,
    ThreadInfo,
    Frames,
    Option<(ThreadInfo, Frames)>,
)> {
    let late = watcher.shared.late.with(|late| late.clone());
    let report = |it: super::late_now::LateSeen| {
        let holder = it.holder.map(|(by, frames)| (watcher.info(by), frames));
        let since = seconds(it.due_ns);
        let thread = watcher.info(it.thread);
        (
            it.loop_number,
            since,
            it.cause.name(),
            thread,
            it.frames,
            holder,
        )
    };
    late.into_iter().map(report).collect()
}

/// The threads that are alive.
#[pyfunction]
pub fn attached_alive(py: Python<'_>, watcher: &AttachedWatcher) -> Vec<ThreadInfo> {
    let threads: Vec<ThreadIds> = py.detach(|| watcher.process.with(Process::threads));
    threads.into_iter().map(|ids| watcher.info(ids)).collect()
}

/// What a thread runs now; empty if its stack cannot be read.
#[pyfunction]
pub fn attached_stack(py: Python<'_>, watcher: &AttachedWatcher, native_id: u64) -> Frames {
    let read = py.detach(|| watcher.reader.with(|reader| reader.stack(native_id)));
    read.map(|stack| converted(&stack).frames)
        .unwrap_or_default()
}

/// How long each loop was busy and asleep.
#[pyfunction]
pub fn attached_loop_times(watcher: &AttachedWatcher) -> Vec<LoopSums> {
    let sums = watcher
        .shared
        .watch
        .loop_times
        .with(|times| copied_sums(times));
    sums.into_iter()
        .map(|it| it.named(|ids| watcher.info(ids)))
        .collect()
}

/// Where the busy time went.
#[pyfunction]
pub fn attached_time_tree(py: Python<'_>, watcher: &AttachedWatcher) -> PyResult<BusyTree> {
    let copied = py.detach(|| {
        watcher
            .shared
            .watch
            .loop_times
            .with(|times| CopiedTree::of(times))
    });
    copied.report(py, |ids| watcher.info(ids))
}
