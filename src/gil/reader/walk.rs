//! From a thread state through all its frames, innermost first.

use super::bytes::{Bytes, is_plausible};
use super::data_stack::DataStack;
use super::position::Position;
use super::target::Target;
use crate::gil::stack::Doubt;

/// Who owns a frame: a thread, a generator or a frame object, or from here on the interpreter itself. The latter are no
/// frames of Python code: C code that calls Python puts them below the frame of the called function.
const GENERATOR: u8 = 1;
const FRAME_OBJECT: u8 = 2;
const INTERPRETER: u8 = 3;
const LAST_OWNER: u8 = 4;

/// A stack that is deeper, or that has become a circle while it was read, is not followed further.
const MAX_FRAMES: usize = 50_000;

/// Room for so many frames is kept between two reads.
const MAX_USUAL: usize = 1 << 11;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RawFrame {
    pub address: usize,
    pub code: usize,
    /// The address of the instruction.
    pub instruction: usize,
    pub is_generator: bool,
}

/// A thread's frames as one read showed them; some may not be complete.
#[derive(Default)]
pub struct Walk {
    position: Position,
    pub frames: Vec<RawFrame>,
}

impl Walk {
    /// Reads the frames of the thread with the state at this address.
    pub fn read(
        &mut self,
        target: &Target,
        stack: &mut DataStack,
        state: usize,
    ) -> Result<(), Doubt> {
        self.frames.clear();
        self.position = Position::read(target, state)?;
        stack.begin(target, self.position.chunk, self.position.top);
        self.follow(target, stack)
    }

    fn follow(&mut self, target: &Target, stack: &mut DataStack) -> Result<(), Doubt> {
        let layout = target.layout.frame;
        let Position { innermost, .. } = self.position;
        let mut at = innermost;
        // Calls of C code are at most as many as those of Python code, about.
        for _ in 0..2 * MAX_FRAMES {
            if !is_plausible(at) {
                return Err(if at == 0 {
                    Doubt::NoFrame
                } else {
                    Doubt::Structure
                });
            }
            let bytes = stack.frame(target, at, layout.size)?;
            let fields = Bytes(&bytes);
            let address = |offset: usize| fields.address(offset).ok_or(Doubt::Structure);
            let owner = fields.byte(layout.owner).ok_or(Doubt::Structure)?;
            if owner > LAST_OWNER {
                return Err(Doubt::Structure);
            }
            if owner < INTERPRETER {
                let code = address(layout.code)?;
                let code = if layout.tagged { code & !3 } else { code };
                if !is_plausible(code) || owner > FRAME_OBJECT {
                    return Err(Doubt::Structure);
                }
                if self.frames.len() == MAX_FRAMES {
                    return Err(Doubt::TooDeep);
                }
                self.frames.push(RawFrame {
                    address: at,
                    code,
                    instruction: address(layout.instruction)?,
                    is_generator: owner == GENERATOR,
                });
            }
            let previous = address(layout.previous)?;
            if previous == at {
                return Err(Doubt::Structure);
            }
            if previous == 0 {
                let is_entry = match layout.is_entry {
                    Some(offset) => fields.byte(offset).is_some_and(|entry| entry != 0),
                    None => owner >= INTERPRETER,
                };
                return if !is_entry {
                    Err(Doubt::Structure)
                } else if self.frames.is_empty() {
                    Err(Doubt::NoFrame)
                } else {
                    Ok(())
                };
            }
            at = previous;
        }
        Err(Doubt::TooDeep)
    }

    /// Whether the stack is so deep that reading it takes long.
    pub fn is_deep(&self) -> bool {
        self.frames.len() > MAX_USUAL
    }

    /// After a stack of usual depth, the memory that a very deep one took.
    pub fn give_back_memory(&mut self) {
        if !self.is_deep() {
            self.frames.shrink_to(MAX_USUAL);
        }
    }

    /// Whether the thread is where it was when this was read.
    pub fn is_still_there(&self, target: &Target, state: usize) -> bool {
        Position::read(target, state) == Ok(self.position)
    }

    /// How many of the outermost frames this read and the next one have in common; of the innermost of these only the code.
    pub fn common_with(&self, next: &Self) -> usize {
        let mut pairs = self.frames.iter().rev().zip(next.frames.iter().rev());
        let mut count = 0;
        for (frame, then) in pairs.by_ref() {
            let is_same_call = frame.address == then.address && frame.code == then.code;
            count += usize::from(is_same_call);
            if frame != then {
                break;
            }
        }
        count
    }

    /// Whether the thread can have stood in these frames from this read to the next: all frames are the same, and at the same
    /// instructions, except the innermost, which a thread that runs moves on all the time.
    pub fn stood_until(&self, next: &Self) -> bool {
        let (Some((innermost, outer)), Some((then, outer_then))) =
            (self.frames.split_first(), next.frames.split_first())
        else {
            return false;
        };
        self.position == next.position
            && innermost.address == then.address
            && innermost.code == then.code
            && outer == outer_then
    }
}
