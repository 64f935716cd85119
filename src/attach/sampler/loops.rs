//! The loops that are sampled, as they come and go, and their time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Sampler;
use crate::attach::attached_loop::{AttachedLoop, Outside};
use crate::attach::census::Found;
use crate::attach::places::Places;
use crate::system::scheduling;
use crate::watch::busy_stack;
use crate::watch::gil_wait::Sample;
use crate::watch::loop_time::Doing;
use crate::watch::native_stacks::NativeStacks;
use crate::watch::state::WatchState;

impl Sampler {
    pub(super) fn add_to_loops(&mut self, sample: &Sample<'_>) {
        let shared = Arc::clone(&self.shared);
        let watch = &shared.watch;
        let weight_ns = sample.gap_ns.midpoint(self.gap_ns);
        let mut ended = Vec::new();
        for (at, it) in self.loops.iter_mut().enumerate() {
            let added = shared.turns.with(|log| {
                let outside = Outside {
                    watch,
                    places: &self.places,
                    native: &mut self.native,
                    log,
                };
                it.add(sample, outside)
            });
            if let Some(stall) = added.stall {
                watch.add_stall(stall);
            }
            if added.has_ended {
                ended.push(at);
                continue;
            }
            let around = (&*self.places, &mut self.native);
            match added.doing {
                Some(doing) => time_loop(watch, it, around, (sample, weight_ns), doing),
                None => watch.loop_times.with(|times| times.pause(it.number)),
            }
        }
        for at in ended.into_iter().rev() {
            let it = self.loops.swap_remove(at);
            watch.loop_times.with(|times| times.pause(it.number));
            self.census.ended(it.thread);
        }
    }

    /// Follows what the census has found.
    pub(super) fn take(&mut self, found: Found, now_ns: u64) {
        for thread in found.gone {
            self.drop_loops(|it| it.thread == thread, now_ns);
        }
        for (thread, kind) in found.loops {
            self.loops_so_far += 1;
            self.shared
                .loops
                .store(self.loops_so_far, Ordering::Relaxed); // used by itself
            let files = self.shared.watch.threads.files(thread.native);
            self.loops.push(AttachedLoop::new(
                self.loops_so_far,
                thread,
                kind,
                files,
                now_ns,
            ));
        }
    }

    pub(super) fn drop_loops(&mut self, is_over: impl Fn(&AttachedLoop) -> bool, now_ns: u64) {
        let shared = Arc::clone(&self.shared);
        let (over, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.loops)
            .into_iter()
            .partition(|it| is_over(it));
        self.loops = rest;
        for mut it in over {
            let stall = shared.turns.with(|log| {
                let mut outside = Outside {
                    watch: &shared.watch,
                    places: &self.places,
                    native: &mut self.native,
                    log,
                };
                it.end(now_ns, &mut outside)
            });
            if let Some(stall) = stall {
                shared.watch.add_stall(stall);
            }
            shared.watch.loop_times.with(|times| times.pause(it.number));
        }
    }
}

/// Adds what a sample shows of a loop to its times, and maybe a stack.
fn time_loop(
    watch: &WatchState,
    it: &mut AttachedLoop,
    (places, native): (&Places, &mut NativeStacks),
    (sample, weight_ns): (&Sample<'_>, u64),
    doing: Doing,
) {
    let wants_stack = watch.loop_times.with(|times| {
        times.add(it.number, it.thread, sample.now_ns, doing);
        doing != Doing::Asleep && times.wants_stack(sample.now_ns, weight_ns)
    });
    if !wants_stack {
        return;
    }
    let began_ns = scheduling::own_cpu_time_ns();
    let of_loop = ((it.thread, 0), None);
    let has_fallen_asleep = || it.has_fallen_asleep(places);
    let stack = busy_stack::read((watch, native), of_loop, (sample, doing), has_fallen_asleep);
    let queued_ns = it.queued_ns();
    let took_ns = scheduling::own_cpu_time_ns().saturating_sub(began_ns);
    watch.loop_times.with(|times| match &stack {
        Some(stack) => times.add_stack(it.number, doing, stack, queued_ns, took_ns),
        None => times.waste(took_ns),
    });
}
