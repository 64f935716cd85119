//! What a knocker counts, and the records that Python reads of it.

use hdrhistogram::Histogram as Hdr;
use pyo3::prelude::*;

use crate::histogram;

/// Where the system does not tell whether a thread slept, a wait up to this long counts as none: an attach without
/// contention takes 50 ns, one that has to be woken 10 us or more.
const AT_ONCE_NS: u64 = 10_000;

/// One knock: when it was, how long it waited, and what the watched thread and the knocker's own did meanwhile.
#[pyclass(frozen, get_all, module = "gilscope._core")]
#[derive(Clone)]
pub struct Knock {
    pub start: f64,
    pub wait: f64,
    pub slept: Option<u64>,
    pub doing: Option<u8>,
    pub of_another: bool,
    pub ran_before: f64,
    pub ran: f64,
    pub queued_before: f64,
    pub queued: f64,
    pub own_queued_before: f64,
    pub own_queued: f64,
}

/// A cumulative reading: two of them, subtracted, tell of the time between.
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
    /// Published before the knock attaches.
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
        let held = knock
            .slept
            .map_or(wait_ns > AT_ONCE_NS, |sleeps| sleeps > 0);
        self.waiting_since_ns = None;
        self.knocks += 1;
        self.held += u64::from(held);
        self.waited_ns += wait_ns;
        self.longest_ns = self.longest_ns.max(wait_ns);
        self.waits.saturating_record(wait_ns);
        if self.kept.len() < self.keep {
            self.kept.push(knock);
        }
    }

    /// A wait in progress counts as far as it has come: otherwise a single long one is missed.
    pub fn read(&self, now_ns: u64) -> KnockTally {
        let waiting_ns = self
            .waiting_since_ns
            .map_or(0, |since| now_ns.saturating_sub(since));
        let waiting = u64::from(waiting_ns > AT_ONCE_NS);
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
