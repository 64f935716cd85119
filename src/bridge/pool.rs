//! Threads for CPU-bound work that know nothing of Python.
//!
//! No worker attaches to the interpreter, and none holds a reference to a Python object: so none can be caught by an
//! interpreter that shuts down, and none ever waits for the GIL. There are as many as there are cores, made when they are
//! first needed, and more only when asked for; they stay until the process ends.
//!
//! Waking a thread costs a system call, and whoever submits works on an event loop's thread. So the submitter wakes one
//! worker at most, and no one while that one is on its way; it wakes the next if it finds more work than its own. And a
//! worker stays awake for a moment in the middle of a burst. It does not after a single job: where cores are scarce, a
//! worker that parks lets the loop have its core, and being woken is then faster than waiting awake.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Work, which must not panic. Returns whether more is likely to be submitted within microseconds.
pub type Job = Box<dyn FnOnce() -> bool + Send>;

const WORKER: &str = "gilscope-bridge";
/// How long a worker stays awake in a burst. A loop submits a job in one to three microseconds, and waking a worker for
/// it takes as long again.
const LINGER: Duration = Duration::from_micros(50);
const SPINS: usize = 16;

pub struct Pool {
    jobs: Mutex<Jobs>,
    /// How many jobs were ever submitted.
    submitted: AtomicUsize,
}

struct Jobs {
    waiting: VecDeque<Job>,
    /// The parked workers; the one that parked last is woken first, since its core is the warmest.
    idle: Vec<Thread>,
    workers: usize,
    limit: usize,
    /// Whether a worker is about to look for work: one that was woken or started, or one that lingers.
    coming: bool,
}

/// What it takes to have more done at once.
enum Help {
    None,
    Wake(Thread),
    Start,
}

impl Pool {
    pub fn new() -> Self {
        silence_panics_of_workers();
        Self {
            submitted: AtomicUsize::new(0),
            jobs: Mutex::new(Jobs {
                waiting: VecDeque::new(),
                idle: Vec::new(),
                workers: 0,
                limit: thread::available_parallelism().map_or(1, usize::from),
                coming: false,
            }),
        }
    }

    /// Lets up to `limit` workers be, if that is more than now; returns how many may be.
    pub fn grow(&self, limit: usize) -> usize {
        let mut jobs = self.lock();
        jobs.limit = jobs.limit.max(limit);
        jobs.limit
    }

    /// Has a worker do the job; fails only if there is no worker and none can be started.
    pub fn submit(&'static self, job: Job) -> io::Result<()> {
        let mut jobs = self.lock();
        jobs.waiting.push_back(job);
        self.submitted.fetch_add(1, Ordering::Relaxed);
        let help = jobs.help();
        drop(jobs);
        let Err(error) = self.fetch(help) else {
            return Ok(());
        };
        let mut jobs = self.lock();
        if jobs.workers > 0 {
            return Ok(()); // it is done by those there are
        }
        jobs.waiting.pop_back();
        Err(error)
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        // Nothing that can panic runs under the lock.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fetch(&'static self, help: Help) -> io::Result<()> {
        match help {
            Help::None => Ok(()),
            Help::Wake(worker) => {
                worker.unpark();
                Ok(())
            }
            Help::Start => {
                let builder = thread::Builder::new().name(WORKER.into());
                builder.spawn(|| self.work()).map(drop).inspect_err(|_| {
                    let mut jobs = self.lock();
                    jobs.workers -= 1;
                    jobs.coming = false;
                })
            }
        }
    }

    fn work(&'static self) -> ! {
        let mut jobs = self.lock();
        jobs.coming = false;
        let mut burst = false;
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                let help = jobs.help();
                drop(jobs);
                // No thread to be had: then those there are do it all.
                let _ = self.fetch(help);
                burst = job();
                jobs = self.lock();
            } else if burst && !jobs.coming {
                burst = false;
                jobs = self.linger(jobs);
            } else {
                jobs.idle.push(thread::current());
                drop(jobs);
                thread::park();
                jobs = self.lock();
                jobs.arrive();
            }
        }
    }

    /// Stays awake for a moment, so that the next job of a burst costs no wake-up; one worker does that, for all.
    fn linger<'a>(&'a self, mut jobs: MutexGuard<'a, Jobs>) -> MutexGuard<'a, Jobs> {
        jobs.coming = true;
        // Relaxed, here and below: the counter only ends the wait, and the jobs themselves are behind the mutex.
        let submitted = self.submitted.load(Ordering::Relaxed);
        drop(jobs);
        let begun = Instant::now();
        while begun.elapsed() < LINGER && self.submitted.load(Ordering::Relaxed) == submitted {
            for _ in 0..SPINS {
                std::hint::spin_loop();
            }
            // The loop's thread may be waiting for this very core.
            thread::yield_now();
        }
        let mut jobs = self.lock();
        jobs.coming = false;
        jobs
    }
}

impl Jobs {
    /// Notes that this thread is no longer parked: it was woken, or its parking ended by itself, which may happen.
    fn arrive(&mut self) {
        let me = thread::current().id();
        match self.idle.iter().position(|worker| worker.id() == me) {
            Some(place) => drop(self.idle.remove(place)),
            None => self.coming = false,
        }
    }

    /// Who else should come, if work is waiting; the caller must fetch it after giving up the lock.
    fn help(&mut self) -> Help {
        if self.waiting.is_empty() || self.coming {
            return Help::None;
        }
        let help = if let Some(worker) = self.idle.pop() {
            Help::Wake(worker)
        } else if self.workers < self.limit {
            self.workers += 1;
            Help::Start
        } else {
            return Help::None;
        };
        self.coming = true;
        help
    }
}

/// Keeps Rust from reporting on stderr the panics that are delivered as exceptions.
///
/// The hook is this library's own, since it links Rust's runtime statically; other threads' panics are reported as before.
fn silence_panics_of_workers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if thread::current().name() != Some(WORKER) {
                report(panic);
            }
        }));
    });
}
