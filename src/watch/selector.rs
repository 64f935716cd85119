//! Whether a loop's thread sleeps in the loop's own selector, if that is not the epoll file that watches the heartbeat's timer: a
//! loop may use `select` or `poll`, and a class of loop that is not known watches no timer.
//!
//! The place of a call, which is its stack pointer, is learned once from a stack. A callback that waits for files of its own does so
//! from another place: the interpreter has called C code in between.

use crate::watch::native_stacks::NativeStacks;
use crate::watch::seen_stack::SeenStack;
use crate::watch::stacks::Below;
use crate::watch::thread_files::{Place, ThreadFiles};

/// The number of places that are remembered of each kind. Mostly there is one of the loop's own.
const MAX_PLACES: usize = 8;
/// A place is not the selector's if so many stacks say that, and none says the opposite.
const STACKS_TO_RULE_OUT: usize = 3;
/// After so many stacks no more are read. Then any place counts as the selector's.
const MAX_STACKS: u32 = 200;

#[derive(Default)]
pub struct Selector {
    own: Vec<Place>,
    /// Once for each stack that has shown it.
    others: Vec<Place>,
    stacks: u32,
}

impl Selector {
    /// Whether a thread that sleeps at `place` sleeps in the loop's selector. `native` is `None` if stacks cannot be read: then it
    /// is taken to.
    pub fn is_at(
        &mut self,
        place: Place,
        (native_id, below): (u64, Option<Below>),
        files: &ThreadFiles,
        native: Option<&mut NativeStacks>,
    ) -> bool {
        if self.own.contains(&place) {
            return true;
        }
        let votes = self.others.iter().filter(|it| **it == place).count();
        if votes >= STACKS_TO_RULE_OUT {
            return false;
        }
        let Some(native) = native.filter(|_| self.stacks < MAX_STACKS) else {
            return true;
        };
        self.stacks += 1;
        let Ok(stack) = native.reader.stack(native_id) else {
            return true;
        };
        let is_own = SeenStack::read(&stack).is_in_selector(below);
        files.begin_sample();
        let stays = files.selects_at() == Some(place);
        if stays {
            let places = if is_own {
                &mut self.own
            } else {
                &mut self.others
            };
            if places.len() >= MAX_PLACES * STACKS_TO_RULE_OUT {
                places.remove(0);
            }
            places.push(place);
        }
        is_own || !stays
    }
}
