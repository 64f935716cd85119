//! Lowers Python's switch interval for a while, and always restores it.
//!
//! This is native code because a signal handler may raise (`KeyboardInterrupt`) between any two steps of Python: here both
//! entering and leaving are one step.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// How many contexts are entered, and the interval to restore when the last of them is left.
struct Lowered {
    users: usize,
    usual: f64,
}

static LOWERED: Mutex<Lowered> = Mutex::new(Lowered {
    users: 0,
    usual: 0.0,
});

/// A context in which the switch interval is at most `interval`.
#[pyclass(frozen, module = "gilscope._core")]
pub struct LoweredSwitchInterval {
    interval: f64,
}

#[pymethods]
impl LoweredSwitchInterval {
    #[new]
    #[pyo3(signature = (*, interval))]
    fn new(interval: f64) -> Self {
        Self { interval }
    }

    /// Lower the interval; return what it was before the first context lowered it.
    fn __enter__(&self, py: Python<'_>) -> PyResult<f64> {
        let sys = py.import(intern!(py, "sys"))?;
        let mut lowered = lock();
        let now: f64 = sys
            .call_method0(intern!(py, "getswitchinterval"))?
            .extract()?;
        if now > self.interval {
            sys.call_method1(intern!(py, "setswitchinterval"), (self.interval,))?;
        }
        if lowered.users == 0 {
            lowered.usual = now;
        }
        lowered.users += 1;
        Ok(lowered.usual)
    }

    /// Restore the interval, if this is the last context.
    #[allow(clippy::unused_self)] // the protocol of contexts
    #[pyo3(signature = (*exception))]
    fn __exit__(&self, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        let sys = exception.py().import(intern!(exception.py(), "sys"))?;
        let mut lowered = lock();
        lowered.users = lowered.users.saturating_sub(1);
        if lowered.users == 0 {
            sys.call_method1("setswitchinterval", (lowered.usual,))?;
        }
        Ok(())
    }
}

/// Held only while functions of `sys` are called that run no Python code and so keep the GIL: no thread that holds the GIL
/// waits for a thread that holds the lock and waits for the GIL.
fn lock() -> MutexGuard<'static, Lowered> {
    LOWERED.lock().unwrap_or_else(PoisonError::into_inner)
}
