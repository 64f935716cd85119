//! What the loops that are late do at this moment, for whoever looks at them.

use crate::gil::ThreadIds;
use crate::watch::cause_so_far::{self, Cause};
use crate::watch::stacks::FrameData;
use crate::watch::stall_so_far::LateNow;

/// A copy of what a stall shows so far.
#[derive(Clone)]
pub struct LateSeen {
    pub loop_number: u64,
    pub thread: ThreadIds,
    pub due_ns: u64,
    pub cause: Cause,
    /// Innermost frame first.
    pub frames: Vec<FrameData>,
    /// The other thread that holds the GIL, and its stack.
    pub holder: Option<(ThreadIds, Vec<FrameData>)>,
}

impl LateSeen {
    pub fn of(now: &LateNow<'_>, stall_ns: u64) -> Self {
        let frames_of = |thread: ThreadIds| {
            let mut stacks = now.stacks.iter().flat_map(|sample| &sample.stacks);
            let stack = stacks.find(|stack| stack.ident == thread.ident);
            stack.map(|stack| stack.frames.clone()).unwrap_or_default()
        };
        Self {
            loop_number: now.loop_number,
            thread: now.thread,
            due_ns: now.due_ns,
            cause: cause_so_far::cause(&now.evidence, now.late_ns(), stall_ns, None),
            frames: frames_of(now.thread),
            holder: now.holder.map(|(by, _)| (by, frames_of(by))),
        }
    }
}
