//! The layout that CPython 3.13 and later publish for debuggers in `_Py_DebugOffsets`, at the start of `_PyRuntime`. The tables
//! below say which of its words is which; its fields without a word there have the same place in all these versions.

use super::bytes::Bytes;
use super::layout::{Code, Frame, FramePointer, Gil, Interpreter, Layout, Runtime, State, Text};
use crate::gil::Unreadable;
use crate::gil::memory::Memory;

const COOKIE: [u8; 8] = *b"xdebugpy";
/// How many words are read behind the cookie; no table below goes further.
const WORDS: usize = 96;
/// No structure that a stack consists of has a published field further in, except `PyInterpreterState`.
const FURTHEST: usize = 1024;
const FURTHEST_IN_INTERPRETER: usize = 1 << 24;

/// Which word of `_Py_DebugOffsets` is which, counted from behind its cookie. The same in all three versions: the version 0,
/// whether it is free-threaded 1, `runtime_state.interpreters_head` 4, `interpreter_state`'s id, next and `threads_head` 6 to 8.
struct Words {
    /// `gc` of the interpreter.
    gc: usize,
    ceval_gil: usize,
    /// `interp` follows.
    state_next: usize,
    current_frame: usize,
    /// `native_thread_id` and `datastack_chunk` follow.
    thread_id: usize,
    /// `executable`, `instr_ptr` and `localsplus` follow.
    frame_previous: usize,
    frame_owner: usize,
    /// `name`, `qualname`, `linetable` and `firstlineno` follow.
    code_filename: usize,
    co_code_adaptive: usize,
    /// `length` and `asciiobject_size` follow.
    unicode_state: usize,
    gc_collecting: usize,
}

const V313: Words = Words {
    gc: 9,
    ceval_gil: 13,
    state_next: 20,
    current_frame: 22,
    thread_id: 23,
    frame_previous: 28,
    frame_owner: 32,
    code_filename: 34,
    co_code_adaptive: 42,
    unicode_state: 67,
    gc_collecting: 71,
};

const V314: Words = Words {
    gc: 10,
    ceval_gil: 14,
    state_next: 23,
    current_frame: 25,
    thread_id: 26,
    frame_previous: 31,
    frame_owner: 35,
    code_filename: 39,
    co_code_adaptive: 47,
    unicode_state: 77,
    gc_collecting: 81,
};

const V315: Words = Words {
    gc: 10,
    ceval_gil: 14,
    state_next: 23,
    current_frame: 25,
    thread_id: 29,
    frame_previous: 39,
    frame_owner: 43,
    code_filename: 47,
    co_code_adaptive: 55,
    unicode_state: 89,
    gc_collecting: 94,
};

pub fn read(memory: Memory, runtime: usize, minor: u8) -> Result<Layout, Unreadable> {
    let words = match minor {
        13 => V313,
        14 => V314,
        15 => V315,
        _ => return Err(Unreadable::Version),
    };
    let mut table = [0; 8 * (1 + WORDS)];
    if !memory.read(runtime, &mut table) {
        return Err(Unreadable::Memory);
    }
    let (cookie, table) = table.split_at(8);
    let word = |index: usize| Bytes(table).address(8 * index);
    if cookie != COOKIE {
        return Err(Unreadable::Symbol);
    }
    if word(0).map(|version| version >> 16) != Some(usize::from(minor) | 0x300) {
        return Err(Unreadable::Version);
    }
    if word(1) != Some(0) {
        return Err(Unreadable::FreeThreaded);
    }
    layout(&words, minor, word).ok_or(Unreadable::Memory)
}

fn layout(words: &Words, minor: u8, word: impl Fn(usize) -> Option<usize>) -> Option<Layout> {
    let below = |limit: usize| {
        let word = &word;
        move |index: usize| word(index).filter(|&offset| offset < limit)
    };
    let far = below(FURTHEST_IN_INTERPRETER);
    let near = below(FURTHEST);
    let ids = near(words.thread_id)?;
    let chunk = near(words.thread_id + 2)?;
    let owner = near(words.frame_owner)?;
    let instructions = near(words.co_code_adaptive)?;
    let ascii = near(words.unicode_state + 2)?;
    if near(words.thread_id + 1)? != ids + 8 {
        return None;
    }
    Some(Layout {
        runtime: Runtime {
            interpreters: near(4)?,
        },
        interpreter: Interpreter {
            id: far(6)?,
            next: far(7)?,
            threads: far(8)?,
            collecting: far(words.gc)? + near(words.gc_collecting)?,
            gil: Gil::Pointer(far(words.ceval_gil)?),
        },
        state: State {
            next: near(words.state_next)?,
            interpreter: near(words.state_next + 1)?,
            ids,
            frame: FramePointer::Direct(near(words.current_frame)?),
            chunk,
            size: chunk.max(ids) + 16,
        },
        frame: Frame {
            previous: near(words.frame_previous)?,
            code: near(words.frame_previous + 1)?,
            tagged: minor >= 14,
            instruction: near(words.frame_previous + 2)?,
            owner,
            is_entry: None,
            size: owner / 8 * 8 + 8,
            variables: near(words.frame_previous + 3)?,
        },
        code: Code {
            file: near(words.code_filename)?,
            function: near(words.code_filename + 2)?,
            line_table: near(words.code_filename + 3)?,
            first_line: near(words.code_filename + 4)?,
            version: Some(92),
            // Published by none of these versions; so in all their builds that have a GIL.
            first_traceable: instructions.checked_sub(16)?,
            instructions,
        },
        text: Text {
            ascii,
            compact: ascii + 16,
            pointer: ascii + 16,
        },
    })
}
