//! What every sampling thread notes of itself: its CPU time, and the priority that it needs.

use std::sync::atomic::Ordering;

use crate::system::scheduling::{self, Priority};
use crate::watch::state::WatchState;

/// A thread reads its own CPU time after this time, because that takes a microsecond.
const NS_BETWEEN_CPU_TIME_READS: u64 = 30_000_000;

pub struct SamplingThread {
    priority: Priority,
    cpu_time_read_ns: u64,
}

impl SamplingThread {
    /// The calling thread begins to sample.
    pub fn begin() -> Self {
        scheduling::prepare_sampling_thread(Priority::Prompt);
        Self {
            priority: Priority::Prompt,
            cpu_time_read_ns: 0,
        }
    }

    /// A sample was taken at `now_ns`. While a loop may stall every sample matters, and only then is a higher priority worth its
    /// cost.
    pub fn sampled(&mut self, watch: &WatchState, now_ns: u64, may_a_loop_stall: bool) {
        if now_ns > self.cpu_time_read_ns + NS_BETWEEN_CPU_TIME_READS {
            self.cpu_time_read_ns = now_ns;
            note_cpu_time(watch);
        }
        let wanted = if may_a_loop_stall {
            Priority::RealTime
        } else {
            Priority::Prompt
        };
        if wanted != self.priority {
            self.priority = wanted;
            scheduling::request(wanted);
        }
    }

    /// The calling thread takes no more samples.
    pub fn end(watch: &WatchState) {
        note_cpu_time(watch);
        watch.end_stalls();
    }
}

fn note_cpu_time(watch: &WatchState) {
    // Relaxed: a sum, used by itself.
    watch
        .sampler_ran_ns
        .store(scheduling::own_cpu_time_ns(), Ordering::Relaxed);
}
