use super::{Doing, LoopTime, Spent};
use crate::gil::ThreadIds;
use crate::system::pace::Pace;
use crate::watch::rhythm::{Periods, Rhythm, Seen};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const OTHER: Doing = Doing::WaitsForGil(ThreadIds {
    ident: 8,
    native: 8,
});

fn time() -> LoopTime {
    LoopTime::new(ThreadIds::default())
}

#[test]
fn a_gap_is_divided_between_the_samples_at_its_ends() {
    let mut time = time();
    time.add(100, Doing::Asleep);
    time.add(300, Doing::HoldsGil);
    time.add(700, Doing::Asleep);
    assert_eq!((time.busy_ns, time.asleep_ns), (300, 300));
    assert_eq!(time.take(Spent::Computing), 300);
    assert_eq!(time.take(Spent::Computing), 0);
}

#[test]
fn the_time_in_which_a_loop_does_not_run_is_not_its_own() {
    let mut time = time();
    time.add(100, Doing::HoldsGil);
    time.pause();
    time.add(5_000, Doing::HoldsGil);
    time.add(5_100, Doing::Asleep);
    assert_eq!(time.busy_ns + time.asleep_ns, 100);
}

#[test]
fn a_sample_from_before_the_last_one_is_left_out() {
    let mut time = time();
    time.add(300, Doing::HoldsGil);
    time.add(200, Doing::HoldsGil);
    time.add(400, Doing::HoldsGil);
    assert_eq!(time.busy_ns, 100);
}

#[test]
fn run_queue_delay_is_shared_out_over_the_time_in_which_the_thread_was_seen_to_run() {
    let mut time = time();
    time.add(0, Doing::HoldsGil);
    time.add(600, Doing::HoldsGil);
    time.add(600, Doing::Runs);
    time.add(1000, Doing::Runs);
    time.add(1000, OTHER);
    time.add(1500, OTHER);
    time.share_out_delay(Some(70)); // what was before the first sample is not counted
    time.share_out_delay(Some(170));
    assert_eq!(time.take(Spent::Computing), 540);
    assert_eq!(time.take(Spent::NoCpuComputing), 60);
    assert_eq!(time.take(Spent::RunningWithoutGil), 360);
    assert_eq!(time.take(Spent::NoCpuWithoutGil), 40);
    assert_eq!(time.take(Spent::WaitingForGil), 500);
}

#[test]
fn a_delay_that_no_sample_has_shown_yet_is_taken_out_of_later_time() {
    let mut time = time();
    time.add(0, Doing::HoldsGil);
    time.share_out_delay(Some(0));
    time.add(100, Doing::HoldsGil);
    time.share_out_delay(Some(250));
    assert_eq!(time.take(Spent::Computing), 0);
    assert_eq!(time.take(Spent::NoCpuComputing), 100);
    time.add(400, Doing::HoldsGil);
    time.share_out_delay(Some(250));
    assert_eq!(time.take(Spent::NoCpuComputing), 150);
    assert_eq!(time.take(Spent::Computing), 150);
    assert_eq!(time.busy_ns, 400);
}

/// A loop that alternates between being busy and asleep, for these times in nanoseconds each.
struct Alternating {
    pace: Pace,
    busy_ns: u64,
    asleep_ns: u64,
    is_random: bool,
    is_busy: bool,
    until_ns: u64,
    was_busy_ns: u64,
}

impl Alternating {
    /// Whether the loop is busy at `now_ns`, which is later at each call.
    fn is_busy_at(&mut self, now_ns: u64) -> bool {
        while self.until_ns <= now_ns {
            self.is_busy = !self.is_busy;
            let mean_ns = if self.is_busy {
                self.busy_ns
            } else {
                self.asleep_ns
            };
            let span_ns = if self.is_random {
                self.pace.exponential_ns(mean_ns)
            } else {
                mean_ns
            };
            self.until_ns += span_ns;
            if self.is_busy {
                self.was_busy_ns += span_ns;
            }
        }
        self.is_busy
    }
}

/// The share of busy time as it is measured, and as it was, if the gaps follow what the samples show.
#[allow(clippy::cast_precision_loss)]
fn shares(busy_ns: u64, asleep_ns: u64, is_random: bool) -> (f64, f64) {
    let end_ns = 400 * SECOND;
    let periods = Periods {
        full_ns: MS,
        busy_ns: 4 * MS,
        quiet_ns: 18 * MS,
    };
    let mut rhythm = Rhythm::new(Pace::seeded(11), periods, 0);
    let mut work = Alternating {
        pace: Pace::seeded(busy_ns ^ asleep_ns),
        busy_ns,
        asleep_ns,
        is_random,
        is_busy: false,
        until_ns: 0,
        was_busy_ns: 0,
    };
    let mut time = time();
    let mut now_ns = 0;
    while now_ns < end_ns {
        let is_busy = work.is_busy_at(now_ns);
        let doing = if is_busy {
            Doing::HoldsGil
        } else {
            Doing::Asleep
        };
        if rhythm.is_planned(now_ns) {
            time.add(now_ns, doing);
        }
        rhythm.follow(
            now_ns,
            Seen {
                held: is_busy,
                late: false,
                awake: is_busy,
            },
        );
        now_ns = rhythm.next_ns();
    }
    let measured = time.busy_ns as f64 / (time.busy_ns + time.asleep_ns) as f64;
    (measured, work.was_busy_ns as f64 / work.until_ns as f64)
}

#[test]
fn utilization_is_unbiased_though_gaps_follow_what_the_samples_show() {
    // Gaps are short after a sample that shows the loop busy: a sum of samples would be far off.
    for (busy_ns, asleep_ns) in [
        (100 * MS, 900 * MS),
        (500 * MS, 500 * MS),
        (9 * MS, MS),
        (MS, 9 * MS),
        (7 * MS, 293 * MS),
        (2 * MS, 498 * MS),
        (30 * MS, 1470 * MS),
    ] {
        for is_random in [false, true] {
            let (measured, truth) = shares(busy_ns, asleep_ns, is_random);
            assert!(
                (measured - truth).abs() < 0.01,
                "{busy_ns} {asleep_ns} {is_random}: {measured} {truth}"
            );
        }
    }
}
