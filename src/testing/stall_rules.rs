//! The native rules of stalls, called with records of Python's.

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::histogram::nanoseconds;
use crate::watch::cause_so_far::{self, Probe};
use crate::watch::evidence::{Contender, Evidence};
use crate::watch::line_choice::{LineChoice, LineRules};
use crate::watch::stacks::FrameData;
use crate::watch::thread_files::CpuTimes;

/// `gilscope.records.stall.Evidence`.
#[derive(FromPyObject)]
pub struct EvidenceRecord {
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
    prober_waited: Option<f64>,
    stacks_age: Option<f64>,
    contenders: Vec<ContenderRecord>,
}

#[derive(FromPyObject)]
struct ContenderRecord {
    held: f64,
    held_long: f64,
    collected: f64,
}

/// The name of the cause of a stall of `duration`, as it is written while the stall lasts.
pub fn cause(
    seen: &EvidenceRecord,
    duration: f64,
    threshold: f64,
    reads_gil: bool,
) -> PyResult<&'static str> {
    let (evidence, probe) = (seen.evidence()?, seen.probe()?);
    let (late_ns, stall_ns) = (nanoseconds(duration)?, nanoseconds(threshold)?);
    let decide = if reads_gil {
        cause_so_far::cause
    } else {
        cause_so_far::without_gil
    };
    Ok(decide(&evidence, late_ns, stall_ns, probe).name())
}

/// Which of `frames` are the callback's, and the line to name of those: its index.
pub fn choice(
    rules: LineRules,
    packages: Vec<String>,
    frames: &[(String, u32, String)],
    above: Option<usize>,
) -> (usize, usize, Option<usize>, Option<usize>) {
    let frames: Vec<FrameData> = frames
        .iter()
        .map(|(file, line, function)| (file.as_str().into(), *line, function.as_str().into()))
        .collect();
    let choice = LineChoice::new(rules);
    choice.set_program_packages(packages);
    let index = |frame: Option<&FrameData>| {
        frames
            .iter()
            .position(|it| frame.is_some_and(|frame| std::ptr::eq(it, frame)))
    };
    let callback = choice.callback(&frames, above);
    let begin = callback
        .first()
        .and_then(|first| index(Some(first)))
        .unwrap_or(0);
    (
        begin,
        begin + callback.len(),
        index(choice.closest(callback)),
        index(choice.closest(&frames)),
    )
}

impl EvidenceRecord {
    fn evidence(&self) -> PyResult<Evidence> {
        let cpu = self.ran.zip(self.queued).map(|(ran, queued)| {
            Ok::<_, PyErr>(CpuTimes {
                ran_ns: nanoseconds(ran)?,
                queued_ns: nanoseconds(queued)?,
            })
        });
        let mut evidence = Evidence {
            sampled_ns: nanoseconds(self.sampled)?,
            unsampled_ns: nanoseconds(self.unsampled)?,
            held_ns: nanoseconds(self.held)?,
            collected_ns: nanoseconds(self.collected)?,
            waited_ns: nanoseconds(self.waited)?,
            slept_ns: nanoseconds(self.slept)?,
            ran_without_gil_ns: nanoseconds(self.ran_without_gil)?,
            unknown_ns: nanoseconds(self.unknown)?,
            cpu: cpu.transpose()?,
            switches: self.switches,
            ..Evidence::default()
        };
        for (native, contender) in (1..).zip(&self.contenders) {
            let ids = ThreadIds {
                ident: native,
                native,
            };
            let contender = Contender {
                held_ns: nanoseconds(contender.held)?,
                held_long_ns: nanoseconds(contender.held_long)?,
                collected_ns: nanoseconds(contender.collected)?,
                ..Contender::default()
            };
            evidence.contenders.insert(ids, contender);
        }
        Ok(evidence)
    }

    /// The stacks were taken `-stacks_age` before this moment.
    fn probe(&self) -> PyResult<Option<Probe>> {
        let Some((waited, age)) = self.prober_waited.zip(self.stacks_age) else {
            return Ok(None);
        };
        Ok(Some(Probe {
            waited_ns: nanoseconds(waited)?,
            asked_ago_ns: nanoseconds(waited - age)?,
        }))
    }
}
