//! Adds what planned samples show of the loops to their times, and reads the stacks for that.

use super::Sampler;
use crate::system::scheduling::own_cpu_time_ns;
use crate::watch::busy_stack;
use crate::watch::gil_wait::Sample;
use crate::watch::loop_time::Doing;
use crate::watch::time_tree::BusyStack;
use crate::watch::watched_loop::WatchedLoop;

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
                Some(native) => {
                    let heartbeat = &watched.heartbeat;
                    let of_loop = (watched.thread(), heartbeat.event_loop_address());
                    let below = heartbeat.below();
                    let has_fallen_asleep = || watched.has_fallen_asleep();
                    busy_stack::read(
                        (self.watch, native),
                        (of_loop, below),
                        (sample, doing),
                        has_fallen_asleep,
                    )
                }
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
