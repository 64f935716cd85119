//! Keeps the threads that outlive the interpreter out of Rust.
//!
//! The bridge calls Python code on the loop's own thread: `create_future`, and `call_soon` from within `set_result`. Python
//! code may give the GIL up and ask for it again. If the thread is a daemon's and the interpreter is shutting down, CPython up
//! to 3.13 ends the thread there, by unwinding it, and aborts the process when the unwinding meets Rust. So at exit the bridge
//! waits until every other thread has left it, and those that come afterwards are stopped at the threshold, detached.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use pyo3::prelude::*;

/// Between two looks at whether the others have left.
const PATIENCE: Duration = Duration::from_micros(50);

#[derive(Default)]
pub struct Threshold {
    inside: AtomicUsize,
    closed: AtomicBool,
    closer: OnceLock<ThreadId>,
}

thread_local! {
    /// How many times this thread is inside: Python code that the bridge calls may call the bridge.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A stay inside.
pub struct Stay<'a>(&'a Threshold);

impl Threshold {
    /// Returns once the thread may call Python code, which for others than the closing thread may be never.
    pub fn cross(&self, py: Python<'_>) -> Stay<'_> {
        let depth = DEPTH.get();
        // Sequentially consistent, with `close`: either this thread sees that it is closed or `close` sees it inside.
        self.inside.fetch_add(1, Ordering::SeqCst);
        if depth == 0 && self.closed.load(Ordering::SeqCst) && !self.is_closer() {
            self.inside.fetch_sub(1, Ordering::SeqCst);
            py.detach(|| {
                loop {
                    thread::park();
                }
            });
        }
        DEPTH.set(depth + 1);
        Stay(self)
    }

    /// Lets nobody else in from now on, and waits until all others have left. The caller must be detached: they need the GIL.
    pub fn close(&self) {
        let _ = self.closer.set(thread::current().id());
        self.closed.store(true, Ordering::SeqCst);
        let own = DEPTH.get();
        while self.inside.load(Ordering::SeqCst) > own {
            thread::sleep(PATIENCE);
        }
    }

    fn is_closer(&self) -> bool {
        self.closer.get() == Some(&thread::current().id())
    }
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}
