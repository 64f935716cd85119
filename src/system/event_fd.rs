//! How a thread that is not attached to the interpreter wakes an event loop: a file descriptor that the loop watches.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An eventfd (eventfd(2)): readable from the first `notify` until the next `clear`.
pub struct EventFd(File);

impl EventFd {
    pub fn new() -> io::Result<Self> {
        // SAFETY: the call takes no pointer.
        let number = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened, and no other code knows its number.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(number) }.into()))
    }

    /// The descriptor that the loop must watch.
    pub fn fileno(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Makes the descriptor readable. Never blocks.
    pub fn notify(&self) {
        // The only possible error is a full counter, and then the descriptor is readable already.
        let _ = (&self.0).write(&1_u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable. Never blocks.
    pub fn clear(&self) {
        // The only possible error is a counter of zero, and then the descriptor is unreadable already.
        let _ = (&self.0).read(&mut [0; 8]);
    }
}
