//! Adds what planned samples show of the loops to their times, and reads the stacks for that.

use super::Sampler;
use crate::system::clock::now_ns;
use crate::system::scheduling::own_cpu_time_ns;
use crate::watch::gil_wait::Sample;
use crate::watch::loop_time::Doing;
use crate::watch::native_stacks::{NativeStacks, converted};
use crate::watch::state::WatchState;
use crate::watch::time_tree::BusyStack;
use crate::watch::watched_loop::WatchedLoop;

/// How often it is tried to read the stack of a loop that runs fast. Then its time is of unknown stacks.
const MAX_ATTEMPTS: usize = 3;

impl Sampler<'_> {
    /// Must follow [`super::Rhythm::follow`], which knows for how much time the sample stands.
    pub(super) fn time_loops(&mut self, sample: &Sample<'_>) {
        self.add_times(sample);
        self.loops.iter().for_each(WatchedLoop::end_look);
    }

    fn add_times(&mut self, sample: &Sample<'_>) {
        let weight_ns = self.rhythm.weight_ns();
        let times = &self.watch.loop_times;
        for watched in &mut self.loops {
            let (number, thread) = (watched.heartbeat.loop_number, watched.thread());
            let Some(doing) = watched.doing.take() else {
                times.with(|times| times.pause(number));
                continue;
            };
            let wants_stack = times.with(|times| {
                times.add(number, thread, sample.now_ns, doing);
                doing != Doing::Asleep && times.wants_stack(sample.now_ns, weight_ns)
            });
            if !wants_stack {
                continue;
            }
            let began_ns = own_cpu_time_ns();
            let stack = match &mut self.stacks {
                Some(native) => busy_stack(self.watch, native, watched, sample, doing),
                None => Some(BusyStack::default()),
            };
            let queued_ns = watched.queued_ns();
            let took_ns = own_cpu_time_ns().saturating_sub(began_ns);
            times.with(|times| match &stack {
                Some(stack) => times.add_stack(number, doing, stack, queued_ns, took_ns),
                None => times.waste(took_ns),
            });
        }
    }
}

/// The stack of a loop that is busy. `None` if it has fallen asleep since the sample was taken.
fn busy_stack(
    watch: &WatchState,
    native: &mut NativeStacks,
    watched: &mut WatchedLoop,
    sample: &Sample<'_>,
    doing: Doing,
) -> Option<BusyStack> {
    let own = watched.thread();
    let event_loop = watched.heartbeat.event_loop_address();
    native.begin_sample(now_ns(), 0);
    let seen = (0..MAX_ATTEMPTS).find_map(|_| native.see(own.native, event_loop).ok());
    if watched.has_fallen_asleep() {
        return None;
    }
    let mut stack = BusyStack::default();
    if let Some(seen) = seen {
        let read = converted(&seen.stack);
        stack.above = watched
            .heartbeat
            .below()
            .and_then(|below| read.above(below));
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
