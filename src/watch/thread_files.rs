//! What the system reports about one thread in `/proc/PID/task/TID`, of this process or of another one. The thread itself is not involved.

use std::cell::Cell;

use crate::gil::Gil;
use crate::system::own_file::OwnFile;
use crate::system::run_queue::ThreadStats;

/// What a thread is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    HoldsGil,
    /// Runs without the GIL, or is runnable.
    Runs,
    /// Sleeps until it gets the GIL.
    WaitsForGil,
    /// Sleeps in the kernel for something else.
    Sleeps,
    /// The system does not report it.
    Unknown,
}

/// A system call in which a thread sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SleepsIn {
    /// In this epoll file.
    Epoll(i32),
    /// Elsewhere, or the system does not report it.
    Other,
    /// The thread runs, or is runnable.
    Runs,
}

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

/// From where a thread makes the system call that it sleeps in: the call, and the stack pointer. A function that calls it again
/// from the same function has the same place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    call: i64,
    stack: u64,
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
        let mut buffer = [0; 160];
        self.syscall
            .as_ref()
            .is_none_or(|file| text(file, &mut buffer).is_none())
    }

    /// Where the thread sleeps.
    pub fn sleeps_in(&self) -> SleepsIn {
        self.with_system_call(parse_sleep)
            .unwrap_or(SleepsIn::Other)
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

fn text<'a>(file: &OwnFile, buffer: &'a mut [u8]) -> Option<&'a str> {
    let length = file.read_at(buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..length]).ok()
}

/// Parses `running`, or the number of a system call, its arguments, the stack pointer and the program counter (proc(5)).
fn parse_activity(line: &str, is_gil: impl Fn(u64) -> Option<bool>) -> Activity {
    let mut words = line.split_ascii_whitespace();
    match words.next().map(str::parse::<i64>) {
        // Blocked outside of a system call: in a page fault, mostly.
        Some(Ok(-1)) => Activity::Runs,
        Some(Ok(number)) => {
            let address = words
                .next()
                .and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
            if number != libc::SYS_futex {
                return Activity::Sleeps;
            }
            match address.and_then(is_gil) {
                Some(true) => Activity::WaitsForGil,
                Some(false) => Activity::Sleeps,
                None => Activity::Unknown,
            }
        }
        Some(Err(_)) if line.starts_with("running") => Activity::Runs,
        _ => Activity::Unknown,
    }
}

/// The system calls that an event loop sleeps in.
const SELECTORS: [i64; 7] = [
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_select,
    libc::SYS_pselect6,
];

fn parse_selects(line: &str) -> bool {
    let number = line.split_ascii_whitespace().next().map(str::parse);
    matches!(number, Some(Ok(number)) if SELECTORS.contains(&number))
}

fn parse_place(line: &str) -> Option<Place> {
    let mut words = line.split_ascii_whitespace();
    let call = words.next()?.parse().ok()?;
    // Behind the six arguments.
    let stack = words.nth(6)?.strip_prefix("0x")?;
    let stack = u64::from_str_radix(stack, 16).ok()?;
    SELECTORS.contains(&call).then_some(Place { call, stack })
}

fn parse_sleep(line: &str) -> SleepsIn {
    let mut words = line.split_ascii_whitespace();
    match words.next().map(str::parse::<i64>) {
        Some(Ok(libc::SYS_epoll_wait | libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2)) => {
            let number = words.next().and_then(|word| word.strip_prefix("0x"));
            let number = number.and_then(|digits| i32::from_str_radix(digits, 16).ok());
            number.map_or(SleepsIn::Other, SleepsIn::Epoll)
        }
        Some(Err(_)) if line.starts_with("running") => SleepsIn::Runs,
        _ => SleepsIn::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Activity, SleepsIn, parse_activity, parse_place, parse_selects, parse_sleep};

    #[test]
    fn a_loop_sleeps_in_a_selector() {
        let line = format!(
            "{} 0x5 0x7f 0x2 0x0 0x0 0x0 0x7ffe 0x7f11\n",
            libc::SYS_epoll_wait
        );
        assert!(parse_selects(&line));
        assert!(!parse_selects("0 0x0 0x7f 0x2 0x0 0x0 0x0 0x7ffe 0x7f11\n")); // read
        assert!(!parse_selects("running\n"));
        assert!(!parse_selects(""));
    }

    #[test]
    fn a_place_is_the_call_and_the_stack_pointer() {
        let line = |call: i64, file: u8, stack: u16| {
            format!("{call} {file:#x} 0x7f 0x2 0xffffffff 0x0 0x0 {stack:#x} 0x7f11\n")
        };
        let place = |file, stack| parse_place(&line(libc::SYS_poll, file, stack));
        assert!(place(5, 0x7ffe).is_some());
        assert_eq!(place(5, 0x7ffe), place(6, 0x7ffe));
        assert_ne!(place(5, 0x7ffe), place(5, 0x7ffd));
        assert_eq!(parse_place(&line(libc::SYS_futex, 5, 0x7ffe)), None);
        assert_eq!(parse_place("running\n"), None);
    }

    #[test]
    fn a_thread_that_sleeps_in_an_epoll_file_is_distinguished_from_one_that_sleeps_elsewhere() {
        let line = |call: i64| format!("{call} 0x1f 0x7f7e 0x1 0x3e8 0x0 0x0 0x7ffd 0x7f7e\n");
        for call in [
            libc::SYS_epoll_wait,
            libc::SYS_epoll_pwait,
            libc::SYS_epoll_pwait2,
        ] {
            assert_eq!(parse_sleep(&line(call)), SleepsIn::Epoll(31));
        }
        for call in [libc::SYS_poll, libc::SYS_select, libc::SYS_futex, -1] {
            assert_eq!(parse_sleep(&line(call)), SleepsIn::Other);
        }
        assert_eq!(parse_sleep("running\n"), SleepsIn::Runs);
        assert_eq!(parse_sleep(""), SleepsIn::Other);
    }

    #[test]
    fn the_futex_of_the_gil_is_distinguished_from_others() {
        let line = format!(
            "{} 0x7f10 0x189 0x0 0x0 0x0 0x0 0x7ffe 0x7f11\n",
            libc::SYS_futex
        );
        assert!(parse_activity(&line, |at| Some(at == 0x7f10)) == Activity::WaitsForGil);
        assert!(parse_activity(&line, |_| Some(false)) == Activity::Sleeps);
        assert!(parse_activity(&line, |_| None) == Activity::Unknown);
    }

    #[test]
    fn a_running_thread_does_not_sleep() {
        assert!(parse_activity("running\n", |_| Some(true)) == Activity::Runs);
        assert!(parse_activity("-1 0x7ffe 0x7f11\n", |_| Some(true)) == Activity::Runs);
        assert!(parse_activity("", |_| Some(true)) == Activity::Unknown);
    }
}
