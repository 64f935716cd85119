//! What Python gets of a watch: frozen classes of plain data, in seconds. The stub documents each field.

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::histogram::{Histogram, seconds};
use crate::watch::evidence::{Contender, Evidence};
use crate::watch::heartbeat::LateBeat;
use crate::watch::stack_requests::StackSample;
use crate::watch::stacks::FrameData;

/// A stall that is over.
pub struct FinishedStall {
    pub loop_number: u64,
    pub thread: ThreadIds,
    pub late: LateBeat,
    pub noticed: Option<(u64, Option<ThreadIds>)>,
    pub evidence: Evidence,
    pub stack_sample: Option<StackSample>,
}

/// A thread's native id and name.
#[pyclass(frozen, get_all, module = "gilscope._core")]
#[derive(Clone)]
pub struct ThreadInfo {
    pub native_id: u64,
    pub name: Option<String>,
}

#[pyclass(frozen, get_all, module = "gilscope._core")]
#[derive(Clone)]
pub struct ContenderReport {
    thread: ThreadInfo,
    held: f64,
    held_long: f64,
    longest: f64,
    queued: f64,
    collected: f64,
    stack: Vec<FrameData>,
}

#[pyclass(frozen, get_all, module = "gilscope._core")]
#[derive(Clone)]
pub struct EvidenceReport {
    sampled: f64,
    unsampled: f64,
    held: f64,
    collected: f64,
    waited: f64,
    slept: f64,
    ran_without_gil: f64,
    unknown: f64,
    ran: Option<f64>,
    queued: Option<f64>,
    switches: u64,
    contenders: Vec<ContenderReport>,
}

#[pyclass(frozen, get_all, module = "gilscope._core")]
pub struct StallReport {
    r#loop: u64,
    thread: ThreadInfo,
    due: f64,
    came: f64,
    noticed: Option<f64>,
    noticed_holder: Option<ThreadInfo>,
    evidence: EvidenceReport,
    asked: Option<f64>,
    attached: Option<f64>,
    loop_stack: Vec<FrameData>,
    task: Option<String>,
    coroutine: Option<String>,
}

#[pyclass(frozen, get_all, module = "gilscope._core")]
pub struct WatchTotals {
    pub elapsed: f64,
    pub samples: u64,
    pub held: f64,
    pub held_by: Vec<(ThreadInfo, f64)>,
    pub waits: Histogram,
    pub lags: Histogram,
    pub collected: f64,
    pub cost: f64,
    pub lost: u64,
}

#[pyclass(frozen, get_all, module = "gilscope._core")]
pub struct GilHold {
    pub thread: ThreadInfo,
    pub start: f64,
    pub end: f64,
}

#[pyclass(frozen, get_all, module = "gilscope._core")]
pub struct Beat {
    pub at: f64,
    pub lag: f64,
}

impl FinishedStall {
    /// The ids of the threads that the report names. They may not have been seen to hold the GIL: the thread of a loop that
    /// sleeps in its callback may never have been.
    pub fn threads(&self) -> impl Iterator<Item = ThreadIds> + use<'_> {
        std::iter::once(self.thread).chain(self.evidence.contenders.keys().copied())
    }

    /// `info` looks a thread's name up.
    pub fn into_report(self, info: impl Fn(ThreadIds) -> ThreadInfo) -> StallReport {
        let (noticed, holder) = self.noticed.unzip();
        let sample = self.stack_sample.as_ref();
        let stack = |thread: ThreadIds| {
            let mut stacks = sample.into_iter().flat_map(|sample| &sample.stacks);
            let stack = stacks.find(|stack| stack.ident == thread.ident);
            stack.map(|stack| stack.frames.clone()).unwrap_or_default()
        };
        let task = sample.and_then(|sample| sample.task.as_ref());
        StallReport {
            r#loop: self.loop_number,
            thread: info(self.thread),
            due: seconds(self.late.due_ns),
            came: seconds(self.late.came_ns),
            noticed: noticed.map(seconds),
            noticed_holder: holder.flatten().map(&info),
            evidence: EvidenceReport::new(&self.evidence, |thread, contender| ContenderReport {
                thread: info(thread),
                held: seconds(contender.held_ns),
                held_long: seconds(contender.held_long_ns),
                longest: seconds(contender.longest_ns),
                queued: seconds(contender.queued_ns),
                collected: seconds(contender.collected_ns),
                stack: stack(thread),
            }),
            asked: sample.map(|sample| seconds(sample.asked_ns)),
            attached: sample.map(|sample| seconds(sample.attached_ns)),
            loop_stack: stack(self.thread),
            task: task.map(|task| task.name.clone()),
            coroutine: task.map(|task| task.coroutine.clone()),
        }
    }
}

impl EvidenceReport {
    fn new(
        evidence: &Evidence,
        contender: impl Fn(ThreadIds, &Contender) -> ContenderReport,
    ) -> Self {
        Self {
            sampled: seconds(evidence.sampled_ns),
            unsampled: seconds(evidence.unsampled_ns),
            held: seconds(evidence.held_ns),
            collected: seconds(evidence.collected_ns),
            waited: seconds(evidence.waited_ns),
            slept: seconds(evidence.slept_ns),
            ran_without_gil: seconds(evidence.ran_without_gil_ns),
            unknown: seconds(evidence.unknown_ns),
            ran: evidence.cpu.map(|cpu| seconds(cpu.ran_ns)),
            queued: evidence.cpu.map(|cpu| seconds(cpu.queued_ns)),
            switches: evidence.switches,
            contenders: evidence
                .contenders
                .iter()
                .map(|(&thread, figures)| contender(thread, figures))
                .collect(),
        }
    }
}
