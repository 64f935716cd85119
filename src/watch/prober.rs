//! The thread that attaches to the interpreter. It probes the GIL (acquires it at random moments, and measures how long that
//! takes), and takes stacks when the sampler requests them. [`crate::watch::due_probes`] decides when it probes.
//!
//! A probe that was due while the prober was already waiting is counted with the wait that it would have had: otherwise long
//! waits would be counted once where short ones are counted often.
//!
//! The prober must not take turns at the GIL from the program. So it waits for another thread's GIL with an ordinary priority,
//! because a thread in real time would be woken before all others that wait for the GIL. Where it has to wait for nobody, or
//! only for the late loop whose stack it takes, it stays in real time: on a busy machine an ordinary thread may wait for a CPU
//! for longer than the stall lasts. And it releases the GIL only when the thread that had it before waits for the GIL again:
//! else that thread, which is running already, would acquire the GIL before those that have been waiting and must be woken
//! first.
//!
//! The prober runs no Python code, so CPython never ends it while it runs some. At exit CPython ends threads by unwinding
//! them, which would abort the process when the unwinding reaches Rust.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pyo3::prelude::*;

use crate::gil::{Gil, ThreadIds, own_ids};
use crate::system::clock::now_ns;
use crate::system::pace::Pace;
use crate::system::scheduling::{self, Priority};
use crate::watch::gil_usage::GilUsage;
use crate::watch::stacks;
use crate::watch::state::{OWN_THREAD_NAME, WatchState};
use crate::watch::thread_files::ThreadFiles;
use crate::watch::thread_names;

/// If the prober has waited for longer, other threads may be waiting for the GIL too.
const CONTENDED_NS: u64 = 500_000;
/// The prober waits for the thread before it for this long at most: it takes a wakeup, which is some 50 us.
const MAX_HAND_OVER_NS: u64 = 300_000;
const HAND_OVER_STEP: Duration = Duration::from_micros(20);

/// The prober sleeps for an hour at most, if nobody wakes it.
const LONG_NS: u64 = 3_600_000_000_000;

/// How often the prober has acquired the GIL from another thread, for the sampler.
#[derive(Default)]
pub struct ProberTurns {
    native: AtomicU64,
    turns: AtomicU64,
    /// The GIL's switch number at the last turn.
    switches: AtomicU64,
}

impl ProberTurns {
    pub fn native(&self) -> u64 {
        self.native.load(Ordering::Relaxed) // written once, before the first turn
    }

    pub fn turns(&self) -> u64 {
        // Acquire: the sampler reads it before and after the GIL, and these reads must not be reordered.
        self.turns.load(Ordering::Acquire)
    }

    /// The prober has the GIL. It is no turn if no other thread has had the GIL since the last one.
    fn count(&self, gil: Gil) {
        let switches = gil.switches();
        if self.switches.swap(switches, Ordering::Relaxed) != switches {
            self.turns.fetch_add(1, Ordering::Release); // see `turns`
        }
    }
}

/// Runs the thread. `current_task` is asyncio's function, and runs no Python code.
pub fn run(watch: &WatchState, current_task: &Py<PyAny>) {
    // Relaxed, here and below: a request at another priority is late or early, and not wrong.
    let urgent = || watch.prober_takes_stacks.load(Ordering::Relaxed);
    scheduling::prepare_sampling_thread(if urgent() {
        Priority::RealTime
    } else {
        Priority::Prompt
    });
    watch.name_own_thread();
    watch
        .prober
        .native
        .store(own_ids().native, Ordering::Relaxed);
    let (requests, probes) = (&watch.stack_requests, &watch.due_probes);
    let mut clock = (!probes.follow_samples).then(|| ProbeClock::new(watch.settings.probe_ns));
    let mut known_threads = 0;
    while !watch.is_closing() || requests.is_pending() {
        let now = now_ns();
        let has_request = requests.wait(clock.as_ref().map_or(now + LONG_NS, |it| it.due_ns));
        let is_due = match &clock {
            Some(clock) => now_ns() >= clock.due_ns,
            None => probes.wait_for_prober(),
        };
        if !has_request && (watch.is_closing() || !is_due) {
            continue;
        }
        let asked_ns = now_ns();
        let holder = watch.gil.and_then(|gil| gil.read().holder);
        let waits_for_others = holder.is_some_and(|ids| !requests.has_one_of(ids.ident));
        if urgent() && (watch.gil.is_none() || waits_for_others) {
            scheduling::request(Priority::Prompt);
        }
        let attached_ns = Python::try_attach(|py| {
            let attached_ns = now_ns();
            if urgent() {
                // To keep the GIL for a short time, and to be on time for the next request.
                scheduling::request(Priority::RealTime);
            }
            if let Some(gil) = watch.gil {
                watch.prober.count(gil);
            }
            answer_requests(py, watch, current_task, attached_ns);
            let count = thread_names::count(py).unwrap_or(known_threads);
            if watch.gil_usage.with(GilUsage::take_unnamed) || count != known_threads {
                known_threads = count;
                read_names(py, watch);
            }
            if let (Some(gil), Some(holder)) = (watch.gil, holder)
                && attached_ns - asked_ns > CONTENDED_NS
            {
                hand_over(gil, holder, attached_ns);
            }
            attached_ns
        });
        let Some(attached_ns) = attached_ns else {
            return; // the interpreter is shutting down
        };
        watch
            .prober_ran_ns
            .store(scheduling::own_cpu_time_ns(), Ordering::Relaxed); // a sum, used by itself
        if let Some(clock) = &mut clock {
            clock.record(watch, asked_ns, attached_ns);
            continue;
        }
        if holder.is_none() {
            probes.note_free(attached_ns - asked_ns);
        }
        for wait_ns in probes.take_waits(asked_ns, attached_ns) {
            watch.record_wait(attached_ns, wait_ns);
        }
    }
}

/// The prober's own clock, where samples are not the probes.
struct ProbeClock {
    pace: Pace,
    probe_ns: u64,
    due_ns: u64,
}

impl ProbeClock {
    fn new(probe_ns: u64) -> Self {
        let mut pace = Pace::new();
        let due_ns = now_ns() + pace.exponential_ns(probe_ns);
        Self {
            pace,
            probe_ns,
            due_ns,
        }
    }

    /// Counts the waits of all probes that were due. The first one is counted from when this thread asked, however late it was
    /// woken; later ones from when they were due.
    fn record(&mut self, watch: &WatchState, asked_ns: u64, attached_ns: u64) {
        let mut since_ns = asked_ns;
        while self.due_ns <= attached_ns {
            let wait_ns = attached_ns - self.due_ns.max(since_ns);
            watch.record_wait(attached_ns, wait_ns);
            since_ns = 0;
            self.due_ns += self.pace.exponential_ns(self.probe_ns).max(1);
        }
    }
}

/// Waits, with the GIL held, until the thread that had it before has asked for it too, or sleeps for something else.
fn hand_over(gil: Gil, before: ThreadIds, attached_ns: u64) {
    let files = ThreadFiles::new(before.native);
    while now_ns() < attached_ns + MAX_HAND_OVER_NS && !files.has_asked_or_sleeps(gil) {
        std::thread::sleep(HAND_OVER_STEP);
    }
}

fn answer_requests(py: Python<'_>, watch: &WatchState, current_task: &Py<PyAny>, attached_ns: u64) {
    let requests = &watch.stack_requests;
    for request in requests.take_requests() {
        let heartbeats = watch.heartbeats();
        let heartbeat = heartbeats
            .iter()
            .find(|heartbeat| heartbeat.loop_number == request.loop_number);
        let began_ns = scheduling::own_cpu_time_ns();
        let stacks = request.take_stacks(py, watch);
        let took_ns = scheduling::own_cpu_time_ns() - began_ns;
        let event_loop = heartbeat.and_then(|heartbeat| heartbeat.event_loop(py));
        let task = event_loop.and_then(|event_loop| {
            stacks::task(current_task.bind(py), event_loop.bind(py)).unwrap_or_default()
        });
        requests.answer(&request, (attached_ns, took_ns), stacks, task);
    }
    requests.finish();
}

/// Reads the names that `threading` has for the threads, and keeps them for when the threads have ended.
///
/// A thread of ours that ran Python code may be in there as `Dummy-1`. Before CPython 3.14 the one thread of a forked child
/// has the native id that it had in the parent: its true one is the id of the process, which no other thread has.
pub fn read_names(py: Python<'_>, watch: &WatchState) {
    const MAX_NAMES: usize = 1024;
    let threads = thread_names::all(py).unwrap_or_default();
    let process = u64::from(std::process::id());
    let forked = threads.iter().all(|(_, native, _)| *native != process);
    watch.names.with(|names| {
        if names.len() > MAX_NAMES {
            names.retain(|_, name| name == OWN_THREAD_NAME);
        }
        for (ident, native, name) in threads {
            for native in [Some(native), forked.then_some(process)] {
                let Some(native) = native else { continue };
                let known = names.entry(ThreadIds { ident, native }).or_default();
                if known != OWN_THREAD_NAME {
                    known.clone_from(&name);
                }
            }
        }
    });
}
