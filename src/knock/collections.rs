//! When the garbage collector ran, noted by a callback that runs no Python.
//!
//! A callback in Python would falsify what it watches: each of its calls is a place where the GIL is given up, so that
//! native code that makes many objects, and hogs, would yield.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::histogram::{nanoseconds, seconds};
use crate::system::clock::now_ns;

/// A callback for `gc.callbacks`.
#[pyclass(frozen, module = "gilscope._core")]
pub struct Collections {
    shortest_ns: u64,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    began_ns: Option<u64>,
    pauses: Vec<(f64, f64)>,
}

#[pymethods]
impl Collections {
    #[new]
    #[pyo3(signature = (*, shortest))]
    fn new(shortest: f64) -> PyResult<Self> {
        Ok(Self {
            shortest_ns: nanoseconds(shortest)?,
            noted: Mutex::default(),
        })
    }

    /// Called by the collector before ("start") and after ("stop") each collection.
    fn __call__(&self, phase: &str, _info: &Bound<'_, PyAny>) {
        let now_ns = now_ns();
        let mut noted = self.lock();
        if phase == "start" {
            noted.began_ns = Some(now_ns);
        } else if let Some(began_ns) = noted.began_ns.take() {
            if now_ns - began_ns >= self.shortest_ns {
                noted.pauses.push((seconds(began_ns), seconds(now_ns)));
            }
        }
    }

    /// The collections that took long enough, as (begin, end).
    fn pauses(&self) -> Vec<(f64, f64)> {
        self.lock().pauses.clone()
    }
}

impl Collections {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        // A panic under the lock would lose one pause.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
