//! What the system reports of the system call in which a thread is, as a line of `/proc/PID/task/TID/syscall`.

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

/// From where a thread makes the system call that it sleeps in: the call, and the stack pointer. A function that calls it again
/// from the same function has the same place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    call: i64,
    stack: u64,
}

/// Parses `running`, or the number of a system call, its arguments, the stack pointer and the program counter (proc(5)).
pub fn parse_activity(line: &str, is_gil: impl Fn(u64) -> Option<bool>) -> Activity {
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

/// Whether a thread waits until one of several files is ready.
pub fn parse_selects(line: &str) -> bool {
    let number = line.split_ascii_whitespace().next().map(str::parse);
    matches!(number, Some(Ok(number)) if SELECTORS.contains(&number))
}

/// Where it does.
pub fn parse_place(line: &str) -> Option<Place> {
    let mut words = line.split_ascii_whitespace();
    let call = words.next()?.parse().ok()?;
    // Behind the six arguments.
    let stack = words.nth(6)?.strip_prefix("0x")?;
    let stack = u64::from_str_radix(stack, 16).ok()?;
    // `poll` and `select` go on like that after the process was stopped, and so do others, of which a stack shows that they are.
    let may_select = SELECTORS.contains(&call) || call == libc::SYS_restart_syscall;
    may_select.then_some(Place { call, stack })
}

/// Where a thread sleeps.
pub fn parse_sleep(line: &str) -> SleepsIn {
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
