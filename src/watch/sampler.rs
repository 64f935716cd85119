//! The thread that reads which thread holds the GIL and which loops are late, up to a thousand times a second. It never attaches
//! to the interpreter, so it sees what happens while no other thread of the process gets to run. [`Rhythm`] decides when.
//!
//! It assumes of the interpreter only what [`crate::gil`] has checked.

mod loop_times;
mod stalls;

use std::sync::atomic::Ordering;

use crate::gil::GilState;
use crate::system::clock::now_ns;
use crate::system::pace::Pace;
use crate::watch::gil_wait::Sample;
use crate::watch::hang::HangGuard;
use crate::watch::native_stacks::NativeStacks;
use crate::watch::rhythm::{Periods, Rhythm, Seen};
use crate::watch::sampling_thread::SamplingThread;
use crate::watch::stall_log::StallLog;
use crate::watch::state::WatchState;
use crate::watch::watched_loop::{OpenStall, WatchedLoop};

/// Runs the thread.
pub fn run(watch: &WatchState, stacks: Option<NativeStacks>) {
    let mut thread = SamplingThread::begin();
    let mut sampler = Sampler::new(watch, stacks);
    while !watch.is_closing() {
        let now_ns = now_ns();
        sampler.sample(now_ns);
        thread.sampled(watch, now_ns, sampler.may_a_loop_stall());
        sampler.nap();
    }
    sampler.close();
    SamplingThread::end(watch);
}

struct Sampler<'a> {
    watch: &'a WatchState,
    rhythm: Rhythm,
    probe_pace: Pace,
    last_ns: u64,
    /// When this sample was to be taken.
    meant_ns: u64,
    /// When the prober was last asked to read the names of threads.
    visited_ns: u64,
    loops: Vec<WatchedLoop>,
    loops_version: u64,
    /// `None` if stacks cannot be read without the GIL: then the prober takes them.
    stacks: Option<NativeStacks>,
    requests_so_far: u64,
    /// Stalls that are over and may wait for their stack samples.
    open: Vec<OpenStall>,
    log: StallLog,
    hangs: HangGuard,
}

impl<'a> Sampler<'a> {
    fn new(watch: &'a WatchState, stacks: Option<NativeStacks>) -> Self {
        Self {
            watch,
            rhythm: Rhythm::new(Pace::new(), Periods::of(&watch.settings), watch.started_ns),
            probe_pace: Pace::new(),
            last_ns: watch.started_ns,
            meant_ns: watch.started_ns,
            visited_ns: 0,
            loops: Vec::new(),
            loops_version: 0,
            stacks,
            requests_so_far: 0,
            open: Vec::new(),
            log: StallLog::default(),
            hangs: HangGuard::new(watch),
        }
    }

    fn sample(&mut self, now_ns: u64) {
        let turns_before = self.watch.prober.turns();
        let gil = self.watch.gil.map(|gil| (gil, gil.read()));
        let state = gil.map_or(
            GilState {
                holder: None,
                switches: 0,
            },
            |(_, state)| state,
        );
        let is_planned = self.rhythm.is_planned(now_ns);
        let (hold, has_unnamed) = self.watch.gil_usage.with(|usage| {
            if is_planned {
                usage.add(now_ns, state);
            } else {
                usage.follow(now_ns, state);
            }
            (usage.current_hold(), usage.has_unnamed())
        });
        let turns = self.watch.prober.turns();
        let holder = state.holder.map_or(0, |holder| holder.native);
        let sample = Sample {
            now_ns,
            gap_ns: now_ns.saturating_sub(self.last_ns),
            planned_gap_ns: self.meant_ns.saturating_sub(self.last_ns),
            gil,
            hold,
            // Each turn of the prober makes the number grow twice: by the turn, and by that of the next thread.
            switches: i64::try_from(state.switches).unwrap_or(0)
                - 2 * i64::try_from(turns).unwrap_or(0),
            probed: turns != turns_before || (holder != 0 && holder == self.watch.prober.native()),
            collector: self.watch.gc.collector(),
            threads: &self.watch.threads,
        };
        self.last_ns = now_ns;
        self.watch.note_for_dumps(now_ns);
        self.update_loops();
        let may_sleep = self.may_loops_sleep(now_ns);
        if let Some(stacks) = &mut self.stacks {
            let late_loops = self.loops.iter().filter(|it| it.is_late()).count();
            stacks.begin_sample(now_ns, late_loops as u64);
        }
        for watched in &mut self.loops {
            let known = self.open.len();
            if is_planned {
                watched.see(&sample, self.stacks.as_mut());
            }
            watched.add(
                self.watch,
                &sample,
                self.stacks.as_mut(),
                &mut self.requests_so_far,
                &mut self.open,
                may_sleep,
            );
            if let Some(logs) = self.watch.logs.get() {
                let (number, due_ns) = (watched.heartbeat.loop_number, watched.late_since_ns());
                // Relaxed: used by itself.
                let reads_stacks = self.stacks.is_some()
                    && !self.watch.system_calls_hidden.load(Ordering::Relaxed);
                self.log
                    .follow(logs, &mut self.open[known..], (number, due_ns), now_ns);
                if let Some(due_ns) = due_ns
                    && self.log.wants(logs, (number, due_ns), now_ns)
                    && let Some(now) = watched.late_now(&sample, reads_stacks)
                {
                    self.log.note(logs, &now);
                }
            }
        }
        self.hangs
            .note(self.watch, &mut self.loops, &sample, self.stacks.as_mut());
        self.report_stalls(now_ns);
        let other_holds = holder != self.watch.prober.native() && state.holder.is_some();
        self.choose_next(now_ns, gil.is_none() || state.holder.is_some());
        if is_planned {
            self.time_loops(&sample);
            self.probe(now_ns, other_holds);
        }
        // Names are read with the GIL held: not more often than the GIL is probed.
        if has_unnamed
            && now_ns >= self.visited_ns + self.watch.settings.probe_ns
            && self.watch.due_probes.request_visit()
        {
            self.visited_ns = now_ns;
            self.watch.stack_requests.wake();
        }
        if self.loops.iter().any(WatchedLoop::hides_system_calls) {
            // Relaxed: both are used by themselves.
            self.watch
                .system_calls_hidden
                .store(true, Ordering::Relaxed);
            self.watch
                .prober_takes_stacks
                .store(true, Ordering::Relaxed);
        }
        if let Some(page) = self.watch.page.get() {
            let late_since = self
                .loops
                .iter()
                .filter_map(WatchedLoop::late_since_ns)
                .min();
            page.note_sample(now_ns, late_since);
        }
    }

    fn probe(&mut self, now_ns: u64, other_holds: bool) {
        let sample = (now_ns, self.rhythm.weight_ns());
        let is_steady = self.rhythm.is_steady(now_ns);
        let probes = &self.watch.due_probes;
        probes.follow(
            self.watch,
            &mut self.probe_pace,
            sample,
            other_holds,
            is_steady,
        );
    }

    fn nap(&mut self) {
        // The thread sleeps in any case, even if samples are wanted more often than they can be taken.
        let least_ns = self.watch.settings.sample_ns / 2;
        let now_ns = now_ns();
        let span_ns = self.rhythm.next_ns().saturating_sub(now_ns).max(least_ns);
        // What the sampler itself has just done took no time from the program.
        self.meant_ns = now_ns + span_ns;
        self.watch.nap(span_ns);
    }

    fn choose_next(&mut self, now_ns: u64, held: bool) {
        let seen = Seen {
            held,
            late: self.may_a_loop_stall(),
            awake: self.loops.iter().any(WatchedLoop::is_awake),
        };
        if self.rhythm.follow(now_ns, seen) {
            let planned_ns = self.rhythm.planned_ns();
            self.watch
                .gil_usage
                .with(|usage| usage.planned_ns = planned_ns);
        }
    }

    /// Whether a loop that sleeps need not be woken for its heartbeats.
    fn may_loops_sleep(&self, now_ns: u64) -> bool {
        let settings = self.watch.settings;
        let (stall_ns, heartbeat_ns) = (settings.stall_ns, settings.heartbeat_ns);
        self.rhythm.is_steady(now_ns) && self.rhythm.sees_waking_in_time(stall_ns, heartbeat_ns)
    }

    fn may_a_loop_stall(&self) -> bool {
        let stall_ns = self.watch.settings.stall_ns;
        self.loops
            .iter()
            .any(|watched| watched.may_stall(self.last_ns, stall_ns))
    }
}
