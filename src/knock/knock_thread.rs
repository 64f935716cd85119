//! The thread that asks for the GIL at random moments and measures how long it waits. One such attempt is called a knock.
//!
//! A knock holds the GIL for some hundred nanoseconds and runs no Python code. Its start is published before it attaches, so
//! that a thread that never attaches can report a wait that has not ended. Memory is constant, except for the knocks that are
//! kept on request. Of the interpreter only the public C API is used.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Condvar, mpsc};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::histogram::seconds;
use crate::knock::keeper::{self, Keepers};
use crate::knock::reading::Reading;
use crate::knock::tally::{Knock, Tally};
use crate::knock::windows::Windows;
use crate::locked::Locked;
use crate::system::clock::{now_ns, read_clock_ns};
use crate::system::other_threads::OtherThreads;
use crate::system::own_threads::OwnThreads;
use crate::system::pace::Pace;
use crate::system::placement::Placement;
use crate::system::run_queue::{
    ThreadState, ThreadStats, cpu_time_of_ns, own_tid, own_voluntary_switches,
};
use crate::system::scheduling::{self, Priority};
use crate::system::signals;

/// What the thread and those who read its figures share.
pub struct KnockThread {
    pid: u32,
    mean_gap_ns: u64,
    watched: Option<i32>,
    priority: Priority,
    lowered_us: Option<u32>,
    pub keepers: Option<Keepers>,
    pub tally: Locked<Tally>,
    stopping: Locked<bool>,
    stop: Condvar,
    started: AtomicBool,
    /// The thread that knocks; 0 before it runs.
    tid: AtomicI32,
    threads: OwnThreads,
}

impl KnockThread {
    /// With `lowered_us` the thread lowers the switch interval for most of the time.
    pub fn new(
        mean_gap_ns: u64,
        watched: Option<i32>,
        priority: Priority,
        lowered_us: Option<u32>,
        keepers: Option<Keepers>,
        keep: usize,
    ) -> Self {
        Self {
            pid: std::process::id(),
            mean_gap_ns,
            watched,
            priority,
            lowered_us,
            keepers,
            tally: Locked::new(Tally::new(keep)),
            stopping: Locked::new(false),
            stop: Condvar::new(),
            started: AtomicBool::new(false),
            tid: AtomicI32::new(0),
            threads: OwnThreads::new(),
        }
    }

    /// A forked child has the object but not the thread, which may have held any of the locks at the fork.
    pub fn must_belong_to_this_process(&self) -> PyResult<()> {
        if self.pid == std::process::id() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(
            "this knocker belongs to the parent process: make another one in the forked child",
        ))
    }

    /// Returns true at the first call, unless the thread has been stopped before it.
    pub fn claim_start(&self) -> bool {
        // Relaxed: the flag is used by itself.
        !self.started.swap(true, Ordering::Relaxed) && !self.stopping.with(|it| *it)
    }

    /// Starts a thread, which [`Self::end`] will wait for. The caller must be detached, as for `end`.
    pub fn spawn(
        self: &Arc<Self>,
        name: &str,
        run: impl FnOnce(&Self) + Send + 'static,
    ) -> std::io::Result<()> {
        let knock_thread = Arc::clone(self);
        let builder = std::thread::Builder::new().name(name.into());
        let spawned = signals::blocked(|| builder.spawn(move || run(&knock_thread)))?;
        self.threads.add(spawned);
        Ok(())
    }

    pub fn ask_to_stop(&self) {
        if self.pid != std::process::id() {
            return;
        }
        self.stopping.with(|it| *it = true);
        self.stop.notify_all();
    }

    /// Stops the threads, and waits until they have ended. The caller must be detached: they may need the GIL to end.
    pub fn end(&self) {
        if self.pid != std::process::id() {
            return;
        }
        self.ask_to_stop();
        self.threads.join();
    }

    /// Sleeps; returns whether to continue.
    fn sleep(&self, gap_ns: u64) -> bool {
        let gap = Duration::from_nanos(gap_ns);
        self.stopping
            .wait_timeout_while(&self.stop, gap, |stopping| !*stopping)
    }

    /// Runs the thread; sends to `attached` after the first attach.
    pub fn run(&self, attached: &mpsc::Sender<()>) {
        scheduling::prepare_sampling_thread(self.priority);
        self.tid.store(own_tid(), Ordering::Relaxed); // used by itself
        // The thread attaches once, and detaches inside: so it keeps its thread state, and a knock takes 50 ns instead of
        // 300.
        Python::try_attach(|py| {
            self.tally.with(|tally| tally.begin(now_ns()));
            let mut pace = Pace::new();
            let mut windows = self.lowered_us.map(Windows::new);
            if let Some(windows) = &mut windows {
                windows.change_if_due(py, &mut pace, now_ns());
            }
            let _ = attached.send(());
            py.detach(|| self.knock_until_stopped(&mut pace, &mut windows));
            if let Some(windows) = &mut windows {
                windows.end(py);
            }
        });
    }

    fn knock_until_stopped(&self, pace: &mut Pace, windows: &mut Option<Windows>) {
        let watched = self.watched.and_then(ThreadStats::of);
        let own = watched.as_ref().and_then(|_| ThreadStats::of(own_tid()));
        let mut others = OtherThreads::except(self.watched.unwrap_or_default(), own_tid());
        let both_stats = watched.as_ref().zip(own.as_ref());
        let mut last = Reading::take(both_stats);
        let waits_as_others = self.priority == Priority::Ordinary || windows.is_some();
        let mut placement = waits_as_others.then(Placement::of_this_thread).flatten();
        while self.sleep(pace.exponential_ns(self.mean_gap_ns)) {
            if let Some((placement, (watched, _))) = placement.as_mut().zip(both_stats)
                && let Some(core) = watched.core()
            {
                placement.avoid(core);
            }
            let before = Reading::take(both_stats);
            let state = both_stats.map(|(watched, _)| watched.state(before.ran_ns, before.at_ns));
            // If the watched thread is blocked, another thread may be working for it.
            let active = (state == Some(ThreadState::Blocked)).then(|| others.at_start());
            let sleeps = own_voluntary_switches();
            let start_ns = now_ns();
            self.tally
                .with(|tally| tally.waiting_since_ns = Some(start_ns));
            let lowered = windows.as_ref().is_some_and(|windows| windows.is_lowered);
            if let Some(keepers) = &self.keepers {
                keepers.begin(start_ns);
            }
            let attached = Python::try_attach(|py| {
                let end_ns = now_ns();
                let keepers = self.keepers.as_ref();
                let kept_ns = keepers.and_then(|keepers| keepers.end(py, start_ns, end_ns));
                if let Some(windows) = windows.as_mut() {
                    windows.change_if_due(py, pace, end_ns);
                }
                (end_ns, kept_ns)
            });
            let Some((end_ns, kept_ns)) = attached else {
                // The interpreter is finalizing. Returning would attach again: so the thread sleeps until the process ends.
                loop {
                    std::thread::park();
                }
            };
            let slept = own_voluntary_switches()
                .zip(sleeps)
                .map(|(now, then)| now - then);
            let after = Reading::take(both_stats);
            let mut knock = Knock {
                start: seconds(start_ns),
                wait: seconds(end_ns - start_ns),
                slept,
                state,
                lowered,
                kept: kept_ns.map(seconds),
                of_other_thread: false,
                ran_before: seconds(before.ran_ns.saturating_sub(last.ran_ns)),
                ran: seconds(after.ran_ns.saturating_sub(before.ran_ns)),
                queued_before: seconds(before.queued_ns.saturating_sub(last.queued_ns)),
                queued: seconds(after.queued_ns.saturating_sub(before.queued_ns)),
                own_queued_before: seconds(before.own_queued_ns.saturating_sub(last.own_queued_ns)),
                own_queued: seconds(after.own_queued_ns.saturating_sub(before.own_queued_ns)),
            };
            match active {
                Some(active) => {
                    if let Some(other) = others.most_delayed_at_end(&active) {
                        knock.state = Some(other.state);
                        knock.of_other_thread = true;
                        knock.ran_before = seconds(other.cpu_time_before_ns);
                        knock.ran = seconds(other.cpu_time_ns);
                        knock.queued_before = seconds(other.run_queue_delay_before_ns);
                        knock.queued = seconds(other.run_queue_delay_ns);
                    }
                }
                None => others.skip_sample(),
            }
            self.tally
                .with(|tally| tally.count(start_ns, end_ns, knock));
            last = after;
        }
    }

    /// Writes `message` to `fd` and ends the process, if a wait has lasted for `after_ns` in which the process computed for less
    /// than a twentieth of the time: no Python code can run any more.
    pub fn end_process_if_stuck(&self, fd: i32, after_ns: u64, message: &str) {
        const LEAST_CPU_SHARE: u64 = 20;
        scheduling::prepare_sampling_thread(Priority::Ordinary);
        let (mut waited_ns, mut ran_ns) = (0, 0);
        while self.sleep(after_ns / 50) {
            let now_waited_ns = self.waited_ns();
            if now_waited_ns <= waited_ns || waited_ns == 0 {
                ran_ns = self.ran_ns(); // another wait
            } else if now_waited_ns > after_ns
                && self.ran_ns().saturating_sub(ran_ns) * LEAST_CPU_SHARE < now_waited_ns
            {
                scheduling::write_and_exit(fd, message);
            }
            waited_ns = now_waited_ns;
        }
    }

    /// Sees when the GIL passes to another thread, while a knock waits.
    pub fn look_until_stopped(&self) {
        scheduling::prepare_sampling_thread(Priority::RealTime);
        let Some(keepers) = &self.keepers else { return };
        while self.sleep(keeper::LOOK_EVERY_NS) {
            keepers.look();
        }
    }

    fn waited_ns(&self) -> u64 {
        let since_ns = self.tally.with(|tally| tally.waiting_since_ns);
        since_ns.map_or(0, |since_ns| now_ns().saturating_sub(since_ns))
    }

    /// CPU time of the process without its sampling threads, and how long the watched thread waited for a core: on a busy
    /// machine it may compute all the time and get little CPU time.
    fn ran_ns(&self) -> u64 {
        let all_ns = read_clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID).unwrap_or_default();
        let of_knocks_ns = cpu_time_of_ns(self.tid.load(Ordering::Relaxed));
        let watched = self.watched.and_then(ThreadStats::of);
        let queued_ns = watched.and_then(|it| it.run_queue_delay_ns());
        all_ns.saturating_sub(of_knocks_ns + scheduling::own_cpu_time_ns())
            + queued_ns.unwrap_or_default()
    }

    /// Writes how long the current wait has lasted, and the CPU time of the process without its sampling threads, every
    /// `period_ns`. (At a short switch interval a thread that waits for the GIL wakes up all the time.)
    pub fn write_wait_until_stopped(&self, fd: i32, period_ns: u64) {
        scheduling::prepare_sampling_thread(Priority::RealTime);
        while self.sleep(period_ns) {
            let (waited_ns, ran_ns) = (self.waited_ns(), self.ran_ns());
            let line = format!("{:020.9} {:020.9}\n", seconds(waited_ns), seconds(ran_ns));
            scheduling::overwrite(fd, &line);
        }
    }
}
