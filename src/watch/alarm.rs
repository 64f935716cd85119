//! What wakes a loop for its next heartbeat: the timer, and the moment for which it is set.
//!
//! The loop's thread sets the alarm again at each beat. While the loop sleeps, the sampler turns the alarm off, and on again when
//! it sees that the loop runs. See [`crate::watch::expectation`] for the states.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::system::clock;
use crate::watch::expectation::{Expectation, ExpectationCell};
use crate::watch::timer::Timer;

pub struct Alarm {
    expectation: ExpectationCell,
    /// When the sampler saw that the loop had begun to run, and turned the alarm on; 0 if the loop's thread has set the alarm.
    woken_ns: AtomicU64,
    /// `None` if the process may not open more files.
    pub timer: Option<Timer>,
}

impl Alarm {
    pub fn new() -> Self {
        Self {
            expectation: ExpectationCell::default(),
            woken_ns: AtomicU64::new(0),
            timer: Timer::new(),
        }
    }

    pub fn expectation(&self) -> Expectation {
        self.expectation.get()
    }

    /// When the sampler saw that the loop had begun to run; 0 if the loop did not sleep before the beat that is due.
    pub fn woken_ns(&self) -> u64 {
        self.woken_ns.load(Ordering::Relaxed) // made visible by the expectation, which was set after it
    }

    /// Expects a beat at `due_ns`, or none any more if that is 0. For the loop's thread.
    pub fn expect(&self, due_ns: u64) {
        self.woken_ns.store(0, Ordering::Relaxed); // as in `woken_ns`
        self.expectation.set(match due_ns {
            0 => Expectation::Nothing,
            due_ns => Expectation::Beat { due_ns },
        });
        self.settle_timer();
    }

    /// The loop sleeps in its selector, as was seen at `now_ns`: no beat is expected until it runs again. Has no effect if the beat
    /// has come meanwhile, or if the timer is not ours any more. For the sampler.
    pub fn fall_asleep(&self, due_ns: u64, now_ns: u64) {
        // The clock is read anew: the loops before this one took some of the time since `now_ns`.
        let is_ours = |timer: &Timer| timer.is_set_for(due_ns, clock::now_ns());
        let asleep = Expectation::Asleep { seen_ns: now_ns };
        if self.timer.as_ref().is_some_and(is_ours)
            && self
                .expectation
                .exchange(Expectation::Beat { due_ns }, asleep)
        {
            self.settle_timer();
        }
    }

    /// The loop, which was last seen to sleep at `seen_ns`, still does at `now_ns`. Returns whether no beat is expected. For the
    /// sampler.
    pub fn sleep_on(&self, seen_ns: u64, now_ns: u64) -> bool {
        self.expectation.exchange(
            Expectation::Asleep { seen_ns },
            Expectation::Asleep { seen_ns: now_ns },
        )
    }

    /// The loop runs again, or would if it could have the GIL, as was seen at `now_ns`: a beat has been due since `due_ns`. Has no
    /// effect if the loop's thread has set the alarm by itself, or if the timer is not ours any more. Returns whether it had one. For
    /// the sampler.
    pub fn wake(&self, seen_ns: u64, due_ns: u64, now_ns: u64) -> bool {
        if !self.timer.as_ref().is_some_and(Timer::is_off) {
            return false;
        }
        self.woken_ns.store(now_ns, Ordering::Relaxed); // as in `woken_ns`
        let is_awake = self.expectation.exchange(
            Expectation::Asleep { seen_ns },
            Expectation::Beat { due_ns },
        );
        if is_awake {
            self.settle_timer();
        }
        is_awake
    }

    /// Makes the timer expire when the expected beat is due, whatever other threads do meanwhile.
    ///
    /// If two threads set the timer, the last one that does may set what is out of date: but then it sees the change that the
    /// other thread made before setting the timer, and sets the timer again.
    fn settle_timer(&self) {
        let Some(timer) = &self.timer else { return };
        let mut due_ns = self.expectation.get().due_ns();
        loop {
            timer.set(due_ns);
            let now_due_ns = self.expectation.get().due_ns();
            if now_due_ns == due_ns {
                return;
            }
            due_ns = now_due_ns;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Alarm;
    use crate::system::clock::now_ns;
    use crate::watch::expectation::Expectation;
    use crate::watch::timer::Timer;
    use std::sync::atomic::{AtomicBool, Ordering};

    const SECOND: u64 = 1_000_000_000;

    fn is_off(alarm: &Alarm) -> bool {
        alarm.timer.as_ref().unwrap().is_off()
    }

    fn is_set_for(alarm: &Alarm, due_ns: u64) -> bool {
        let timer: &Timer = alarm.timer.as_ref().unwrap();
        timer.is_set_for(due_ns, now_ns())
    }

    #[test]
    fn a_loop_that_sleeps_is_not_woken_and_one_that_runs_is() {
        let alarm = Alarm::new();
        let due_ns = now_ns() + 50 * SECOND;
        alarm.expect(due_ns);
        assert!(is_set_for(&alarm, due_ns));
        alarm.fall_asleep(due_ns, now_ns());
        let Expectation::Asleep { seen_ns } = alarm.expectation() else {
            panic!("the loop is not asleep");
        };
        assert!(is_off(&alarm));
        assert!(alarm.sleep_on(seen_ns, seen_ns + 1));
        let due_ns = now_ns() + 60 * SECOND;
        assert!(alarm.wake(seen_ns + 1, due_ns, 77));
        assert_eq!(alarm.expectation(), Expectation::Beat { due_ns });
        assert!(is_set_for(&alarm, due_ns));
        assert_eq!(alarm.woken_ns(), 77);
        alarm.expect(due_ns + SECOND);
        assert_eq!(alarm.woken_ns(), 0);
    }

    #[test]
    fn a_beat_that_came_first_is_not_taken_back() {
        let alarm = Alarm::new();
        let due_ns = now_ns() + 50 * SECOND;
        alarm.expect(due_ns);
        alarm.expect(due_ns + SECOND);
        alarm.fall_asleep(due_ns, now_ns());
        assert!(is_set_for(&alarm, due_ns + SECOND));
        assert!(!alarm.sleep_on(5, 6));
        assert!(!alarm.wake(5, due_ns, 7));
        assert!(is_set_for(&alarm, due_ns + SECOND));
        alarm.expect(0);
        assert!(!alarm.wake(5, due_ns, 7));
        assert!(is_off(&alarm));
    }

    #[test]
    fn a_timer_that_is_set_for_something_else_is_left_alone() {
        let alarm = Alarm::new();
        let due_ns = now_ns() + 50 * SECOND;
        alarm.expect(due_ns);
        let foreign_ns = due_ns + SECOND; // as if the program's timer had got the number of ours
        alarm.timer.as_ref().unwrap().set(foreign_ns);
        alarm.fall_asleep(due_ns, now_ns());
        assert!(is_set_for(&alarm, foreign_ns));
        assert_eq!(alarm.expectation(), Expectation::Beat { due_ns });
    }

    #[test]
    fn the_timer_is_set_for_the_beat_that_is_expected_however_two_threads_race() {
        let alarm = Alarm::new();
        let base_ns = now_ns() + 50 * SECOND;
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    match alarm.expectation() {
                        Expectation::Beat { due_ns } => alarm.fall_asleep(due_ns, now_ns()),
                        Expectation::Asleep { seen_ns } => {
                            alarm.wake(seen_ns, base_ns + 100 * SECOND, seen_ns);
                        }
                        Expectation::Nothing => {}
                    }
                }
            });
            for number in 0..20_000 {
                alarm.expect(base_ns + number * 1_000_000);
            }
            ended.store(true, Ordering::Relaxed);
        });
        match alarm.expectation() {
            Expectation::Beat { due_ns } => assert!(is_set_for(&alarm, due_ns)),
            _ => assert!(is_off(&alarm)),
        }
    }
}
