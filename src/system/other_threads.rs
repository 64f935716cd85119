//! The other threads of the process, for samples that are taken while the watched thread is blocked. The watched thread may
//! have another thread do its work: then that thread holds the GIL, releases it, or waits for a core.

use crate::system::clock::now_ns;
use crate::system::run_queue::{ThreadState, ThreadStats};

/// In a process with more other threads than this, none of them is read: each costs some microseconds a sample.
const MAX_THREADS: usize = 16;

/// A thread that was not blocked when the sample began, and its times before and during the sample.
#[derive(Clone, Copy)]
pub struct ActiveThread {
    tid: i32,
    pub state: ThreadState,
    /// CPU time between the sample before and this one.
    pub cpu_time_before_ns: u64,
    pub run_queue_delay_before_ns: u64,
    /// From `at_start`: the thread's CPU time so far. From `most_delayed_at_end`: its CPU time during the sample.
    pub cpu_time_ns: u64,
    pub run_queue_delay_ns: u64,
}

pub struct OtherThreads {
    excluded: [i32; 2],
    known: Vec<OtherThread>,
}

struct OtherThread {
    tid: i32,
    stats: ThreadStats,
    /// CPU time and run-queue delay at the end of the sample before; `None` if the thread was not read then.
    last: Option<(u64, u64)>,
}

impl OtherThreads {
    /// All threads of the process except the watched one and the sampling one.
    pub fn except(watched: i32, sampling: i32) -> Self {
        Self {
            excluded: [watched, sampling],
            known: Vec::new(),
        }
    }

    /// Reads all threads when a sample begins; returns those that are running or runnable.
    pub fn at_start(&mut self) -> Vec<ActiveThread> {
        self.update_known();
        let at_ns = now_ns();
        let times: Vec<_> = self.known.iter().map(OtherThread::times).collect();
        let active = |(thread, times): (&OtherThread, &Option<(u64, u64)>)| {
            let (cpu_time_ns, run_queue_delay_ns) = (*times)?;
            let state = thread.stats.state(cpu_time_ns, at_ns);
            let (last_cpu_time_ns, last_delay_ns) =
                thread.last.unwrap_or((cpu_time_ns, run_queue_delay_ns));
            matches!(state, ThreadState::Running | ThreadState::Runnable).then_some(ActiveThread {
                tid: thread.tid,
                state,
                cpu_time_before_ns: cpu_time_ns - last_cpu_time_ns,
                run_queue_delay_before_ns: run_queue_delay_ns.saturating_sub(last_delay_ns),
                cpu_time_ns,
                run_queue_delay_ns,
            })
        };
        self.known.iter().zip(&times).filter_map(active).collect()
    }

    /// Reads all threads when a sample ends; returns the one of `active` that may have delayed the sample the most.
    pub fn most_delayed_at_end(&mut self, active: &[ActiveThread]) -> Option<ActiveThread> {
        for thread in &mut self.known {
            thread.last = thread.times();
        }
        let during_sample = |active: &ActiveThread| {
            let thread = self.known.iter().find(|thread| thread.tid == active.tid)?;
            let (cpu_time_ns, run_queue_delay_ns) = thread.last?;
            Some(ActiveThread {
                cpu_time_ns: cpu_time_ns - active.cpu_time_ns,
                run_queue_delay_ns: run_queue_delay_ns.saturating_sub(active.run_queue_delay_ns),
                ..*active
            })
        };
        active
            .iter()
            .filter_map(during_sample)
            .max_by_key(|thread| {
                (
                    thread.run_queue_delay_ns,
                    thread.state == ThreadState::Runnable,
                    thread.cpu_time_ns,
                )
            })
    }

    /// Forgets the times of the sample before, because no thread is read in this one.
    pub fn skip_sample(&mut self) {
        for thread in &mut self.known {
            thread.last = None;
        }
    }

    fn update_known(&mut self) {
        let tids = ThreadStats::thread_ids(MAX_THREADS);
        self.known.retain(|thread| tids.contains(&thread.tid));
        for tid in tids {
            if self.excluded.contains(&tid) || self.known.iter().any(|thread| thread.tid == tid) {
                continue;
            }
            self.known
                .extend(ThreadStats::of(tid).map(|stats| OtherThread {
                    tid,
                    stats,
                    last: None,
                }));
        }
    }
}

impl OtherThread {
    fn times(&self) -> Option<(u64, u64)> {
        self.stats
            .cpu_time_ns()
            .zip(self.stats.run_queue_delay_ns())
    }
}
