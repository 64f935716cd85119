//! How a thread that is not attached to the interpreter wakes an event loop.
//!
//! A file descriptor that the loop watches: an eventfd on Linux, a socket pair on other Unixes. A loop that watches none
//! (Windows' Proactor) is woken by a [`Courier`](super::courier).

#[cfg(unix)]
use std::io::{Read, Write};
#[cfg(unix)]
use std::os::fd::AsRawFd;

use super::courier::Calls;

pub enum Bell {
    #[cfg(unix)]
    Descriptor(Descriptor),
    Courier(Calls),
}

impl Bell {
    /// Never blocks.
    pub fn ring(&self) {
        match self {
            // The one error there can be says that the loop has plenty to read already.
            #[cfg(unix)]
            Self::Descriptor(bell) => drop(bell.workers().write(&1_u64.to_ne_bytes())),
            Self::Courier(calls) => calls.send(),
        }
    }

    /// Never blocks.
    pub fn silence(&self) {
        match self {
            // The one error there can be says that it was silent. What is left of a socket's bytes rings once more.
            #[cfg(unix)]
            Self::Descriptor(bell) => drop((&bell.loops).read(&mut [0; 64])),
            Self::Courier(_) => {}
        }
    }

    /// Whether nobody hears it any more.
    pub fn is_dead(&self) -> bool {
        match self {
            #[cfg(unix)]
            Self::Descriptor(_) => false,
            Self::Courier(calls) => calls.is_in_vain(),
        }
    }
}

/// An eventfd; elsewhere than on Linux two connected sockets. Closed when neither the loop nor any worker needs it.
#[cfg(unix)]
pub struct Descriptor {
    loops: End,
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    workers: End,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
type End = std::fs::File;

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
type End = std::os::unix::net::UnixStream;

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Descriptor {
    pub fn new() -> std::io::Result<Self> {
        use std::os::fd::{FromRawFd, OwnedFd};
        // SAFETY: the call takes no pointer.
        let number = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if number < 0 {
            return Err(std::io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened, and nobody else knows of it.
        let loops = unsafe { OwnedFd::from_raw_fd(number) }.into();
        Ok(Self { loops })
    }

    fn workers(&self) -> &End {
        &self.loops
    }
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
impl Descriptor {
    pub fn new() -> std::io::Result<Self> {
        let (loops, workers) = End::pair()?;
        loops.set_nonblocking(true)?;
        workers.set_nonblocking(true)?;
        Ok(Self { loops, workers })
    }

    fn workers(&self) -> &End {
        &self.workers
    }
}

#[cfg(unix)]
impl Descriptor {
    /// The number that the loop is to watch.
    pub fn number(&self) -> std::os::fd::RawFd {
        self.loops.as_raw_fd()
    }
}
