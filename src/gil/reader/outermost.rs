//! The outer part of the stack of a thread that runs so fast that no two reads of all of it are equal.

use super::{MAX_ATTEMPTS, Reader, frames};
use crate::gil::stack::{Certainty, Doubt, Stack};

impl Reader {
    /// The outermost frames of a thread, as many as two reads in a row have in common: all of them, if its stack has not changed
    /// meanwhile. The innermost of these frames may have gone on from its line.
    ///
    /// It is tried again if the stack has changed so that fewer than `least` frames are left: the first read has shown a thread that
    /// did something which the second one does not show any more.
    pub fn outermost(&mut self, native_id: u64, least: usize) -> Result<Stack, Doubt> {
        self.follow_fork();
        let mut doubt = Doubt::Changed;
        for _ in 0..MAX_ATTEMPTS {
            match self.common(native_id, least) {
                Err(why @ (Doubt::NoThread | Doubt::TooDeep)) => return Err(why),
                Err(why) => doubt = why,
                Ok(stack) => return Ok(stack),
            }
        }
        Err(doubt)
    }

    fn common(&mut self, native_id: u64, least: usize) -> Result<Stack, Doubt> {
        let state = self.state_of(native_id)?;
        for walk in [&mut self.walk, &mut self.second_walk] {
            walk.read(&self.target, &mut self.stack, state.address)?;
        }
        let count = self.walk.common_with(&self.second_walk);
        let first = self.walk.frames.len() - count;
        if first > 0 && count < least {
            return Err(Doubt::Changed);
        }
        let frames = self.walk.frames.get(first..).unwrap_or_default();
        let resolved = frames::resolve(&self.target, &mut self.codes, frames);
        self.walk.give_back_memory();
        self.second_walk.give_back_memory();
        let (frames, left_out) = resolved?;
        if !self.is_listed(state) {
            return Err(Doubt::NoThread);
        }
        Ok(Stack {
            thread: state.ids,
            state: state.address,
            frames,
            left_out,
            certainty: Certainty::ReadTwice,
        })
    }
}
