//! Wakes the loops that can watch no file descriptor: `asyncio`'s Proactor loop, which is Windows' default.
//!
//! Such a loop is woken by `call_soon_threadsafe` alone, which needs a thread that is attached. The workers stay out of it:
//! one thread for all such loops, the courier, makes the calls. It keeps its thread state, which saves four fifths of the
//! cost of attaching; but a result now costs two hand-overs of the GIL instead of one, and at exit the courier has to be
//! waited for, while the interpreter is whole: a thread that CPython ends inside `call_soon_threadsafe` takes the process
//! with it.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use pyo3::prelude::*;

enum Errand {
    /// Call the loop of this key.
    Call(usize),
    Quit,
}

/// What a mailbox needs to have its loop called.
pub struct Calls {
    key: usize,
    errands: Sender<Errand>,
    dismissed: Arc<AtomicBool>,
}

impl Calls {
    pub fn send(&self) {
        // No courier any more: then the interpreter is shutting down, and `is_in_vain` says so.
        let _ = self.errands.send(Errand::Call(self.key));
    }

    /// Whether nobody makes calls any more.
    pub fn is_in_vain(&self) -> bool {
        // Relaxed: nothing is read on the strength of it, and the thread that sets it is the one that must see it.
        self.dismissed.load(Ordering::Relaxed)
    }
}

pub struct Courier {
    running: Mutex<Option<Running>>,
    dismissed: Arc<AtomicBool>,
}

struct Running {
    errands: Sender<Errand>,
    thread: JoinHandle<()>,
}

impl Courier {
    /// One that is started when it is first needed.
    pub fn new() -> Self {
        Self {
            running: Mutex::default(),
            dismissed: Arc::default(),
        }
    }

    /// Calls for the loop of this key; `call` is what the courier does for a key, attached.
    pub fn calls(&self, key: usize, call: fn(Python<'_>, usize)) -> io::Result<Calls> {
        let mut running = self.running();
        let errands = match running.as_ref() {
            Some(running) => running.errands.clone(),
            None if self.dismissed.load(Ordering::Relaxed) => channel().0, // leads nowhere
            None => {
                let (errands, received) = channel();
                let thread = Builder::new()
                    .name("gilscope-courier".into())
                    .spawn(move || run(received, call))?;
                *running = Some(Running {
                    errands: errands.clone(),
                    thread,
                });
                errands
            }
        };
        Ok(Calls {
            key,
            errands,
            dismissed: Arc::clone(&self.dismissed),
        })
    }

    /// Waits for the call under way and makes no more. The caller must be detached, since the call needs the GIL.
    pub fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Relaxed); // see `is_in_vain`
        let running = self.running().take();
        if let Some(Running { errands, thread }) = running {
            let _ = errands.send(Errand::Quit);
            let _ = thread.join();
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        // Nothing that can panic runs under the lock.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(received: Receiver<Errand>, call: fn(Python<'_>, usize)) {
    // The outer attachment keeps the thread state; what is inside is detached but for the calls.
    Python::try_attach(|py| {
        py.detach(move || {
            while let Ok(Errand::Call(key)) = received.recv() {
                Python::try_attach(|py| call(py, key));
            }
        });
    });
}
