//! Descriptors of this process: how to open some, to number them, and to recognise them later.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The program's own descriptors have the numbers that they would have without a watch if ours are above them.
pub const HIGH_NUMBER: RawFd = 900;
/// Where the limit of open files is lower, ours are this far below the limit.
const NUMBERS_LEFT_ABOVE: RawFd = 8;

/// Two connected stream sockets.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut pair = [0; 2];
    // SAFETY: the kernel fills in two descriptors.
    let failed = unsafe {
        libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
            0,
            pair.as_mut_ptr(),
        )
    };
    if failed < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((owned(pair[0])?, owned(pair[1])?))
}

/// A pidfd of this process; negative if the system has none.
pub fn pidfd_of_this_process() -> RawFd {
    // SAFETY: the call takes no pointer.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) };
    RawFd::try_from(number).unwrap_or(-1)
}

/// The limit of this process's descriptors.
pub fn highest_number() -> RawFd {
    // SAFETY: the kernel fills in the record.
    let limit = unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur
    };
    RawFd::try_from(limit).unwrap_or(RawFd::MAX)
}

/// The descriptor that a system call has just returned, or the error if it is negative.
pub fn owned(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened, and no other code knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The same file with a number of at least `lowest`.
pub fn raised(file: OwnedFd, lowest: RawFd) -> io::Result<OwnedFd> {
    copy(&file, lowest)
}

/// The same file with a number that programs do not use.
pub fn raised_high(file: OwnedFd) -> io::Result<OwnedFd> {
    raised(file, lowest_high())
}

/// The same file with a number that programs do not use, or the file as it is if no such number is free.
pub fn high(file: OwnedFd) -> OwnedFd {
    copy(&file, lowest_high()).unwrap_or(file)
}

fn copy(file: &OwnedFd, lowest: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open.
    owned(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) })
}

fn lowest_high() -> RawFd {
    HIGH_NUMBER.min(highest_number() - NUMBERS_LEFT_ABOVE)
}

/// The device and the inode of an open file.
pub fn identity(number: RawFd) -> Option<(u64, u64)> {
    // SAFETY: the kernel fills in the record, or fails.
    unsafe {
        let mut about: libc::stat = std::mem::zeroed();
        (libc::fstat(number, &raw mut about) == 0).then_some((about.st_dev, about.st_ino))
    }
}

/// Whether the epoll file `epoll` watches the file `watched`: a file that was opened under this number and is still open.
pub fn epoll_watches(epoll: RawFd, watched: RawFd) -> bool {
    let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{epoll}"));
    about.is_ok_and(|about| {
        let mut numbers = about
            .lines()
            .filter_map(|line| line.strip_prefix("tfd:")?.split_ascii_whitespace().next());
        numbers.any(|number| number.parse() == Ok(watched))
    })
}
