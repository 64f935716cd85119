//! Requests, by a signal, for a dump of the last minutes. The signal's handler only counts. The sampler sees the count grow, also
//! while the main thread runs a long callback or native code holds the GIL, and calls the thread that writes dumps.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::locked::Locked;
use crate::system::counted_signal::{CountedSignal, count};

pub struct DumpRequests {
    signal: Option<i32>,
    counted: Locked<Option<CountedSignal>>,
    /// The signals that the sampler has seen, and those that were answered. Relaxed everywhere: each is used by itself.
    seen: AtomicU64,
    answered: AtomicU64,
}

impl DumpRequests {
    pub fn new(signal: Option<i32>) -> Self {
        Self {
            signal,
            counted: Locked::default(),
            seen: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    /// Begins to count the signal, if there is one.
    pub fn listen(&self) -> io::Result<()> {
        let Some(signal) = self.signal else {
            return Ok(());
        };
        let counted = CountedSignal::new(signal)?;
        self.seen.store(count(signal), Ordering::Relaxed);
        self.answered.store(count(signal), Ordering::Relaxed);
        self.counted.with(|it| *it = Some(counted));
        Ok(())
    }

    /// Gives the signal back to the program.
    pub fn leave_signal(&self) {
        if self.signal.is_some() {
            self.counted.with(|it| drop(it.take()));
        }
    }

    /// Whether there is a request that the last call did not see.
    pub fn is_new(&self) -> bool {
        let Some(signal) = self.signal else {
            return false;
        };
        let now = count(signal);
        self.seen.swap(now, Ordering::Relaxed) != now
    }

    /// How many requests there were since the last call.
    pub fn take(&self) -> u64 {
        let now = self.seen.load(Ordering::Relaxed);
        now - self.answered.swap(now, Ordering::Relaxed)
    }
}
