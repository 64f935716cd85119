//! Whether a process still is what it was: it may end, and it may replace its program by another one.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Keeps hold of a process, not of its number, which another process may get later.
pub struct Life {
    /// `None` if the kernel has none (before Linux 5.3).
    process: Option<OwnedFd>,
    /// The memory as it is now; `None` if the system does not permit to open it.
    memory: Option<File>,
    /// Where there was something to read.
    address: u64,
}

impl Life {
    /// `address` is one that the process can read as long as its program is the same.
    pub fn of(pid: libc::pid_t, address: usize) -> Self {
        // SAFETY: the call takes two numbers.
        let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let number = i32::try_from(number).ok().filter(|&number| number >= 0);
        Self {
            // SAFETY: the kernel has just opened it, for us alone.
            process: number.map(|number| unsafe { OwnedFd::from_raw_fd(number) }),
            memory: File::open(format!("/proc/{pid}/mem")).ok(),
            address: address as u64,
        }
    }

    pub fn has_ended(&self) -> bool {
        let gone = self.process.as_ref().is_some_and(is_over);
        // The file stays that of the memory which the process had when it was opened: a read of 0 bytes shows that no process uses that memory any more.
        let replaced = || {
            let byte = self
                .memory
                .as_ref()
                .map(|memory| memory.read_at(&mut [0], self.address));
            matches!(byte, Some(Ok(0) | Err(_)))
        };
        gone || replaced()
    }
}

fn is_over(process: &OwnedFd) -> bool {
    let mut waiting = libc::pollfd {
        fd: process.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the pointer is to one `pollfd`, which the call fills. It does not wait.
    let ready = unsafe { libc::poll(&raw mut waiting, 1, 0) };
    ready == 1
}
