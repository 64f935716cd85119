//! The thread that attaches to the interpreter. It probes the GIL (acquires it at random moments, and measures how long that
//! takes), and takes stacks when the sampler requests them.
//!
//! A probe that was due while the prober was already waiting is counted with the wait that it would have had: otherwise long
//! waits would be counted once where short ones are counted often.
//!
//! The prober runs no Python code, so CPython never ends it while it runs some. At exit CPython ends threads by unwinding
//! them, which would abort the process when the unwinding reaches Rust.

use std::sync::atomic::Ordering;

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::system::clock::now_ns;
use crate::system::pace::Pace;
use crate::system::scheduling::{self, Priority};
use crate::watch::stacks;
use crate::watch::state::{OWN_THREAD_NAME, WatchState, guard};

/// Runs the thread. `current_task` is asyncio's function, and runs no Python code.
pub fn run(watch: &WatchState, current_task: &Py<PyAny>) {
    scheduling::prepare_sampling_thread(Priority::RealTime);
    watch.name_own_thread();
    let requests = &watch.stack_requests;
    let mut pace = Pace::new();
    let mut probe_ns = now_ns() + pace.exponential_ns(watch.settings.probe_ns);
    while !watch.is_closing() || requests.is_pending() {
        let has_request = requests.wait(probe_ns);
        if !has_request && (watch.is_closing() || now_ns() < probe_ns) {
            continue;
        }
        let asked_ns = now_ns();
        let attached_ns = Python::try_attach(|py| {
            let attached_ns = now_ns();
            answer_requests(py, watch, current_task, attached_ns);
            if guard(&watch.gil_usage).take_unnamed() {
                read_names(py, watch);
            }
            attached_ns
        });
        let Some(attached_ns) = attached_ns else {
            return; // the interpreter is shutting down
        };
        watch
            .prober_ran_ns
            .store(scheduling::own_cpu_time_ns(), Ordering::Relaxed); // a sum, used by itself
        // The first probe is counted from when this thread asked, however late it was woken; later ones from when due.
        let mut since_ns = asked_ns;
        while probe_ns <= attached_ns {
            watch.waits.record_ns(attached_ns - probe_ns.max(since_ns));
            since_ns = 0;
            probe_ns += pace.exponential_ns(watch.settings.probe_ns).max(1);
        }
    }
}

fn answer_requests(py: Python<'_>, watch: &WatchState, current_task: &Py<PyAny>, attached_ns: u64) {
    let requests = &watch.stack_requests;
    for request in requests.take_requests() {
        let stacks = request.take_stacks(py, watch);
        let heartbeats = watch.heartbeats();
        let heartbeat = heartbeats
            .iter()
            .find(|heartbeat| heartbeat.loop_number == request.loop_number);
        let event_loop = heartbeat.and_then(|heartbeat| heartbeat.event_loop(py));
        let task = event_loop.and_then(|event_loop| {
            stacks::task(current_task.bind(py), event_loop.bind(py)).unwrap_or_default()
        });
        requests.answer(&request, attached_ns, stacks, task);
    }
    requests.finish();
}

/// Reads the names that `threading` has for the threads, and keeps them for when the threads have ended.
pub fn read_names(py: Python<'_>, watch: &WatchState) {
    const MAX_NAMES: usize = 1024;
    let threads = stacks::thread_names(py).unwrap_or_default();
    let mut names = guard(&watch.names);
    if names.len() > MAX_NAMES {
        names.retain(|_, name| name == OWN_THREAD_NAME);
    }
    for (ident, native, name) in threads {
        names.insert(ThreadIds { ident, native }, name);
    }
}
