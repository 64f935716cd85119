//! Lowers Python's switch interval for a while, and always restores it.
//!
//! This is native code because a signal handler may raise (`KeyboardInterrupt`) between any two steps of Python: here both
//! entering and leaving are one step.

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::locked::Locked;

/// The intervals that the entered contexts ask for, and the one to restore when the last of them is left. In microseconds,
/// as CPython stores them: `sys.getswitchinterval` returns 9.999999999999999e-05 for 100 us, and `sys.setswitchinterval`
/// makes 99 us of that.
struct Lowered {
    asked_us: Vec<u32>,
    usual_us: u32,
}

static LOWERED: Locked<Lowered> = Locked::new(Lowered {
    asked_us: Vec::new(),
    usual_us: 0,
});

/// A context in which the switch interval is at most `interval`.
#[pyclass(frozen, module = "gilscope._core")]
pub struct LoweredSwitchInterval {
    us: u32,
}

#[pymethods]
impl LoweredSwitchInterval {
    #[new]
    #[pyo3(signature = (*, interval))]
    fn new(interval: f64) -> PyResult<Self> {
        Ok(Self {
            us: microseconds(interval)?,
        })
    }

    /// Lower the interval; return what it was before the first context lowered it.
    fn __enter__(&self, py: Python<'_>) -> PyResult<f64> {
        lower(py, self.us).map(|usual_us| f64::from(usual_us) / 1e6)
    }

    /// Restore the interval that the other contexts ask for, or the usual one if this is the last context.
    #[pyo3(signature = (*exception))]
    fn __exit__(&self, exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        restore(exception.py(), self.us)
    }
}

impl Lowered {
    fn lowest_us(&self) -> u32 {
        let usual_us = self.usual_us;
        self.asked_us.iter().fold(usual_us, |low, &us| low.min(us))
    }
}

/// Lowers the interval to `asked_us` at most; returns what it was before the first that lowered it. [`restore`] must follow.
pub fn lower(py: Python<'_>, asked_us: u32) -> PyResult<u32> {
    LOWERED.with_python(py, |lowered| {
        if lowered.asked_us.is_empty() {
            lowered.usual_us = get_us(py)?;
        }
        lowered.asked_us.push(asked_us);
        set(py, lowered.lowest_us())?;
        Ok(lowered.usual_us)
    })
}

/// Takes back one [`lower`], if there is any.
pub fn restore(py: Python<'_>, asked_us: u32) -> PyResult<()> {
    LOWERED.with_python(py, |lowered| {
        let Some(at) = lowered.asked_us.iter().position(|&us| us == asked_us) else {
            return Ok(());
        };
        lowered.asked_us.swap_remove(at);
        set(py, lowered.lowest_us())
    })
}

/// Calls `work` while the interval is `us`, and restores the interval.
pub fn while_set_to<R>(py: Python<'_>, us: u32, work: impl FnOnce() -> R) -> PyResult<R> {
    LOWERED.with_python(py, |_| {
        let before_us = get_us(py)?;
        set(py, us)?;
        let done = work();
        set(py, before_us)?;
        Ok(done)
    })
}

/// The interval in microseconds.
pub fn get_us(py: Python<'_>) -> PyResult<u32> {
    let interval = py
        .import(intern!(py, "sys"))?
        .call_method0(intern!(py, "getswitchinterval"))?;
    microseconds(interval.extract()?)
}

fn set(py: Python<'_>, us: u32) -> PyResult<()> {
    // CPython cuts off to whole microseconds: half a microsecond more keeps the division from losing one.
    let interval = (f64::from(us) + 0.5) / 1e6;
    py.import(intern!(py, "sys"))?
        .call_method1(intern!(py, "setswitchinterval"), (interval,))
        .map(drop)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // in range, as the condition says
pub fn microseconds(interval: f64) -> PyResult<u32> {
    let us = (interval * 1e6).round();
    if us >= 1.0 && us <= f64::from(u32::MAX) {
        Ok(us as u32)
    } else {
        Err(PyValueError::new_err(
            "interval must be from a microsecond to an hour",
        ))
    }
}
