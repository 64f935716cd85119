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
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};

use pyo3::prelude::*;

use super::inbox::Inbox;

enum Errand {
    /// Call the loop of this inbox, if it is still there. Held weakly: this is no reference to a Python object.
    Call(Weak<Inbox>),
    Quit,
}

/// What a mailbox needs to have its loop called.
pub struct Calls {
    inbox: Weak<Inbox>,
    errands: Errands,
}

impl Calls {
    pub fn new(inbox: Weak<Inbox>, errands: Errands) -> Self {
        Self { inbox, errands }
    }

    pub fn send(&self) {
        // No courier any more: then the interpreter is shutting down, and `is_in_vain` says so.
        let _ = self.errands.to.send(Errand::Call(Weak::clone(&self.inbox)));
    }

    /// Whether nobody makes calls any more.
    pub fn is_in_vain(&self) -> bool {
        // Relaxed: nothing is read on the strength of it, and the thread that sets it is the one that must see it.
        self.errands.dismissed.load(Ordering::Relaxed)
    }
}

/// The way to the courier.
#[derive(Clone)]
pub struct Errands {
    to: Sender<Errand>,
    dismissed: Arc<AtomicBool>,
}

/// The thread, which is started when it is first needed.
#[derive(Default)]
pub struct Courier {
    running: Mutex<Option<(Sender<Errand>, JoinHandle<()>)>>,
    dismissed: Arc<AtomicBool>,
}

impl Courier {
    /// The way to the courier, who is there from now on.
    pub fn errands(&self) -> io::Result<Errands> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let to = match running.as_ref() {
            Some((to, _)) => to.clone(),
            None if self.dismissed.load(Ordering::Relaxed) => channel().0, // leads nowhere
            None => {
                let (to, received) = channel();
                let thread = Builder::new()
                    .name("gilscope-courier".into())
                    .spawn(move || run(received))?;
                *running = Some((to.clone(), thread));
                to
            }
        };
        let dismissed = Arc::clone(&self.dismissed);
        Ok(Errands { to, dismissed })
    }

    /// Waits for the call under way and makes no more. The caller must be detached, since the call needs the GIL.
    pub fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Relaxed); // see `is_in_vain`
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((to, thread)) = running {
            let _ = to.send(Errand::Quit);
            let _ = thread.join();
        }
    }
}

fn run(received: Receiver<Errand>) {
    // The outer attachment keeps the thread state; what is inside is detached but for the calls.
    Python::try_attach(|py| {
        py.detach(move || {
            while let Ok(Errand::Call(inbox)) = received.recv() {
                Python::try_attach(|py| inbox.upgrade().map(|inbox| inbox.call_loop(py)));
            }
        });
    });
}
