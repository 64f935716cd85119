//! Counts durations in constant memory, in a high dynamic range histogram.

use std::sync::Arc;

use hdrhistogram::Histogram as Hdr;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::locked::Locked;

/// One day. A longer duration counts as one day.
const MAX_DURATION_NS: u64 = 86_400_000_000_000;
/// Keeps each duration to within 0.1 %.
const SIGNIFICANT_DECIMAL_DIGITS: u8 = 3;

/// Converts a Python duration (float seconds) to nanoseconds, the unit in Rust. Negative durations become 0.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, as intended
pub fn nanoseconds(seconds: f64) -> PyResult<u64> {
    if seconds.is_finite() {
        Ok((seconds.max(0.0) * 1e9).round() as u64)
    } else {
        Err(PyValueError::new_err(
            "a duration must be a finite number of seconds",
        ))
    }
}

/// A duration that must be above 0, in nanoseconds. `name` is the argument that it was given as.
pub fn positive(name: &str, duration: f64) -> PyResult<u64> {
    match nanoseconds(duration)? {
        0 => Err(PyValueError::new_err(format!(
            "{name} must be more than 0 seconds"
        ))),
        duration_ns => Ok(duration_ns),
    }
}

#[allow(clippy::cast_precision_loss)] // exact up to 2^53 ns: 104 days
pub fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

pub fn empty() -> Hdr<u64> {
    Hdr::new_with_bounds(1, MAX_DURATION_NS, SIGNIFICANT_DECIMAL_DIGITS)
        .expect("these bounds are valid")
}

/// The `q` quantile (0 to 1): a share `q` of the counted durations is not longer. `None` if the histogram is empty.
pub fn quantile(durations: &Hdr<u64>, q: f64) -> Option<f64> {
    (!durations.is_empty()).then(|| seconds(durations.value_at_quantile(q).min(durations.max())))
}

/// Counts durations in constant memory, each to within 0.1 %.
///
/// A clone shares the counts: one thread can record while Python reads.
#[pyclass(frozen, module = "gilscope._core")]
#[derive(Clone)]
pub struct Histogram(Arc<Locked<Hdr<u64>>>);

impl Histogram {
    pub fn record_ns(&self, duration_ns: u64) {
        self.0.with(|it| it.saturating_record(duration_ns));
    }

    /// Counts the same duration `count` times.
    pub fn record_many_ns(&self, duration_ns: u64, count: u64) {
        self.0.with(|it| it.saturating_record_n(duration_ns, count));
    }

    /// Counts `longest_ns`, `longest_ns - step_ns` and so on while the value is at least 0; returns how many were counted.
    pub fn record_schedule_ns(&self, longest_ns: u64, step_ns: u64) -> u64 {
        self.0.with(|histogram| {
            let mut value = longest_ns;
            let mut recorded = 1;
            histogram.saturating_record(value);
            while value >= step_ns {
                value -= step_ns;
                histogram.saturating_record(value);
                recorded += 1;
            }
            recorded
        })
    }
}

#[pymethods]
impl Histogram {
    #[new]
    pub fn new() -> Self {
        Self(Arc::new(Locked::new(empty())))
    }

    /// Count one duration.
    fn record(&self, duration: f64) -> PyResult<()> {
        self.record_ns(nanoseconds(duration)?);
        Ok(())
    }

    /// Count `longest`, `longest - period` and so on while the value is at least 0; return how many were counted.
    fn record_schedule(&self, longest: f64, period: f64) -> PyResult<u64> {
        let (longest, step) = (nanoseconds(longest)?, nanoseconds(period)?);
        if step == 0 {
            return Err(PyValueError::new_err(
                "period must be at least a nanosecond",
            ));
        }
        Ok(self.record_schedule_ns(longest, step))
    }

    /// Return the `q` quantile: a share `q` of the counted durations is not longer. `None` if nothing was counted.
    fn quantile(&self, q: f64) -> PyResult<Option<f64>> {
        if !(0.0..=1.0).contains(&q) {
            return Err(PyValueError::new_err("q must be from 0 to 1"));
        }
        Ok(self.0.with(|it| quantile(it, q)))
    }

    /// Return, for each of `bounds`, how many counted durations are not longer.
    fn counts_up_to(&self, bounds: Vec<f64>) -> PyResult<Vec<u64>> {
        let bounds: PyResult<Vec<u64>> = bounds.into_iter().map(nanoseconds).collect();
        let bounds = bounds?.into_iter();
        let counts = |it: &mut Hdr<u64>| bounds.map(|bound| it.count_between(0, bound)).collect();
        Ok(self.0.with(counts))
    }

    /// Return the sum of all counted durations, to within 0.1 %.
    #[allow(clippy::cast_precision_loss)] // exact up to 2^53 durations
    fn total(&self) -> f64 {
        self.0.with(|it| it.mean() * it.len() as f64 / 1e9)
    }

    /// Return an independent histogram with the same counts.
    pub fn copy(&self) -> Self {
        Self(Arc::new(Locked::new(self.0.with(|it| it.clone()))))
    }

    /// Return how many durations were counted.
    fn __len__(&self) -> usize {
        usize::try_from(self.0.with(|it| it.len())).unwrap_or(usize::MAX)
    }
}
