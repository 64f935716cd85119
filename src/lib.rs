//! gilscope's native half. This file is its table of contents; the contract with Python is `python/gilscope/_core.pyi`.

#[cfg(not(all(
    target_os = "linux",
    target_arch = "x86_64",
    target_pointer_width = "64"
)))]
compile_error!("gilscope runs on Linux on x86-64 only: src/system.rs says where a port starts");

mod arguments;
mod attach;
mod bridge;
mod countdown;
mod gc_pauses;
mod gil;
mod histogram;
mod knock;
mod locked;
mod main_interpreter;
mod per_process;
mod system;
mod testing;
mod tokio_bridge;
mod watch;

use pyo3::prelude::*;

/// What Python cannot do itself.
#[pymodule(gil_used = false)]
mod _core {
    use super::{
        Bound, PyModule, PyResult, bridge, gil, knock::knocker, main_interpreter, testing,
        tokio_bridge,
    };

    #[pymodule_export]
    use crate::attach::exports::{
        attached_alive, attached_holds, attached_lags, attached_late_now, attached_long_holds,
        attached_loop_times, attached_stack, attached_time_tree,
    };
    #[pymodule_export]
    use crate::attach::loop_count::count_loops;
    #[pymodule_export]
    use crate::attach::watcher::AttachedWatcher;
    #[pymodule_export]
    use crate::bridge::{bridge_workers, countdown_bridge};
    #[pymodule_export]
    use crate::countdown::{countdown_held, countdown_released};
    #[pymodule_export]
    use crate::gc_pauses::GcListener;
    #[pymodule_export]
    use crate::gil::process::find_process;
    #[pymodule_export]
    use crate::gil::switch_interval::LoweredSwitchInterval;
    #[pymodule_export]
    use crate::gil::{gil_unreadable, stacks_unreadable};
    #[pymodule_export]
    use crate::histogram::Histogram;
    #[pymodule_export]
    use crate::knock::keeper::LongWait;
    #[pymodule_export]
    use crate::knock::knocker::Knocker;
    #[pymodule_export]
    use crate::knock::reading::{monotonic, run_queue_delay};
    #[pymodule_export]
    use crate::knock::tally::{Knock, KnockTally};
    #[pymodule_export]
    use crate::system::signals::ends_process;
    #[pymodule_export]
    use crate::tokio_bridge::countdown_tokio;
    #[pymodule_export]
    use crate::watch::call_first::CallFirst;
    #[pymodule_export]
    use crate::watch::heartbeat::Heartbeat;
    #[pymodule_export]
    use crate::watch::liveness::loops_alive;
    #[pymodule_export]
    use crate::watch::log_file::PyLogFile;
    #[pymodule_export]
    use crate::watch::logs::{close_logs, say_in_log, set_program_packages};
    #[pymodule_export]
    use crate::watch::loop_reports::{BusySums, BusyTree, LoopSums, loop_times, time_tree};
    #[pymodule_export]
    use crate::watch::program::RunProgram;
    #[pymodule_export]
    use crate::watch::progress::{share_samples, stalled_now};
    #[pymodule_export]
    use crate::watch::recent::{Recent, recent, recent_trace};
    #[pymodule_export]
    use crate::watch::reporter_process::ReporterProcess;
    #[pymodule_export]
    use crate::watch::reports::{
        Beat, ContenderReport, EvidenceReport, GilHold, SegmentReport, StallReport, ThreadInfo,
        WatchTotals,
    };
    #[pymodule_export]
    use crate::watch::running_loop::{RunForever, SetRunningLoop};
    #[pymodule_export]
    use crate::watch::stacks::current_frames;
    #[pymodule_export]
    use crate::watch::traced::{trace_after, traced_beats, traced_holds};
    #[pymodule_export]
    use crate::watch::watcher::Watcher;
    #[pymodule_export]
    use crate::watch::watcher_files::close_in_child;

    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    const BEATS_KEPT: usize = crate::watch::beat_ring::BEATS_KEPT;
    #[pymodule_export]
    const HOLDS_KEPT: usize = crate::watch::hold_ring::HOLDS_KEPT;
    #[pymodule_export]
    const LONG_HOLD_SWITCH_INTERVALS: u64 = crate::watch::gil_wait::LONG_HOLD_SWITCH_INTERVALS;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        main_interpreter::required(module.py())?;
        crate::watch::call_first::make_callable(module.py())?;
        crate::watch::running_loop::make_callable(module.py())?;
        testing::add_to(module)?;
        gil::export_codes(module)?;
        bridge::close_at_exit(module.py())?;
        knocker::stop_at_exit(module.py())?;
        tokio_bridge::drain_at_exit(module.py())
    }
}
