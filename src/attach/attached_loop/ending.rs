//! A loop that is not found where it was: it has ended, or goes on in another frame.

use super::{AttachedLoop, Outside};
use crate::attach::kind::Kind;
use crate::attach::places::Places;
use crate::gil::stack::Stack;

/// After so many samples that have not found the loop where it was, a stack says whether it has ended; and after so many, it has,
/// even if no stack can be read.
const MIN_MISSED: u32 = 2;
const MAX_MISSED: u32 = 20;

impl AttachedLoop {
    /// Whether a loop that is not where it was has ended. Another loop may run on top of it now, or it runs again in another frame.
    pub(super) fn has_ended(&mut self, now_ns: u64, outside: &mut Outside<'_>) -> bool {
        self.missed += 1;
        if self.missed < MIN_MISSED {
            return false;
        }
        match outside.native.reader.stack(self.thread.native) {
            Ok(stack) => !self.follow_in(&stack, outside.places, now_ns),
            Err(_) => self.missed > MAX_MISSED,
        }
    }

    /// Follows the innermost loop of this stack of the thread from now on. Returns whether there is one.
    pub(super) fn follow_in(&mut self, stack: &Stack, places: &Places, now_ns: u64) -> bool {
        let Some(kind) = Kind::in_stack(places, None, stack, now_ns) else {
            return false;
        };
        self.turns.end(now_ns);
        (self.late_period, self.turn) = (None, None);
        // A loop that just begins, ends, or changes to its next iteration looks like one of an unknown kind.
        if kind.is_vague() && !self.kind.is_vague() {
            return self.missed <= MAX_MISSED;
        }
        self.selector = None;
        self.kind = kind;
        self.missed = 0;
        true
    }
}
