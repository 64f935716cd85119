//! The time of all loops of a process: how busy each is, and at which stacks.
//!
//! Stacks are read at some of the planned samples that show a loop busy, chosen by chance alone. Each stack stands for all of the
//! loop's time of its kind since the last stack of that kind: so the times of all stacks add up to the busy time, and the expected
//! time of a line does not depend on when stacks are read.

use std::collections::BTreeMap;

use crate::gil::ThreadIds;
use crate::system::pace::Pace;
use crate::watch::loop_time::{Doing, LoopTime, Spent};
use crate::watch::stack_budget::StackBudget;
use crate::watch::time_tree::{BusyStack, TimeTree};

/// Loops with times of their own. If there are more, those that have ended and were busy for the shortest time share one.
const MAX_LOOPS: usize = 50;
/// The number of all the loops that share their time.
pub const OTHER_LOOPS: u64 = 0;

pub struct LoopTimes {
    loops: BTreeMap<u64, LoopTime>,
    pub tree: TimeTree,
    budget: StackBudget,
    pace: Pace,
}

impl LoopTimes {
    pub fn new() -> Self {
        Self {
            loops: BTreeMap::new(),
            tree: TimeTree::default(),
            budget: StackBudget::default(),
            pace: Pace::new(),
        }
    }

    /// Adds what a planned sample shows of a loop.
    pub fn add(&mut self, number: u64, thread: ThreadIds, now_ns: u64, doing: Doing) {
        if !self.loops.contains_key(&number) {
            self.make_room();
        }
        let time = self
            .loops
            .entry(number)
            .or_insert_with(|| LoopTime::new(thread));
        if time.thread != thread {
            time.thread = thread;
            time.pause();
        }
        time.add(now_ns, doing);
    }

    /// The loop does not run: the time until the next sample of it is not its own.
    pub fn pause(&mut self, number: u64) {
        if let Some(time) = self.loops.get_mut(&number) {
            time.pause();
        }
    }

    /// Whether to read a stack of a loop that the planned sample just now shows busy; that sample stands for `weight_ns`.
    pub fn wants_stack(&mut self, now_ns: u64, weight_ns: u64) -> bool {
        self.budget.wants_stack(&mut self.pace, now_ns, weight_ns)
    }

    /// Adds the stack of a loop, as it was when the last planned sample showed it doing this. `queued_ns` is the run-queue delay of
    /// its thread so far, and `took_ns` the CPU time for reading the stack.
    pub fn add_stack(
        &mut self,
        number: u64,
        doing: Doing,
        stack: &BusyStack,
        queued_ns: Option<u64>,
        took_ns: u64,
    ) {
        self.budget.spend(took_ns);
        let (Some(time), Some(spent)) = (self.loops.get_mut(&number), Spent::of(doing)) else {
            return;
        };
        time.share_out_delay(queued_ns);
        for kind in [Some(spent), spent.without_cpu()].into_iter().flatten() {
            let ns = time.take(kind);
            self.tree.add(number, kind, stack, ns);
        }
    }

    /// The CPU time for a stack that was not used.
    pub fn waste(&mut self, took_ns: u64) {
        self.budget.spend(took_ns);
    }

    pub fn loops(&self) -> impl Iterator<Item = (u64, &LoopTime)> {
        self.loops.iter().map(|(&number, time)| (number, time))
    }

    /// Merges the half of the ended loops that was busy for the shortest time, if there are too many.
    fn make_room(&mut self) {
        if self.loops.len() < MAX_LOOPS {
            return;
        }
        let mut ended: Vec<(u64, u64)> = self
            .loops()
            .filter(|(number, time)| time.last_ns().is_none() && *number != OTHER_LOOPS)
            .map(|(number, time)| (time.busy_ns, number))
            .collect();
        ended.sort_unstable();
        ended.truncate(ended.len().div_ceil(2));
        for (_, number) in ended {
            let Some(time) = self.loops.remove(&number) else {
                continue;
            };
            let others = self
                .loops
                .entry(OTHER_LOOPS)
                .or_insert_with(|| LoopTime::new(ThreadIds::default()));
            others.merge(&time);
            self.tree.rename_loop(number, OTHER_LOOPS);
        }
    }
}

#[cfg(test)]
mod tests;
