//! Reads what a busy loop does, for the time tree.

use crate::gil::ThreadIds;
use crate::system::clock::now_ns;
use crate::watch::gil_wait::Sample;
use crate::watch::loop_time::Doing;
use crate::watch::native_stacks::{NativeStacks, converted};
use crate::watch::stacks::Below;
use crate::watch::state::WatchState;
use crate::watch::time_tree::BusyStack;

/// The stack of a loop that is busy: of its thread `own`, where the loop's object is at the address `event_loop`. `None` if the loop
/// has fallen asleep since the sample was taken.
pub fn read(
    (watch, native): (&WatchState, &mut NativeStacks),
    ((own, event_loop), below): ((ThreadIds, usize), Option<Below>),
    (sample, doing): (&Sample<'_>, Doing),
    has_fallen_asleep: impl FnOnce() -> bool,
) -> Option<BusyStack> {
    native.begin_sample(now_ns(), 0);
    // A loop that runs changes its stack all the time.
    let seen = match doing {
        Doing::HoldsGil | Doing::Runs => native.see_outermost(own.native, event_loop, below),
        _ => native
            .see(own.native, event_loop)
            .or_else(|_| native.see_outermost(own.native, event_loop, below)),
    };
    if has_fallen_asleep() {
        return None;
    }
    let mut stack = BusyStack::default();
    if let Ok(seen) = seen {
        let read = converted(&seen.stack);
        stack.above = below.and_then(|below| read.above(below));
        stack.frames = read.frames;
        stack.task = seen.task;
    }
    if let Doing::WaitsForGil(holder) = doing
        && holder.native != 0
    {
        stack.holder = holder;
        let read = native.reader.stack(holder.native);
        // The stack shows for what the thread holds the GIL only if it has held it all along.
        if let Ok(read) = read
            && sample.is_same_hold_now()
        {
            native.note_name(watch, &read);
            stack.holder_frames = converted(&read).frames;
        }
    }
    Some(stack)
}
