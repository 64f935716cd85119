//! What the system reports about one thread in `/proc/PID/task/TID`, of this process or of another one. The thread itself is not involved.

use std::cell::Cell;

use crate::gil::Gil;
use crate::system::own_file::OwnFile;
use crate::system::run_queue::ThreadStats;
use crate::watch::system_call::{parse_activity, parse_place, parse_selects, parse_sleep};

pub use crate::watch::system_call::{Activity, Place, SleepsIn};

/// A thread's CPU time and run-queue delay since it started.
#[derive(Clone, Copy, Default)]
pub struct CpuTimes {
    pub ran_ns: u64,
    /// The thread was runnable, and did not run.
    pub queued_ns: u64,
}

/// One thread's files, kept open: a read takes 1 to 3 us. If the program closes them, nothing is known of the thread any more.
pub struct ThreadFiles {
    syscall: Option<OwnFile>,
    stats: Option<ThreadStats>,
    line: Cell<KeptLine>,
}

/// What the system reports of a thread's system call.
type Line = ([u8; 160], usize);

/// Whether the line that is read next is kept, so that all questions in one sample are answered by the same line.
#[derive(Clone, Copy)]
enum KeptLine {
    Not,
    Next,
    Kept(Line),
}

impl ThreadFiles {
    pub fn new(native_id: u64) -> Self {
        Self {
            syscall: OwnFile::open(&format!("/proc/self/task/{native_id}/syscall")),
            stats: i32::try_from(native_id).ok().and_then(ThreadStats::of),
            line: Cell::new(KeptLine::Not),
        }
    }

    /// The files of another process's thread, whose id is that in our PID namespace.
    pub fn of(pid: libc::pid_t, tid: u64) -> Self {
        Self {
            syscall: OwnFile::open(&format!("/proc/{pid}/task/{tid}/syscall")),
            stats: i32::try_from(tid)
                .ok()
                .and_then(|tid| ThreadStats::of_process(pid, tid)),
            line: Cell::new(KeptLine::Not),
        }
    }

    /// From now on until [`Self::end_sample`], all is answered by what the system reports at the first question.
    pub fn begin_sample(&self) {
        self.line.set(KeptLine::Next);
    }

    pub fn end_sample(&self) {
        self.line.set(KeptLine::Not);
    }

    /// Whether the system refuses to report what the thread, which is alive, is waiting for.
    pub fn hides_system_calls(&self) -> bool {
        self.read_line().is_none()
    }

    /// Where the thread sleeps.
    pub fn sleeps_in(&self) -> SleepsIn {
        self.with_system_call(parse_sleep)
            .unwrap_or(SleepsIn::Other)
    }

    /// Whether the thread has ended.
    pub fn is_gone(&self) -> bool {
        let read = self.syscall.as_ref().map(|file| file.read_at(&mut [0], 0));
        matches!(read, Some(Err(error)) if error.raw_os_error() == Some(libc::ESRCH))
    }

    /// Whether the thread's process is stopped, by a signal or by a debugger.
    pub fn is_stopped(&self) -> bool {
        self.stats.as_ref().is_some_and(ThreadStats::is_stopped)
    }

    /// The thread's CPU time.
    pub fn ran_ns(&self) -> Option<u64> {
        self.stats.as_ref()?.cpu_time_ns()
    }

    /// How often the thread has been put on a CPU.
    pub fn times_run(&self) -> Option<u64> {
        self.stats.as_ref()?.times_run()
    }

    /// What the thread is doing, if it does not hold the GIL.
    pub fn activity(&self, gil: Option<Gil>) -> Activity {
        self.parsed(|futex| Some(gil?.is_waited_for_at(futex)))
    }

    /// Whether the thread sleeps, be it until it gets the GIL, and does not just wait for another thread to acquire the GIL.
    pub fn has_asked_or_sleeps(&self, gil: Gil) -> bool {
        match self.parsed(|futex| Some(gil.is_waited_for_at(futex))) {
            Activity::Sleeps => true,
            Activity::WaitsForGil => {
                let asked = self.parsed(|futex| Some(gil.is_asked_for_at(futex)));
                asked == Activity::WaitsForGil
            }
            _ => false,
        }
    }

    fn parsed(&self, is_gil: impl Fn(u64) -> Option<bool>) -> Activity {
        self.with_system_call(|line| parse_activity(line, is_gil))
            .unwrap_or(Activity::Unknown)
    }

    /// Whether the thread sleeps in a system call that waits until one of several files is ready, as event loops do.
    pub fn selects(&self) -> bool {
        self.with_system_call(parse_selects).unwrap_or(false)
    }

    /// Whether the system reports what the thread is doing.
    pub fn is_reported(&self) -> bool {
        self.with_system_call(|_| ()).is_some()
    }

    /// Where the thread waits until one of several files is ready, as event loops do.
    pub fn selects_at(&self) -> Option<Place> {
        self.with_system_call(parse_place).flatten()
    }

    fn with_system_call<T>(&self, parse: impl FnOnce(&str) -> T) -> Option<T> {
        let (bytes, length) = match self.line.get() {
            KeptLine::Kept(line) => line,
            KeptLine::Not => self.read_line()?,
            KeptLine::Next => {
                let line = self.read_line()?;
                self.line.set(KeptLine::Kept(line));
                line
            }
        };
        std::str::from_utf8(&bytes[..length]).ok().map(parse)
    }

    fn read_line(&self) -> Option<Line> {
        let mut bytes = [0; 160];
        let length = self.syscall.as_ref()?.read_at(&mut bytes, 0).ok()?;
        Some((bytes, length))
    }

    pub fn cpu_times(&self) -> Option<CpuTimes> {
        let stats = self.stats.as_ref()?;
        Some(CpuTimes {
            ran_ns: stats.cpu_time_ns()?,
            queued_ns: stats.run_queue_delay_ns()?,
        })
    }
}
