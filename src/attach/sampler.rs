//! The thread that samples another process: which thread holds its GIL, and what its loops do.

mod loops;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::attached_loop::AttachedLoop;
use super::census::{Around, Census};
use super::late_now::LateSeen;
use super::places::Places;
use super::watcher::Shared;
use crate::gil::Gil;
use crate::gil::process::Process;
use crate::system::clock::now_ns;
use crate::system::pace::Pace;
use crate::watch::gil_wait::Sample;
use crate::watch::native_stacks::NativeStacks;
use crate::watch::sampling_thread::SamplingThread;

/// Whether the process has ended is asked this often, and whenever its GIL cannot be read.
const NS_BETWEEN_SIGNS_OF_LIFE: u64 = 20_000_000;
/// After a longer time without a sample, it is unknown what has happened in it.
const MAX_GAP_NS: u64 = 250_000_000;
/// What a late loop does is copied this often.
const NS_BETWEEN_COPIES: u64 = 20_000_000;

pub struct Sampler {
    shared: Arc<Shared>,
    process: Process,
    places: Box<Places>,
    gil: Gil,
    native: NativeStacks,
    census: Census,
    loops: Vec<AttachedLoop>,
    pace: Pace,
    last_ns: u64,
    meant_ns: u64,
    /// The gap that was chosen to follow the last sample.
    gap_ns: u64,
    alive_ns: u64,
    copied_ns: u64,
    loops_so_far: u64,
}

impl Sampler {
    pub fn new(shared: Arc<Shared>, process: Process, places: Box<Places>) -> Self {
        let gil = process.gil();
        let started_ns = shared.watch.started_ns;
        Self {
            native: NativeStacks::of_process(process.reader(), process.namer()),
            census: Census::new(process.pid()),
            loops: Vec::new(),
            pace: Pace::new(),
            last_ns: started_ns,
            meant_ns: started_ns,
            gap_ns: 0,
            alive_ns: started_ns,
            copied_ns: 0,
            loops_so_far: 0,
            shared,
            process,
            places,
            gil,
        }
    }

    /// Finds the loops that run already.
    pub fn find_loops(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut around = Around {
            process: &mut self.process,
            reader: &mut self.native.reader,
            places: &self.places,
            watch: &shared.watch,
        };
        let found = self.census.all(&mut around, now_ns());
        self.take(found, now_ns());
    }

    /// Runs the thread.
    pub fn run(mut self) {
        let mut thread = SamplingThread::begin();
        let shared = Arc::clone(&self.shared);
        let watch = &shared.watch;
        while !watch.is_closing() {
            let now_ns = now_ns();
            if now_ns >= self.alive_ns + NS_BETWEEN_SIGNS_OF_LIFE {
                self.alive_ns = now_ns;
                if self.process.has_ended() {
                    shared.ended.store(true, Ordering::Relaxed); // used by itself
                    break;
                }
            }
            self.sample(now_ns);
            let stall_ns = watch.settings.stall_ns;
            let matters = self.loops.iter().any(|it| it.may_stall(now_ns, stall_ns));
            thread.sampled(watch, now_ns, matters);
            self.nap();
        }
        self.close();
        SamplingThread::end(watch);
    }

    fn sample(&mut self, now_ns: u64) {
        let shared = Arc::clone(&self.shared);
        let watch = &shared.watch;
        let state = self.gil.read();
        let gap_ns = now_ns.saturating_sub(self.last_ns);
        let planned_gap_ns = self.meant_ns.saturating_sub(self.last_ns);
        if gap_ns > planned_gap_ns + MAX_GAP_NS {
            self.skip(gap_ns);
        }
        let hold = watch.gil_usage.with(|usage| {
            usage.add(now_ns, state);
            usage.current_hold()
        });
        let holder = state.holder.filter(|holder| holder.native != 0);
        let collector = holder.filter(|_| self.process.is_collecting());
        if collector.is_some() {
            watch.gc.add_collected_ns(gap_ns);
        }
        let sample = Sample {
            now_ns,
            gap_ns,
            planned_gap_ns,
            gil: Some((self.gil, state)),
            hold,
            switches: i64::try_from(state.switches).unwrap_or(0),
            probed: false,
            collector: collector.map_or(0, |holder| holder.ident),
            threads: &watch.threads,
        };
        self.last_ns = now_ns;
        self.gap_ns = self.pace.jittered_ns(watch.settings.sample_ns);
        let late_loops = self.loops.iter().filter(|it| it.is_late()).count();
        self.native.begin_sample(now_ns, late_loops as u64);
        self.add_to_loops(&sample);
        let mut of_holder = self.loops.iter().filter(|it| Some(it.thread) == holder);
        let turn_ns = of_holder.next().and_then(AttachedLoop::since_ns);
        shared
            .long_holds
            .with(|holds| holds.add(&sample, &mut self.native.reader, turn_ns));
        self.copy_late(&sample);
        let mut around = Around {
            process: &mut self.process,
            reader: &mut self.native.reader,
            places: &self.places,
            watch,
        };
        let found = self.census.step(&mut around, now_ns);
        self.take(found, now_ns);
    }

    /// This process has not run for so long that the time says nothing: it was stopped, for example.
    fn skip(&mut self, gap_ns: u64) {
        let watch = &self.shared.watch;
        watch
            .gil_usage
            .with(|usage| usage.skip(self.last_ns + gap_ns));
        // Relaxed: a sum, used by itself.
        watch.skipped_ns.fetch_add(gap_ns, Ordering::Relaxed);
        for it in &self.loops {
            let number = it.number;
            watch.loop_times.with(|times| times.pause(number));
        }
    }

    fn copy_late(&mut self, sample: &Sample<'_>) {
        if sample.now_ns < self.copied_ns + NS_BETWEEN_COPIES {
            return;
        }
        self.copied_ns = sample.now_ns;
        let stall_ns = self.shared.watch.settings.stall_ns;
        let late = self.loops.iter_mut().filter_map(|it| it.late_now(sample));
        let late: Vec<_> = late.map(|now| LateSeen::of(&now, stall_ns)).collect();
        self.shared.late.with(|now| *now = late);
    }

    fn nap(&mut self) {
        let now_ns = now_ns();
        let least_ns = self.shared.watch.settings.sample_ns / 2;
        let next_ns = self.last_ns + self.gap_ns;
        let span_ns = next_ns.saturating_sub(now_ns).max(least_ns);
        self.meant_ns = now_ns + span_ns;
        self.shared.watch.nap(span_ns);
    }

    fn close(&mut self) {
        let now_ns = now_ns();
        self.drop_loops(|_| true, now_ns);
        self.shared.late.with(Vec::clear);
    }
}
