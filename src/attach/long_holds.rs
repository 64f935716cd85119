//! The long holds of the GIL, each with the stack that held it.
//!
//! What a thread does at the beginning of a hold may not be what it holds the GIL for. So the stack is read again whenever the hold
//! has become twice as long.

use std::collections::VecDeque;

use crate::gil::Gil;
use crate::gil::reader::Reader;
use crate::watch::gil_usage::Hold;
use crate::watch::gil_wait::{LONG_HOLD_SWITCH_INTERVALS, Sample};
use crate::watch::native_stacks::converted;
use crate::watch::stacks::FrameData;

const MAX_KEPT: usize = 2000;
/// The stack is read once a hold has lasted for this part of a long one.
const PART_BEFORE_STACK: u64 = 2;
/// How often it is tried to read the stack before the hold has become twice as long.
const MAX_ATTEMPTS: u32 = 5;

#[derive(Clone)]
pub struct LongHold {
    pub hold: Hold,
    /// Innermost frame first; empty if it could not be read.
    pub frames: Vec<FrameData>,
}

#[derive(Default)]
pub struct LongHolds {
    ended: VecDeque<LongHold>,
    current: Option<Current>,
    long_ns: u64,
}

struct Current {
    it: LongHold,
    /// The stack is read once the hold is as long as this.
    next_read_ns: u64,
    attempts: u32,
}

impl LongHolds {
    pub fn new(gil: Gil) -> Self {
        Self {
            long_ns: LONG_HOLD_SWITCH_INTERVALS * gil.interval_ns(),
            ..Self::default()
        }
    }

    /// Adds a sample. The stack of the thread that holds the GIL is read if the hold is long and the stack is not known yet.
    ///
    /// `turn_ns` says since when the thread that holds the GIL is in a turn of its loop, if it runs one: between two turns it has
    /// released the GIL.
    pub fn add(&mut self, sample: &Sample<'_>, reader: &mut Reader, turn_ns: Option<u64>) {
        let hold = sample.hold.map(|hold| Hold {
            from_ns: turn_ns.map_or(hold.from_ns, |since_ns| {
                hold.from_ns.max(since_ns.min(hold.to_ns))
            }),
            ..hold
        });
        let hold = hold.filter(|hold| {
            hold.by.native != 0 && hold.length_ns() >= self.long_ns / PART_BEFORE_STACK
        });
        let is_same = |current: &Current| {
            let before = current.it.hold;
            hold.is_some_and(|hold| hold.by == before.by && hold.from_ns == before.from_ns)
        };
        if !self.current.as_ref().is_some_and(is_same) {
            self.keep_current();
            self.current = hold.map(|hold| Current {
                it: LongHold {
                    hold,
                    frames: Vec::new(),
                },
                next_read_ns: 0,
                attempts: MAX_ATTEMPTS,
            });
        }
        let (Some(current), Some(hold)) = (&mut self.current, hold) else {
            return;
        };
        current.it.hold.to_ns = hold.to_ns;
        if hold.length_ns() < current.next_read_ns {
            return;
        }
        current.attempts -= 1;
        let read = reader.stack(hold.by.native).ok();
        let read = read.filter(|_| sample.is_same_hold_now());
        if read.is_some() || current.attempts == 0 {
            current.next_read_ns = 2 * hold.length_ns();
            current.attempts = MAX_ATTEMPTS;
        }
        if let Some(stack) = read {
            current.it.frames = converted(&stack).frames;
        }
    }

    /// The long holds that ended after `since_ns`, and the current one.
    pub fn since(&self, since_ns: u64) -> Vec<LongHold> {
        let current = self.current.iter().map(|current| &current.it);
        let all = self.ended.iter().chain(current);
        all.filter(|it| it.hold.to_ns > since_ns && it.hold.length_ns() >= self.long_ns)
            .cloned()
            .collect()
    }

    fn keep_current(&mut self) {
        if let Some(Current { it: ended, .. }) = self.current.take()
            && ended.hold.length_ns() >= self.long_ns
        {
            if self.ended.len() == MAX_KEPT {
                self.ended.pop_front();
            }
            self.ended.push_back(ended);
        }
    }
}
