//! Where a thread is: what its thread state says of its innermost frame and of the memory of its frames.

use super::bytes::{Bytes, is_plausible};
use super::layout::FramePointer;
use super::target::Target;
use crate::gil::ThreadIds;
use crate::gil::stack::Doubt;

/// A thread that calls a function, or returns from one, changes this.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    ids: ThreadIds,
    /// 3.11 and 3.12: the structure on the C stack that has the pointer to the innermost frame.
    cframe: Option<usize>,
    pub innermost: usize,
    /// The newest chunk of the data stack, and where its frames end.
    pub chunk: usize,
    pub top: usize,
}

impl Position {
    /// Reads the position of the thread with the state at this address.
    pub fn read(target: &Target, state: usize) -> Result<Self, Doubt> {
        let layout = target.layout.state;
        let mut bytes = [0; 2048];
        let bytes = bytes.get_mut(..layout.size).ok_or(Doubt::Structure)?;
        if !target.memory.read(state, bytes) {
            return Err(Doubt::Memory);
        }
        let fields = Bytes(bytes);
        let word = |offset: usize| fields.word(offset).ok_or(Doubt::Structure);
        let address = |offset: usize| fields.address(offset).ok_or(Doubt::Structure);
        let (cframe, innermost) = match layout.frame {
            FramePointer::Direct(offset) => (None, address(offset)?),
            FramePointer::InCFrame(pointer, offset) => {
                let cframe = address(pointer)?;
                if !is_plausible(cframe) {
                    return Err(Doubt::Structure);
                }
                let innermost = target.address(cframe + offset).ok_or(Doubt::Memory)?;
                (Some(cframe), innermost)
            }
        };
        Ok(Self {
            ids: ThreadIds {
                ident: word(layout.ids)?,
                native: word(layout.ids + 8)?,
            },
            cframe,
            innermost,
            chunk: address(layout.chunk)?,
            top: address(layout.chunk + 8)?,
        })
    }
}
