//! The variables of a frame in another process.

use crate::gil::objects::{Objects, is_object};
use crate::gil::reader::layout::Layout;
use crate::gil::stack::Frame;

/// How many of a function's variables are looked at.
const MAX_VARIABLES: usize = 64;
/// `co_localsplusnames` is so far before `co_filename`, in all versions.
const NAMES_BEFORE_FILE: usize = 16;
/// Since 3.14 the lowest bits of a reference in a frame are no part of the address.
const TAG: usize = 3;

#[derive(Clone, Copy)]
pub struct Variables {
    pub objects: Objects,
    /// The offset of the names in a code object, and of the first variable in a frame.
    names: usize,
    first: usize,
    tag: usize,
    float: Option<usize>,
}

impl Variables {
    /// `float` is the address of `PyFloat_Type`.
    pub fn of(objects: Objects, layout: &Layout, minor: u8, float: Option<usize>) -> Self {
        Self {
            objects,
            names: layout.code.file - NAMES_BEFORE_FILE,
            first: layout.frame.variables,
            tag: if minor < 14 { 0 } else { TAG },
            float,
        }
    }

    /// Which of a function's variables has this name.
    pub fn index(&self, code: usize, name: &str) -> Option<usize> {
        let names = self.objects.object(code + self.names)?;
        let names = self.objects.items::<MAX_VARIABLES>(names)?;
        let mut names = names.iter();
        names.position(|&own| own != 0 && self.objects.is_text(own, name))
    }

    /// The address of the object that a variable refers to; `None` if it refers to none. The frame may be gone: whoever needs it
    /// to be right reads the stack again.
    pub fn get(&self, frame: &Frame, index: usize) -> Option<usize> {
        let object = self.objects.word(frame.address + self.first + 8 * index)? & !self.tag;
        if !is_object(object) {
            return None;
        }
        let [_, kind] = self.objects.words(object)?;
        if kind == self.objects.types.cell {
            self.objects.content(object)
        } else {
            Some(object)
        }
    }

    /// The value of a `float`.
    pub fn float(&self, object: usize) -> Option<f64> {
        let [_, kind, bits] = self.objects.words(object)?;
        (Some(kind) == self.float).then(|| f64::from_bits(bits as u64))
    }
}
