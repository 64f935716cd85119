//! What a knocker counts, and what Python gets of it.

use hdrhistogram::Histogram as Hdr;
use pyo3::prelude::*;

use crate::histogram;
use crate::system::run_queue::ThreadState;

/// A longer wait means that the GIL was held, if the system does not report whether the knocker slept. To attach takes 50 ns
/// if the GIL is free, and 10 us or more if the thread must be woken.
const MAX_WAIT_FOR_FREE_GIL_NS: u64 = 10_000;

/// One knock: when it was, how long it waited, and what the watched thread and the knocker's own thread did meanwhile.
#[pyclass(frozen, module = "gilscope._core")]
#[derive(Clone)]
pub struct Knock {
    #[pyo3(get)]
    pub start: f64,
    #[pyo3(get)]
    pub wait: f64,
    #[pyo3(get)]
    pub slept: Option<u64>,
    pub state: Option<ThreadState>,
    #[pyo3(get)]
    pub lowered: bool,
    /// For how long of the wait the thread that had the GIL kept it from all others.
    #[pyo3(get)]
    pub kept: Option<f64>,
    #[pyo3(get)]
    pub of_other_thread: bool,
    #[pyo3(get)]
    pub ran_before: f64,
    #[pyo3(get)]
    pub ran: f64,
    #[pyo3(get)]
    pub queued_before: f64,
    #[pyo3(get)]
    pub queued: f64,
    #[pyo3(get)]
    pub own_queued_before: f64,
    #[pyo3(get)]
    pub own_queued: f64,
}

#[pymethods]
impl Knock {
    /// Whether the knock found the GIL held.
    #[getter]
    fn held(&self) -> bool {
        let free = histogram::seconds(MAX_WAIT_FOR_FREE_GIL_NS);
        self.slept.map_or(self.wait > free, |sleeps| sleeps > 0)
    }

    #[getter]
    fn state(&self) -> Option<&'static str> {
        self.state.map(|state| match state {
            ThreadState::Unknown => "unknown",
            ThreadState::Running => "running",
            ThreadState::Runnable => "runnable",
            ThreadState::Blocked => "blocked",
        })
    }
}

/// Sums up to a moment: the difference of two of them is about the time in between.
#[pyclass(frozen, get_all, module = "gilscope._core")]
pub struct KnockTally {
    elapsed: f64,
    waited: f64,
    knocks: u64,
    held: u64,
    longest: f64,
    waiting: f64,
}

pub struct Tally {
    began_ns: u64,
    knocks: u64,
    held: u64,
    waited_ns: u64,
    longest_ns: u64,
    waits: Hdr<u64>,
    /// Set before the knock attaches.
    pub waiting_since_ns: Option<u64>,
    pub kept: Vec<Knock>,
    keep: usize,
}

impl Tally {
    pub fn new(keep: usize) -> Self {
        Self {
            began_ns: 0,
            knocks: 0,
            held: 0,
            waited_ns: 0,
            longest_ns: 0,
            waits: histogram::empty(),
            waiting_since_ns: None,
            kept: Vec::new(),
            keep,
        }
    }

    pub fn begin(&mut self, now_ns: u64) {
        self.began_ns = now_ns;
    }

    pub fn count(&mut self, start_ns: u64, end_ns: u64, knock: Knock) {
        let wait_ns = end_ns - start_ns;
        self.waiting_since_ns = None;
        self.knocks += 1;
        self.held += u64::from(knock.held());
        self.waited_ns += wait_ns;
        self.longest_ns = self.longest_ns.max(wait_ns);
        self.waits.saturating_record(wait_ns);
        if self.kept.len() < self.keep {
            self.kept.push(knock);
        }
    }

    /// The current wait counts with its length so far: otherwise one long wait would not be seen.
    pub fn read(&self, now_ns: u64) -> KnockTally {
        let waiting_ns = self
            .waiting_since_ns
            .map_or(0, |since| now_ns.saturating_sub(since));
        let waiting = u64::from(waiting_ns > MAX_WAIT_FOR_FREE_GIL_NS);
        KnockTally {
            elapsed: histogram::seconds(if self.began_ns == 0 {
                0
            } else {
                now_ns.saturating_sub(self.began_ns)
            }),
            waited: histogram::seconds(self.waited_ns + waiting_ns),
            knocks: self.knocks + waiting,
            held: self.held + waiting,
            longest: histogram::seconds(self.longest_ns.max(waiting_ns)),
            waiting: histogram::seconds(waiting_ns),
        }
    }

    pub fn wait_quantile(&self, q: f64) -> Option<f64> {
        histogram::quantile(&self.waits, q)
    }
}
