//! Where CPython keeps what a stack consists of: offsets in bytes, by version.
//!
//! The tables of 3.11 and 3.12 below were compared with the headers of 23 releases. From 3.13 on CPython publishes its
//! layout: see [`published`].

use super::published;
use crate::gil::Unreadable;
use crate::gil::memory::Memory;

#[derive(Clone, Copy)]
pub struct Layout {
    pub runtime: Runtime,
    pub interpreter: Interpreter,
    pub state: State,
    pub frame: Frame,
    pub code: Code,
    pub text: Text,
}

impl Layout {
    /// The layout of the CPython whose `_PyRuntime` is at `runtime`. `minor` is its version's second number.
    pub fn find(memory: Memory, runtime: usize, minor: u8) -> Result<Self, Unreadable> {
        match minor {
            11 => Ok(V311),
            12 => Ok(V312),
            _ => published::read(memory, runtime, minor),
        }
    }
}

/// In `_PyRuntime`.
#[derive(Clone, Copy)]
pub struct Runtime {
    pub interpreters: usize,
}

/// In `PyInterpreterState`.
#[derive(Clone, Copy)]
pub struct Interpreter {
    pub next: usize,
    pub id: usize,
    pub threads: usize,
    /// Whether garbage is collected just now (an `int`).
    pub collecting: usize,
    pub gil: Gil,
}

/// Where the GIL of the main interpreter is.
#[derive(Clone, Copy)]
pub enum Gil {
    /// In `_PyRuntime`, at this offset.
    InRuntime(usize),
    /// `PyInterpreterState` has a pointer to it, at this offset.
    Pointer(usize),
}

/// In `PyThreadState`.
#[derive(Clone, Copy)]
pub struct State {
    pub next: usize,
    pub interpreter: usize,
    /// `thread_id`; `native_thread_id` follows.
    pub ids: usize,
    pub frame: FramePointer,
    /// `datastack_chunk`; `datastack_top` follows.
    pub chunk: usize,
    /// The frame below all others, which every chain of frames ends at.
    pub size: usize,
}

/// Where a thread state has the pointer to its innermost frame.
#[derive(Clone, Copy)]
pub enum FramePointer {
    /// In its `_PyCFrame`: the offset of the pointer to that, and the offset in it.
    InCFrame(usize, usize),
    Direct(usize),
}

/// In `_PyInterpreterFrame`.
#[derive(Clone, Copy)]
pub struct Frame {
    pub code: usize,
    /// Whether the two lowest bits of the pointer to the code object are flags.
    pub tagged: bool,
    pub previous: usize,
    pub instruction: usize,
    pub owner: usize,
    /// 3.11 only: whether C code has called this frame.
    pub is_entry: Option<usize>,
    pub size: usize,
    /// The function's variables.
    pub variables: usize,
}

/// In `PyCodeObject`.
#[derive(Clone, Copy)]
pub struct Code {
    pub first_line: usize,
    /// A number that no other code object has, unless it is 0. 3.11 has none.
    pub version: Option<usize>,
    pub file: usize,
    pub function: usize,
    pub line_table: usize,
    /// Before this instruction a frame is not complete.
    pub first_traceable: usize,
    /// The instructions, behind all that is read of a code object.
    pub instructions: usize,
}

/// In `PyUnicodeObject`: where its characters are.
#[derive(Clone, Copy)]
pub struct Text {
    pub ascii: usize,
    pub compact: usize,
    /// The pointer to the characters of a string that is not compact.
    pub pointer: usize,
}

const V311: Layout = Layout {
    runtime: Runtime { interpreters: 40 },
    interpreter: Interpreter {
        next: 0,
        id: 48,
        threads: 16,
        collecting: 848,
        gil: Gil::InRuntime(360),
    },
    state: State {
        next: 8,
        interpreter: 16,
        ids: 152,
        frame: FramePointer::InCFrame(56, 8),
        chunk: 296,
        size: 312,
    },
    frame: Frame {
        code: 32,
        tagged: false,
        previous: 48,
        instruction: 56,
        owner: 69,
        is_entry: Some(68),
        size: 72,
        variables: 72,
    },
    code: Code {
        first_line: 72,
        version: None,
        file: 112,
        function: 128,
        line_table: 136,
        first_traceable: 168,
        instructions: 184,
    },
    text: Text {
        ascii: 48,
        compact: 72,
        pointer: 72,
    },
};

const V312: Layout = Layout {
    runtime: Runtime { interpreters: 40 },
    interpreter: Interpreter {
        next: 0,
        id: 8,
        threads: 72,
        collecting: 312,
        gil: Gil::Pointer(384),
    },
    state: State {
        next: 8,
        interpreter: 16,
        ids: 136,
        frame: FramePointer::InCFrame(56, 0),
        chunk: 232,
        size: 248,
    },
    frame: Frame {
        code: 0,
        tagged: false,
        previous: 8,
        instruction: 56,
        owner: 70,
        is_entry: None,
        size: 72,
        variables: 72,
    },
    code: Code {
        first_line: 68,
        version: Some(92),
        file: 112,
        function: 128,
        line_table: 136,
        first_traceable: 176,
        instructions: 192,
    },
    text: Text {
        ascii: 40,
        compact: 56,
        pointer: 56,
    },
};
