//! Notices that a loop hangs: it has given no heartbeat for so long that it never will. Then all stacks are written, and the
//! process may be ended, whatever its other threads do.
//!
//! What is no hang: time in which the sampler did not run (see [`crate::watch::silence`]), a debugger, and a loop that sleeps
//! in its selector, whose heartbeats may have stopped because the program has closed a file of ours.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::histogram::positive;
use crate::system::kept_stderr::KeptStderr;
use crate::watch::debuggers::is_traced;
use crate::watch::gil_usage::GilUsage;
use crate::watch::gil_wait::Sample;
use crate::watch::hang_dump::{self, HungLoop};
use crate::watch::native_stacks::NativeStacks;
use crate::watch::seen_stack::SeenStack;
use crate::watch::silence::{Limits, max_ns_per_sample};
use crate::watch::state::WatchState;
use crate::watch::watched_loop::WatchedLoop;

/// The exit status after a hang: `EX_SOFTWARE` of sysexits.h.
const STATUS_AFTER_HANG: libc::c_int = 70;
/// Writing the text may take this long: whoever reads standard error may have stopped reading.
const MAX_TO_WRITE: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(1);
/// While a loop is silent, look this often whether there is an excuse.
const MAX_BETWEEN_LOOKS_NS: u64 = 1_000_000_000;
const LOOKS_PER_HANG: u64 = 4;
const NS_BETWEEN_LOOKS_AT_THREADS: u64 = 1_000_000_000;

/// What the user wants of a hang.
#[derive(Clone, Copy)]
pub struct Hang {
    pub after_ns: u64,
    pub exits: bool,
}

impl Hang {
    /// `ValueError` for a time that is not above 0.
    pub fn wanted(after: Option<f64>, exits: bool) -> PyResult<Option<Self>> {
        let after_ns = after.map(|after| positive("hang", after)).transpose()?;
        Ok(after_ns.map(|after_ns| Self { after_ns, exits }))
    }
}

enum Excuse {
    Sleeps,
    IsDebugged,
}

pub struct HangGuard {
    hang: Option<Hang>,
    limits: Limits,
    /// An earlier text is still being written.
    writes: Arc<AtomicBool>,
    /// A text for which no thread could be started yet.
    unwritten: Option<Arc<str>>,
    /// Threads whose names the prober was asked to read, and when that was.
    asked: HashSet<ThreadIds>,
    asked_ns: u64,
}

impl HangGuard {
    pub fn new(watch: &WatchState) -> Self {
        let settings = &watch.settings;
        Self {
            hang: settings.hang,
            limits: Limits {
                heartbeat_ns: settings.heartbeat_ns,
                stall_ns: settings.stall_ns,
                most_ns: max_ns_per_sample(settings.sample_ns),
            },
            writes: Arc::default(),
            unwritten: None,
            asked: HashSet::new(),
            asked_ns: 0,
        }
    }

    /// Adds a sample. `native` is `None` if stacks cannot be read.
    pub fn note(
        &mut self,
        watch: &WatchState,
        loops: &mut [WatchedLoop],
        sample: &Sample<'_>,
        mut native: Option<&mut NativeStacks>,
    ) {
        let after_ns = self.hang.map_or(u64::MAX, |hang| hang.after_ns);
        let mut hung = Vec::new();
        for watched in loops {
            watched.add_silence(sample, self.limits);
            let silence = &watched.silence;
            let is_hung = silence.silent_ns >= after_ns && !silence.is_reported;
            if !is_hung && (silence.next_look_ns == 0 || silence.silent_ns < silence.next_look_ns) {
                continue;
            }
            if let Some(excuse) = self.excuse(watched, &mut native) {
                let sleeps = matches!(excuse, Excuse::Sleeps);
                watched.silence.excuse(sleeps, self.limits);
                continue;
            }
            let between_ns = MAX_BETWEEN_LOOKS_NS.min(after_ns / LOOKS_PER_HANG);
            watched.silence.no_excuse(between_ns);
            if is_hung {
                watched.silence.is_reported = true;
                hung.push(hung_loop(watched, sample.now_ns));
            }
        }
        if self.hang.is_some() && sample.now_ns >= self.asked_ns + NS_BETWEEN_LOOKS_AT_THREADS {
            self.asked_ns = sample.now_ns;
            self.ask_for_names(watch, &mut native);
            if let (Some(stderr), Some(text)) = (&watch.stderr, self.unwritten.take()) {
                self.write(stderr, text, false);
            }
        }
        if let (Some(hang), false) = (self.hang, hung.is_empty()) {
            let text = hang_dump::text(watch, &hung, native);
            self.report(watch, hang, text);
        }
    }

    /// Has the prober read the names of the threads that have none yet: in a hang no names can be read.
    fn ask_for_names(&mut self, watch: &WatchState, native: &mut Option<&mut NativeStacks>) {
        let Some(native) = native else { return };
        let threads: HashSet<ThreadIds> = native.reader.threads().into_iter().collect();
        let is_new = threads.iter().any(|ids| !self.asked.contains(ids));
        self.asked = threads;
        if is_new {
            watch.gil_usage.with(GilUsage::note_unnamed);
        }
    }

    /// Why it is no hang that the loop is silent.
    fn excuse(
        &self,
        watched: &WatchedLoop,
        native: &mut Option<&mut NativeStacks>,
    ) -> Option<Excuse> {
        let selects = watched.selects();
        if !selects && self.hang.is_none() {
            return None;
        }
        let seen = SeenStack::of(watched, native);
        if selects
            && seen
                .as_ref()
                .is_none_or(|seen| seen.is_in_selector(watched.heartbeat.below()))
        {
            return Some(Excuse::Sleeps);
        }
        let is_in_debugger = seen.is_some_and(|seen| seen.is_in_debugger());
        (self.hang.is_some() && (is_in_debugger || is_traced())).then_some(Excuse::IsDebugged)
    }

    fn report(&mut self, watch: &WatchState, hang: Hang, mut text: String) {
        if hang.exits {
            let _ = writeln!(
                text,
                "\ngilscope: the process ends with status {STATUS_AFTER_HANG}"
            );
        }
        if let Some(stderr) = &watch.stderr {
            self.write(stderr, text.into(), hang.exits);
        }
        if hang.exits {
            if let Some(page) = watch.page.get() {
                page.note_hang();
            }
            // SAFETY: ends the process at once: no other code of it runs any more.
            unsafe { libc::_exit(STATUS_AFTER_HANG) };
        }
    }

    /// Writes the text, in a thread of its own: a file may block its writer whatever `poll` says. Waits for it if `waits`.
    ///
    /// Where no thread can be started, a process that ends writes the text here. One that runs on tries again each second, because
    /// the sampler must not be blocked.
    fn write(&mut self, stderr: &Arc<KeptStderr>, text: Arc<str>, waits: bool) {
        // AcqRel: a later text is begun only after the earlier one has been written.
        if self.writes.swap(true, Ordering::AcqRel) {
            return;
        }
        let writes = Arc::clone(&self.writes);
        let (to, kept) = (Arc::clone(stderr), Arc::clone(&text));
        let write = move || {
            to.write(kept.as_bytes(), MAX_TO_WRITE);
            writes.store(false, Ordering::Release); // pairs with the swap
        };
        // The sampler blocks all signals, and so does the thread that it starts.
        let thread = std::thread::Builder::new().name("gilscope-dump".into());
        if thread.spawn(write).is_err() {
            self.writes.store(false, Ordering::Release);
            if waits {
                stderr.write(text.as_bytes(), MAX_TO_WRITE);
            } else {
                self.unwritten = Some(text);
            }
        } else if waits {
            self.wait_until_written();
        }
    }

    /// Waits for a text that is being written, but not for long.
    pub fn wait_until_written(&self) {
        let give_up = Instant::now() + MAX_TO_WRITE;
        while self.writes.load(Ordering::Acquire) && Instant::now() < give_up {
            std::thread::sleep(STEP);
        }
    }
}

fn hung_loop(watched: &WatchedLoop, now_ns: u64) -> HungLoop {
    HungLoop {
        number: watched.heartbeat.loop_number,
        thread: watched.thread(),
        event_loop: watched.heartbeat.event_loop_address(),
        silent_ns: watched.silence.silent_ns,
        taken: watched
            .stack_taken()
            .map(|(at_ns, stack)| (now_ns.saturating_sub(at_ns), stack.frames.clone())),
    }
}
