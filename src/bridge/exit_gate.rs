//! Keeps daemon threads out of Rust code while the interpreter shuts down.
//!
//! The bridge calls Python code on the loop's own thread: `create_future`, and `call_soon` from within `set_result`. Python
//! code may release the GIL and acquire it again. If a daemon thread does so during shutdown, CPython up to 3.13 ends the
//! thread by unwinding its stack, and the process aborts when the unwinding reaches Rust.
//!
//! So `atexit` closes this gate: it waits until every other thread has left the bridge, and a thread that enters later is
//! parked, detached, until the process ends.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use pyo3::prelude::*;

const POLL_PERIOD: Duration = Duration::from_micros(50);

#[derive(Default)]
pub struct ExitGate {
    entered: AtomicUsize,
    closed: AtomicBool,
    closing_thread: OnceLock<ThreadId>,
}

thread_local! {
    /// How many times this thread has entered: Python code that the bridge calls may call the bridge again.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Leaves the gate when dropped.
pub struct Entered<'a>(&'a ExitGate);

impl ExitGate {
    /// Returns once this thread may call Python code. After `close` it returns on the closing thread only.
    pub fn enter(&self, py: Python<'_>) -> Entered<'_> {
        let depth = DEPTH.get();
        // Sequentially consistent, like `close`: either this thread sees that the gate is closed, or `close` counts it.
        self.entered.fetch_add(1, Ordering::SeqCst);
        if depth == 0 && self.closed.load(Ordering::SeqCst) && !self.is_closing_thread() {
            self.entered.fetch_sub(1, Ordering::SeqCst);
            py.detach(|| {
                loop {
                    thread::park();
                }
            });
        }
        DEPTH.set(depth + 1);
        Entered(self)
    }

    /// Lets no other thread enter from now on, and waits until all others have left. The caller must be detached, because
    /// those threads need the GIL to leave.
    pub fn close(&self) {
        let _ = self.closing_thread.set(thread::current().id());
        self.closed.store(true, Ordering::SeqCst);
        let own = DEPTH.get();
        while self.entered.load(Ordering::SeqCst) > own {
            thread::sleep(POLL_PERIOD);
        }
    }

    fn is_closing_thread(&self) -> bool {
        self.closing_thread.get() == Some(&thread::current().id())
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        self.0.entered.fetch_sub(1, Ordering::SeqCst);
    }
}
