//! Where the busy time of loops went, by stack, in bounded memory.
//!
//! A stack is a node of a tree: its innermost frame, with the node of the frames that called it. A node takes a few bytes, and
//! stacks share the nodes of what they have in common. If there are too many stacks, the names of their tasks are dropped; if
//! there are still too many, those with the least time are merged into one without frames. No time is lost.

use std::collections::HashMap;

use crate::gil::ThreadIds;
use crate::watch::loop_time::Spent;
use crate::watch::numbers::{Number, Numbers};
use crate::watch::stacks::FrameData;
use crate::watch::text::Text;

/// Stacks that are kept apart. Half of them are left after a merge.
const MAX_STACKS: usize = 2000;
/// How many frames are kept below the callback's, which the loop calls with these.
const FRAMES_BELOW_CALLBACK: usize = 3;

/// What a loop was seen to do.
#[derive(Default)]
pub struct BusyStack {
    /// Innermost first; empty if the stack could not be read.
    pub frames: Vec<FrameData>,
    /// How many frames lie above the one from which the loop calls its callbacks, if that is known.
    pub above: Option<usize>,
    /// The name of the task, and its coroutine's.
    pub task: Option<(String, String)>,
    /// While the loop waited for the GIL: the thread that held it, and its stack, innermost first.
    pub holder: ThreadIds,
    pub holder_frames: Vec<FrameData>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    loop_number: u64,
    spent: Spent,
    stack: Number,
    task: Number,
    coroutine: Number,
    holder: ThreadIds,
    holder_stack: Number,
}

struct Time {
    ns: u64,
    above: Option<usize>,
}

/// A stack with its time, as it is read from the tree: frames are indices into [`TimeTree::frames`].
pub struct Branch {
    pub loop_number: u64,
    pub spent: Spent,
    pub ns: u64,
    /// Innermost first, and empty if it is unknown, or if this is the time of many stacks.
    pub frames: Vec<Number>,
    pub above: Option<usize>,
    pub task: Option<Text>,
    pub coroutine: Option<Text>,
    pub holder: ThreadIds,
    /// Innermost first.
    pub holder_frames: Vec<Number>,
}

impl Branch {
    /// Time of which no stack was read.
    pub fn unseen(loop_number: u64, spent: Spent, ns: u64) -> Self {
        Self {
            loop_number,
            spent,
            ns,
            frames: Vec::new(),
            above: None,
            task: None,
            coroutine: None,
            holder: ThreadIds::default(),
            holder_frames: Vec::new(),
        }
    }
}

pub struct TimeTree {
    frames: Numbers<FrameData>,
    names: Numbers<Text>,
    /// The outer node and the frame of each node.
    nodes: Numbers<(Number, Number)>,
    times: HashMap<Key, Time>,
    most: usize,
}

impl Default for TimeTree {
    fn default() -> Self {
        Self::with_room_for(MAX_STACKS)
    }
}

impl TimeTree {
    fn with_room_for(most: usize) -> Self {
        Self {
            frames: Numbers::default(),
            names: Numbers::default(),
            nodes: Numbers::default(),
            times: HashMap::new(),
            most,
        }
    }

    /// Adds the time of one kind that a stack stands for.
    pub fn add(&mut self, loop_number: u64, spent: Spent, stack: &BusyStack, ns: u64) {
        if ns == 0 {
            return;
        }
        let kept = match stack.above {
            Some(above) => above + FRAMES_BELOW_CALLBACK,
            None => usize::MAX,
        };
        let node = self.node(&stack.frames[..stack.frames.len().min(kept)]);
        let (task, coroutine) = match &stack.task {
            // asyncio's own name is another one for each task.
            Some((name, coroutine)) if is_numbered(name) => (0, self.name(coroutine)),
            Some((name, coroutine)) => (self.name(name), self.name(coroutine)),
            None => (0, 0),
        };
        let key = Key {
            loop_number,
            spent,
            stack: node,
            task,
            coroutine,
            holder: stack.holder,
            holder_stack: self.node(&stack.holder_frames),
        };
        self.credit(key, ns, stack.above);
        if self.times.len() > self.most {
            self.merge();
        }
    }

    /// Counts the time of a loop as that of another one.
    pub fn rename_loop(&mut self, from: u64, to: u64) {
        let (moved, rest): (Vec<_>, Vec<_>) = self
            .times
            .drain()
            .partition(|(key, _)| key.loop_number == from);
        self.times.extend(rest);
        for (key, time) in moved {
            let key = Key {
                loop_number: to,
                ..key
            };
            self.credit(key, time.ns, time.above);
        }
    }

    /// All frames, each once. A number in a [`Branch`] is an index into these.
    pub fn frames(&self) -> Vec<FrameData> {
        self.frames.values.clone()
    }

    pub fn branches(&self) -> Vec<Branch> {
        let branch = |(key, time): (&Key, &Time)| Branch {
            loop_number: key.loop_number,
            spent: key.spent,
            ns: time.ns,
            frames: self.frames_of(key.stack),
            above: time.above,
            task: self.names.get(key.task).cloned(),
            coroutine: self.names.get(key.coroutine).cloned(),
            holder: key.holder,
            holder_frames: self.frames_of(key.holder_stack),
        };
        self.times.iter().map(branch).collect()
    }

    fn credit(&mut self, key: Key, ns: u64, above: Option<usize>) {
        let time = self.times.entry(key).or_insert(Time { ns: 0, above });
        time.ns += ns;
    }

    fn node(&mut self, frames: &[FrameData]) -> Number {
        frames.iter().rev().fold(0, |outer, frame| {
            let frame = self.frames.number(frame);
            self.nodes.number(&(outer, frame))
        })
    }

    fn name(&mut self, name: &str) -> Number {
        if name.is_empty() {
            0
        } else {
            self.names.number(&name.into())
        }
    }

    /// The frames of a node, as indices, innermost first.
    fn frames_of(&self, mut node: Number) -> Vec<Number> {
        let mut frames = Vec::new();
        while let Some(&(outer, frame)) = self.nodes.get(node) {
            frames.push(frame - 1);
            node = outer;
        }
        frames
    }

    /// Makes room: see the head of this file.
    fn merge(&mut self) {
        let without_task = |key: Key| Key { task: 0, ..key };
        self.rebuild(|key, _| without_task(key));
        if self.times.len() <= self.most / 2 {
            return;
        }
        let mut sums: Vec<u64> = self.times.values().map(|time| time.ns).collect();
        sums.sort_unstable_by_key(|&ns| std::cmp::Reverse(ns));
        let least_ns = sums[self.most / 2];
        self.rebuild(|key, ns| {
            if ns > least_ns {
                key
            } else {
                Key {
                    stack: 0,
                    coroutine: 0,
                    holder: ThreadIds::default(),
                    holder_stack: 0,
                    ..without_task(key)
                }
            }
        });
    }

    /// Gives each stack the key that `rekeyed` returns for it and its time, and forgets what no stack has any more.
    fn rebuild(&mut self, rekeyed: impl Fn(Key, u64) -> Key) {
        let old = std::mem::replace(self, Self::with_room_for(self.most));
        for (key, time) in &old.times {
            let key = rekeyed(*key, time.ns);
            let moved = Key {
                stack: self.copied(&old, key.stack),
                task: self.copied_name(&old, key.task),
                coroutine: self.copied_name(&old, key.coroutine),
                holder_stack: self.copied(&old, key.holder_stack),
                ..key
            };
            self.credit(moved, time.ns, time.above);
        }
    }

    fn copied(&mut self, old: &Self, node: Number) -> Number {
        let frames = old.frames_of(node);
        frames.iter().rev().fold(0, |outer, &frame| {
            let frame = self.frames.number(&old.frames.values[frame as usize]);
            self.nodes.number(&(outer, frame))
        })
    }

    fn copied_name(&mut self, old: &Self, name: Number) -> Number {
        old.names
            .get(name)
            .map_or(0, |name| self.names.number(name))
    }
}

/// Whether this is the name that asyncio gives to a task that has none.
fn is_numbered(task: &str) -> bool {
    task.strip_prefix("Task-").is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests;
