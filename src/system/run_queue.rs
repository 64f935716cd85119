//! What Linux knows of a thread: its CPU time, its run-queue delay, and whether it runs now.
//!
//! A thread that is ready to run but has no core keeps holding the GIL, or keeps waiting for it, because of the scheduler
//! and not because of its own code. A verdict on the thread must subtract that time. Two sources answer two questions:
//!
//! * How long was the thread runnable without running? `run_delay`, the second number of
//!   `/proc/self/task/<tid>/schedstat`. The kernel adds a delay when the thread runs again, not before. Time that the
//!   hypervisor stole may be missing.
//! * What does the thread do now? Its CPU clock is always up to date: it moves between two readings if and only if the
//!   thread runs. The third field of `stat` says whether a thread that does not run is runnable or blocked.
//!
//! Measured costs: schedstat 1 us, clock 0.5 us, `stat` 4 us (read only if the clock stands still).

use crate::system::clock::{now_ns, read_clock_ns};
use crate::system::own_file::OwnFile;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ThreadState {
    Unknown,
    Running,
    /// Ready to run, and waiting for a core.
    Runnable,
    /// Waiting for anything else: a lock, a file, a time.
    Blocked,
}

/// The low bits of the number of a thread's CPU clock (`CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED`, linux/posix-timers.h).
const THREAD_CPU_CLOCK: i32 = 4 | 2;

/// The open files of one thread, of this process or of another one.
pub struct ThreadStats {
    /// `None` for another process's thread: Linux does not let another process read its clock.
    clock: Option<libc::clockid_t>,
    schedstat: OwnFile,
    stat: OwnFile,
}

impl ThreadStats {
    /// `None` if the kernel provides no statistics, or there is no such thread.
    pub fn of(tid: i32) -> Option<Self> {
        let open = |name| OwnFile::open(&format!("/proc/self/task/{tid}/{name}"));
        let stats = Self {
            clock: Some(cpu_clock(tid)),
            schedstat: open("schedstat")?,
            stat: open("stat")?,
        };
        (stats.cpu_time_ns().is_some() && stats.run_queue_delay_ns().is_some()).then_some(stats)
    }

    /// Of a thread of another process. Its CPU time then grows at ticks of the scheduler, and when the thread stops to run: a
    /// thread that runs has run for up to some milliseconds more.
    pub fn of_process(pid: libc::pid_t, tid: i32) -> Option<Self> {
        let open = |name| OwnFile::open(&format!("/proc/{pid}/task/{tid}/{name}"));
        let stats = Self {
            clock: None,
            schedstat: open("schedstat")?,
            stat: open("stat")?,
        };
        stats.cpu_time_ns().is_some().then_some(stats)
    }

    /// The ids of this process's threads; empty if there are more than `max`.
    pub fn thread_ids(max: usize) -> Vec<i32> {
        let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
            return Vec::new();
        };
        let tids: Vec<i32> = tasks
            .filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok())
            .take(max + 1)
            .collect();
        if tids.len() > max { Vec::new() } else { tids }
    }

    /// The thread's CPU time up to now.
    pub fn cpu_time_ns(&self) -> Option<u64> {
        match self.clock {
            Some(clock) => read_clock_ns(clock),
            None => self.schedstat(0),
        }
    }

    /// The thread's run-queue delay up to the moment when it last began to run.
    pub fn run_queue_delay_ns(&self) -> Option<u64> {
        self.schedstat(1)
    }

    /// How often the thread has been put on a CPU.
    pub fn times_run(&self) -> Option<u64> {
        self.schedstat(2)
    }

    fn schedstat(&self, field: usize) -> Option<u64> {
        let mut text = [0; 96];
        let length = self.schedstat.read_at(&mut text, 0).ok()?;
        let mut fields = std::str::from_utf8(&text[..length]).ok()?.split(' ');
        fields.nth(field)?.trim_end().parse().ok()
    }

    /// Whether the thread's process is stopped, by a signal or by a debugger.
    pub fn is_stopped(&self) -> bool {
        let mut text = [0; 512];
        let Ok(length) = self.stat.read_at(&mut text, 0) else {
            return false;
        };
        let end_of_name = text[..length].iter().rposition(|byte| *byte == b')');
        let state = end_of_name.and_then(|end| text.get(end + 2));
        matches!(state, Some(b'T' | b't'))
    }

    /// The core on which the thread ran last.
    pub fn core(&self) -> Option<usize> {
        const FIELDS_FROM_STATE_TO_PROCESSOR: usize = 36;
        let mut text = [0; 512];
        let length = self.stat.read_at(&mut text, 0).ok()?;
        let end_of_name = text[..length].iter().rposition(|byte| *byte == b')')?;
        let fields = std::str::from_utf8(text[..length].get(end_of_name + 2..)?).ok()?;
        let core = fields.split(' ').nth(FIELDS_FROM_STATE_TO_PROCESSOR)?;
        core.trim().parse().ok()
    }

    /// What the thread does now. `cpu_time_ns` is its CPU time at `at_ns`, some microseconds ago.
    pub fn state(&self, cpu_time_ns: u64, at_ns: u64) -> ThreadState {
        let Some(cpu_time_now_ns) = self.cpu_time_ns() else {
            return ThreadState::Unknown;
        };
        // A thread that ran for more than a quarter of the time since then counts as running.
        if (cpu_time_now_ns - cpu_time_ns) * 4 > now_ns() - at_ns {
            return ThreadState::Running;
        }
        let mut text = [0; 512];
        let Ok(length) = self.stat.read_at(&mut text, 0) else {
            return ThreadState::Unknown;
        };
        // The line is "tid (name) S ...", and the name may contain parentheses.
        let end_of_name = text[..length].iter().rposition(|byte| *byte == b')');
        match end_of_name.and_then(|end| text.get(end + 2)) {
            Some(b'R') => ThreadState::Runnable,
            Some(_) => ThreadState::Blocked,
            None => ThreadState::Unknown,
        }
    }
}

const fn cpu_clock(tid: i32) -> libc::clockid_t {
    (!tid << 3) | THREAD_CPU_CLOCK
}

/// The CPU time of a thread of this process; 0 if there is no such thread.
pub fn cpu_time_of_ns(tid: i32) -> u64 {
    read_clock_ns(cpu_clock(tid)).unwrap_or_default()
}

pub fn own_tid() -> i32 {
    // SAFETY: takes no arguments, touches no memory and cannot fail.
    unsafe { libc::gettid() }
}

/// How many voluntary context switches this thread has made. A lock that was taken without one had no contention.
pub fn own_voluntary_switches() -> Option<u64> {
    // SAFETY: `rusage` is plain integers, for which zero is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a local `rusage`, which the call fills.
    let status = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    (status == 0)
        .then(|| u64::try_from(usage.ru_nvcsw).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::{ThreadState, ThreadStats, own_tid, own_voluntary_switches};
    use crate::system::clock::now_ns;
    use std::time::Duration;

    #[test]
    fn a_thread_that_reads_its_own_state_is_not_blocked() {
        let own = ThreadStats::of(own_tid()).unwrap();
        let (cpu_time, at) = (own.cpu_time_ns().unwrap(), now_ns());
        while own.cpu_time_ns().unwrap() < cpu_time + 50_000 {}
        assert_ne!(own.state(cpu_time, at), ThreadState::Blocked);
    }

    #[test]
    fn a_waiting_thread_is_blocked_and_made_a_voluntary_switch() {
        let (tid, tids) = std::sync::mpsc::channel();
        let (end, ends) = std::sync::mpsc::channel::<()>();
        let sleeper = std::thread::spawn(move || {
            let before = own_voluntary_switches().unwrap();
            tid.send(own_tid()).unwrap();
            let _ = ends.recv();
            own_voluntary_switches().unwrap() - before
        });
        let stats = ThreadStats::of(tids.recv().unwrap()).unwrap();
        loop {
            let (cpu_time, at) = (stats.cpu_time_ns().unwrap(), now_ns());
            std::thread::sleep(Duration::from_millis(1));
            if stats.state(cpu_time, at) == ThreadState::Blocked {
                break;
            }
        }
        drop(end);
        assert!(sleeper.join().unwrap() >= 1);
    }
}
