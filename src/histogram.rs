//! Durations, counted in constant memory: a high dynamic range histogram.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
///
/// A clone is another handle on the same counts, for a thread that records while Python reads.
#[pyclass(frozen, module = "gilscope._core")]
#[derive(Clone)]
pub struct Histogram(Arc<Mutex<Hdr<u64>>>);

impl Histogram {
    fn lock(&self) -> MutexGuard<'_, Hdr<u64>> {
        // A panic under the lock would leave a histogram that lacks one value: still a histogram.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn record_ns(&self, duration_ns: u64) {
        self.lock().saturating_record(duration_ns);
    }

    /// Counts `longest_ns` and what is `step_ns` less, and so on down to 0; returns how many those were.
    pub fn record_schedule_ns(&self, longest_ns: u64, step_ns: u64) -> u64 {
        let mut histogram = self.lock();
        let mut value = longest_ns;
        let mut recorded = 1;
        histogram.saturating_record(value);
        while value >= step_ns {
            value -= step_ns;
            histogram.saturating_record(value);
            recorded += 1;
        }
        recorded
    }
}

#[pymethods]
impl Histogram {
    #[new]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(empty())))
    }

    /// Count one duration.
    fn record(&self, duration: f64) -> PyResult<()> {
        self.record_ns(nanoseconds(duration)?);
        Ok(())
    }

    /// Count `longest`, `longest - period`, and so on as long as they are not below 0, and return how many those were.
    fn record_schedule(&self, longest: f64, period: f64) -> PyResult<u64> {
        let (longest, step) = (nanoseconds(longest)?, nanoseconds(period)?);
        if step == 0 {
            return Err(PyValueError::new_err(
                "period must be at least a nanosecond",
            ));
        }
        Ok(self.record_schedule_ns(longest, step))
    }

    /// Return the smallest duration that a share `q` of those counted do not exceed; `None` when none is counted.
    fn quantile(&self, q: f64) -> PyResult<Option<f64>> {
        if !(0.0..=1.0).contains(&q) {
            return Err(PyValueError::new_err("q must be from 0 to 1"));
        }
        Ok(quantile(&self.lock(), q))
    }

    /// Return how many of those counted are at most as long as each of `bounds`.
    fn counts_up_to(&self, bounds: Vec<f64>) -> PyResult<Vec<u64>> {
        let histogram = self.lock();
        bounds
            .into_iter()
            .map(|bound| Ok(histogram.count_between(0, nanoseconds(bound)?)))
            .collect()
    }

    /// Return the sum of the durations counted, to within 0.1 %.
    #[allow(clippy::cast_precision_loss)] // 2^53 durations are enough
    fn total(&self) -> f64 {
        let histogram = self.lock();
        histogram.mean() * histogram.len() as f64 / 1e9
    }

    /// Return a histogram of its own with the same counts.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }

    /// How many durations are counted.
    fn __len__(&self) -> usize {
        usize::try_from(self.lock().len()).unwrap_or(usize::MAX)
    }
}
