//! What the threads of one watch share.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::gil::{Gil, ThreadIds, own_ids};
use crate::histogram::Histogram;
use crate::watch::collections::Collections;
use crate::watch::heart::{Beats, Pulse};
use crate::watch::ledger::Ledger;
use crate::watch::report::Report;
use crate::watch::witness::Desk;

/// Reports that nobody has fetched: beyond this, the oldest go, and are counted.
const UNFETCHED: usize = 1000;

#[derive(Clone, Copy)]
pub struct Settings {
    pub stall_ns: u64,
    pub heartbeat_ns: u64,
    pub sample_ns: u64,
    pub knock_ns: u64,
    pub trace: bool,
}

pub struct Shared {
    pub settings: Settings,
    pub gil: Option<Gil>,
    pub started_ns: u64,
    closing: AtomicBool,
    /// The same, for the sampler's naps.
    closed: Mutex<bool>,
    ended: Condvar,
    pub collections: Arc<Collections>,
    pub ledger: Mutex<Ledger>,
    pub names: Mutex<HashMap<ThreadIds, String>>,
    pub desk: Desk,
    pub waits: Histogram,
    pub lags: Histogram,
    pub beats: Arc<Beats>,
    /// Processor time that the sampler has taken so far, and the witness.
    pub sampler_ran_ns: AtomicU64,
    pub witness_ran_ns: AtomicU64,
    pulses: Mutex<Vec<Arc<Pulse>>>,
    /// Changes whenever `pulses` does, so that the sampler need not look there a thousand times a second.
    pulses_version: AtomicU64,
    outbox: Mutex<Outbox>,
    posted: Condvar,
}

#[derive(Default)]
struct Outbox {
    reports: VecDeque<Report>,
    lost: u64,
    closed: bool,
}

impl Shared {
    pub fn new(settings: Settings, gil: Option<Gil>, started_ns: u64) -> Self {
        Self {
            settings,
            gil,
            started_ns,
            closing: AtomicBool::new(false),
            closed: Mutex::default(),
            ended: Condvar::new(),
            collections: Arc::default(),
            ledger: Mutex::new(Ledger::new(started_ns, settings.trace)),
            names: Mutex::default(),
            desk: Desk::default(),
            waits: Histogram::new(),
            lags: Histogram::new(),
            beats: Arc::default(),
            sampler_ran_ns: AtomicU64::new(0),
            witness_ran_ns: AtomicU64::new(0),
            pulses: Mutex::default(),
            pulses_version: AtomicU64::new(0),
            outbox: Mutex::default(),
            posted: Condvar::new(),
        }
    }

    /// Names the calling thread as one of ours, where `threading` does not know it.
    pub fn name_own_thread(&self) {
        guard(&self.names).insert(own_ids(), "gilscope".into());
    }

    pub fn close(&self) {
        // SeqCst, as nobody counts the nanoseconds of an ending. What the threads must see before they end is behind locks.
        self.closing.store(true, Ordering::SeqCst);
        *guard(&self.closed) = true;
        self.ended.notify_all();
        self.desk.wake();
    }

    /// Sleeps, but not beyond the end of the watch.
    pub fn nap(&self, span_ns: u64) {
        let span = Duration::from_nanos(span_ns);
        let closed = guard(&self.closed);
        let woken = self
            .ended
            .wait_timeout_while(closed, span, |closed| !*closed);
        drop(woken);
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed) // a sample more or less
    }

    pub fn add_pulse(&self, pulse: Arc<Pulse>) {
        guard(&self.pulses).push(pulse);
        self.pulses_version.fetch_add(1, Ordering::Release); // pairs with the Acquire in `pulses_version`
    }

    pub fn remove_pulse(&self, number: u64) {
        guard(&self.pulses).retain(|pulse| pulse.number != number);
        self.pulses_version.fetch_add(1, Ordering::Release);
    }

    pub fn pulses_version(&self) -> u64 {
        self.pulses_version.load(Ordering::Acquire)
    }

    pub fn pulses(&self) -> Vec<Arc<Pulse>> {
        guard(&self.pulses).clone()
    }

    pub fn post(&self, report: Report) {
        let mut outbox = guard(&self.outbox);
        if outbox.reports.len() == UNFETCHED {
            outbox.reports.pop_front();
            outbox.lost += 1;
        }
        outbox.reports.push_back(report);
        self.posted.notify_one();
    }

    /// No more reports will be posted: whoever waits for one need not.
    pub fn close_outbox(&self) {
        guard(&self.outbox).closed = true;
        self.posted.notify_all();
    }

    /// The next report; waits for it. `None` once there will be no more.
    pub fn fetch(&self) -> Option<Report> {
        let mut outbox = guard(&self.outbox);
        loop {
            if let Some(report) = outbox.reports.pop_front() {
                return Some(report);
            }
            if outbox.closed {
                return None;
            }
            outbox = self
                .posted
                .wait(outbox)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What the watch itself has cost, up to some samples ago.
    pub fn ran_ns(&self) -> u64 {
        // Relaxed: two sums, each by itself.
        self.sampler_ran_ns.load(Ordering::Relaxed) + self.witness_ran_ns.load(Ordering::Relaxed)
    }

    pub fn lost(&self) -> u64 {
        guard(&self.outbox).lost
    }
}

/// A lock of this module. Nobody panics under one but for want of memory, and then the state is still whole.
pub fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
