//! What the threads of one watch share.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, OnceLock};
use std::time::Duration;

use crate::gc_pauses::GcListener;
use crate::gil::{Gil, ThreadIds, own_ids};
use crate::histogram::Histogram;
use crate::locked::Locked;
use crate::system::kept_stderr::KeptStderr;
use crate::watch::beat_ring::{BYTES_OF_BEATS, BYTES_OF_PROBES, BeatRing};
use crate::watch::checkpoints::{Checkpoint, Checkpoints};
use crate::watch::due_probes::DueProbes;
use crate::watch::dump_requests::DumpRequests;
use crate::watch::gil_usage::GilUsage;
use crate::watch::hang::Hang;
use crate::watch::heartbeat::HeartbeatState;
use crate::watch::logs::Logs;
use crate::watch::loop_reports::copied_sums;
use crate::watch::loop_times::LoopTimes;
use crate::watch::prober::ProberTurns;
use crate::watch::reports::FinishedStall;
use crate::watch::rhythm::Periods;
use crate::watch::shared_page::SharedPage;
use crate::watch::stack_requests::StackRequests;
use crate::watch::threads::Threads;

/// The name of the watch's own threads, which `threading` does not know.
pub const OWN_THREAD_NAME: &str = "gilscope";
/// Stalls that Python has not taken yet: beyond this, the oldest are dropped, and counted as lost.
const MAX_STALLS: usize = 1000;

#[derive(Clone, Copy)]
pub struct Settings {
    pub stall_ns: u64,
    pub heartbeat_ns: u64,
    pub sample_ns: u64,
    pub probe_ns: u64,
    pub trace: bool,
    pub hang: Option<Hang>,
    /// A dump is requested by this signal.
    pub dump_signal: Option<i32>,
}

pub struct WatchState {
    pub settings: Settings,
    pub gil: Option<Gil>,
    pub threads: Threads,
    pub started_ns: u64,
    closing: AtomicBool,
    /// The same as `closing`, to end the sampler's naps.
    closed: Locked<bool>,
    ended: Condvar,
    pub gc: GcListener,
    pub gil_usage: Locked<GilUsage>,
    pub loop_times: Locked<LoopTimes>,
    pub names: Locked<HashMap<ThreadIds, String>>,
    pub stack_requests: StackRequests,
    pub prober: ProberTurns,
    pub due_probes: DueProbes,
    /// Whether the prober takes stacks, which is urgent. Otherwise it only measures waits, as any thread would wait.
    pub prober_takes_stacks: AtomicBool,
    pub system_calls_hidden: AtomicBool,
    pub waits: Histogram,
    pub lags: Histogram,
    pub beats: Arc<BeatRing>,
    /// CPU time of the watch's own threads.
    pub sampler_ran_ns: AtomicU64,
    pub prober_ran_ns: AtomicU64,
    /// Time in which the sampler of another process did not run for so long that it says nothing.
    pub skipped_ns: AtomicU64,
    heartbeats: Locked<Vec<Arc<HeartbeatState>>>,
    /// Heartbeats that were removed, until the sampler takes them: it may not have seen their last beats.
    ended_heartbeats: Locked<Vec<Arc<HeartbeatState>>>,
    /// Grows whenever `heartbeats` changes, so that the sampler need not take that lock a thousand times a second.
    heartbeats_version: AtomicU64,
    stalls: Locked<StallQueue>,
    stall_added: Condvar,
    /// What the reporter process sees of the sampler, if there is one.
    pub page: OnceLock<Arc<SharedPage>>,
    /// Where stalls are written to while they last, if that is wanted.
    pub logs: OnceLock<Logs>,
    /// Where the stacks go if a loop hangs.
    pub stderr: Option<Arc<KeptStderr>>,
    /// The waits of the latest probes.
    pub probes: BeatRing,
    pub checkpoints: Locked<Checkpoints>,
    pub dump_requests: DumpRequests,
}

/// Stalls that are over, for Python.
#[derive(Default)]
struct StallQueue {
    stalls: VecDeque<FinishedStall>,
    lost: u64,
    ended: bool,
    /// Whether the thread that waits for a stall is to look for other work.
    is_called: bool,
}

impl WatchState {
    /// Of a watch of the process that has these `threads`.
    pub fn new(settings: Settings, gil: Option<Gil>, threads: Threads, started_ns: u64) -> Self {
        let busy_ns = Periods::of(&settings).busy_ns;
        Self {
            settings,
            gil,
            threads,
            started_ns,
            closing: AtomicBool::new(false),
            closed: Locked::default(),
            ended: Condvar::new(),
            gc: GcListener::default(),
            gil_usage: Locked::new(GilUsage::new(started_ns, settings.trace)),
            loop_times: Locked::new(LoopTimes::new()),
            names: Locked::default(),
            stack_requests: StackRequests::default(),
            prober: ProberTurns::default(),
            due_probes: DueProbes::new(gil.is_some(), busy_ns, settings.probe_ns),
            prober_takes_stacks: AtomicBool::new(true),
            system_calls_hidden: AtomicBool::new(false),
            waits: Histogram::new(),
            lags: Histogram::new(),
            beats: Arc::new(BeatRing::new(BYTES_OF_BEATS, settings.trace)),
            sampler_ran_ns: AtomicU64::new(0),
            prober_ran_ns: AtomicU64::new(0),
            skipped_ns: AtomicU64::new(0),
            heartbeats: Locked::default(),
            ended_heartbeats: Locked::default(),
            heartbeats_version: AtomicU64::new(0),
            stalls: Locked::default(),
            stall_added: Condvar::new(),
            page: OnceLock::new(),
            logs: OnceLock::new(),
            stderr: settings.hang.and_then(|_| KeptStderr::new()).map(Arc::new),
            probes: BeatRing::new(BYTES_OF_PROBES, false),
            checkpoints: Locked::default(),
            dump_requests: DumpRequests::new(settings.dump_signal),
        }
    }

    /// Names the calling thread [`OWN_THREAD_NAME`].
    pub fn name_own_thread(&self) {
        let (ids, name) = (own_ids(), OWN_THREAD_NAME.into());
        self.names.with(|names| names.insert(ids, name));
    }

    pub fn close(&self) {
        // SeqCst, because the cost of closing does not matter. What the threads must see before they end is behind locks.
        self.closing.store(true, Ordering::SeqCst);
        self.closed.with(|closed| *closed = true);
        self.ended.notify_all();
        self.stack_requests.wake();
    }

    /// Sleeps for `span_ns`, or until the watch closes.
    pub fn nap(&self, span_ns: u64) {
        let span = Duration::from_nanos(span_ns);
        self.closed
            .wait_timeout_while(&self.ended, span, |closed| !*closed);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed) // one sample more or less does not matter
    }

    pub fn add_heartbeat(&self, heartbeat: Arc<HeartbeatState>) {
        self.heartbeats.with(|all| all.push(heartbeat));
        self.heartbeats_version.fetch_add(1, Ordering::Release); // pairs with the Acquire in `heartbeats_version`
    }

    pub fn remove_heartbeat(&self, ended: &Arc<HeartbeatState>) {
        self.heartbeats
            .with(|all| all.retain(|heartbeat| !Arc::ptr_eq(heartbeat, ended)));
        self.ended_heartbeats
            .with(|all| all.push(Arc::clone(ended)));
        self.heartbeats_version.fetch_add(1, Ordering::Release);
    }

    pub fn heartbeats_version(&self) -> u64 {
        self.heartbeats_version.load(Ordering::Acquire)
    }

    pub fn heartbeats(&self) -> Vec<Arc<HeartbeatState>> {
        self.heartbeats.with(|all| all.clone())
    }

    pub fn take_ended_heartbeats(&self) -> Vec<Arc<HeartbeatState>> {
        self.ended_heartbeats.with(std::mem::take)
    }

    /// Counts how long a thread waited for the GIL, or would have, up to `at_ns`.
    pub fn record_wait(&self, at_ns: u64, wait_ns: u64) {
        self.waits.record_ns(wait_ns);
        self.probes.add(at_ns, wait_ns);
    }

    pub fn add_stall(&self, stall: FinishedStall) {
        self.stalls.with(|queue| {
            if queue.stalls.len() == MAX_STALLS {
                queue.stalls.pop_front();
                queue.lost += 1;
            }
            queue.stalls.push_back(stall);
        });
        self.stall_added.notify_one();
    }

    /// Announces that no more stalls will be added.
    pub fn end_stalls(&self) {
        self.stalls.with(|queue| queue.ended = true);
        self.stall_added.notify_all();
    }

    /// Notes what a dump of the last minutes needs, and passes on a request for one. The sampler calls this at each sample.
    pub fn note_for_dumps(&self, now_ns: u64) {
        if self.dump_requests.is_new() {
            self.call_reporter();
        }
        if self.checkpoints.with(|all| all.is_due(now_ns)) {
            let checkpoint = self.checkpoint(now_ns);
            self.checkpoints.with(|all| all.add(checkpoint));
        }
    }

    /// How many bytes the last minutes take, without the stalls.
    pub fn size_of_rings(&self) -> usize {
        let holds = self.gil_usage.with(|usage| usage.size_of_holds());
        let checkpoints = self.checkpoints.with(|all| all.size());
        holds + self.beats.size() + self.probes.size() + checkpoints
    }

    /// The sums now.
    pub fn checkpoint(&self, now_ns: u64) -> Checkpoint {
        Checkpoint {
            at_ns: now_ns,
            samples: self.gil_usage.with(|usage| usage.samples),
            collected_ns: self.gc.collected_ns(),
            cost_ns: self.cost_ns(),
            lost: self.lost(),
            loops: self.loop_times.with(|times| copied_sums(times)),
        }
    }

    /// Has the thread that waits for a stall return without one.
    pub fn call_reporter(&self) {
        self.stalls.with(|queue| queue.is_called = true);
        self.stall_added.notify_all();
    }

    /// Waits for the next stall. `None` once there will be no more, if none comes within `timeout`, and when it is called.
    pub fn next_stall(&self, timeout: Duration) -> Option<FinishedStall> {
        let waits =
            |queue: &mut StallQueue| queue.stalls.is_empty() && !queue.ended && !queue.is_called;
        self.stalls
            .wait_timeout_while(&self.stall_added, timeout, waits);
        self.stalls.with(|queue| {
            queue.is_called = false;
            queue.stalls.pop_front()
        })
    }

    /// Whether `next_stall` will return no more stalls.
    pub fn has_ended(&self) -> bool {
        self.stalls
            .with(|queue| queue.ended && queue.stalls.is_empty())
    }

    /// CPU time of the watch's own threads, up to some samples ago.
    pub fn cost_ns(&self) -> u64 {
        // Relaxed: two sums, each used by itself.
        self.sampler_ran_ns.load(Ordering::Relaxed)
            + self.prober_ran_ns.load(Ordering::Relaxed)
            + self.logs.get().map_or(0, Logs::ran_ns)
    }

    pub fn lost(&self) -> u64 {
        self.stalls.with(|queue| queue.lost)
    }
}
