//! A value that each process has for itself: a forked child creates a new one.
//!
//! Threads do not survive a fork, and a mutex that another thread held stays locked in the child for ever. So a value that
//! owns threads is stored with the id of its process, and a child never uses its parent's value.

use std::sync::atomic::{AtomicPtr, Ordering};

/// The value of this process or, in a forked child that has none yet, that of its parent. It is never freed: threads use it
/// until the process ends, and a child cannot drop its parent's value, because its threads cannot be joined.
pub struct PerProcess<T>(AtomicPtr<Owned<T>>);

struct Owned<T> {
    pid: u32,
    value: T,
}

impl<T: Sync> PerProcess<T> {
    pub const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// This process's value, if it was created already.
    pub fn get(&'static self) -> Option<&'static T> {
        Self::if_ours(self.0.load(Ordering::Acquire)) // pairs with the release in `get_or_try_init`
    }

    /// This process's value; `make` creates it at the first call.
    pub fn get_or_try_init<E>(
        &'static self,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<&'static T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        let built = Box::into_raw(Box::new(Owned {
            pid: std::process::id(),
            value: make()?,
        }));
        let mut seen = self.0.load(Ordering::Acquire);
        loop {
            if let Some(faster) = Self::if_ours(seen) {
                // Another thread was faster: `make` may release the GIL, and free-threaded builds have none.
                // SAFETY: `built` came from `Box::into_raw` above, and no other thread has seen it.
                drop(unsafe { Box::from_raw(built) });
                return Ok(faster);
            }
            // Release: a thread that loads this pointer sees the finished value. Acquire: this thread sees another's.
            match self
                .0
                .compare_exchange(seen, built, Ordering::AcqRel, Ordering::Acquire)
            {
                // SAFETY: `built` came from `Box::into_raw`, and a stored value is never freed.
                Ok(_) => return Ok(unsafe { &(*built).value }),
                Err(now) => seen = now,
            }
        }
    }

    fn if_ours(stored: *mut Owned<T>) -> Option<&'static T> {
        // SAFETY: `stored` is null, or from `Box::into_raw` and never freed. It was loaded with acquire ordering.
        let owned = unsafe { stored.as_ref() }?;
        (owned.pid == std::process::id()).then_some(&owned.value)
    }
}
