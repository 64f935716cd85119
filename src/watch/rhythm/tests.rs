//! The rhythm beside streams of holds whose shares are known.

use super::{BUSY_FOR_NS, FULL_RATE_AT_START_NS, Periods, Rhythm, Seen};
use crate::gil::{GilState, ThreadIds};
use crate::system::pace::Pace;
use crate::watch::gil_usage::GilUsage;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

fn periods() -> Periods {
    Periods::new(MS, 50 * MS, 10 * MS)
}

fn rhythm() -> Rhythm {
    Rhythm::new(Pace::seeded(11), periods(), 0)
}

const HELD: Seen = Seen {
    held: true,
    late: false,
    awake: false,
};
const NOTHING: Seen = Seen {
    held: false,
    late: false,
    awake: false,
};

/// Looks from `now_ns` until `end_ns`, each of which shows `seen`. Returns when the next look is, and how many there were.
fn follow(rhythm: &mut Rhythm, now_ns: u64, end_ns: u64, seen: Seen) -> (u64, u64) {
    let (mut now_ns, mut looks) = (now_ns, 0);
    while now_ns < end_ns {
        rhythm.follow(now_ns, seen);
        assert!(rhythm.next_ns() > now_ns);
        now_ns = rhythm.next_ns();
        looks += 1;
    }
    (now_ns, looks)
}

#[test]
fn a_watch_looks_often_at_first_and_seldom_while_nothing_happens() {
    let mut rhythm = rhythm();
    let (now_ns, looks) = follow(&mut rhythm, 0, FULL_RATE_AT_START_NS, NOTHING);
    assert!((2900..3100).contains(&looks), "{looks}");
    let (now_ns, _) = follow(&mut rhythm, now_ns, now_ns + BUSY_FOR_NS, NOTHING);
    let (_, looks) = follow(&mut rhythm, now_ns, now_ns + 100 * SECOND, NOTHING);
    assert!((5500..5600).contains(&looks), "{looks}"); // at most 60 in a second
}

#[test]
fn looks_are_in_between_while_the_gil_is_busy_and_most_frequent_while_a_loop_is_late() {
    let mut rhythm = rhythm();
    let (now_ns, _) = follow(&mut rhythm, 0, 2 * FULL_RATE_AT_START_NS, HELD);
    let (now_ns, busy) = follow(&mut rhythm, now_ns, now_ns + 10 * SECOND, HELD);
    assert!((2400..2600).contains(&busy), "{busy}");
    let late = Seen { late: true, ..HELD };
    let (now_ns, often) = follow(&mut rhythm, now_ns, now_ns + 10 * SECOND, late);
    assert!((9000..12_000).contains(&often), "{often}"); // a planned look comes in between
    let (_, busy) = follow(&mut rhythm, now_ns, now_ns + 10 * SECOND, HELD);
    assert!((2400..2600).contains(&busy), "{busy}");
}

#[test]
fn a_loop_that_begins_to_run_is_followed_at_once_although_the_next_planned_look_is_far() {
    let mut rhythm = rhythm();
    let (now_ns, _) = follow(&mut rhythm, 0, 5 * SECOND, NOTHING);
    let awake = Seen {
        awake: true,
        ..NOTHING
    };
    rhythm.follow(now_ns, awake);
    assert!(rhythm.planned_ns() > now_ns + 15 * MS);
    assert!(rhythm.next_ns() <= now_ns + 6 * MS);
    let next_ns = rhythm.next_ns();
    assert!(!rhythm.follow(
        next_ns,
        Seen {
            late: true,
            ..awake
        }
    )); // not planned
    assert!(rhythm.next_ns() <= next_ns + 3 * MS / 2);
}

#[test]
fn a_sleeping_loop_is_looked_at_within_two_heartbeats_whatever_the_threshold() {
    for (stall_ns, heartbeat_ns) in [(50 * MS, 10 * MS), (10 * MS, 2 * MS), (1000 * MS, 10 * MS)] {
        let periods = Periods::new(MS, stall_ns, heartbeat_ns);
        assert!(periods.longest_quiet_ns() <= 2 * heartbeat_ns);
        assert!(periods.busy_ns <= stall_ns / 10);
    }
    let seldom = Periods::new(SECOND, 50 * MS, 10 * MS);
    assert_eq!((seldom.busy_ns, seldom.quiet_ns), (SECOND, SECOND)); // as the user wants it
}

/// A GIL that one thread holds again and again, for random times.
struct Stream {
    pace: Pace,
    hold_ns: u64,
    free_ns: u64,
    varies: bool,
    is_held: bool,
    since_ns: u64,
    until_ns: u64,
    held_ns: u64,
}

impl Stream {
    /// Whether the GIL is held at `now_ns`, which must not decrease.
    fn is_held(&mut self, now_ns: u64) -> bool {
        while self.until_ns <= now_ns {
            self.held_ns += if self.is_held {
                self.until_ns - self.since_ns
            } else {
                0
            };
            self.is_held = !self.is_held;
            self.since_ns = self.until_ns;
            let mean_ns = if self.is_held {
                self.hold_ns
            } else {
                self.free_ns
            };
            let span_ns = if self.varies {
                self.pace.exponential_ns(mean_ns)
            } else {
                self.pace.jittered_ns(mean_ns)
            };
            self.until_ns += span_ns.max(1);
        }
        self.is_held
    }
}

#[allow(clippy::cast_precision_loss)] // a precision of 2^-53 is enough
/// The shares of the time that the GIL was held: as credited, and in truth.
fn shares(hold_ns: u64, percent: u64, varies: bool, with_loop: bool) -> (f64, f64) {
    const LENGTH: u64 = 400 * SECOND;
    let mut stream = Stream {
        pace: Pace::seeded(hold_ns + percent),
        hold_ns,
        free_ns: hold_ns * (100 - percent) / percent,
        varies,
        is_held: false,
        since_ns: 0,
        until_ns: 0,
        held_ns: 0,
    };
    let ids = ThreadIds {
        ident: 1,
        native: 1,
    };
    let mut usage = GilUsage::new(0, false);
    let mut rhythm = rhythm();
    let mut now_ns = 0;
    while now_ns < LENGTH {
        let held = stream.is_held(now_ns);
        let state = GilState {
            holder: held.then_some(ids),
            switches: 1,
        };
        if rhythm.is_planned(now_ns) {
            usage.add(now_ns, state);
        } else {
            usage.follow(now_ns, state);
        }
        // If the holds are those of a loop, the loop is awake at the same time, and is late if it began to run a while ago.
        let seen = Seen {
            held,
            late: with_loop && held,
            awake: with_loop && held,
        };
        rhythm.follow(now_ns, seen);
        now_ns = rhythm.next_ns();
    }
    let length = usage.last_ns as f64;
    (
        usage.held_ns as f64 / length,
        stream.held_ns as f64 / length,
    )
}

#[test]
fn the_shares_of_short_holds_are_unbiased_although_the_gaps_depend_on_what_was_seen() {
    for hold_us in [50, 200, 1000, 3000] {
        for percent in [1, 5, 20, 50, 90] {
            for (varies, with_loop) in [(false, false), (true, false), (true, true)] {
                let (credited, truth) = shares(hold_us * 1000, percent, varies, with_loop);
                let error = credited - truth;
                println!("{hold_us:5} us {percent:3} % {varies:5} {with_loop:5} {error:+.4}");
                assert!(
                    error.abs() < 0.005,
                    "{hold_us} us, {percent} %: {credited:.4} instead of {truth:.4}"
                );
            }
        }
    }
}

#[test]
fn the_shares_of_long_holds_are_unbiased() {
    for (hold_ms, percent) in [(10, 10), (30, 5), (50, 10), (100, 2), (200, 50)] {
        let (credited, truth) = shares(hold_ms * MS, percent, true, false);
        println!("{hold_ms:5} ms {percent:3} % {:+.4}", credited - truth);
        assert!(
            (credited - truth).abs() < 0.005,
            "{hold_ms} ms, {percent} %: {credited:.4} instead of {truth:.4}"
        );
    }
}
