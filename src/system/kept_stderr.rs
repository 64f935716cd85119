//! The standard error that the program has now, kept for a text that must be written while no Python code can run.
//!
//! The program may give its descriptors other files, or close them all, and their numbers are used again. So the text goes to
//! a copy with a high number, and only after a look whether that number still is the same file.

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::descriptors::{HIGH_NUMBER, identity, owned, raised_high};

/// A pipe that `poll` calls writable has room for this many bytes at least (pipe(7)).
const MAX_BYTES_AT_ONCE: usize = 4096;
const NUMBER: RawFd = 2;

pub struct KeptStderr {
    number: RawFd,
    identity: (u64, u64),
    /// A forked child has the descriptor too, but no part in what is written.
    pid: u32,
    /// The number may be another watch's by now, of the same file.
    is_closed: AtomicBool,
}

impl KeptStderr {
    /// `None` if there is none.
    pub fn new() -> Option<Self> {
        // SAFETY: the call takes no pointer; it makes a new descriptor, or fails.
        let copy = unsafe { libc::fcntl(NUMBER, libc::F_DUPFD_CLOEXEC, HIGH_NUMBER) };
        let copy = owned(copy).or_else(|_| {
            // SAFETY: as above. Where the limit of open files is lower, a high number is one near the limit.
            let low = owned(unsafe { libc::fcntl(NUMBER, libc::F_DUPFD_CLOEXEC, 0) })?;
            raised_high(low)
        });
        let number = copy.ok()?.into_raw_fd();
        Some(Self {
            number,
            identity: identity(number)?,
            pid: std::process::id(),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Writes `text`, for as long as `limit`: the reader of a pipe may have stopped reading. Returns whether all was written.
    pub fn write(&self, text: &[u8], limit: Duration) -> bool {
        let give_up = Instant::now() + limit;
        let mut rest = text;
        while !rest.is_empty() {
            if !self.is_ours() || !self.has_room(give_up) {
                return false;
            }
            match self.write_some(rest) {
                Ok(count) => rest = &rest[count.min(rest.len())..],
                Err(error) if again(&error) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(MAX_BYTES_AT_ONCE);
        // SAFETY: the kernel reads at most `length` bytes, which are there. The caller has seen that the descriptor is ours.
        let written = unsafe { libc::write(self.number, bytes.as_ptr().cast(), length) };
        usize::try_from(written).map_err(|_| io::Error::last_os_error())
    }

    /// Waits until a write does not block. Returns false if that takes too long, or if nothing can be written any more.
    fn has_room(&self, give_up: Instant) -> bool {
        let left = give_up.saturating_duration_since(Instant::now());
        let mut file = libc::pollfd {
            fd: self.number,
            events: libc::POLLOUT,
            revents: 0,
        };
        let ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one descriptor, and its record is valid.
        let ready = unsafe { libc::poll(&raw mut file, 1, ms) };
        if ready < 0 && again(&io::Error::last_os_error()) {
            return Instant::now() < give_up;
        }
        ready == 1 && file.revents & libc::POLLOUT != 0
    }

    fn is_ours(&self) -> bool {
        std::process::id() == self.pid && self.is_still_open()
    }

    fn is_still_open(&self) -> bool {
        // Acquire: pairs with the swap in `close`, after which the number may be given to another file.
        !self.is_closed.load(Ordering::Acquire) && identity(self.number) == Some(self.identity)
    }

    /// Closes the copy in a forked child: else whoever reads a pipe to its end would wait for that child as well.
    pub fn close_in_child(&self) {
        if std::process::id() != self.pid {
            self.close();
        }
    }

    /// Nothing is written any more.
    pub fn close(&self) {
        // AcqRel: of two threads that close, one does.
        if self.is_still_open() && !self.is_closed.swap(true, Ordering::AcqRel) {
            // SAFETY: the descriptor is ours, as far as can be known, and this is the only place that closes it.
            drop(unsafe { OwnedFd::from_raw_fd(self.number) });
        }
    }
}

impl Drop for KeptStderr {
    fn drop(&mut self) {
        if std::process::id() == self.pid {
            self.close();
        }
    }
}

fn again(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
    )
}
