//! The name that `threading` has for a thread of another process, read as [`thread_names`](crate::gil::thread_names) does in this
//! one: the outermost frame is that of `Thread._bootstrap`, whose first variable is the thread's object. Where the object keeps
//! its name is read from its class, which may be derived from `Thread`.

use crate::gil::objects::{MAX_CHARACTERS, Objects, is_object};
use crate::gil::reader::layout::Layout;
use crate::gil::stack::Stack;

/// The offset of `tp_basicsize` in `PyTypeObject`.
const BASIC_SIZE: usize = 32;
/// How far before an object the address of its dictionary is, if it has one.
const DICTIONARY: usize = 24;

/// Since 3.14 the lowest bits of a reference in a frame are no part of the address.
const TAG: usize = 3;

#[derive(Clone, Copy)]
pub struct ThreadNames {
    objects: Objects,
    /// The offset of a function's variables in its frame.
    variables: usize,
    tag: usize,
    /// The offset of `ht_cached_keys` in `PyHeapTypeObject`: the names of the attributes of a class's objects.
    keys: usize,
    values: Values,
}

/// Says what the threads of a process are called.
#[derive(Clone, Copy)]
pub struct Namer {
    pub names: Option<ThreadNames>,
    /// The native id of the process's first thread.
    pub main: u64,
}

impl Namer {
    /// The name that `threading` has for the thread with this stack; `None` if `threading` has not started the thread.
    pub fn name(&self, stack: &Stack) -> Option<String> {
        if stack.thread.native == self.main {
            return Some("MainThread".into());
        }
        self.names.as_ref()?.read(stack)
    }
}

/// Where an object keeps the values of its attributes, until some code asks for its `__dict__`.
#[derive(Clone, Copy)]
enum Values {
    /// 3.11: another word before the object has their address.
    Before(usize),
    /// 3.12: the word that may have the dictionary's address has theirs, less one.
    Marked,
    /// In the object, behind what all objects of its class have.
    Inside,
}

impl ThreadNames {
    pub fn of(objects: Objects, layout: &Layout, minor: u8) -> Self {
        Self {
            objects,
            variables: layout.frame.variables,
            tag: if minor < 14 { 0 } else { TAG },
            keys: match minor {
                11 => 872,
                12..=14 => 880,
                _ => 888,
            },
            values: match minor {
                11 => Values::Before(32),
                12 => Values::Marked,
                _ => Values::Inside,
            },
        }
    }

    pub fn objects(&self) -> Objects {
        self.objects
    }

    /// `None` if `threading` has not started the thread with this stack.
    pub fn read(&self, stack: &Stack) -> Option<String> {
        let outermost = stack.frames.last()?;
        let is_start =
            &*outermost.function == "Thread._bootstrap" && outermost.file.contains("threading");
        if !is_start {
            return None;
        }
        let thread = self.objects.word(outermost.address + self.variables)? & !self.tag;
        let read = || self.objects.text(self.name(thread)?, MAX_CHARACTERS);
        let name = read()?;
        // What changes while it is read differs.
        (read().as_ref() == Some(&name)).then_some(name)
    }

    fn name(&self, thread: usize) -> Option<usize> {
        const NAME: &str = "_name";
        let [_, class] = self.objects.words(thread)?;
        let Some(values) = self.values_of(thread, class) else {
            let dictionary = self.objects.object(thread - DICTIONARY)?;
            let [name] = self.objects.values(dictionary, [(NAME, 0)])?;
            return name;
        };
        let keys = self.objects.object(class + self.keys)?;
        let position = self.objects.position_among(keys, NAME)?;
        self.objects.object(values + 8 * position)
    }

    /// Where the values are; `None` if the object has a dictionary instead.
    fn values_of(&self, thread: usize, class: usize) -> Option<usize> {
        match self.values {
            Values::Before(offset) => self.objects.object(thread - offset),
            Values::Marked => {
                let word = self.objects.word(thread - DICTIONARY)?;
                let values = word.wrapping_add(1);
                (word & 1 == 1 && is_object(values)).then_some(values)
            }
            Values::Inside => {
                let size = self.objects.word(class + BASIC_SIZE)?;
                let at = thread.checked_add(size)?;
                // How many there is room for, how many there are, whether they are inside, and whether they are valid.
                let [.., valid] = u32::try_from(self.objects.word(at)? & 0xffff_ffff)
                    .ok()?
                    .to_le_bytes();
                (valid == 1).then_some(at + 8)
            }
        }
    }
}
