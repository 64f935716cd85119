//! The process that prints the report of `gilscope watch`. It has no part in the program, so it also reports on a program
//! that is killed, and on one that has given up its root directory, its user or its standard error.
//!
//! The program sends it messages over a socket, each after its length. What was sent stays readable after the program's end.
//! Programs close descriptors that are not theirs, and their numbers are used again. So the socket is looked at before each
//! use, and never closed unless it is still the socket.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::locked::Locked;
use crate::system::descriptors::{
    identity, owned, pidfd_of_this_process, raised, raised_high, socket_pair,
};
use crate::system::detached_process;
use crate::watch::shared_page::{Fields, SharedPage};

/// A message larger than the socket's buffer waits this long for the reporter to read the beginning.
const MAX_WAIT_FOR_ROOM: Duration = Duration::from_millis(50);
/// What `poll` reports of a socket that has no other end any more, or has been closed.
const GONE: i16 = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
/// The longest wait between two looks at the socket while a message is sent or answered.
const MAX_MS_TO_POLL: i32 = 100;

#[pyclass(frozen, module = "gilscope._core")]
pub struct ReporterProcess {
    pub page: Arc<SharedPage>,
    socket: RawFd,
    identity: (u64, u64),
    /// The rest of a message that the socket did not take at once.
    unsent: Locked<Vec<u8>>,
    /// A forked child has no part in the report.
    pid: u32,
}

#[pymethods]
impl ReporterProcess {
    #[new]
    fn new(argv: Vec<Vec<u8>>) -> PyResult<Self> {
        let argv: Vec<CString> = argv
            .into_iter()
            .map(CString::new)
            .collect::<Result<_, _>>()
            .map_err(|_| PyValueError::new_err("an argument contains a NUL character"))?;
        if argv.is_empty() {
            return Err(PyValueError::new_err("argv must not be empty"));
        }
        if reaps_orphans() {
            return Err(PyRuntimeError::new_err(
                "the reporter would be a child of this process",
            ));
        }
        let (page, page_file) = SharedPage::new()?;
        let (ours, theirs) = socket_pair()?;
        let program = raised(
            owned(pidfd_of_this_process())?,
            detached_process::LOWEST_NUMBER,
        )?;
        let ours = raised_high(ours)?;
        let theirs = raised(theirs, detached_process::LOWEST_NUMBER)?;
        let page_file = raised(page_file, detached_process::LOWEST_NUMBER)?;
        let files = [
            theirs.as_raw_fd(),
            page_file.as_raw_fd(),
            program.as_raw_fd(),
        ];
        detached_process::start(&argv, files)?;
        let identity = identity(ours.as_raw_fd()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self {
            page: Arc::new(page),
            socket: ours.into_raw_fd(),
            identity,
            unsent: Locked::default(),
            pid: std::process::id(),
        })
    }

    /// Send a message, unless a part of the last one still waits for room in the socket. Return whether this message was
    /// taken. Takes at most `MAX_WAIT_FOR_ROOM`, detached.
    fn send(&self, py: Python<'_>, message: &[u8]) -> bool {
        self.is_usable() && py.detach(|| self.push_and_wait(message))
    }

    /// Send the last message, and wait, detached, until the reporter has printed the report. Return whether it has.
    fn finish(&self, py: Python<'_>, message: &[u8], timeout: f64) -> bool {
        let give_up = Instant::now() + Duration::from_secs_f64(timeout.clamp(0.0, 3600.0));
        self.is_usable()
            && py.detach(|| self.deliver(message, give_up) && self.is_answered(give_up))
    }

    #[getter]
    fn stage(&self) -> u64 {
        self.page.fields().stage.load(Ordering::SeqCst)
    }

    /// Note how far the program is: see the fields of the page.
    #[setter]
    fn set_stage(&self, stage: u64) {
        if std::process::id() == self.pid {
            self.page.fields().stage.store(stage, Ordering::SeqCst);
        }
    }

    /// Close the socket in a forked child.
    fn close_in_child(&self) {
        if std::process::id() != self.pid && identity(self.socket) == Some(self.identity) {
            // SAFETY: the descriptor is our socket.
            unsafe { libc::close(self.socket) };
        }
    }

    /// Ask for a report while the program runs whenever it receives the signal `number`, also while no Python code can run.
    fn report_on(&self, number: i32) -> PyResult<()> {
        let fields: *const Fields = self.page.fields();
        PAGE.store(fields as u64, Ordering::SeqCst);
        OWNER.store(std::process::id(), Ordering::SeqCst);
        // SAFETY: the handler makes only calls that signal-safety(7) lists, and restores `errno` by not changing it.
        let failed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = count_request as extern "C" fn(i32) as usize;
            action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
            libc::sigaction(number, &raw const action, std::ptr::null_mut()) < 0
        };
        if failed {
            Err(io::Error::last_os_error().into())
        } else {
            Ok(())
        }
    }
}

/// The fields that the signal handler writes to, and the process that they belong to.
static PAGE: AtomicU64 = AtomicU64::new(0);
static OWNER: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_request(number: i32) {
    // SAFETY: `PAGE` holds the address of a mapping that is never removed. A forked child is ended by the signal as it would
    // be without the handler: the signal that is raised here arrives when the handler returns.
    unsafe {
        if std::process::id() == OWNER.load(Ordering::SeqCst) {
            let fields = &*(PAGE.load(Ordering::SeqCst) as *const Fields);
            fields.requests.fetch_add(1, Ordering::SeqCst);
        } else {
            libc::signal(number, libc::SIG_DFL);
            libc::raise(number);
        }
    }
}

impl ReporterProcess {
    fn is_usable(&self) -> bool {
        std::process::id() == self.pid && identity(self.socket) == Some(self.identity)
    }

    /// Sends the rest of the last message, and then `message` if that rest is gone. Returns whether `message` was begun.
    fn push(&self, message: Option<&[u8]>) -> bool {
        self.unsent.with(|unsent| {
            self.send_from(unsent);
            let begun = unsent.is_empty();
            if let (true, Some(message)) = (begun, message) {
                unsent.extend((message.len() as u64).to_ne_bytes());
                unsent.extend(message);
                self.send_from(unsent);
            }
            begun
        })
    }

    fn has_unsent(&self) -> bool {
        self.unsent.with(|unsent| !unsent.is_empty())
    }

    fn push_and_wait(&self, message: &[u8]) -> bool {
        let taken = self.push(Some(message));
        let give_up = Instant::now() + MAX_WAIT_FOR_ROOM;
        while self.has_unsent() && Instant::now() < give_up {
            if self.poll(libc::POLLOUT, give_up) & GONE != 0 {
                break;
            }
            self.push(None);
        }
        taken
    }

    fn send_from(&self, unsent: &mut Vec<u8>) {
        while !unsent.is_empty() {
            // SAFETY: the kernel reads the bytes of `unsent`. `is_usable` has seen that the descriptor is our socket.
            let sent = unsafe {
                libc::send(
                    self.socket,
                    unsent.as_ptr().cast(),
                    unsent.len(),
                    libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
                )
            };
            let Ok(count @ 1..) = usize::try_from(sent) else {
                return;
            };
            unsent.drain(..count);
        }
    }

    fn deliver(&self, message: &[u8], give_up: Instant) -> bool {
        let mut begun = false;
        loop {
            begun |= self.push((!begun).then_some(message));
            if begun && !self.has_unsent() {
                return true;
            }
            if self.poll(libc::POLLOUT, give_up) & GONE != 0 || Instant::now() > give_up {
                return false;
            }
        }
    }

    fn is_answered(&self, give_up: Instant) -> bool {
        while Instant::now() < give_up {
            if self.poll(libc::POLLIN, give_up) != 0 {
                let mut answer = 0_u8;
                // SAFETY: one byte of room for at most one byte.
                let count = unsafe {
                    libc::recv(self.socket, (&raw mut answer).cast(), 1, libc::MSG_DONTWAIT)
                };
                return count == 1;
            }
        }
        false
    }

    /// Waits until the socket is ready for `events`, but not for long. Returns what it is ready for.
    fn poll(&self, events: i16, give_up: Instant) -> i16 {
        let left = give_up
            .saturating_duration_since(Instant::now())
            .as_millis();
        let timeout = i32::try_from(left).unwrap_or(i32::MAX).min(MAX_MS_TO_POLL);
        let mut file = libc::pollfd {
            fd: self.socket,
            events,
            revents: 0,
        };
        // SAFETY: one descriptor, and its record is valid.
        unsafe { libc::poll(&raw mut file, 1, timeout) };
        file.revents
    }
}

/// Whether this process becomes the parent of processes that have lost theirs. The end of process 1 ends all others, so a
/// reporter would be of no use there.
fn reaps_orphans() -> bool {
    let mut reaps: libc::c_int = 0;
    // SAFETY: the kernel writes one integer.
    unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut reaps) };
    reaps != 0 || std::process::id() == 1
}
