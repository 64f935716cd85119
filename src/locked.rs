//! The one mutex of this library. It cannot be held while the GIL is released.
//!
//! A thread that holds a lock and releases the GIL lets another thread run, which waits for the lock with the GIL held: both
//! wait for ever. Any call into Python may release the GIL: it may allocate, allocating may collect garbage, and collecting
//! runs finalizers. So the value is only available inside a closure that cannot capture `Python` or `Bound`, because those
//! are not `Send`; or one that may, for which a thread waits without the GIL. `clippy.toml` forbids to lock any other mutex.
//!
//! One rule is left to the reader: a closure does not drop a `Py`, and does not attach.

use std::sync::{Condvar, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::MutexExt;

#[derive(Default)]
pub struct Locked<T>(Mutex<T>);

// After a panic under the lock the value is used all the same: no closure leaves one behind that is not valid.
#[allow(clippy::disallowed_methods)] // the closures of this module's callers cannot call Python
impl<T> Locked<T> {
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Calls `work` with the value, under the lock.
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R + Send) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The value, without locking: as the caller has the only reference, no other thread can use it.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// Like `with`, for a closure that calls Python: this thread waits for the lock without the GIL, so that the thread that
    /// has the lock can always acquire the GIL again. No Python code that the closure runs may use the value.
    pub fn with_python<R>(&self, py: Python<'_>, work: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self
            .0
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner);
        work(&mut value)
    }

    /// Like `with`, but `None` if another thread has the lock. For a garbage collector that visits what the value refers to:
    /// `visit` may use Python's visitor, which is not `Send`, but runs no Python code.
    pub fn visit<R>(&self, visit: impl FnOnce(&T) -> R) -> Option<R> {
        match self.0.try_lock() {
            Ok(value) => Some(visit(&value)),
            Err(TryLockError::Poisoned(poisoned)) => Some(visit(&poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Waits, without the lock, while `condition` holds. The caller must be detached.
    pub fn wait_while(&self, changed: &Condvar, mut condition: impl FnMut(&mut T) -> bool + Send) {
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(changed.wait_while(value, |value| condition(value)));
    }

    /// Like `wait_while`, for at most `timeout`. Returns whether the condition still held then.
    pub fn wait_timeout_while(
        &self,
        changed: &Condvar,
        timeout: Duration,
        mut condition: impl FnMut(&mut T) -> bool + Send,
    ) -> bool {
        let value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(value, timeout, |value| condition(value));
        waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}
