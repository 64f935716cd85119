//! Threads for CPU-bound work that never touch Python.
//!
//! No worker attaches to the interpreter, and none holds a reference to a Python object. So no worker ever waits for the
//! GIL, and none can be caught by an interpreter that shuts down. The pool starts a worker when a job needs one, up to one
//! a core (more if asked), and keeps each until the process ends.
//!
//! Waking a thread costs a system call, and jobs are submitted from an event loop's thread. So the submitter wakes at most
//! one worker, and none while a woken worker is still searching for a job. That worker wakes the next one if it finds more
//! jobs than its own. In a burst of jobs a worker spins for a moment before it parks. After a single job it parks at once:
//! where cores are scarce, a parked worker leaves its core to the loop, and being woken is then faster than spinning.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::system::signals;

/// A job must not panic. It returns whether more jobs are likely to be submitted within microseconds.
pub type Job = Box<dyn FnOnce() -> bool + Send>;

const WORKER_NAME: &str = "gilscope-bridge";
/// How long a worker spins in a burst. A loop submits a job in one to three microseconds, and waking a worker takes as long
/// again.
const MAX_SPIN: Duration = Duration::from_micros(50);
const SPINS_BETWEEN_YIELDS: usize = 16;

pub struct WorkerPool {
    state: Mutex<State>,
    /// How many jobs were ever submitted.
    submitted: AtomicUsize,
}

struct State {
    jobs: VecDeque<Job>,
    /// The parked workers. The one that parked last is woken first, since its core is the warmest.
    parked: Vec<Thread>,
    workers: usize,
    max_workers: usize,
    /// Whether a worker is about to look for a job: a worker that was woken or started, or that spins.
    searching: bool,
}

/// What to do, after the lock is released, so that another worker looks for a job.
enum NextWorker {
    NotNeeded,
    Wake(Thread),
    Start,
}

impl WorkerPool {
    pub fn new() -> Self {
        silence_panics_of_workers();
        Self {
            submitted: AtomicUsize::new(0),
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                parked: Vec::new(),
                workers: 0,
                max_workers: thread::available_parallelism().map_or(1, usize::from),
                searching: false,
            }),
        }
    }

    /// Raises the limit to `max_workers` if that is more than it is now; returns the limit.
    pub fn raise_limit(&self, max_workers: usize) -> usize {
        let mut state = self.lock();
        state.max_workers = state.max_workers.max(max_workers);
        state.max_workers
    }

    /// Has a worker run the job. Fails only if there is no worker and none can be started.
    pub fn submit(&'static self, job: Job) -> io::Result<()> {
        let mut state = self.lock();
        state.jobs.push_back(job);
        self.submitted.fetch_add(1, Ordering::Relaxed);
        let next = state.next_worker();
        drop(state);
        let Err(error) = self.wake_or_start(next) else {
            return Ok(());
        };
        let mut state = self.lock();
        if state.workers > 0 {
            return Ok(()); // the running workers will get to it
        }
        state.jobs.pop_back();
        Err(error)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock, nor anything of Python's: this file knows no Python.
        #[allow(clippy::disallowed_methods)]
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_or_start(&'static self, next: NextWorker) -> io::Result<()> {
        match next {
            NextWorker::NotNeeded => Ok(()),
            NextWorker::Wake(worker) => {
                worker.unpark();
                Ok(())
            }
            NextWorker::Start => {
                let builder = thread::Builder::new().name(WORKER_NAME.into());
                let started = signals::blocked(|| builder.spawn(|| self.run()));
                started.map(drop).inspect_err(|_| {
                    let mut state = self.lock();
                    state.workers -= 1;
                    state.searching = false;
                })
            }
        }
    }

    /// A worker's whole life.
    fn run(&'static self) -> ! {
        let mut state = self.lock();
        state.searching = false;
        let mut in_burst = false;
        loop {
            if let Some(job) = state.jobs.pop_front() {
                let next = state.next_worker();
                drop(state);
                // If no thread can be started, the running workers do all the jobs.
                let _ = self.wake_or_start(next);
                in_burst = job();
                state = self.lock();
            } else if in_burst && !state.searching {
                in_burst = false;
                state = self.spin(state);
            } else {
                state.parked.push(thread::current());
                drop(state);
                thread::park();
                state = self.lock();
                state.note_unparked();
            }
        }
    }

    /// Waits awake for a moment, so that the next job of a burst needs no wakeup. At most one worker spins at a time.
    fn spin<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.searching = true;
        // Relaxed, here and below: the counter only ends the wait, and the mutex protects the jobs.
        let submitted = self.submitted.load(Ordering::Relaxed);
        drop(state);
        let start = Instant::now();
        while start.elapsed() < MAX_SPIN && self.submitted.load(Ordering::Relaxed) == submitted {
            for _ in 0..SPINS_BETWEEN_YIELDS {
                std::hint::spin_loop();
            }
            // The loop's thread may be waiting for this core.
            thread::yield_now();
        }
        let mut state = self.lock();
        state.searching = false;
        state
    }
}

impl State {
    /// Notes that this thread is no longer parked. It was woken, or `park` returned spuriously.
    fn note_unparked(&mut self) {
        let this_thread = thread::current().id();
        let place = self
            .parked
            .iter()
            .position(|worker| worker.id() == this_thread);
        match place {
            Some(place) => drop(self.parked.remove(place)), // spurious: no thread has woken this one
            None => self.searching = false,
        }
    }

    /// Decides whether another worker is needed. The caller must release the lock, and then pass the answer to
    /// `wake_or_start`.
    fn next_worker(&mut self) -> NextWorker {
        if self.jobs.is_empty() || self.searching {
            return NextWorker::NotNeeded;
        }
        let next = if let Some(worker) = self.parked.pop() {
            NextWorker::Wake(worker)
        } else if self.workers < self.max_workers {
            self.workers += 1;
            NextWorker::Start
        } else {
            return NextWorker::NotNeeded;
        };
        self.searching = true;
        next
    }
}

/// Keeps Rust from printing the panics of workers to stderr: they are delivered as exceptions.
///
/// The panic hook belongs to this library alone, which links its own copy of Rust's runtime. Panics of other threads are
/// still printed.
fn silence_panics_of_workers() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print_panic = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if thread::current().name() != Some(WORKER_NAME) {
                print_panic(panic);
            }
        }));
    });
}
