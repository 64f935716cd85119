//! How many event loops another process runs, by one look at all of its threads.

use pyo3::prelude::*;

use super::census::has_uvloop;
use super::kind::Kind;
use super::places::Places;
use super::uv_loop::LoopTypes;
use crate::gil::process::Process;
use crate::system::clock::now_ns;

/// Return how many threads of a process run an event loop; `None` if it cannot be attached to.
#[pyfunction]
pub fn count_loops(pid: libc::pid_t) -> Option<usize> {
    let mut process = Process::find(pid).ok()?;
    let places = Places::of(&process)?;
    let mut reader = process.reader();
    let mut types = has_uvloop(pid).then(LoopTypes::default);
    let stacks = process.threads().into_iter();
    let stacks = stacks.filter_map(|ids| reader.stack(ids.native).ok());
    let loops =
        stacks.filter_map(|stack| Kind::in_stack(&places, types.as_mut(), &stack, now_ns()));
    Some(loops.count())
}
