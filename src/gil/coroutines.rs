//! Coroutines and their frames, read from memory: the qualified name, and the arguments of a frame.

use pyo3::prelude::*;
use pyo3::types::PyType;

use super::objects::learned::{address_of, basic_size, interned};
use super::objects::{Objects, field, is_object, only_offset};
use super::specimens::Specimens;
use super::stack::Stack;

/// `CO_COROUTINE` of CPython's `code.h`.
const IS_COROUTINE: usize = 0x80;
/// `CO_FAST_LOCAL` of `CPython`'s `pycore_code.h`: a variable that is not of a function around.
const IS_LOCAL: u8 = 0x20;
/// How many words of a code object are read at once.
const HEAD_WORDS: usize = 16;
/// Since 3.14 the lowest bits of a reference in a frame are no part of the address.
const TAG: usize = 3;

/// How to read coroutines and the frames in them.
#[derive(Clone, Copy)]
pub struct Coroutines {
    objects: Objects,
    /// The offset of the frame in a coroutine or a generator, of the code object in a frame, and of the variables.
    frame: usize,
    executable: usize,
    variables: usize,
    tag: usize,
    qualified_name: usize,
    code: CodeFields,
}

/// Offsets in a code object.
#[derive(Clone, Copy, PartialEq, Eq)]
struct CodeFields {
    flags: usize,
    names: usize,
    kinds: usize,
}

impl Coroutines {
    /// `None` if a check fails.
    pub fn learn(objects: &Objects, specimens: &Specimens<'_>) -> PyResult<Option<Self>> {
        let version = specimens.py().version_info();
        let (frame, executable) = if version < (3, 12) { (80, 32) } else { (72, 0) };
        let coroutine = specimens.coroutine("plain", &["scope", "receive", "send"])?;
        let (kind, own) = (coroutine.0.get_type(), address_of(&coroutine.0));
        let size = basic_size(&kind)?;
        let (Some(qualified_name), Some(code)) = (
            qualified_name(objects, &coroutine.0, size)?,
            CodeFields::learn(objects, specimens)?,
        ) else {
            return Ok(None);
        };
        let coroutines = Self {
            objects: *objects,
            frame,
            executable,
            variables: size.wrapping_sub(frame),
            tag: if version < (3, 14) { 0 } else { TAG },
            qualified_name,
            code,
        };
        let its_code = address_of(&coroutine.0.getattr("cr_code")?);
        let right = coroutines.executable_of(own + frame) == Some(its_code)
            && coroutines.reads_arguments(specimens)?;
        Ok(right.then_some(coroutines))
    }

    /// Whether an object is a coroutine or a generator of Python code, which has its frame in it.
    pub fn has_frame(&self, object: usize) -> bool {
        let types = self.objects.types;
        [types.coroutine, types.generator]
            .iter()
            .any(|&kind| self.objects.is_a(object, kind))
    }

    /// Where in the stack a coroutine's frame is.
    pub fn position(&self, stack: &Stack, coroutine: usize) -> Option<usize> {
        let mut frames = stack.frames.iter();
        frames.position(|frame| frame.is_generator && frame.address == coroutine + self.frame)
    }

    /// Of a coroutine or generator of Python code.
    pub fn qualified_name(&self, coroutine: usize, limit: usize) -> Option<String> {
        let name = self.objects.object(coroutine + self.qualified_name)?;
        self.objects.text(name, limit)
    }

    fn executable_of(&self, frame: usize) -> Option<usize> {
        Some(self.objects.word(frame + self.executable)? & !self.tag)
    }

    /// Where the variables with these interned names are among the first four, for a coroutine function that has all of them.
    pub fn indices<const N: usize>(&self, code: usize, names: [usize; N]) -> Option<[usize; N]> {
        const FIRST: usize = 4;
        let head = self.objects.words::<HEAD_WORDS>(code)?;
        let flags = head[self.code.flags / 8] >> (self.code.flags % 8 * 8);
        if head[field::TYPE / 8] != self.objects.types.code || flags & IS_COROUTINE == 0 {
            return None;
        }
        let (all, kinds) = (head[self.code.names / 8], head[self.code.kinds / 8]);
        let all = self.objects.items::<FIRST>(all)?;
        let mut indices = [0; N];
        for (index, name) in indices.iter_mut().zip(names) {
            *index = all.iter().position(|&own| own == name)?;
        }
        let kinds = self.objects.bytes::<FIRST>(kinds)?;
        let are_local = indices.iter().all(|&index| kinds[index] & IS_LOCAL != 0);
        are_local.then_some(indices)
    }

    /// What a frame's variable refers to, through a cell if an inner function uses it as well.
    pub fn variable(&self, frame: usize, index: usize) -> Option<usize> {
        let object = self.objects.word(frame + self.variables + 8 * index)? & !self.tag;
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

    fn reads_arguments(&self, specimens: &Specimens<'_>) -> PyResult<bool> {
        let names = ["receive", "scope", "send"].map(|name| interned(specimens.py(), name));
        let known = specimens.coroutine("plain", &["scope", "receive", "send"])?;
        let other =
            specimens.coroutine("in_cell", &["receive", "other_scope", "receive", "send"])?;
        for (coroutine, scope, at) in [(&known, "scope", 0), (&other, "other_scope", 1)] {
            let code = address_of(&coroutine.0.getattr("cr_code")?);
            let frame = address_of(&coroutine.0) + self.frame;
            if self.indices(code, names) != Some([at + 1, at, at + 2])
                || self.variable(frame, at) != Some(address_of(&specimens.get(scope)?))
                || self.variable(frame, at + 1) != Some(address_of(&specimens.get("receive")?))
                || self.variable(frame, at + 2) != Some(address_of(&specimens.get("send")?))
            {
                return Ok(false);
            }
        }
        // Variables of a function around; no coroutine function; a name that is missing.
        for (function, names) in [
            ("outside", names),
            ("around", names),
            (
                "plain",
                [names[0], names[1], interned(specimens.py(), "cell")],
            ),
        ] {
            let code = address_of(&specimens.get(function)?.getattr("__code__")?);
            if self.indices(code, names).is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl CodeFields {
    fn learn(objects: &Objects, specimens: &Specimens<'_>) -> PyResult<Option<Self>> {
        let mut fields: Option<(Vec<usize>, Vec<usize>)> = None;
        for (function, names, are_local) in [
            ("plain", &["scope", "receive", "send", "more"][..], true),
            ("outside", &["receive", "scope", "send"][..], false),
            ("generator", &["names", "others", "scope"][..], true),
            ("function", &["scope", "receive", "send"][..], true),
        ] {
            let code = specimens.get(function)?.getattr("__code__")?;
            let flags: u32 = code.getattr("co_flags")?.extract()?;
            let kind: Bound<'_, PyType> = code.get_type();
            let at = address_of(&code);
            let size = basic_size(&kind)?; // where the instructions begin
            let flags = (field::SIZE..size)
                .step_by(4)
                .filter(|offset| read_u32(objects, at + offset) == Some(flags))
                .collect();
            let names = (field::SIZE..size)
                .step_by(8)
                .filter(|offset| is_table_of(objects, at + offset, names, are_local))
                .collect();
            fields = Some(match fields {
                None => (flags, names),
                Some(before) => (common(&before.0, &flags), common(&before.1, &names)),
            });
        }
        Ok(fields.and_then(|(flags, names)| {
            let names = only_offset(&names)?;
            let fields = Self {
                flags: only_offset(&flags)?,
                names,
                kinds: names + 8,
            };
            (fields.flags.max(fields.kinds) < 8 * HEAD_WORDS).then_some(fields)
        }))
    }
}

/// Whether there are, at an address, a tuple of these names and the `bytes` with their kinds.
fn is_table_of(objects: &Objects, address: usize, names: &[&str], are_local: bool) -> bool {
    let read = || {
        let [tuple, kinds] = objects.words(address)?;
        Some((objects.items::<5>(tuple)?, objects.bytes::<5>(kinds)?))
    };
    let Some((items, kinds)) = read() else {
        return false;
    };
    items[names.len()..].iter().all(|&item| item == 0)
        && names
            .iter()
            .zip(items)
            .zip(kinds)
            .all(|((name, item), kind)| {
                objects.is_text(item, name) && (kind & IS_LOCAL != 0) == are_local
            })
}

fn qualified_name(
    objects: &Objects,
    coroutine: &Bound<'_, PyAny>,
    size: usize,
) -> PyResult<Option<usize>> {
    let (own, name) = ("a known name", "a known qualified name");
    coroutine.setattr("__name__", own)?;
    coroutine.setattr("__qualname__", name)?;
    let at = address_of(coroutine);
    let offsets: Vec<usize> = (field::SIZE..size)
        .step_by(8)
        .filter(|offset| {
            let object = objects.object(at + offset);
            object.is_some_and(|object| objects.is_text(object, name))
        })
        .collect();
    Ok(only_offset(&offsets))
}

fn common(some: &[usize], others: &[usize]) -> Vec<usize> {
    let both = some.iter().filter(|offset| others.contains(offset));
    both.copied().collect()
}

fn read_u32(objects: &Objects, address: usize) -> Option<u32> {
    let mut bytes = [0; 4];
    objects
        .memory
        .read(address, &mut bytes)
        .then_some(u32::from_ne_bytes(bytes))
}
