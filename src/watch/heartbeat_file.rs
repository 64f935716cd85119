//! The heartbeat file: one line of JSON that says once a second what the loops do, for the probe of an orchestrator.
//!
//! The file is opened once, when the watch starts, and then rewritten in its place: one `pwrite` of a record of constant size.
//! A temporary file and a rename would be atomic for readers on every file system, but would need the right to write to the
//! directory each second, which a program gives up with its privileges or its root directory; would take the lowest free
//! descriptor for a moment, which a program may be about to open itself; and could not replace a file that is mounted into a
//! container by itself. A record lies in one page, so a reader sees it torn only if it copies that page within the same
//! nanoseconds as the writer: then it sees digits of two records that are a second apart.
//!
//! A program that closes all descriptors, as a daemon does, closes the file too. Then it is opened again by its path, unless
//! that leads to another file by now: after `chroot`, for example.
//!
//! A thread of its own writes, which never attaches: a disk that stands still delays neither the sampler nor the program.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Condvar;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::locked::Locked;
use crate::system::descriptors::{high, identity, owned};
use crate::watch::heartbeat_record::{BEGINNING, record_now};
use crate::watch::state::WatchState;

const NS_BETWEEN_WRITES: u64 = 1_000_000_000;
/// A watch that stops waits this long for its file to be removed.
const MAX_WAIT_AT_CLOSE: Duration = Duration::from_secs(1);
/// `O_NONBLOCK`: a named pipe without a reader must not block.
const FLAGS: libc::c_int =
    libc::O_RDWR | libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK;

pub struct HeartbeatFile {
    /// Only the thread that writes gives the file another number. Relaxed: that thread, and who has waited for it, use it.
    number: AtomicI32,
    identity: (u64, u64),
    /// Absolute.
    path: CString,
    pid: u32,
    /// The number may be another watch's by now, of the same file.
    is_closed: AtomicBool,
    has_ended: Locked<bool>,
    ended: Condvar,
}

impl HeartbeatFile {
    /// Opens or makes the file. Raises `OSError` if the system refuses, and `ValueError` if it is not a heartbeat file.
    pub fn open(path: Vec<u8>) -> PyResult<Self> {
        let name = String::from_utf8_lossy(&path).into_owned();
        let path = CString::new(path)
            .map_err(|_| PyValueError::new_err("heartbeat_file contains a NUL character"))?;
        // SAFETY: the path ends with a NUL.
        let file = owned(unsafe { libc::open(path.as_ptr(), FLAGS | libc::O_CREAT, 0o644) })
            .map_err(|error| with_path(&error, &name))?;
        let file = high(file);
        if !is_regular(&file) {
            return Err(refused(&name, "not a regular file"));
        }
        if !is_empty_or_ours(&file) {
            return Err(refused(
                &name,
                "it exists and is not a heartbeat file: remove it, or give another path",
            ));
        }
        if is_locked_by_another(&file) {
            return Err(refused(
                &name,
                "another watch or process writes it: give each a file of its own",
            ));
        }
        let identity = identity(file.as_raw_fd()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            number: AtomicI32::new(file.into_raw_fd()),
            identity,
            path,
            pid: std::process::id(),
            is_closed: AtomicBool::new(false),
            has_ended: Locked::default(),
            ended: Condvar::new(),
        })
    }

    /// Runs the thread that writes.
    pub fn run(&self, watch: &WatchState) {
        while !watch.is_closing() {
            self.write(record_now(watch).as_bytes());
            watch.nap(NS_BETWEEN_WRITES);
        }
        self.remove();
        self.close();
        self.has_ended.with(|it| *it = true);
        self.ended.notify_all();
    }

    /// Waits until the file is removed, but not for long: a disk may stand still. The caller must be detached.
    pub fn wait_until_removed(&self) {
        let goes_on = |has_ended: &mut bool| !*has_ended;
        self.has_ended
            .wait_timeout_while(&self.ended, MAX_WAIT_AT_CLOSE, goes_on);
    }

    fn write(&self, record: &[u8]) {
        if let Some(number) = self.open_number() {
            // SAFETY: the kernel reads the bytes of `record`. The descriptor has just been seen to be our file.
            unsafe { libc::pwrite(number, record.as_ptr().cast(), record.len(), 0) };
        }
    }

    /// Removes the file. After `chroot` the path may lead elsewhere, and without privileges it may not be removed: then the
    /// file is emptied.
    fn remove(&self) {
        let Some(number) = self.open_number() else {
            return;
        };
        // SAFETY: the kernel fills in the record, and the path ends with a NUL. The descriptor is our file.
        unsafe {
            let mut there: libc::stat = std::mem::zeroed();
            let is_there = libc::lstat(self.path.as_ptr(), &raw mut there) == 0
                && (there.st_dev, there.st_ino) == self.identity;
            if !is_there || libc::unlink(self.path.as_ptr()) != 0 {
                libc::ftruncate(number, 0);
            }
        }
    }

    /// The number of our file, which is opened again if the program has closed it. `None` in a forked child, after `close`, and if
    /// it cannot be opened again.
    fn open_number(&self) -> Option<RawFd> {
        if std::process::id() != self.pid || self.is_closed.load(Ordering::Acquire) {
            return None; // Acquire: as in `is_still_open`
        }
        if !self.is_still_open() {
            self.reopen()?;
        }
        Some(self.number())
    }

    fn reopen(&self) -> Option<()> {
        // SAFETY: the path ends with a NUL.
        let file = high(owned(unsafe { libc::open(self.path.as_ptr(), FLAGS) }).ok()?);
        // Another file may have got the inode of ours, and another process may have taken our file over.
        let is_ours = identity(file.as_raw_fd()) == Some(self.identity)
            && is_regular(&file)
            && is_empty_or_ours(&file)
            && !is_locked_by_another(&file);
        is_ours.then(|| self.number.store(file.into_raw_fd(), Ordering::Relaxed))
    }

    fn is_still_open(&self) -> bool {
        // Acquire: pairs with the swap in `close`, after which the number may be given to another file.
        !self.is_closed.load(Ordering::Acquire) && identity(self.number()) == Some(self.identity)
    }

    fn number(&self) -> RawFd {
        self.number.load(Ordering::Relaxed) // as its field says
    }

    /// Closes the descriptor in a forked child, which has no part in the file.
    pub fn close_in_child(&self) {
        if std::process::id() != self.pid {
            self.close();
        }
    }

    fn close(&self) {
        let is_open = self.is_still_open();
        // AcqRel: of two threads that close, one does.
        if !self.is_closed.swap(true, Ordering::AcqRel) && is_open {
            // SAFETY: the descriptor is our file, and is closed only once: then it is not ours any more.
            drop(unsafe { OwnedFd::from_raw_fd(self.number()) });
        }
    }
}

impl Drop for HeartbeatFile {
    fn drop(&mut self) {
        if std::process::id() == self.pid {
            self.remove(); // of a watch that failed to start: else the file is closed already
            self.close();
        }
    }
}

/// The error as Python's `open` raises it.
fn with_path(error: &io::Error, path: &str) -> PyErr {
    let number = error.raw_os_error().unwrap_or(libc::EIO);
    // SAFETY: the C library returns a text that ends with a NUL and stays until this thread asks for another one.
    let text = unsafe { CStr::from_ptr(libc::strerror(number)) };
    let text = text.to_string_lossy().into_owned();
    PyOSError::new_err((number, text, path.to_owned()))
}

fn refused(name: &str, why: &str) -> PyErr {
    PyValueError::new_err(format!("heartbeat_file: cannot use {name}: {why}"))
}

fn is_regular(file: &OwnedFd) -> bool {
    // SAFETY: the kernel fills in the record.
    unsafe {
        let mut about: libc::stat = std::mem::zeroed();
        libc::fstat(file.as_raw_fd(), &raw mut about) == 0
            && about.st_mode & libc::S_IFMT == libc::S_IFREG
    }
}

/// Whether nothing would be lost: a file of the same name may be the user's.
fn is_empty_or_ours(file: &OwnedFd) -> bool {
    let mut bytes = [0_u8; BEGINNING.len()];
    // SAFETY: the kernel writes at most as many bytes as there is room for.
    let count = unsafe { libc::pread(file.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    count == 0 || bytes == BEGINNING.as_bytes()
}

/// Locks the file for this process; the lock ends with it. Returns false where the file system has no locks.
fn is_locked_by_another(file: &OwnedFd) -> bool {
    // SAFETY: the call takes no pointer.
    let failed = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0;
    failed && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock
}
