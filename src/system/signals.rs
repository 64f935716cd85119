//! Keeps the program's signals away from gilscope's own threads, and knows which of them end the program.
//!
//! The kernel gives a signal to any thread that does not block it. A program that blocks a signal in all of its threads and
//! waits for it with `sigwait` would be killed if a thread of gilscope did not block that signal too. A new thread starts
//! with the mask of the thread that creates it, so no moment remains in which it could receive a signal.

use pyo3::prelude::*;

/// Signals whose default action is to do nothing, or to stop or continue the process.
const NOT_FATAL: [libc::c_int; 8] = [
    libc::SIGCHLD,
    libc::SIGCONT,
    libc::SIGSTOP,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGURG,
    libc::SIGWINCH,
];

/// Whether this process ends at once if the calling thread sends it the signal `number` now.
#[pyfunction]
pub fn ends_process(number: libc::c_int) -> bool {
    // Process 1 receives only the signals that it has handlers for.
    if number <= 0 || NOT_FATAL.contains(&number) || std::process::id() == 1 {
        return false;
    }
    // SAFETY: the kernel fills in the action, and the C library the mask of this thread; nothing is changed.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigaction(number, std::ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_DFL
            && libc::pthread_sigmask(0, std::ptr::null(), &raw mut blocked) == 0
            && libc::sigismember(&raw const blocked, number) == 0
    }
}

/// Calls `start`, which starts threads, with all signals blocked in the calling thread. Restores the thread's mask.
pub fn blocked<T>(start: impl FnOnce() -> T) -> T {
    let _restored_at_end = Blocked::new();
    start()
}

/// The calling thread's mask, while all signals are blocked.
struct Blocked(libc::sigset_t);

impl Blocked {
    fn new() -> Self {
        // SAFETY: the calls fill or read local sets, and change the mask of the calling thread only.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            let mut before: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
            Self(before)
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // SAFETY: as in `new`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, std::ptr::null_mut());
        }
    }
}
