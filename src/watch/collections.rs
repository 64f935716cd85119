//! When the cyclic garbage collector runs, and in which thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::system::clock::now_ns;

/// The collection under way, if there is one, and what all of them took.
#[derive(Default)]
pub struct Collections {
    /// The `ident` of the thread that collects, or 0.
    collector: AtomicU64,
    since_ns: AtomicU64,
    spent_ns: AtomicU64,
}

impl Collections {
    /// Whether the thread named by `ident` is collecting.
    pub fn under_way_in(&self, ident: u64) -> bool {
        // Relaxed, here and below: one word looked at by itself. A sample that is a moment too early or too late counts
        // for a millisecond at most.
        ident != 0 && self.collector.load(Ordering::Relaxed) == ident
    }

    pub fn spent_ns(&self) -> u64 {
        self.spent_ns.load(Ordering::Relaxed)
    }
}

/// The callback for `gc.callbacks`. Native, since the youngest generation is collected thousands of times a second.
#[pyclass(frozen, module = "gilscope._core")]
pub struct CollectionListener(pub Arc<Collections>);

#[pymethods]
impl CollectionListener {
    #[pyo3(signature = (phase, info, /))]
    fn __call__(&self, phase: &str, info: &Bound<'_, PyAny>) {
        let _ = info;
        // Called with the GIL held, so no two of these run at once.
        let collections = &self.0;
        if phase == "start" {
            collections.since_ns.store(now_ns(), Ordering::Relaxed);
            collections.collector.store(own_ident(), Ordering::Relaxed);
        } else if collections.collector.swap(0, Ordering::Relaxed) != 0 {
            let since = collections.since_ns.load(Ordering::Relaxed);
            collections
                .spent_ns
                .fetch_add(now_ns().saturating_sub(since), Ordering::Relaxed);
        }
    }
}

fn own_ident() -> u64 {
    // SAFETY: asks who we are.
    unsafe { libc::pthread_self() as u64 }
}
