//! The interpreter that is read: a process's memory, and where in it what is.

use super::bytes::{Bytes, is_plausible};
use super::layout::{Gil, Layout};
use crate::gil::memory::Memory;
use crate::gil::stack::Doubt;
use crate::gil::{ThreadIds, Unreadable, field};

/// More interpreters, or more threads, are not followed: the list may have become a circle while it was read.
const MAX_INTERPRETERS: usize = 1 << 10;
const MAX_THREADS: usize = 1 << 16;

#[derive(Clone, Copy)]
pub struct Target {
    pub memory: Memory,
    pub layout: Layout,
    /// The main interpreter, its GIL, and `PyCode_Type`.
    interpreter: usize,
    gil: usize,
    pub code_type: usize,
}

/// A thread state of the main interpreter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ThreadState {
    pub address: usize,
    pub ids: ThreadIds,
}

/// The GIL at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Look {
    locked: bool,
    /// The thread state that holds the GIL, or has held it last.
    last_holder: usize,
    switches: u64,
}

impl Look {
    /// Whether the thread with this state cannot run Python code: another thread holds the GIL. If a second look is equal,
    /// that was so all the time in between: a thread that acquires the GIL after another one counts a switch before it runs.
    pub fn excludes(self, state: usize) -> bool {
        self.locked && self.last_holder != state
    }

    pub fn last_holder(self) -> usize {
        self.last_holder
    }

    pub fn is_held_by(self, state: usize) -> bool {
        self.locked && self.last_holder == state
    }
}

/// Whether there is an interpreter that has come so far that it has a GIL.
pub fn has_started(memory: Memory, layout: &Layout, runtime: usize) -> bool {
    let pointer = |at: usize| {
        let word = memory.word(at).and_then(|word| usize::try_from(word).ok());
        word.filter(|&address| address != 0)
    };
    let gil = |interpreter: usize| match layout.interpreter.gil {
        Gil::InRuntime(offset) => Some(runtime + offset),
        Gil::Pointer(offset) => pointer(interpreter + offset),
    };
    pointer(runtime + layout.runtime.interpreters).is_some_and(|interpreter| {
        pointer(interpreter + layout.interpreter.threads).is_some()
            && gil(interpreter).is_some_and(|gil| {
                pointer(gil + field::INTERVAL).is_some()
                    && pointer(gil + field::LAST_HOLDER).is_some()
            })
    })
}

impl Target {
    /// Finds the main interpreter and its GIL from the address of `_PyRuntime`.
    pub fn find(
        memory: Memory,
        layout: &Layout,
        runtime: usize,
        code_type: usize,
    ) -> Result<Self, Unreadable> {
        let pointer = |at: usize| {
            let word = memory.word(at).and_then(|word| usize::try_from(word).ok());
            word.filter(|&address| is_plausible(address))
                .ok_or(Unreadable::Memory)
        };
        // The list begins with the newest interpreter; the main one's id is 0.
        let mut interpreter = pointer(runtime + layout.runtime.interpreters)?;
        let mut seen = 1;
        while memory.word(interpreter + layout.interpreter.id) != Some(0) {
            interpreter = pointer(interpreter + layout.interpreter.next)?;
            seen += 1;
            if seen > MAX_INTERPRETERS {
                return Err(Unreadable::Memory);
            }
        }
        let gil = match layout.interpreter.gil {
            Gil::InRuntime(offset) => runtime + offset,
            Gil::Pointer(offset) => pointer(interpreter + offset)?,
        };
        Ok(Self {
            memory,
            layout: *layout,
            interpreter,
            gil,
            code_type,
        })
    }

    pub fn gil_address(&self) -> usize {
        self.gil
    }

    /// Whether what should be the GIL can be one: its last holder, if it has had any, may have ended.
    pub fn has_plausible_gil(&self) -> bool {
        let mut bytes = [0; field::WAITERS];
        let is_read = self.memory.read(self.gil, &mut bytes);
        let bytes = Bytes(&bytes);
        let holder = bytes.address(field::LAST_HOLDER);
        is_read
            && self.gil % 8 == 0
            && matches!(bytes.int(field::LOCKED), Some(0 | 1))
            && bytes
                .word(field::INTERVAL)
                .is_some_and(|us| (1..1 << 32).contains(&us))
            && holder.is_some_and(|holder| holder == 0 || is_plausible(holder))
    }

    /// Whether the main interpreter collects garbage just now.
    pub fn is_collecting(&self) -> bool {
        let mut bytes = [0; 4];
        let at = self.interpreter + self.layout.interpreter.collecting;
        self.memory.read(at, &mut bytes) && i32::from_ne_bytes(bytes) == 1
    }

    /// `None` if the GIL changes just now, or cannot be read.
    pub fn look_at_gil(&self) -> Option<Look> {
        // The kernel may copy the fields in any order. Only one that is read before and after the others shows that they
        // belong together.
        let switches = self.memory.word(self.gil + field::SWITCH_NUMBER)?;
        let mut bytes = [0; field::WAITERS];
        if !self.memory.read(self.gil, &mut bytes) {
            return None;
        }
        let bytes = Bytes(&bytes);
        let look = Look {
            locked: bytes.int(field::LOCKED)? == 1,
            last_holder: bytes.address(field::LAST_HOLDER)?,
            switches,
        };
        (bytes.word(field::SWITCH_NUMBER)? == switches).then_some(look)
    }

    /// Calls `visit` with each thread state of the main interpreter, the newest first, until `visit` returns true. Returns
    /// whether it did.
    pub fn find_thread(&self, mut visit: impl FnMut(ThreadState) -> bool) -> Result<bool, Doubt> {
        let layout = self.layout.state;
        let head = self.interpreter + self.layout.interpreter.threads;
        let mut address = self.address(head).ok_or(Doubt::Memory)?;
        let mut bytes = [0; 512];
        let bytes = bytes.get_mut(..layout.ids + 16).ok_or(Doubt::Memory)?;
        for _ in 0..MAX_THREADS {
            if address == 0 {
                return Ok(false);
            }
            if !is_plausible(address) || !self.memory.read(address, bytes) {
                return Err(Doubt::Structure);
            }
            let fields = Bytes(bytes);
            if fields.address(layout.interpreter) != Some(self.interpreter) {
                return Err(Doubt::Structure);
            }
            let ids = ThreadIds {
                ident: fields.word(layout.ids).ok_or(Doubt::Memory)?,
                native: fields.word(layout.ids + 8).ok_or(Doubt::Memory)?,
            };
            if visit(ThreadState { address, ids }) {
                return Ok(true);
            }
            address = fields.address(layout.next).ok_or(Doubt::Memory)?;
        }
        Err(Doubt::Structure)
    }

    pub fn address(&self, at: usize) -> Option<usize> {
        let word = self.memory.word(at)?;
        usize::try_from(word).ok()
    }
}
