//! The threads that an object has started, and waits for.

use std::thread::JoinHandle;

use crate::locked::Locked;

/// Belongs to the process that made it. A forked child has none of the threads, and must not even detach them: the C library
/// may have given their handles to threads of the child's.
pub struct OwnThreads {
    handles: Locked<Vec<JoinHandle<()>>>,
    pid: u32,
}

impl OwnThreads {
    pub fn new() -> Self {
        Self {
            handles: Locked::default(),
            pid: std::process::id(),
        }
    }

    pub fn add(&self, thread: JoinHandle<()>) {
        self.handles.with(|handles| handles.push(thread));
    }

    /// Waits until all have ended. Of two concurrent callers neither returns before that. The caller must be detached.
    pub fn join(&self) {
        self.handles.with(|handles| {
            for thread in handles.drain(..) {
                let _ = thread.join(); // if it panicked, the panic has been printed
            }
        });
    }

    /// Lets the threads that have not been joined end by themselves.
    pub fn leave(&self) {
        let left = self.handles.with(std::mem::take);
        drop(left);
    }
}

impl Drop for OwnThreads {
    fn drop(&mut self) {
        if std::process::id() != self.pid {
            std::mem::forget(std::mem::take(self.handles.get_mut()));
        }
    }
}
