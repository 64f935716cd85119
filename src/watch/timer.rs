//! The timer that wakes a loop for its next heartbeat: a file descriptor, which the loop watches as it watches its sockets.
//!
//! A pending `call_later` would also work, and is used with loops that cannot watch a file. But it makes every iteration of
//! the loop read the clock and its heap of timers: 2.6 % of an iteration that does nothing else.

use std::collections::HashMap;
use std::convert::Infallible;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::locked::Locked;
use crate::per_process::PerProcess;

/// Which timer of ours was the last that has got a number: if that is another one, the program has closed the file.
static LATEST: PerProcess<Locked<Latest>> = PerProcess::new();

#[derive(Default)]
struct Latest {
    timers: u64,
    by_number: HashMap<RawFd, u64>,
}

/// The program may close the file, and get its number for a file of its own, which is left alone: so the number is only used
/// while it is that of a timer, and no later timer of ours has got it. All timers of a process have the same inode.
pub struct Timer {
    number: RawFd,
    /// Which of this process's timers it is.
    ordinal: u64,
}

impl Timer {
    /// `None` if the process may not open more files.
    pub fn new() -> Option<Self> {
        latest().with(|latest| {
            // SAFETY: the call takes no pointer.
            let number = unsafe {
                libc::timerfd_create(
                    libc::CLOCK_MONOTONIC, // the clock of `now_ns`
                    libc::TFD_CLOEXEC | libc::TFD_NONBLOCK,
                )
            };
            latest.timers += 1;
            let ordinal = latest.timers;
            (number >= 0).then(|| {
                latest.by_number.insert(number, ordinal);
                Self { number, ordinal }
            })
        })
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
        self.number
    }

    fn is_there(&self) -> bool {
        self.left_ns().is_some() && latest().with(|latest| self.is_latest(latest))
    }

    /// In a forked child the timers of the parent are not listed.
    fn is_latest(&self, latest: &Latest) -> bool {
        let ordinal = latest.by_number.get(&self.number);
        ordinal.is_none_or(|&ordinal| ordinal == self.ordinal)
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
        latest().with(|latest| {
            if !self.is_latest(latest) {
                return;
            }
            latest.by_number.remove(&self.number);
            if self.left_ns().is_some() {
                // SAFETY: the descriptor is ours, as far as can be known, and this is the only place that closes it.
                drop(unsafe { OwnedFd::from_raw_fd(self.number) });
            }
        });
    }
}

fn latest() -> &'static Locked<Latest> {
    let made = LATEST.get_or_try_init(|| Ok::<_, Infallible>(Locked::new(Latest::default())));
    let Ok(latest) = made;
    latest
}

#[cfg(test)]
mod tests {
    use super::Timer;
    use crate::system::descriptors::{identity, owned};
    use std::fs::File;
    use std::os::fd::{AsRawFd, FromRawFd};

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

    #[test]
    fn a_later_timer_of_ours_that_has_got_the_number_of_a_closed_one_stays_open() {
        let closed = Timer::new().unwrap();
        let number = closed.fileno();
        // The program closes the file, and the next timer gets its number: other tests of this process may be faster.
        let later = Timer::new().unwrap();
        // SAFETY: both descriptors are timers of this test.
        unsafe { libc::dup3(later.fileno(), number, libc::O_CLOEXEC) };
        super::latest().with(|latest| latest.by_number.insert(number, u64::MAX));
        assert!(!closed.is_there());
        drop(closed);
        // SAFETY: the descriptor was opened by `dup3`, and nothing else closes it.
        drop(unsafe { std::os::fd::OwnedFd::from_raw_fd(number) });
        super::latest().with(|latest| latest.by_number.remove(&number));
    }
}
