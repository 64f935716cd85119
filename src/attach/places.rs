//! Where the variables of a loop are in another process.

use crate::gil::memory::Memory;
use crate::gil::objects::Objects;
use crate::gil::process::Process;
use crate::gil::reader::layout::Layout;

/// The offset of `tp_name` in `PyTypeObject`.
const TYPE_NAME: usize = 24;
/// Since 3.14 the lowest bits of a reference in a frame are no part of the address.
const TAG: usize = 3;

/// What it takes to read a process's objects and frames.
#[derive(Clone, Copy)]
pub struct Places {
    pub memory: Memory,
    pub objects: Objects,
    pub layout: Layout,
    tag: usize,
    /// The offset of `context_ver` in `PyThreadState`, which grows whenever a thread enters a context or leaves one: around each
    /// callback of a loop.
    context_version: usize,
}

impl Places {
    /// `None` if this interpreter does not export the types that must be known.
    pub fn of(process: &Process) -> Option<Self> {
        let (_, minor, _) = process.version();
        let layout = process.target().layout;
        Some(Self {
            memory: process.target().memory,
            objects: process.objects()?,
            layout,
            tag: if minor < 14 { 0 } else { TAG },
            context_version: layout.state.ids + if minor < 13 { 80 } else { 64 },
        })
    }

    /// An address without the marks that it may have in a frame.
    pub fn address(&self, word: u64) -> usize {
        usize::try_from(word).unwrap_or_default() & !self.tag
    }

    /// Where a thread state counts how often its thread has entered a context, or left one.
    pub fn context_version(&self, state: usize) -> usize {
        state + self.context_version
    }

    /// Whether the type at an address has this name.
    pub fn is_type_named(&self, kind: usize, name: &str) -> bool {
        let mut text = [0; 32];
        let at = self.objects.word(kind + TYPE_NAME);
        let Some(text) = text.get_mut(..=name.len()) else {
            return false;
        };
        at.is_some_and(|at| self.memory.read(at, text))
            && text.split_last() == Some((&0, name.as_bytes()))
    }

    /// What is at these addresses, read by one system call.
    pub fn words<const N: usize>(&self, addresses: [usize; N]) -> Option<[u64; N]> {
        let places = addresses.map(|address| (address, 8));
        let mut words = [[0; 8]; N];
        self.memory
            .read_all(&places, words.as_flattened_mut())
            .then_some(words.map(u64::from_ne_bytes))
    }
}
