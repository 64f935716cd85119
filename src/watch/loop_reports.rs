//! The time of loops as Python gets it: frozen classes of plain data, in seconds. The stub documents each field.

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::histogram::seconds;
use crate::watch::loop_times::{LoopTimes, OTHER_LOOPS};
use crate::watch::prober;
use crate::watch::reports::ThreadInfo;
use crate::watch::stacks::FrameData;
use crate::watch::time_tree::Branch;
use crate::watch::watcher::Watcher;

#[pyclass(frozen, get_all, module = "gilscope._core")]
#[derive(Clone)]
pub struct LoopSums {
    pub r#loop: u64,
    pub thread: ThreadInfo,
    pub busy: f64,
    pub asleep: f64,
    pub saturated: f64,
}

#[pyclass(frozen, get_all, module = "gilscope._core")]
pub struct BusySums {
    r#loop: u64,
    doing: &'static str,
    seconds: f64,
    frames: Vec<u32>,
    above: Option<usize>,
    task: Option<String>,
    coroutine: Option<String>,
    holder: Option<ThreadInfo>,
    holder_frames: Vec<u32>,
}

#[pyclass(frozen, get_all, module = "gilscope._core")]
pub struct BusyTree {
    frames: Vec<FrameData>,
    stacks: Vec<Py<BusySums>>,
}

/// A copy of what is in a tree, which is made into Python objects later, without its lock.
pub struct CopiedTree {
    frames: Vec<FrameData>,
    branches: Vec<Branch>,
}

/// How long each loop was busy and asleep.
#[pyfunction]
pub fn loop_times(py: Python<'_>, watcher: &Watcher) -> PyResult<Vec<LoopSums>> {
    watcher.must_own_threads()?;
    prober::read_names(py, &watcher.state);
    let sums = watcher.state.loop_times.with(|times| copied_sums(times));
    Ok(sums
        .into_iter()
        .map(|it| it.named(|ids| watcher.info(ids)))
        .collect())
}

/// Where the busy time went.
#[pyfunction]
pub fn time_tree(py: Python<'_>, watcher: &Watcher) -> PyResult<BusyTree> {
    watcher.must_own_threads()?;
    prober::read_names(py, &watcher.state);
    let copied = py.detach(|| watcher.state.loop_times.with(|times| CopiedTree::of(times)));
    copied.report(py, |ids| watcher.info(ids))
}

/// The sums of a loop, before its thread's name is looked up.
#[derive(Clone)]
pub struct CopiedSums {
    number: u64,
    thread: ThreadIds,
    busy_ns: u64,
    asleep_ns: u64,
    saturated_ns: u64,
}

pub fn copied_sums(times: &LoopTimes) -> Vec<CopiedSums> {
    let copy = |(number, time): (u64, &crate::watch::loop_time::LoopTime)| CopiedSums {
        number,
        thread: time.thread,
        busy_ns: time.busy_ns,
        asleep_ns: time.asleep_ns,
        saturated_ns: time.saturation.saturated_ns,
    };
    times.loops().map(copy).collect()
}

impl CopiedSums {
    /// What was added to the `earlier` sums. A loop for which nothing was is left out; and so are the loops that share their time,
    /// because the sums of a loop may have become theirs meanwhile.
    pub fn since(now: Vec<Self>, earlier: &[Self]) -> Vec<Self> {
        let later = |mut sums: Self| {
            if let Some(before) = earlier.iter().find(|before| before.number == sums.number) {
                sums.busy_ns = sums.busy_ns.saturating_sub(before.busy_ns);
                sums.asleep_ns = sums.asleep_ns.saturating_sub(before.asleep_ns);
                sums.saturated_ns = sums.saturated_ns.saturating_sub(before.saturated_ns);
            }
            sums
        };
        now.into_iter()
            .filter(|sums| sums.number != OTHER_LOOPS)
            .map(later)
            .filter(|sums| sums.busy_ns + sums.asleep_ns > 0)
            .collect()
    }

    /// `info` looks a thread's name up.
    pub fn named(&self, info: impl Fn(ThreadIds) -> ThreadInfo) -> LoopSums {
        LoopSums {
            r#loop: self.number,
            thread: info(self.thread),
            busy: seconds(self.busy_ns),
            asleep: seconds(self.asleep_ns),
            saturated: seconds(self.saturated_ns),
        }
    }
}

impl CopiedTree {
    /// With the time that no stack stands for yet, which has no frames.
    pub fn of(times: &LoopTimes) -> Self {
        let mut branches = times.tree.branches();
        for (number, time) in times.loops() {
            for (spent, ns) in time.waiting_by_kind().filter(|(_, ns)| *ns > 0) {
                branches.push(Branch::unseen(number, spent, ns));
            }
        }
        Self {
            frames: times.tree.frames(),
            branches,
        }
    }

    /// `info` looks a thread's name up.
    pub fn report(
        self,
        py: Python<'_>,
        info: impl Fn(ThreadIds) -> ThreadInfo,
    ) -> PyResult<BusyTree> {
        let outermost_first = |mut frames: Vec<u32>| {
            frames.reverse();
            frames
        };
        let text = |text: Option<crate::watch::text::Text>| text.map(|text| text.to_string());
        let report = |branch: Branch| {
            let sums = BusySums {
                r#loop: branch.loop_number,
                doing: branch.spent.name(),
                seconds: seconds(branch.ns),
                frames: outermost_first(branch.frames),
                above: branch.above,
                task: text(branch.task),
                coroutine: text(branch.coroutine),
                holder: (branch.holder.native != 0).then(|| info(branch.holder)),
                holder_frames: outermost_first(branch.holder_frames),
            };
            Py::new(py, sums)
        };
        Ok(BusyTree {
            frames: self.frames,
            stacks: self
                .branches
                .into_iter()
                .map(report)
                .collect::<PyResult<_>>()?,
        })
    }
}
