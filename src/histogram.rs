//! Durations, counted in constant memory: a high dynamic range histogram.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hdrhistogram::Histogram as Hdr;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A duration above this counts as this.
const LONGEST_NS: u64 = 86_400_000_000_000;
/// Of every recorded duration this many significant decimal digits are kept: an error of 0.1 % at most.
const DIGITS: u8 = 3;

/// Converts at the border: Rust counts nanoseconds, Python speaks of seconds.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, which is what is wanted
pub fn nanoseconds(seconds: f64) -> PyResult<u64> {
    if seconds.is_finite() {
        Ok((seconds.max(0.0) * 1e9).round() as u64)
    } else {
        Err(PyValueError::new_err(
            "a duration must be a finite number of seconds",
        ))
    }
}

#[allow(clippy::cast_precision_loss)] // 2^53 ns are 104 days
pub fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// No durations yet.
pub fn empty() -> Hdr<u64> {
    Hdr::new_with_bounds(1, LONGEST_NS, DIGITS).expect("the bounds are constants that fit")
}

/// The smallest duration that a share `q` (from 0 to 1) of those counted do not exceed; `None` when none is counted.
pub fn quantile(durations: &Hdr<u64>, q: f64) -> Option<f64> {
    (!durations.is_empty()).then(|| seconds(durations.value_at_quantile(q).min(durations.max())))
}

/// Count durations in constant memory, each to within 0.1 %.
#[pyclass(frozen, module = "gilscope._core")]
pub struct Histogram(Mutex<Hdr<u64>>);

impl Histogram {
    fn lock(&self) -> MutexGuard<'_, Hdr<u64>> {
        // A panic under the lock would leave a histogram that lacks one value: still a histogram.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Histogram {
    #[new]
    fn new() -> Self {
        Self(Mutex::new(empty()))
    }

    /// Count one duration.
    fn record(&self, duration: f64) -> PyResult<()> {
        let value = nanoseconds(duration)?;
        self.lock().saturating_record(value);
        Ok(())
    }

    /// Count `longest`, `longest - period`, and so on as long as they are not below 0, and return how many those were.
    fn record_schedule(&self, longest: f64, period: f64) -> PyResult<u64> {
        let (mut value, step) = (nanoseconds(longest)?, nanoseconds(period)?);
        if step == 0 {
            return Err(PyValueError::new_err(
                "period must be at least a nanosecond",
            ));
        }
        let mut histogram = self.lock();
        let mut recorded = 1;
        histogram.saturating_record(value);
        while value >= step {
            value -= step;
            histogram.saturating_record(value);
            recorded += 1;
        }
        Ok(recorded)
    }

    /// Return the smallest duration that a share `q` of those counted do not exceed; `None` when none is counted.
    fn quantile(&self, q: f64) -> PyResult<Option<f64>> {
        if !(0.0..=1.0).contains(&q) {
            return Err(PyValueError::new_err("q must be from 0 to 1"));
        }
        Ok(quantile(&self.lock(), q))
    }

    /// How many durations are counted.
    fn __len__(&self) -> usize {
        usize::try_from(self.lock().len()).unwrap_or(usize::MAX)
    }
}
