//! A stall as Python gets it: plain data, in seconds.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::gil::ThreadIds;
use crate::histogram::seconds;
use crate::watch::episode::Evidence;
use crate::watch::heart::LateBeat;
use crate::watch::witness::Testimony;

/// One stall, over.
pub struct Report {
    pub pulse: u64,
    pub own: ThreadIds,
    pub late: LateBeat,
    pub noticed: Option<(u64, Option<ThreadIds>)>,
    pub evidence: Evidence,
    pub testimony: Option<Testimony>,
}

impl Report {
    pub fn to_dict<'py>(
        &self,
        py: Python<'py>,
        name: impl Fn(ThreadIds) -> Option<String>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let thread = |ids: ThreadIds| -> PyResult<Bound<'py, PyDict>> {
            let thread = PyDict::new(py);
            thread.set_item("ident", ids.ident)?;
            thread.set_item("native_id", ids.native)?;
            thread.set_item("name", name(ids))?;
            Ok(thread)
        };
        let report = PyDict::new(py);
        report.set_item("loop", self.pulse)?;
        report.set_item("thread", thread(self.own)?)?;
        report.set_item("due", seconds(self.late.due_ns))?;
        report.set_item("came", seconds(self.late.came_ns))?;
        let (noticed, holder) = self.noticed.unzip();
        report.set_item("noticed", noticed.map(seconds))?;
        report.set_item("holder", holder.flatten().map(thread).transpose()?)?;
        self.add_evidence(&report, thread)?;
        self.add_testimony(&report)?;
        Ok(report)
    }

    fn add_evidence<'py>(
        &self,
        report: &Bound<'py, PyDict>,
        thread: impl Fn(ThreadIds) -> PyResult<Bound<'py, PyDict>>,
    ) -> PyResult<()> {
        let evidence = &self.evidence;
        for (key, value) in [
            ("sampled", evidence.sampled_ns),
            ("unsampled", evidence.unsampled_ns),
            ("held", evidence.held_ns),
            ("collected", evidence.collects_ns),
            ("waited", evidence.waits_ns),
            ("slept", evidence.sleeps_ns),
            ("ran_free", evidence.runs_ns),
            ("unknown", evidence.unknown_ns),
        ] {
            report.set_item(key, seconds(value))?;
        }
        report.set_item("switches", evidence.switches)?;
        report.set_item("ran", evidence.turns.map(|turns| seconds(turns.ran_ns)))?;
        report.set_item(
            "queued",
            evidence.turns.map(|turns| seconds(turns.queued_ns)),
        )?;
        let mut rivals = Vec::with_capacity(evidence.rivals.len());
        for (&ids, seen) in &evidence.rivals {
            let rival = thread(ids)?;
            rival.set_item("held", seconds(seen.held_ns))?;
            rival.set_item("held_long", seconds(seen.long_ns))?;
            rival.set_item("longest", seconds(seen.longest_ns))?;
            rival.set_item("queued", seconds(seen.queued_ns))?;
            rival.set_item("collected", seconds(seen.collects_ns))?;
            rivals.push(rival);
        }
        report.set_item("rivals", rivals)
    }

    fn add_testimony(&self, report: &Bound<'_, PyDict>) -> PyResult<()> {
        let testimony = self.testimony.as_ref();
        report.set_item("asked", testimony.map(|it| seconds(it.asked_ns)))?;
        report.set_item("attached", testimony.map(|it| seconds(it.attached_ns)))?;
        let stacks = PyDict::new(report.py());
        for stack in testimony.into_iter().flat_map(|it| &it.stacks) {
            let frames = stack.frames.iter();
            let rows = frames.map(|frame| (&frame.file, frame.line, &frame.function));
            stacks.set_item(stack.ident, rows.collect::<Vec<_>>())?;
        }
        report.set_item("stacks", stacks)?;
        let task = testimony.and_then(|it| it.task.as_ref());
        report.set_item("task", task.map(|task| &task.name))?;
        report.set_item("coroutine", task.map(|task| &task.coroutine))
    }
}
