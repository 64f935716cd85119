//! Requests for stacks, from the sampler to whoever attaches first: the prober, or the late loop's own thread.

use std::sync::Condvar;
use std::time::Duration;

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::locked::Locked;
use crate::system::clock::now_ns;
use crate::watch::stacks::{self, CurrentTask, Stack};
use crate::watch::state::WatchState;
use crate::watch::thread_files::{Activity, ThreadFiles};

/// Threads whose stacks are requested in one stall, including the loop's own.
pub const MAX_THREADS: usize = 8;
/// Stack samples that the sampler has not taken. There are never more than loops; this only limits the memory.
const MAX_SAMPLES: usize = 64;

/// The stacks that were taken for one stall.
pub struct StackSample {
    pub id: u64,
    /// When the stacks were requested; `None` if they were read at once, without the GIL.
    pub asked_ns: Option<u64>,
    /// When they were taken.
    pub attached_ns: u64,
    /// The CPU time that it took to take them.
    pub took_ns: u64,
    pub stacks: Vec<Stack>,
    pub task: Option<CurrentTask>,
}

impl StackSample {
    /// When the first moment was that the stacks may show.
    pub fn first_ns(&self) -> u64 {
        self.asked_ns.unwrap_or(self.attached_ns)
    }

    /// Whether both show the same lines of the same threads.
    pub fn shows_same(&self, other: &Self) -> bool {
        let same = |(one, other): (&Stack, &Stack)| {
            one.ident == other.ident
                && one.root == other.root
                && one.request == other.request
                && one.frames == other.frames
        };
        self.stacks.len() == other.stacks.len()
            && self.task == other.task
            && self.stacks.iter().zip(&other.stacks).all(same)
    }

    pub fn has_stack_of(&self, thread: ThreadIds) -> bool {
        self.stacks.iter().any(|stack| stack.ident == thread.ident)
    }
}

pub struct StackRequest {
    id: u64,
    pub loop_number: u64,
    asked_ns: u64,
    /// The threads' `ident`s, the loop's first.
    idents: Vec<u64>,
    /// Whether to take some other threads' stacks too, if it is unknown which ones matter.
    stacks_of_others: bool,
}

#[derive(Default)]
struct Queue {
    requests: Vec<StackRequest>,
    samples: Vec<StackSample>,
    woken: bool,
    /// The prober has taken requests and not answered them yet.
    busy: bool,
}

/// The requests for stacks and their answers.
#[derive(Default)]
pub struct StackRequests {
    queue: Locked<Queue>,
    changed: Condvar,
}

impl StackRequests {
    /// Requests the stack of a loop's thread, with the number `id`.
    pub fn ask(
        &self,
        id: u64,
        asked_ns: u64,
        loop_number: u64,
        ident: u64,
        stacks_of_others: bool,
    ) {
        let request = StackRequest {
            id,
            loop_number,
            asked_ns,
            idents: vec![ident],
            stacks_of_others,
        };
        self.queue.with(|queue| queue.requests.push(request));
        self.changed.notify_one();
    }

    /// Adds a thread to a request. Has no effect once the request has been taken.
    pub fn add_thread(&self, id: u64, ident: u64) {
        self.queue.with(|queue| {
            let request = queue.requests.iter_mut().find(|request| request.id == id);
            if let Some(StackRequest { idents, .. }) = request
                && ident != 0
                && idents.len() < MAX_THREADS
                && !idents.contains(&ident)
            {
                idents.push(ident);
            }
        });
    }

    /// Drops a request, and its answer.
    pub fn cancel(&self, id: u64) {
        self.queue.with(|queue| {
            queue.requests.retain(|request| request.id != id);
            queue.samples.retain(|sample| sample.id != id);
        });
    }

    pub fn take_sample(&self, id: u64) -> Option<StackSample> {
        self.queue.with(|queue| {
            let at = queue.samples.iter().position(|sample| sample.id == id)?;
            Some(queue.samples.swap_remove(at))
        })
    }

    /// Whether a request has no answer yet.
    pub fn is_pending(&self) -> bool {
        self.queue
            .with(|queue| queue.busy || !queue.requests.is_empty())
    }

    /// Whether a loop whose thread is `ident` waits for an answer.
    pub fn has_one_of(&self, ident: u64) -> bool {
        self.queue.with(|queue| {
            let mut loops = queue.requests.iter().map(|request| request.idents.first());
            loops.any(|own| own == Some(&ident))
        })
    }

    /// Answers a loop's request from the loop's own thread, when its late beat has come before the prober has attached. The
    /// threads that the loop waited for have not run since. The loop's own stack shows nothing any more and is left out.
    pub fn answer_from_loop(&self, py: Python<'_>, watch: &WatchState, loop_number: u64) {
        let request = self.queue.with(|queue| {
            let is_its = |request: &StackRequest| request.loop_number == loop_number;
            let at = queue.requests.iter().position(is_its)?;
            Some(queue.requests.swap_remove(at))
        });
        if let Some(request) = request {
            let attached_ns = now_ns();
            let mut stacks = request.take_stacks(py, watch);
            stacks.retain(|stack| Some(&stack.ident) != request.idents.first());
            self.answer(&request, (attached_ns, 0), stacks, None);
        }
    }

    pub fn answer(
        &self,
        request: &StackRequest,
        (attached_ns, took_ns): (u64, u64),
        stacks: Vec<Stack>,
        task: Option<CurrentTask>,
    ) {
        let sample = StackSample {
            id: request.id,
            asked_ns: Some(request.asked_ns),
            attached_ns,
            took_ns,
            stacks,
            task,
        };
        self.queue.with(|queue| {
            if queue.samples.len() == MAX_SAMPLES {
                queue.samples.remove(0);
            }
            queue.samples.push(sample);
        });
    }

    /// Takes all requests. [`Self::finish`] must follow once they are answered.
    pub fn take_requests(&self) -> Vec<StackRequest> {
        self.queue.with(|queue| {
            queue.busy = !queue.requests.is_empty();
            std::mem::take(&mut queue.requests)
        })
    }

    pub fn finish(&self) {
        self.queue.with(|queue| queue.busy = false);
    }

    /// Ends a [`Self::wait`].
    pub fn wake(&self) {
        self.queue.with(|queue| queue.woken = true);
        self.changed.notify_one();
    }

    /// Waits for a request until `due_ns`. Returns whether there is one.
    pub fn wait(&self, due_ns: u64) -> bool {
        let left = Duration::from_nanos(due_ns.saturating_sub(now_ns()));
        self.queue.wait_timeout_while(&self.changed, left, |queue| {
            queue.requests.is_empty() && !queue.woken
        });
        self.queue.with(|queue| {
            queue.woken = false;
            !queue.requests.is_empty()
        })
    }
}

impl StackRequest {
    /// Takes the stacks, except that of a hog that may have moved on: it would show another line. The loop's own stack is
    /// that of its callback in any case.
    pub fn take_stacks(&self, py: Python<'_>, watch: &WatchState) -> Vec<Stack> {
        let own = self.idents.first();
        let now_ns = now_ns();
        let long = watch
            .gil_usage
            .with(|usage| usage.long_hold(self.asked_ns, now_ns));
        let moved_on = watch.gil.zip(long).and_then(|(gil, long)| {
            let by = long.hold.by;
            let activity = || ThreadFiles::new(by.native).activity(Some(gil));
            let sleeps = || !matches!(activity(), Activity::WaitsForGil | Activity::Runs);
            long.may_have_moved_on(gil.switches(), sleeps).then_some(by)
        });
        // A stack that cannot be read is left out: a watch that fails must not break what it watches.
        let mut stacks = stacks::take(py, &self.idents, self.stacks_of_others).unwrap_or_default();
        stacks.retain(|stack| {
            Some(&stack.ident) == own || moved_on.is_none_or(|ids| ids.ident != stack.ident)
        });
        stacks
    }
}
