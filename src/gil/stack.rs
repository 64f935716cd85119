//! A Python stack as it was read from memory, without the GIL.

use std::sync::Arc;

use super::ThreadIds;

/// How many frames are kept of each end of a stack: the innermost show what it was doing, the outermost what called that.
pub const FRAMES_KEPT_AT_EACH_END: usize = 64;

/// Why a stack is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Certainty {
    /// The thread could not change its frames meanwhile: another thread held the GIL from before the read until after it.
    Proved,
    /// Two reads in a row were equal in all frames, code objects and instructions; only the innermost frame may have gone on.
    ReadTwice,
}

/// Why there is no stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doubt {
    /// No thread state has this native id, or the thread runs no Python code.
    NoThread,
    NoFrame,
    /// The system refused a read, or nothing was mapped there.
    Memory,
    /// What was read is not a stack: it changed meanwhile.
    Structure,
    /// Two reads differed.
    Changed,
    /// The stack has more frames than are read.
    TooDeep,
}

/// One frame of Python code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Lone surrogates are escaped, as in `watch::text`.
    pub file: Arc<str>,
    /// The qualified name.
    pub function: Arc<str>,
    /// `None` for an instruction without a line, as `frame.f_lineno`.
    pub line: Option<u32>,
    pub first_line: u32,
    /// The index of the instruction, in code units of two bytes: `frame.f_lasti / 2`.
    pub instruction: i32,
    /// The addresses of the frame and of its code object.
    pub address: usize,
    pub code: usize,
    /// Whether the frame lies in a generator or a coroutine.
    pub is_generator: bool,
}

/// One thread's stack, innermost frame first: of a deep one both ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stack {
    pub thread: ThreadIds,
    /// The address of the thread state.
    pub state: usize,
    pub frames: Vec<Frame>,
    /// How many frames are left out behind the first [`FRAMES_KEPT_AT_EACH_END`].
    pub left_out: usize,
    pub certainty: Certainty,
}

impl Stack {
    /// How many frames the thread had.
    pub fn depth(&self) -> usize {
        self.frames.len() + self.left_out
    }
}
