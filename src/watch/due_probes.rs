//! When the GIL is probed: how long a thread that asked for it now would wait.
//!
//! A probe falls on a random moment. The sampler knows at each of its planned samples, which are random moments too, whether the
//! GIL is free. So it makes some of them probes, as many as the time that they stand for. If the GIL is free, the wait is what
//! attaching costs: it is counted as measured before, and nobody is woken for that. If the GIL is held, the prober asks for it.
//!
//! If the GIL cannot be read, or samples are too far apart, the prober's own clock decides when to probe.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::locked::Locked;
use crate::system::pace::Pace;
use crate::watch::state::WatchState;

/// Planned samples are probes only if they are at most this part of the mean time between probes apart while the GIL is busy.
const MIN_SAMPLES_PER_PROBE: u64 = 4;
/// Of so many probes of a GIL that is held, one is made, once a watch has lasted for some seconds.
const PROBES_PER_TURN: u64 = 8;
/// Probes that wait for the prober. It counts all of them when it attaches, so there are more only if it never does.
const MAX_DUE: usize = 10_000;
/// Attaching takes some microseconds if the GIL is free.
const MAX_NS_TO_ATTACH: u64 = 100_000;
/// A prober that was woken this late has waited for a CPU, and not for the GIL.
const MAX_NS_TO_WAKE: u64 = 1_000_000;

#[derive(Default)]
pub struct DueProbes {
    /// Whether planned samples are the probes.
    pub follow_samples: bool,
    /// When the probes were due that the prober is to measure, the oldest first.
    due: Locked<Vec<u64>>,
    /// What it took to attach when the GIL was free; 0 if that has not been measured.
    free_ns: AtomicU64,
    /// The prober is to attach for another reason.
    visit: AtomicBool,
}

impl DueProbes {
    /// For probes `probe_ns` apart, of a GIL that can be read, at samples that are `busy_ns` apart while it is busy; both on average.
    pub fn new(can_read: bool, busy_ns: u64, probe_ns: u64) -> Self {
        let are_close = busy_ns.saturating_mul(MIN_SAMPLES_PER_PROBE) <= probe_ns;
        Self {
            follow_samples: can_read && are_close,
            ..Self::default()
        }
    }

    /// Probes the GIL at a planned sample, which stands for `weight_ns`, and which has shown whether another thread `holds` the GIL.
    pub fn follow(
        &self,
        watch: &WatchState,
        pace: &mut Pace,
        (now_ns, weight_ns): (u64, u64),
        holds: bool,
        is_steady: bool,
    ) {
        if !self.follow_samples {
            return;
        }
        let number = Self::number(pace, weight_ns, watch.settings.probe_ns);
        match self.free_ns() {
            _ if number == 0 => {}
            Some(free_ns) if !holds => {
                (0..number).for_each(|_| watch.record_wait(now_ns, free_ns));
            }
            _ => {
                let number = if is_steady {
                    Self::thinned(pace, number)
                } else {
                    number
                };
                if number > 0 {
                    self.add(now_ns, number);
                    watch.stack_requests.wake();
                }
            }
        }
    }

    /// Each turn of the prober's may cost a thread of the program its own, so only one probe in [`PROBES_PER_TURN`] is made, and
    /// counts for as many.
    fn thinned(pace: &mut Pace, number: u64) -> u64 {
        let made = (0..number).filter(|_| pace.below(PROBES_PER_TURN) == 0);
        PROBES_PER_TURN * made.count() as u64
    }

    /// How many probes fall on a sample that stands for `weight_ns`.
    fn number(pace: &mut Pace, weight_ns: u64, probe_ns: u64) -> u64 {
        let (whole, rest) = (weight_ns / probe_ns, weight_ns % probe_ns);
        whole + u64::from(pace.below(probe_ns) < rest)
    }

    /// What attaching took when the GIL was free; `None` if that has not been measured.
    fn free_ns(&self) -> Option<u64> {
        // Relaxed: a number, used by itself.
        Some(self.free_ns.load(Ordering::Relaxed)).filter(|&it| it != 0)
    }

    /// Attaching has taken `wait_ns`, and the GIL was free. What counts is the mean of the last times, so that a time in which the
    /// prober had no CPU does not count for long.
    pub fn note_free(&self, wait_ns: u64) {
        let new_ns = wait_ns.clamp(1, MAX_NS_TO_ATTACH);
        let old_ns = self.free_ns().unwrap_or(new_ns);
        self.free_ns
            .store(((3 * old_ns + new_ns) / 4).max(1), Ordering::Relaxed); // as above; only the prober writes it
    }

    /// Adds probes that are due at `now_ns`, for the prober. It must then be woken.
    fn add(&self, now_ns: u64, number: u64) {
        self.due.with(|due| {
            for _ in 0..number.min(MAX_DUE.saturating_sub(due.len()) as u64) {
                due.push(now_ns);
            }
        });
    }

    /// The prober is to attach soon, for no probe. Returns whether it must be woken.
    pub fn request_visit(&self) -> bool {
        !self.visit.swap(true, Ordering::Relaxed) // the prober is woken by way of a lock
    }

    /// Whether there is something for the prober to do.
    pub fn wait_for_prober(&self) -> bool {
        self.visit.load(Ordering::Relaxed) || self.due.with(|due| !due.is_empty())
    }

    /// The prober has asked for the GIL at `asked_ns`, and attached at `attached_ns`: the waits of all probes that were due.
    ///
    /// The first one may have been due some time before the prober, which had to be woken, asked for the GIL. The others were due
    /// while it waited.
    pub fn take_waits(&self, asked_ns: u64, attached_ns: u64) -> Vec<u64> {
        self.visit.store(false, Ordering::Relaxed); // as in `request_visit`
        let due = self.due.with(|due| {
            let later = due.partition_point(|&due_ns| due_ns <= attached_ns);
            due.drain(..later).collect::<Vec<_>>()
        });
        let woken_late = |due_ns: u64| asked_ns.saturating_sub(due_ns) > MAX_NS_TO_WAKE;
        due.into_iter()
            .map(|due_ns| attached_ns - if woken_late(due_ns) { asked_ns } else { due_ns })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::DueProbes;
    use crate::system::pace::Pace;

    const MS: u64 = 1_000_000;

    #[test]
    fn samples_are_the_probes_if_they_are_close_enough() {
        assert!(DueProbes::new(true, 4 * MS, 50 * MS).follow_samples);
        assert!(!DueProbes::new(true, 4 * MS, 10 * MS).follow_samples);
        assert!(!DueProbes::new(false, 4 * MS, 50 * MS).follow_samples);
    }

    #[test]
    fn as_many_probes_fall_on_samples_as_on_the_time_that_these_stand_for() {
        let mut pace = Pace::seeded(3);
        for weight_ns in [MS, 4 * MS, 18 * MS, 120 * MS] {
            let samples = 20_000_000 * MS / weight_ns / 1000;
            let number: u64 = (0..samples)
                .map(|_| DueProbes::number(&mut pace, weight_ns, 50 * MS))
                .sum();
            let expected = samples * weight_ns / (50 * MS);
            assert!(
                number.abs_diff(expected) < expected / 10,
                "{weight_ns}: {number} of {expected}"
            );
        }
    }

    #[test]
    fn thinned_probes_are_as_many_on_average() {
        let mut pace = Pace::seeded(3);
        let number: u64 = (0..100_000).map(|_| DueProbes::thinned(&mut pace, 1)).sum();
        assert!(number.abs_diff(100_000) < 5_000, "{number}");
    }

    #[test]
    fn a_wait_is_counted_from_when_the_probe_was_due() {
        let probes = DueProbes::default();
        probes.add(10 * MS, 1);
        probes.add(14 * MS, 2);
        probes.add(30 * MS, 1);
        let asked_ns = 10 * MS + 50_000;
        assert_eq!(
            probes.take_waits(asked_ns, 20 * MS),
            [10 * MS, 6 * MS, 6 * MS]
        );
        assert!(probes.wait_for_prober());
        assert_eq!(probes.take_waits(30 * MS, 31 * MS), [MS]);
        assert!(!probes.wait_for_prober());
    }

    #[test]
    fn time_in_which_the_prober_had_no_cpu_is_no_wait() {
        let probes = DueProbes::default();
        probes.add(10 * MS, 1);
        assert_eq!(probes.take_waits(19 * MS, 20 * MS), [MS]);
    }

    #[test]
    fn a_visit_is_requested_once_until_the_prober_has_attached() {
        let probes = DueProbes::default();
        assert!(probes.request_visit());
        assert!(!probes.request_visit());
        assert!(probes.wait_for_prober());
        assert!(probes.take_waits(1, 2).is_empty());
        assert!(!probes.wait_for_prober());
        assert!(probes.request_visit());
    }

    #[test]
    fn what_attaching_costs_is_unknown_until_it_is_measured() {
        let probes = DueProbes::default();
        assert_eq!(probes.free_ns(), None);
        probes.note_free(0);
        assert_eq!(probes.free_ns(), Some(1));
        probes.note_free(1001);
        assert_eq!(probes.free_ns(), Some(251));
    }
}
