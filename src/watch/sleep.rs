//! Sees whether a loop sleeps in its selector, so that it need not be woken for a heartbeat, and when it has begun to run again.
//!
//! A loop sleeps if its thread is in `epoll_wait` for the very file that watches the loop's heartbeat: a callback that waits for
//! another file is not mistaken for that. A loop of which this cannot be seen is woken for each heartbeat.
//!
//! Two looks in a row must show that the loop does not sleep before a heartbeat is expected: callbacks that are done within some
//! milliseconds are not worth a wakeup. The same holds for a GIL that another thread holds: a loop that sleeps would be starved if
//! it had anything to do. So then it is woken, and waits for the GIL as it would for its own reasons.
//!
//! If the sampler itself has not run for longer than a stall, the process was stopped or had no CPU. Then the loop counts as late,
//! as it would if it had been woken for its heartbeats.

use crate::system::descriptors::epoll_watches;
use crate::watch::gil_wait::Sample;
use crate::watch::heartbeat::HeartbeatState;
use crate::watch::thread_files::{CpuTimes, SleepsIn, ThreadFiles};
use crate::watch::timer::Timer;

/// A loop is put to sleep once so many looks in a row have shown that it sleeps.
const LOOKS_UNTIL_ASLEEP: u32 = 3;
/// How often other files than the loop's are looked at, to find out which one is the loop's.
const MAX_SEARCHES: u32 = 8;

/// What a look has shown of a loop that sleeps.
#[derive(Clone, Copy)]
struct Look {
    at_ns: u64,
    cpu: Option<CpuTimes>,
    /// How often the thread had been put on a CPU.
    times_run: Option<u64>,
}

/// A loop that has begun to run.
#[derive(Clone, Copy)]
pub struct Woken {
    /// About when that was.
    pub woke_ns: u64,
    /// The CPU times of its thread at that moment.
    pub cpu: Option<CpuTimes>,
    /// The sampler has not run since then: it is unknown what the loop has done.
    pub unseen: bool,
}

#[derive(Default)]
pub struct Sleep {
    selector: Option<i32>,
    other: Option<i32>,
    searches: u32,
    /// How many looks in a row have shown that the loop sleeps.
    looks: u32,
    /// The last of these.
    last: Option<Look>,
    /// Set by one look that shows that the loop does not sleep.
    woken: Option<Woken>,
    /// For how long the loop has slept, if that has not been counted as heartbeats yet.
    uncounted_ns: u64,
}

impl Sleep {
    /// Adds a look at a loop that expects a heartbeat which is not late; `now_ns` is before `due_ns`. If the loop sleeps, and has
    /// slept for some looks, it is not woken for the heartbeat.
    pub fn may_begin(
        &mut self,
        sample: &Sample<'_>,
        due_ns: u64,
        heartbeat: &HeartbeatState,
        files: &ThreadFiles,
    ) {
        let sleeps = sample.is_gil_free()
            && sample.now_ns < due_ns
            && !heartbeat.is_unproven()
            && self.is_asleep(files.sleeps_in(), heartbeat);
        self.looks = if sleeps { self.looks + 1 } else { 0 };
        self.woken = None;
        if self.looks >= LOOKS_UNTIL_ASLEEP {
            self.looks = 0;
            self.uncounted_ns = 0;
            self.last = Some(Look::new(sample.now_ns, files));
            heartbeat.alarm.fall_asleep(due_ns, sample.now_ns);
        }
    }

    /// Adds a look at a loop that was last seen to sleep at `seen_ns`. Returns how it has begun to run, if it has: then a heartbeat
    /// has been due since that moment.
    pub fn follow(
        &mut self,
        sample: &Sample<'_>,
        (seen_ns, stall_ns): (u64, u64),
        heartbeat: &HeartbeatState,
        files: &ThreadFiles,
    ) -> Option<Woken> {
        let now_ns = sample.now_ns;
        if sample.gap_ns > sample.planned_gap_ns + stall_ns {
            self.woken = None;
            let unseen = Woken {
                woke_ns: seen_ns + heartbeat.period_ns(),
                cpu: self.last.and_then(|last| last.cpu),
                unseen: true,
            };
            let is_awake = heartbeat
                .alarm
                .wake(seen_ns, unseen.woke_ns, unseen.woke_ns);
            return is_awake.then_some(unseen);
        }
        let call = files.sleeps_in();
        let sleeps = self.is_asleep(call, heartbeat);
        if sleeps && (sample.probed || sample.is_gil_free()) {
            if heartbeat.alarm.sleep_on(seen_ns, now_ns) {
                self.count(now_ns.saturating_sub(seen_ns), now_ns, heartbeat);
            }
            self.woken = None;
            self.last = Some(Look::after(self.last, now_ns, files));
            return None;
        }
        let last = self.last.unwrap_or_else(|| Look::new(seen_ns, files));
        let Some(woken) = self.woken.take() else {
            let runs = call == SleepsIn::Runs;
            self.woken = Some(Woken {
                woke_ns: woke_ns(&last, &Look::new(now_ns, files), runs),
                cpu: last.cpu,
                unseen: false,
            });
            return None;
        };
        let is_awake = heartbeat.alarm.wake(seen_ns, woken.woke_ns, now_ns);
        is_awake.then_some(woken)
    }

    /// Whether a look has shown that the loop does not sleep, and the next one will decide.
    pub fn may_have_ended(&self) -> bool {
        self.woken.is_some()
    }

    /// Counts the heartbeats of a loop that has slept on for `span_ns`.
    fn count(&mut self, span_ns: u64, now_ns: u64, heartbeat: &HeartbeatState) {
        self.uncounted_ns += span_ns;
        let beat_ns = heartbeat.period_ns();
        let beats = self.uncounted_ns / beat_ns;
        self.uncounted_ns %= beat_ns;
        if beats > 0 {
            heartbeat.record_slept(now_ns, beats);
        }
    }

    /// Whether it is known which epoll file the loop sleeps in.
    pub fn knows_selector(&self) -> bool {
        self.selector.is_some()
    }

    /// Whether a loop whose thread is in this call sleeps in the epoll file that watches its timer.
    pub fn is_asleep(&mut self, call: SleepsIn, heartbeat: &HeartbeatState) -> bool {
        let SleepsIn::Epoll(file) = call else {
            return false;
        };
        if self.selector.is_none() && self.other != Some(file) && self.searches < MAX_SEARCHES {
            self.searches += 1;
            let timer = heartbeat.alarm.timer.as_ref().map(Timer::fileno);
            if timer.is_some_and(|timer| epoll_watches(file, timer)) {
                self.selector = Some(file);
            } else {
                self.other = Some(file);
            }
        }
        self.selector == Some(file)
    }
}

impl Look {
    /// A look at a loop that sleeps. If it has not run since the `last` look, its other figures have not changed either.
    fn after(last: Option<Self>, at_ns: u64, files: &ThreadFiles) -> Self {
        let ran_ns = files.ran_ns();
        match last {
            Some(last) if ran_ns.is_some() && ran_ns == last.cpu.map(|cpu| cpu.ran_ns) => {
                Self { at_ns, ..last }
            }
            _ => Self::new(at_ns, files),
        }
    }

    fn new(at_ns: u64, files: &ThreadFiles) -> Self {
        Self {
            at_ns,
            cpu: files.cpu_times(),
            times_run: files.times_run(),
        }
    }
}

/// When a loop has begun to run that slept at `last` and does not sleep at `now`.
///
/// If its thread was put on a CPU just once and `runs`, it has run since then, and its CPU time says since when. Otherwise this is
/// the middle of the time in which it may have been: wrong by half a gap at most, and unbiased.
fn woke_ns(last: &Look, now: &Look, runs: bool) -> u64 {
    let Some((before, after)) = last.cpu.zip(now.cpu) else {
        return last.at_ns.midpoint(now.at_ns);
    };
    let ran_ns = after.ran_ns.saturating_sub(before.ran_ns);
    let queued_ns = after.queued_ns.saturating_sub(before.queued_ns);
    let latest_ns = now.at_ns.saturating_sub(ran_ns).max(last.at_ns);
    let was_put_on_cpu_once = last
        .times_run
        .zip(now.times_run)
        .is_some_and(|(before, after)| after == before + 1);
    if runs && was_put_on_cpu_once {
        latest_ns.saturating_sub(queued_ns).max(last.at_ns)
    } else {
        last.at_ns.midpoint(latest_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::{CpuTimes, Look, woke_ns};

    const MS: u64 = 1_000_000;

    fn look(at_ms: u64, ran_ms: u64, queued_ms: u64, times_run: u64) -> Look {
        Look {
            at_ns: at_ms * MS,
            cpu: Some(CpuTimes {
                ran_ns: ran_ms * MS,
                queued_ns: queued_ms * MS,
            }),
            times_run: Some(times_run),
        }
    }

    #[test]
    fn a_loop_that_has_run_ever_since_woke_when_its_cpu_time_began() {
        let last = look(100, 7, 1, 40);
        assert_eq!(woke_ns(&last, &look(118, 12, 1, 41), true), 113 * MS);
        assert_eq!(woke_ns(&last, &look(118, 12, 3, 41), true), 111 * MS); // it waited for a CPU
        assert_eq!(woke_ns(&last, &look(118, 57, 3, 41), true), 100 * MS); // not before it was seen to sleep
    }

    #[test]
    fn a_loop_that_sleeps_elsewhere_may_have_woken_at_any_time_before_it_ran() {
        let last = look(100, 7, 1, 40);
        assert_eq!(woke_ns(&last, &look(118, 9, 1, 41), false), 108 * MS);
        assert_eq!(woke_ns(&last, &look(118, 9, 1, 43), true), 108 * MS); // it has slept meanwhile
        assert_eq!(woke_ns(&last, &look(118, 7, 1, 40), false), 109 * MS);
    }

    #[test]
    fn without_cpu_times_the_middle_of_the_gap_is_taken() {
        let unknown = |at_ms: u64| Look {
            at_ns: at_ms * MS,
            cpu: None,
            times_run: None,
        };
        assert_eq!(woke_ns(&unknown(100), &unknown(118), true), 109 * MS);
    }
}
