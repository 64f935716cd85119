//! For how long a loop has given no heartbeat: the sum that hangs and liveness are judged by.
//!
//! Time in which the sampler itself did not run does not count: the process was stopped, the machine was suspended, or it
//! stood still. So each sample adds the time since the last one, and never more than a small amount.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One sample adds this much at most, or this many periods if the user wants samples further apart than that.
const MAX_NS_PER_SAMPLE: u64 = 100_000_000;
const MAX_PERIODS_PER_SAMPLE: u64 = 4;

/// The longest time that a sample stands for.
pub fn max_ns_per_sample(sample_ns: u64) -> u64 {
    MAX_NS_PER_SAMPLE.max(sample_ns.saturating_mul(MAX_PERIODS_PER_SAMPLE))
}

/// What the sampler knows of one loop's silence.
#[derive(Default)]
pub struct Silence {
    /// When the beat is due that has not come; 0 if none is.
    due_ns: u64,
    /// Since the last beat.
    pub silent_ns: u64,
    /// Of that: after the next one was due, and while the loop's thread waited for the GIL.
    late_ns: u64,
    waited_ns: u64,
    /// The loop sleeps in its selector, although no beat comes.
    sleeps: bool,
    /// The silence has been reported as a hang.
    pub is_reported: bool,
    /// At this much silence, look whether there is an excuse for it.
    pub next_look_ns: u64,
}

/// The limits of one watch.
#[derive(Clone, Copy)]
#[allow(clippy::struct_field_names)] // all are durations in nanoseconds
pub struct Limits {
    pub heartbeat_ns: u64,
    pub stall_ns: u64,
    /// See [`max_ns_per_sample`].
    pub most_ns: u64,
}

impl Silence {
    /// Adds a sample: the beat that is due (0 if the loop does not run, or is not known to beat at all), when the sample was
    /// taken and how long after the last one, and whether the loop's thread waits for the GIL.
    pub fn add(&mut self, due_ns: u64, (now_ns, gap_ns): (u64, u64), waits: bool, limits: Limits) {
        if due_ns != self.due_ns {
            *self = Self {
                due_ns,
                next_look_ns: limits.heartbeat_ns + limits.stall_ns,
                ..Self::default()
            };
        }
        if due_ns == 0 {
            return;
        }
        if now_ns <= due_ns {
            self.silent_ns = now_ns.saturating_sub(due_ns.saturating_sub(limits.heartbeat_ns));
            return;
        }
        self.silent_ns = self.silent_ns.max(limits.heartbeat_ns);
        let span_ns = gap_ns.min(now_ns - due_ns).min(limits.most_ns);
        self.silent_ns += span_ns;
        self.late_ns += span_ns;
        if waits {
            self.waited_ns += span_ns;
        }
    }

    /// The silence so far does not count: the loop sleeps, or someone debugs the program. It begins anew.
    pub fn excuse(&mut self, sleeps: bool, limits: Limits) {
        self.silent_ns = limits.heartbeat_ns;
        (self.late_ns, self.waited_ns) = (0, 0);
        self.sleeps = sleeps;
        self.next_look_ns = limits.heartbeat_ns + limits.stall_ns;
    }

    /// There was no excuse.
    pub fn no_excuse(&mut self, look_again_after_ns: u64) {
        self.sleeps = false;
        self.next_look_ns = self.silent_ns + look_again_after_ns;
    }
}

/// The same for other threads to read.
#[derive(Default)]
pub struct PublishedSilence {
    silent_ns: AtomicU64,
    late_ns: AtomicU64,
    waited_ns: AtomicU64,
    sleeps: AtomicBool,
}

impl PublishedSilence {
    /// Relaxed, here and below: a reader may see the figures of two samples, a millisecond apart.
    pub fn publish(&self, silence: &Silence) {
        self.silent_ns.store(silence.silent_ns, Ordering::Relaxed);
        self.late_ns.store(silence.late_ns, Ordering::Relaxed);
        self.waited_ns.store(silence.waited_ns, Ordering::Relaxed);
        self.sleeps.store(silence.sleeps, Ordering::Relaxed);
    }

    pub fn silent_ns(&self) -> u64 {
        self.silent_ns.load(Ordering::Relaxed)
    }

    pub fn late_ns(&self) -> u64 {
        self.late_ns.load(Ordering::Relaxed)
    }

    pub fn waited_ns(&self) -> u64 {
        self.waited_ns.load(Ordering::Relaxed)
    }

    pub fn sleeps(&self) -> bool {
        self.sleeps.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, Silence, max_ns_per_sample};

    const MS: u64 = 1_000_000;
    const LIMITS: Limits = Limits {
        heartbeat_ns: 10 * MS,
        stall_ns: 50 * MS,
        most_ns: 100 * MS,
    };

    /// Adds samples a millisecond apart, from `from_ms` until `to_ms`, to the silence before a beat that is due at `due_ms`.
    fn sampled(silence: &mut Silence, due_ms: u64, (from_ms, to_ms): (u64, u64), waits: bool) {
        for now_ms in from_ms + 1..=to_ms {
            silence.add(due_ms * MS, (now_ms * MS, MS), waits, LIMITS);
        }
    }

    #[test]
    fn silence_grows_from_the_last_beat_and_ends_with_the_next_one() {
        let mut silence = Silence::default();
        sampled(&mut silence, 1010, (1000, 1500), false);
        assert_eq!(silence.silent_ns, 500 * MS);
        sampled(&mut silence, 1511, (1501, 1503), false);
        assert_eq!(silence.silent_ns, 2 * MS);
    }

    #[test]
    fn a_minute_in_which_the_process_was_stopped_adds_next_to_nothing() {
        let mut silence = Silence::default();
        sampled(&mut silence, 1010, (1000, 1100), false);
        silence.add(1010 * MS, (61_100 * MS, 60_000 * MS), false, LIMITS);
        assert_eq!(silence.silent_ns, 200 * MS);
    }

    #[test]
    fn a_loop_that_does_not_run_is_not_silent() {
        let mut silence = Silence::default();
        sampled(&mut silence, 1010, (1000, 1500), false);
        sampled(&mut silence, 0, (1500, 1600), false);
        assert_eq!(silence.silent_ns, 0);
    }

    #[test]
    fn the_time_that_a_late_loop_waited_for_the_gil_is_known() {
        let mut silence = Silence::default();
        sampled(&mut silence, 1010, (1000, 1100), false);
        sampled(&mut silence, 1010, (1100, 1400), true);
        assert_eq!((silence.late_ns, silence.waited_ns), (390 * MS, 300 * MS));
    }

    #[test]
    fn an_excuse_begins_the_silence_anew() {
        let mut silence = Silence::default();
        sampled(&mut silence, 1010, (1000, 1500), false);
        silence.excuse(true, LIMITS);
        assert_eq!(silence.silent_ns, 10 * MS);
        sampled(&mut silence, 1010, (1500, 1600), false);
        assert_eq!(silence.silent_ns, 110 * MS);
    }

    #[test]
    fn samples_that_the_user_wants_far_apart_count_whole() {
        assert_eq!(max_ns_per_sample(MS), 100 * MS);
        assert_eq!(max_ns_per_sample(500 * MS), 2000 * MS);
    }
}
