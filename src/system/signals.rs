//! Keeps the program's signals away from gilscope's own threads.
//!
//! The kernel gives a signal to any thread that does not block it. A program that blocks a signal in all of its threads and
//! waits for it with `sigwait` would be killed if a thread of gilscope did not block that signal too. A new thread starts
//! with the mask of the thread that creates it, so no moment remains in which it could receive a signal.

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
