//! When the cyclic garbage collector runs, in which thread, and for how long: a callback for `gc.callbacks` in Rust.
//!
//! A callback written in Python would itself release the GIL, so native code that allocates would look as if it yielded. It
//! would also be slow: the youngest generation is collected thousands of times a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;

use crate::histogram::{nanoseconds, seconds};
use crate::locked::Locked;
use crate::system::clock::now_ns;

/// The callback, as Python uses it. A clone is another handle on the same figures.
#[pyclass(frozen, module = "gilscope._core")]
#[derive(Clone, Default)]
pub struct GcListener(Arc<GcPauses>);

#[derive(Default)]
struct GcPauses {
    /// The `ident` of the thread that is collecting, or 0.
    collector: AtomicU64,
    began_ns: AtomicU64,
    collected_ns: AtomicU64,
    /// Pauses at least this long are kept.
    keep_from_ns: Option<u64>,
    kept: Locked<Vec<(f64, f64)>>,
}

impl GcListener {
    /// The `ident` of the thread that is collecting, or 0.
    pub fn collector(&self) -> u64 {
        // Relaxed, here and below: each word is used by itself. A read that is a moment too early or too late misjudges one
        // sample, a millisecond, at most.
        self.0.collector.load(Ordering::Relaxed)
    }

    /// Adds time in which a process that is read from outside was seen to collect.
    pub fn add_collected_ns(&self, span_ns: u64) {
        self.0.collected_ns.fetch_add(span_ns, Ordering::Relaxed);
    }

    pub fn collected_ns(&self) -> u64 {
        self.0.collected_ns.load(Ordering::Relaxed)
    }
}

#[pymethods]
impl GcListener {
    #[new]
    #[pyo3(signature = (*, keep_from=None))]
    fn new(keep_from: Option<f64>) -> PyResult<Self> {
        Ok(Self(Arc::new(GcPauses {
            keep_from_ns: keep_from.map(nanoseconds).transpose()?,
            ..GcPauses::default()
        })))
    }

    /// Called by the collector before ("start") and after ("stop") each collection.
    #[pyo3(signature = (phase, info, /))]
    fn __call__(&self, phase: &str, info: &Bound<'_, PyAny>) {
        let _ = info;
        // Collections do not overlap, so neither do these calls.
        let now_ns = now_ns();
        let pauses = &self.0;
        if phase == "start" {
            pauses.began_ns.store(now_ns, Ordering::Relaxed);
            pauses.collector.store(own_ident(), Ordering::Relaxed);
        } else if pauses.collector.swap(0, Ordering::Relaxed) != 0 {
            let began_ns = pauses.began_ns.load(Ordering::Relaxed);
            let pause_ns = now_ns.saturating_sub(began_ns);
            pauses.collected_ns.fetch_add(pause_ns, Ordering::Relaxed);
            if pauses.keep_from_ns.is_some_and(|least| pause_ns >= least) {
                let pause = (seconds(began_ns), seconds(now_ns));
                pauses.kept.with(|kept| kept.push(pause));
            }
        }
    }

    /// The kept pauses, as (begin, end).
    fn pauses(&self) -> Vec<(f64, f64)> {
        self.0.kept.with(|kept| kept.clone())
    }
}

fn own_ident() -> u64 {
    // SAFETY: the call only returns the calling thread's id.
    unsafe { libc::pthread_self() }
}
