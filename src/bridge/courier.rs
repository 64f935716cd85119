//! Wakes the loops that can watch no file descriptor: `asyncio`'s Proactor loop, which is Windows' default.
//!
//! Such a loop is woken by `call_soon_threadsafe` alone, which needs a thread that is attached. The workers stay out of it:
//! one thread for all such loops, the courier, makes the calls. It keeps its thread state, which saves four fifths of the
//! cost of attaching; but a result now costs two hand-overs of the GIL instead of one, and at exit the courier has to be
//! waited for, while the interpreter is whole: a thread that CPython ends inside `call_soon_threadsafe` takes the process
//! with it.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
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
}

impl Calls {
    pub fn send(&self) {
        // No courier any more: then the interpreter is shutting down.
        let _ = self.errands.send(Errand::Call(self.key));
    }
}

pub struct Courier(Mutex<Option<Running>>);

struct Running {
    errands: Sender<Errand>,
    thread: JoinHandle<()>,
}

impl Courier {
    /// One that is started when it is first needed.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Calls for the loop of this key; `call` is what the courier does for a key, attached.
    pub fn calls(&self, key: usize, call: fn(Python<'_>, usize)) -> io::Result<Calls> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let errands = if let Some(running) = running.as_ref() {
            running.errands.clone()
        } else {
            let (errands, received) = channel();
            let thread = Builder::new()
                .name("gilscope-courier".into())
                .spawn(move || run(received, call))?;
            let errands_too = errands.clone();
            *running = Some(Running { errands, thread });
            errands_too
        };
        Ok(Calls { key, errands })
    }

    /// Waits for the call under way and makes no more. The caller must be detached, since the call needs the GIL.
    pub fn dismiss(&self) {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { errands, thread }) = running {
            let _ = errands.send(Errand::Quit);
            let _ = thread.join();
        }
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
