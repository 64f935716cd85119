//! Whether the loops are alive now: for `Watch.state`, and for the heartbeat file that an orchestrator reads.

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::histogram::seconds;
use crate::watch::heartbeat::HeartbeatState;
use crate::watch::prober;
use crate::watch::reports::ThreadInfo;
use crate::watch::state::WatchState;
use crate::watch::thread_files::ThreadFiles;
use crate::watch::watcher::Watcher;

/// What a loop does, in the order of how bad that is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Doing {
    /// Its thread sleeps in its selector.
    Idle,
    /// It runs callbacks, and is not late.
    Busy,
    /// It is late, and its thread has mostly waited for the GIL since.
    Starved,
    /// It is late in its own callback.
    Blocked,
}

impl Doing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Starved => "starved",
            Self::Blocked => "blocked",
        }
    }
}

/// One loop at one moment.
pub struct LoopNow {
    pub number: u64,
    pub thread: ThreadIds,
    pub doing: Doing,
    /// For how long it has not been known to respond.
    pub age_ns: u64,
}

/// All loops that run, the worst first. Takes no lock for which any thread waits with the GIL.
pub fn loops_now(watch: &WatchState) -> Vec<LoopNow> {
    let stall_ns = watch.settings.stall_ns + watch.settings.heartbeat_ns;
    let heartbeats = watch.heartbeats();
    let mut loops: Vec<LoopNow> = heartbeats
        .iter()
        .filter(|heartbeat| !heartbeat.is_unproven())
        .map(|heartbeat| now(heartbeat, stall_ns))
        .collect();
    loops.sort_by_key(|it| std::cmp::Reverse((it.is_late(), it.age_ns, it.doing)));
    loops
}

fn now(heartbeat: &HeartbeatState, stall_ns: u64) -> LoopNow {
    let (thread, silence) = (heartbeat.thread(), &heartbeat.silence);
    let silent_ns = silence.silent_ns();
    let selects = || ThreadFiles::new(thread.native).selects();
    let doing = if silent_ns > stall_ns && !silence.sleeps() {
        if silence.waited_ns() > silence.late_ns() / 2 {
            Doing::Starved
        } else {
            Doing::Blocked
        }
    } else if silence.sleeps() || selects() {
        Doing::Idle
    } else {
        Doing::Busy
    };
    LoopNow {
        number: heartbeat.loop_number,
        thread,
        doing,
        age_ns: if doing == Doing::Idle { 0 } else { silent_ns },
    }
}

impl LoopNow {
    fn is_late(&self) -> bool {
        self.doing > Doing::Busy
    }
}

/// Return the loops that run now, the worst first: number, thread, what the loop does, and its age.
#[pyfunction]
pub fn loops_alive(
    py: Python<'_>,
    watcher: &Watcher,
) -> PyResult<Vec<(u64, ThreadInfo, &'static str, f64)>> {
    watcher.must_own_threads()?;
    let loops = loops_now(&watcher.state);
    if loops
        .iter()
        .any(|it| watcher.info(it.thread).name.is_none())
    {
        prober::read_names(py, &watcher.state);
    }
    let row = |it: LoopNow| {
        (
            it.number,
            watcher.info(it.thread),
            it.doing.name(),
            seconds(it.age_ns),
        )
    };
    Ok(loops.into_iter().map(row).collect())
}
