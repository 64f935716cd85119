//! The thread that reads which thread holds the GIL and which loops are late, up to a thousand times a second. It never attaches
//! to the interpreter, so it sees what happens while no other thread of the process gets to run. [`Rhythm`] decides when.
//!
//! It assumes of the interpreter only what [`crate::gil`] has checked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::gil::GilState;
use crate::system::clock::now_ns;
use crate::system::pace::Pace;
use crate::system::scheduling::{self, Priority};
use crate::watch::gil_wait::Sample;
use crate::watch::hang::HangGuard;
use crate::watch::heartbeat::HeartbeatState;
use crate::watch::native_stacks::NativeStacks;
use crate::watch::rhythm::{Periods, Rhythm, Seen};
use crate::watch::stall_log::StallLog;
use crate::watch::state::WatchState;
use crate::watch::watched_loop::{OpenStall, WatchedLoop};

/// A stall's report waits for its stack sample until this long after the stall: a later stack shows something else.
const MAX_WAIT_FOR_STACKS_NS: u64 = 100_000_000;
/// The sampler reads its own CPU time after this time, because that takes a microsecond.
const NS_BETWEEN_CPU_TIME_READS: u64 = 30_000_000;
/// How long a watch that closes waits for a stack sample.
const MAX_WAIT_AT_CLOSE_NS: u64 = 5_000_000;

/// Runs the thread.
pub fn run(watch: &WatchState, stacks: Option<NativeStacks>) {
    scheduling::prepare_sampling_thread(Priority::Prompt);
    let mut sampler = Sampler::new(watch, stacks);
    let mut priority = Priority::Prompt;
    let mut cpu_time_read_ns = 0;
    while !watch.is_closing() {
        let now_ns = now_ns();
        sampler.sample(now_ns);
        if now_ns > cpu_time_read_ns + NS_BETWEEN_CPU_TIME_READS {
            cpu_time_read_ns = now_ns;
            // Relaxed: a sum, used by itself.
            watch
                .sampler_ran_ns
                .store(scheduling::own_cpu_time_ns(), Ordering::Relaxed);
        }
        // While a loop may stall every sample matters, and only then is a higher priority worth its cost.
        let wanted = if sampler.may_a_loop_stall() {
            Priority::RealTime
        } else {
            Priority::Prompt
        };
        if wanted != priority {
            priority = wanted;
            scheduling::request(priority);
        }
        sampler.nap();
    }
    sampler.close();
    watch
        .sampler_ran_ns
        .store(scheduling::own_cpu_time_ns(), Ordering::Relaxed);
    watch.end_stalls();
}

struct Sampler<'a> {
    watch: &'a WatchState,
    rhythm: Rhythm,
    probe_pace: Pace,
    last_ns: u64,
    /// When this sample was to be taken.
    meant_ns: u64,
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
            gc: &self.watch.gc,
        };
        self.last_ns = now_ns;
        self.watch.note_for_dumps(now_ns);
        self.update_loops();
        let may_sleep = self.rhythm.is_steady(now_ns);
        for watched in &mut self.loops {
            let known = self.open.len();
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
            let sample = (now_ns, self.rhythm.weight_ns());
            self.watch
                .due_probes
                .follow(self.watch, &mut self.probe_pace, sample, other_holds);
        }
        if has_unnamed && self.watch.due_probes.request_visit() {
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

    fn nap(&self) {
        // The thread sleeps in any case, even if samples are wanted more often than they can be taken.
        let least_ns = self.watch.settings.sample_ns / 2;
        let left_ns = self.rhythm.next_ns().saturating_sub(now_ns());
        self.watch.nap(left_ns.max(least_ns));
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
        self.meant_ns = self.rhythm.next_ns();
    }

    fn may_a_loop_stall(&self) -> bool {
        let stall_ns = self.watch.settings.stall_ns;
        self.loops
            .iter()
            .any(|watched| watched.may_stall(self.last_ns, stall_ns))
    }

    /// Drops the loops that have ended, and adds the new ones.
    fn update_loops(&mut self) {
        let version = self.watch.heartbeats_version();
        if version == self.loops_version {
            return;
        }
        self.loops_version = version;
        for heartbeat in self.watch.take_ended_heartbeats() {
            let mut ended = match self.position(&heartbeat) {
                Some(at) => self.loops.swap_remove(at),
                None => WatchedLoop::new(heartbeat), // it began and ended between two samples
            };
            self.end_late_period(&mut ended);
        }
        for heartbeat in self.watch.heartbeats() {
            if self.position(&heartbeat).is_none() {
                self.loops.push(WatchedLoop::new(heartbeat));
            }
        }
    }

    fn position(&self, heartbeat: &Arc<HeartbeatState>) -> Option<usize> {
        self.loops
            .iter()
            .position(|watched| Arc::ptr_eq(&watched.heartbeat, heartbeat))
    }

    /// Reports the stalls whose stack sample is there, or will not come any more.
    fn report_stalls(&mut self, now_ns: u64) {
        let requests = &self.watch.stack_requests;
        for (id, mut stall) in std::mem::take(&mut self.open) {
            if let Some(id) = id {
                let sample = requests.take_sample(id);
                if sample.is_none()
                    && now_ns < stall.late.came_ns.saturating_add(MAX_WAIT_FOR_STACKS_NS)
                {
                    self.open.push((Some(id), stall));
                    continue;
                }
                requests.cancel(id);
                if let Some(segment) = stall.segments.last_mut() {
                    segment.sample = sample;
                }
            }
            self.watch.add_stall(stall);
        }
    }

    fn close(&mut self) {
        let end_ns = now_ns() + MAX_WAIT_AT_CLOSE_NS;
        while self.watch.stack_requests.is_pending() && now_ns() < end_ns {
            std::thread::sleep(Duration::from_micros(100));
        }
        self.update_loops();
        for mut watched in std::mem::take(&mut self.loops) {
            self.end_late_period(&mut watched);
        }
        self.report_stalls(u64::MAX);
        self.hangs.wait_until_written();
    }

    fn end_late_period(&mut self, ended: &mut WatchedLoop) {
        let known = self.open.len();
        ended.end_late_period(self.watch, &mut self.open);
        if let Some(logs) = self.watch.logs.get() {
            let over = &mut self.open[known..];
            self.log
                .follow(logs, over, (ended.heartbeat.loop_number, None), now_ns());
        }
    }
}
