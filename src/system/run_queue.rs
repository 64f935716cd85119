//! What Linux keeps of a thread: the time it ran, the time it stood in a run queue, and what it does now.
//!
//! A thread that is ready and waits for a processor holds what it holds, and lets go of what it let go of, for reasons
//! that are the system's. Whoever judges the thread must take that time off. Two sources, one for each question:
//!
//! * How long? `run_delay`, the second number of `/proc/self/task/<tid>/schedstat`. The kernel books it when the thread
//!   runs again, not before. Time that the hypervisor stole may not be in it.
//! * And now? The thread's processor clock, which is up to date: it moves between two readings if and only if the thread
//!   runs. One that does not run is ready or blocked, as the third field of `stat` says.
//!
//! Costs measured: schedstat 1 us, clock 0.5 us, `stat` 4 us (read only where the clock stands).

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::system::clock::{now_ns, read_clock_ns};

/// What a thread was doing when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    Unknown,
    Running,
    /// It is ready to run, and waits for a processor.
    Queued,
    /// It waits for something else: a lock, a file, a time.
    Blocked,
}

/// How a thread's processor clock is numbered (`CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED`, linux/posix-timers.h).
const THREAD_CLOCK: i32 = 4 | 2;

/// Another thread of this process, or the caller itself.
pub struct Account {
    clock: libc::clockid_t,
    schedstat: File,
    stat: File,
}

impl Account {
    /// Of the thread that the kernel knows as `tid`; `None` where the kernel does not tell.
    pub fn of(tid: i32) -> Option<Self> {
        let open = |name| File::open(format!("/proc/self/task/{tid}/{name}")).ok();
        let account = Self {
            clock: (!tid << 3) | THREAD_CLOCK,
            schedstat: open("schedstat")?,
            stat: open("stat")?,
        };
        (account.ran_ns().is_some() && account.queued_ns().is_some()).then_some(account)
    }

    /// The threads that this process has, if they are not more than `most`.
    pub fn tids(most: usize) -> Vec<i32> {
        let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
            return Vec::new();
        };
        let tids: Vec<i32> = tasks
            .filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok())
            .take(most + 1)
            .collect();
        if tids.len() > most { Vec::new() } else { tids }
    }

    /// How long the thread has run, up to now.
    pub fn ran_ns(&self) -> Option<u64> {
        read_clock_ns(self.clock)
    }

    /// How long the thread has stood in run queues, up to when it last began to run.
    pub fn queued_ns(&self) -> Option<u64> {
        let mut text = [0; 96];
        let length = self.schedstat.read_at(&mut text, 0).ok()?;
        let mut fields = std::str::from_utf8(&text[..length]).ok()?.split(' ');
        fields.nth(1)?.parse().ok()
    }

    /// What the thread does now, if its clock showed `ran_ns` when the time was `at_ns`, some microseconds ago.
    pub fn doing(&self, ran_ns: u64, at_ns: u64) -> Doing {
        let Some(ran_now_ns) = self.ran_ns() else {
            return Doing::Unknown;
        };
        // A thread that began or ceased to run in between counts as running if it did for a quarter of the time.
        if (ran_now_ns - ran_ns) * 4 > now_ns() - at_ns {
            return Doing::Running;
        }
        let mut text = [0; 512];
        let Ok(length) = self.stat.read_at(&mut text, 0) else {
            return Doing::Unknown;
        };
        // "tid (name) S ...", and a name may hold anything, parentheses too.
        let end_of_name = text[..length].iter().rposition(|byte| *byte == b')');
        match end_of_name.and_then(|end| text.get(end + 2)) {
            Some(b'R') => Doing::Queued,
            Some(_) => Doing::Blocked,
            None => Doing::Unknown,
        }
    }
}

/// The caller's own thread.
pub fn own_tid() -> i32 {
    // SAFETY: takes nothing, touches no memory, cannot fail.
    unsafe { libc::gettid() }
}

/// How often this thread has gone to sleep of its own accord: a wait that did not raise it has met no lock.
pub fn own_sleeps() -> Option<u64> {
    // SAFETY: `rusage` is plain integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a `rusage` of ours, which the call fills.
    let status = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    (status == 0)
        .then(|| u64::try_from(usage.ru_nvcsw).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::{Account, Doing, own_sleeps, own_tid};
    use crate::system::clock::now_ns;
    use std::time::Duration;

    #[test]
    fn a_thread_that_looks_at_itself_runs() {
        let own = Account::of(own_tid()).unwrap();
        let (ran, at) = (own.ran_ns().unwrap(), now_ns());
        while own.ran_ns().unwrap() < ran + 50_000 {}
        assert_ne!(own.doing(ran, at), Doing::Blocked);
    }

    #[test]
    fn a_thread_that_waits_is_blocked_and_its_sleep_is_counted() {
        let (tid, tids) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || {
            let before = own_sleeps().unwrap();
            tid.send(own_tid()).unwrap();
            let _ = ends.recv();
            own_sleeps().unwrap() - before
        });
        let account = Account::of(tids.recv().unwrap()).unwrap();
        loop {
            let (ran, at) = (account.ran_ns().unwrap(), now_ns());
            std::thread::sleep(Duration::from_millis(1));
            if account.doing(ran, at) == Doing::Blocked {
                break;
            }
        }
        drop(end);
        assert!(sleeper.join().unwrap() >= 1);
    }
}
