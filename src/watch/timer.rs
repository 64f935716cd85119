//! The timer that wakes a loop for its next heartbeat: a file descriptor, which the loop watches as it watches its sockets.
//!
//! A pending `call_later` would also work, and is used with loops that cannot watch a file. But it makes every iteration of
//! the loop read the clock and its heap of timers: 2.6 % of an iteration that does nothing else.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The program may close the file, and get its number for a file of its own, which is left alone: so the number is only used
/// while it is that of a timer. The timers of a process cannot be told from each other, as they have one inode.
pub struct Timer(RawFd);

impl Timer {
    /// `None` if the process may not open more files.
    pub fn new() -> Option<Self> {
        // SAFETY: the call takes no pointer.
        let number = unsafe {
            libc::timerfd_create(
                libc::CLOCK_MONOTONIC, // the clock of `now_ns`
                libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
            )
        };
        (number >= 0).then_some(Self(number))
    }

    /// In a forked child: puts a timer that never expires in the place of the parent's, which the child shares until then.
    ///
    /// The loop that the child has inherited goes on watching a file of this number, and nothing in the parent's epoll, which
    /// the child shares as well, is changed. Once the parent has ended, the last reference to its timer is gone.
    pub fn part_from_parent(&self) {
        if !self.is_there() {
            return;
        }
        if let Some(own) = Self::new() {
            // SAFETY: both descriptors are open, and ours as far as can be known; the second keeps its number.
            unsafe { libc::dup3(own.fileno(), self.fileno(), libc::O_CLOEXEC) };
        }
    }

    pub fn fileno(&self) -> i32 {
        self.0
    }

    fn is_there(&self) -> bool {
        self.left_ns().is_some()
    }

    /// Makes the file readable at `due_ns`, or never if that is 0. An earlier expiry is cleared: it need not be read.
    #[allow(clippy::cast_possible_wrap)] // nanoseconds within a second, and seconds within 585 years
    pub fn set(&self, due_ns: u64) {
        if !self.is_there() {
            return; // the program has closed our descriptor: heartbeats end
        }
        let never = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let due = libc::itimerspec {
            it_interval: never,
            it_value: libc::timespec {
                tv_sec: (due_ns / 1_000_000_000) as libc::time_t,
                tv_nsec: (due_ns % 1_000_000_000) as libc::c_long,
            },
        };
        // SAFETY: the kernel reads `due`.
        unsafe {
            libc::timerfd_settime(
                self.fileno(),
                libc::TFD_TIMER_ABSTIME,
                &raw const due,
                std::ptr::null_mut(),
            )
        };
    }

    /// Whether the timer is set for `due_ns`, which is after `now_ns`: a file of the program's that has got the same number, after
    /// it has closed ours, is not.
    pub fn is_set_for(&self, due_ns: u64, now_ns: u64) -> bool {
        const MAX_DIFFERENCE_NS: u64 = 500_000;
        let left_ns = due_ns.saturating_sub(now_ns);
        self.left_ns()
            .is_some_and(|it| it > 0 && it.abs_diff(left_ns) < MAX_DIFFERENCE_NS)
    }

    /// Whether the timer is not set, or has expired.
    pub fn is_off(&self) -> bool {
        self.left_ns() == Some(0)
    }

    /// How long it takes until the timer expires; 0 if it never will. `None` if the file is no timer that expires once.
    #[allow(clippy::cast_sign_loss)] // the kernel returns no negative times
    fn left_ns(&self) -> Option<u64> {
        // SAFETY: `itimerspec` is plain integers, for which zero is valid.
        let mut setting: libc::itimerspec = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel fills in the record, or fails.
        let status = unsafe { libc::timerfd_gettime(self.fileno(), &raw mut setting) };
        let once = setting.it_interval.tv_sec == 0 && setting.it_interval.tv_nsec == 0;
        let left = setting.it_value;
        (status == 0 && once).then_some(left.tv_sec as u64 * 1_000_000_000 + left.tv_nsec as u64)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.is_there() {
            // SAFETY: the descriptor is ours, as far as can be known, and this is the only place that closes it.
            drop(unsafe { OwnedFd::from_raw_fd(self.0) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Timer;
    use crate::system::descriptors::{identity, owned};
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_file_of_the_programs_that_has_got_the_number_of_a_timer_is_neither_replaced_nor_closed() {
        let timer = Timer::new().unwrap();
        let number = timer.fileno();
        let foreign = File::open("/dev/zero").unwrap();
        // SAFETY: both descriptors are open, and the second is of this test.
        unsafe { libc::dup3(foreign.as_raw_fd(), number, libc::O_CLOEXEC) };
        timer.set(1);
        timer.part_from_parent();
        drop(timer);
        let kept = owned(number).unwrap();
        assert_eq!(identity(kept.as_raw_fd()), identity(foreign.as_raw_fd()));
    }
}
