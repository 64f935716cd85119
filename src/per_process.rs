//! A value that belongs to the process that made it: a forked child makes its own.
//!
//! Threads do not survive a fork, and a mutex that another thread held stays locked in the child. So whatever owns threads
//! is kept by the id of its process, and the child leaves the parent's alone.

use std::sync::atomic::{AtomicPtr, Ordering};

/// The newest process's value. It is never freed: threads use it until the process is gone, and in a forked child the
/// parent's cannot be dropped, since its threads cannot be joined and its mutexes may be locked for ever.
pub struct PerProcess<T>(AtomicPtr<Owned<T>>);

struct Owned<T> {
    pid: u32,
    value: T,
}

impl<T: Sync> PerProcess<T> {
    pub const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// This process's value, if it has one.
    pub fn get(&'static self) -> Option<&'static T> {
        Self::if_ours(self.0.load(Ordering::Acquire)) // pairs with the release in `get_or_try_init`
    }

    /// This process's value, which `make` makes if there is none yet.
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
                // Another thread built one meanwhile (`make` may let others run, and some builds have no GIL).
                // SAFETY: `built` came from `Box::into_raw` above, and nobody else has seen it.
                drop(unsafe { Box::from_raw(built) });
                return Ok(faster);
            }
            // Release: whoever loads the pointer sees the value as it was made. Acquire: so do we with another's.
            match self
                .0
                .compare_exchange(seen, built, Ordering::AcqRel, Ordering::Acquire)
            {
                // SAFETY: it came from `Box::into_raw`, and what is stored is never freed.
                Ok(_) => return Ok(unsafe { &(*built).value }),
                Err(now) => seen = now,
            }
        }
    }

    fn if_ours(stored: *mut Owned<T>) -> Option<&'static T> {
        // SAFETY: null, or from `Box::into_raw` and never freed once it is stored; read after an acquiring load.
        let owned = unsafe { stored.as_ref() }?;
        (owned.pid == std::process::id()).then_some(&owned.value)
    }
}
