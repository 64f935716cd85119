//! The thread that attaches: it knocks at random moments, and takes stacks when the sampler asks for them.
//!
//! A knock that was due while the witness already waited is entered with the wait that it would have had: otherwise long
//! waits would be counted once where short ones are counted often.
//!
//! It runs no Python code, so CPython never ends it halfway through some: a thread that CPython ends by unwinding, as it
//! does at exit, would abort the process when the unwinding meets Rust.

use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use crate::system::clock::now_ns;
use crate::system::pace::Pace;
use crate::system::scheduling::{self, Priority};
use crate::watch::shared::{Shared, guard};
use crate::watch::stacks::{self, Stack, Task};

/// Threads whose stacks are asked for in one stall, the loop's own among them.
const WANTED: usize = 8;
/// Testimonies that nobody has fetched. There are never more than loops; this only bounds the memory.
const UNFETCHED: usize = 64;

/// What the witness saw for one stall.
pub struct Testimony {
    id: u64,
    /// When it asked for the GIL, and when it had it.
    pub asked_ns: u64,
    pub attached_ns: u64,
    pub stacks: Vec<Stack>,
    pub task: Option<Task>,
}

struct Request {
    id: u64,
    pulse: u64,
    asked_ns: u64,
    /// `ident`s, the loop's first.
    wanted: Vec<u64>,
}

#[derive(Default)]
struct Tray {
    requests: Vec<Request>,
    testimonies: Vec<Testimony>,
    woken: bool,
    /// A request has been taken from the tray and its testimony is not there yet.
    busy: bool,
}

/// Where the sampler leaves requests and finds testimonies.
#[derive(Default)]
pub struct Desk {
    tray: Mutex<Tray>,
    arrived: Condvar,
}

impl Desk {
    pub fn ask(&self, id: u64, pulse: u64, ident: u64) {
        let mut tray = guard(&self.tray);
        tray.requests.push(Request {
            id,
            pulse,
            asked_ns: now_ns(),
            wanted: vec![ident],
        });
        self.arrived.notify_one();
    }

    /// One more thread that matters: heeded until the witness has attached.
    pub fn ask_too(&self, id: u64, ident: u64) {
        let mut tray = guard(&self.tray);
        let request = tray.requests.iter_mut().find(|request| request.id == id);
        if let Some(Request { wanted, .. }) = request
            && ident != 0
            && wanted.len() < WANTED
            && !wanted.contains(&ident)
        {
            wanted.push(ident);
        }
    }

    pub fn forget(&self, id: u64) {
        let mut tray = guard(&self.tray);
        tray.requests.retain(|request| request.id != id);
        tray.testimonies.retain(|testimony| testimony.id != id);
    }

    pub fn collect(&self, id: u64) -> Option<Testimony> {
        let mut tray = guard(&self.tray);
        let at = tray
            .testimonies
            .iter()
            .position(|testimony| testimony.id == id)?;
        Some(tray.testimonies.swap_remove(at))
    }

    /// Whether a testimony is still to come.
    pub fn is_awaited(&self) -> bool {
        let tray = guard(&self.tray);
        tray.busy || !tray.requests.is_empty()
    }

    /// Testifies in the witness's stead, from the loop's own thread, when its late beat has come: the threads that kept it
    /// waiting have not run since. Of the loop itself there is nothing to be seen any more.
    pub fn testify_for(&self, py: Python<'_>, shared: &Shared, pulse: u64) {
        let request = {
            let mut tray = guard(&self.tray);
            let at = tray
                .requests
                .iter()
                .position(|request| request.pulse == pulse);
            at.map(|at| tray.requests.swap_remove(at))
        };
        if let Some(request) = request {
            let mut stacks = take(py, shared, &request);
            stacks.retain(|stack| Some(&stack.ident) != request.wanted.first());
            self.deliver(&request, now_ns(), stacks, None);
        }
    }

    fn deliver(&self, request: &Request, attached_ns: u64, stacks: Vec<Stack>, task: Option<Task>) {
        let mut tray = guard(&self.tray);
        if tray.testimonies.len() == UNFETCHED {
            tray.testimonies.remove(0);
        }
        tray.testimonies.push(Testimony {
            id: request.id,
            asked_ns: request.asked_ns,
            attached_ns,
            stacks,
            task,
        });
    }

    pub fn wake(&self) {
        guard(&self.tray).woken = true;
        self.arrived.notify_one();
    }

    /// Waits for a request, until `due_ns` at most. Whether there is one.
    fn wait(&self, due_ns: u64) -> bool {
        let mut tray: MutexGuard<'_, Tray> = guard(&self.tray);
        while tray.requests.is_empty() && !tray.woken {
            let left = due_ns.saturating_sub(now_ns());
            if left == 0 {
                return false;
            }
            let (again, _) = self
                .arrived
                .wait_timeout(tray, Duration::from_nanos(left))
                .unwrap_or_else(PoisonError::into_inner);
            tray = again;
        }
        tray.woken = false;
        !tray.requests.is_empty()
    }
}

/// The witness's thread. `current_task` is `asyncio`'s, without a line of Python in it.
pub fn run(shared: &Shared, current_task: &Py<PyAny>) {
    scheduling::prepare_sampling_thread(Priority::RealTime);
    shared.name_own_thread();
    let mut pace = Pace::new();
    let mut knock_ns = now_ns() + pace.exponential_ns(shared.settings.knock_ns);
    while !shared.is_closing() || shared.desk.is_awaited() {
        let has_request = shared.desk.wait(knock_ns);
        if !has_request && (shared.is_closing() || now_ns() < knock_ns) {
            continue;
        }
        let asked_ns = now_ns();
        let attached_ns = Python::try_attach(|py| {
            let attached_ns = now_ns();
            testify(py, shared, current_task, attached_ns);
            if guard(&shared.ledger).take_strangers() {
                learn_names(py, shared);
            }
            attached_ns
        });
        let Some(attached_ns) = attached_ns else {
            return; // the interpreter is shutting down
        };
        shared
            .witness_ran_ns
            .store(scheduling::own_cpu_time_ns(), Ordering::Relaxed); // a sum, by itself
        // The first knock asked when it asked, however late this thread was woken; those that were due meanwhile did not.
        let mut since_ns = asked_ns;
        while knock_ns <= attached_ns {
            shared.waits.record_ns(attached_ns - knock_ns.max(since_ns));
            since_ns = 0;
            knock_ns += pace.exponential_ns(shared.settings.knock_ns).max(1);
        }
    }
}

fn testify(py: Python<'_>, shared: &Shared, current_task: &Py<PyAny>, attached_ns: u64) {
    let requests = {
        let mut tray = guard(&shared.desk.tray);
        tray.busy = !tray.requests.is_empty();
        std::mem::take(&mut tray.requests)
    };
    for request in requests {
        let stacks = take(py, shared, &request);
        let pulses = shared.pulses();
        let pulse = pulses.iter().find(|pulse| pulse.number == request.pulse);
        let event_loop = pulse.and_then(|pulse| pulse.event_loop(py));
        let task = event_loop.and_then(|event_loop| {
            stacks::task(current_task.bind(py), event_loop.bind(py)).unwrap_or_default()
        });
        shared.desk.deliver(&request, attached_ns, stacks, task);
    }
    guard(&shared.desk.tray).busy = false;
}

/// The stacks, but for that of a hog which has gone on: it would show another line. The loop's own is that of its callback
/// in any case.
fn take(py: Python<'_>, shared: &Shared, request: &Request) -> Vec<Stack> {
    let own = request.wanted.first();
    let gone_on = shared
        .gil
        .and_then(|gil| guard(&shared.ledger).gone_on(request.asked_ns, gil.switches()));
    // What cannot be read is not there: a watch that fails must not break what it watches.
    let mut stacks = stacks::take(py, &request.wanted).unwrap_or_default();
    stacks.retain(|stack| {
        Some(&stack.ident) == own || gone_on.is_none_or(|ids| ids.ident != stack.ident)
    });
    stacks
}

/// Keeps the names that `threading` gives the threads now, for when they have ended.
pub fn learn_names(py: Python<'_>, shared: &Shared) {
    const KEPT: usize = 1024;
    let threads = stacks::thread_names(py).unwrap_or_default();
    let mut names = guard(&shared.names);
    if names.len() > KEPT {
        names.retain(|_, name| name == "gilscope");
    }
    for (ident, native, name) in threads {
        names.insert(crate::gil::ThreadIds { ident, native }, name);
    }
}
