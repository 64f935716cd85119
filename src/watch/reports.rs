//! What Python gets of a watch: frozen classes of plain data, in seconds. The stub documents each field.

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::histogram::{Histogram, seconds};
use crate::watch::evidence::{Contender, Evidence};
use crate::watch::heartbeat::LateBeat;
use crate::watch::late_period::Noticed;
use crate::watch::segment::Segment;
use crate::watch::stacks::{Below, FrameData};

/// A stall that is over.
pub struct FinishedStall {
    pub loop_number: u64,
    pub thread: ThreadIds,
    pub late: LateBeat,
    pub noticed: Noticed,
    pub segments: Vec<Segment>,
    /// From where the loop calls its callbacks, if it is known by now.
    pub below: Option<Below>,
    /// Whether the log in words has room for the stall's last line.
    pub told: bool,
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
    held_while_loop_slept: f64,
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
    segments: Vec<SegmentReport>,
    told: bool,
}

#[pyclass(frozen, get_all, module = "gilscope._core")]
#[derive(Clone)]
pub struct SegmentReport {
    evidence: EvidenceReport,
    asked: Option<f64>,
    attached: Option<f64>,
    loop_stack: Vec<FrameData>,
    above: Option<usize>,
    task: Option<String>,
    coroutine: Option<String>,
    request: Option<String>,
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
    pub log_dropped: u64,
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
        let segments = self.segments.iter();
        let contenders = segments.flat_map(|segment| segment.evidence.contenders.keys().copied());
        std::iter::once(self.thread).chain(contenders)
    }

    /// `info` looks a thread's name up.
    pub fn into_report(self, info: impl Fn(ThreadIds) -> ThreadInfo) -> StallReport {
        let (noticed, holder) = self.noticed.unzip();
        let mut all = Evidence::default();
        let segments = self.segments.iter();
        let segments: Vec<_> = segments
            .map(|segment| self.segment_report(segment, &info))
            .collect();
        for (index, segment) in self.segments.into_iter().enumerate() {
            if index == 0 {
                all = segment.evidence;
            } else {
                all.merge(segment.evidence);
            }
        }
        StallReport {
            r#loop: self.loop_number,
            thread: info(self.thread),
            due: seconds(self.late.due_ns),
            came: seconds(self.late.came_ns),
            noticed: noticed.map(seconds),
            noticed_holder: holder.flatten().map(&info),
            evidence: EvidenceReport::new(&all, &info, |_, _| Vec::new()),
            segments,
            told: self.told,
        }
    }

    fn segment_report(
        &self,
        segment: &Segment,
        info: &impl Fn(ThreadIds) -> ThreadInfo,
    ) -> SegmentReport {
        let sample = segment.sample.as_ref();
        let stack = |thread: ThreadIds| {
            let mut stacks = sample.into_iter().flat_map(|sample| &sample.stacks);
            stacks.find(|stack| stack.ident == thread.ident)
        };
        // Once the beat has come, the loop's thread runs another callback.
        let in_time = sample.is_some_and(|sample| sample.attached_ns <= self.late.came_ns);
        let own = stack(self.thread).filter(|_| in_time);
        let task = sample
            .filter(|_| in_time)
            .and_then(|sample| sample.task.as_ref());
        SegmentReport {
            evidence: EvidenceReport::new(&segment.evidence, info, |thread, contender| {
                let shown = sample
                    .filter(|sample| contender.held_at(sample.first_ns(), sample.attached_ns))
                    .and_then(|_| stack(thread));
                shown.map(|stack| stack.frames.clone()).unwrap_or_default()
            }),
            asked: sample.and_then(|sample| sample.asked_ns).map(seconds),
            attached: sample.map(|sample| seconds(sample.attached_ns)),
            loop_stack: own.map(|stack| stack.frames.clone()).unwrap_or_default(),
            above: self.below.and_then(|below| own?.above(below)),
            task: task.map(|task| task.name.clone()),
            coroutine: task.map(|task| task.coroutine.clone()),
            request: own.and_then(|stack| stack.request.clone()),
        }
    }
}

impl EvidenceReport {
    fn new(
        evidence: &Evidence,
        info: &impl Fn(ThreadIds) -> ThreadInfo,
        stack: impl Fn(ThreadIds, &Contender) -> Vec<FrameData>,
    ) -> Self {
        let contender = |(&thread, figures): (&ThreadIds, &Contender)| ContenderReport {
            thread: info(thread),
            held: seconds(figures.held_ns),
            held_long: seconds(figures.held_long_ns),
            longest: seconds(figures.longest_ns),
            queued: seconds(figures.queued_ns),
            collected: seconds(figures.collected_ns),
            held_while_loop_slept: seconds(figures.held_while_loop_slept_ns),
            stack: stack(thread, figures),
        };
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
            contenders: evidence.contenders.iter().map(contender).collect(),
        }
    }
}
