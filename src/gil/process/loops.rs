//! How many event loops a process runs.

use pyo3::prelude::*;

use super::Process;
use crate::gil::stack::Stack;

/// Whether a thread runs an event loop: asyncio's own, or one that asyncio's `Runner` runs.
fn runs_loop(stack: &Stack) -> bool {
    stack.frames.iter().any(|frame| {
        (&*frame.function == "BaseEventLoop.run_forever" && frame.file.ends_with("base_events.py"))
            || (&*frame.function == "Runner.run" && frame.file.ends_with("runners.py"))
    })
}

/// Return how many threads of a process run an event loop; `None` if it cannot be attached to.
#[pyfunction]
pub fn count_loops(pid: libc::pid_t) -> Option<usize> {
    let mut process = Process::find(pid).ok()?;
    let mut reader = process.reader();
    let stacks = process.threads().into_iter();
    let stacks = stacks.filter_map(|ids| reader.stack(ids.native).ok());
    Some(stacks.filter(runs_loop).count())
}
