//! Code objects: what is read of them each time, and what is kept.
//!
//! A code object that is freed makes room for another one, and a program that makes many of the same shape gets them at the
//! same addresses, with the same pointers in them. So what is kept is used again only for a code object that is the same:
//! from 3.12 on each has a version number of its own; on 3.11 the texts and the line table are compared.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use super::bytes::{Bytes, is_plausible};
use super::target::Target;
use super::text::Text;
use crate::gil::stack::Doubt;

/// Where a code object has its type, and the number of its instructions, in all versions.
const TYPE: usize = 8;
const UNITS: usize = 16;
const MAX_UNITS: usize = 1 << 26;
/// The same of a bytes object.
const LENGTH: usize = 16;
const BYTES: usize = 32;
const MAX_LINE_TABLE: usize = 1 << 24;

/// At most so many bytes of texts and line tables are kept.
const MAX_KEPT: usize = 4 << 20;
/// What an entry takes besides.
const ENTRY: usize = 256;

pub type ByAddress<T> = HashMap<usize, T, BuildHasherDefault<DefaultHasher>>;

/// The fields of a code object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub address: usize,
    pub first_line: i32,
    first_traceable: i32,
    units: usize,
    version: Option<u32>,
    file: usize,
    function: usize,
    line_table: usize,
    instructions: usize,
}

impl Head {
    /// Reads the fields of the code objects at these addresses.
    pub fn read(target: &Target, addresses: &[usize]) -> Result<Vec<Self>, Doubt> {
        let size = target.layout.code.instructions;
        let places: Vec<_> = addresses.iter().map(|&address| (address, size)).collect();
        let mut bytes = vec![0; size * places.len()];
        if !target.memory.read_all(&places, &mut bytes) {
            return Err(Doubt::Memory);
        }
        let heads = addresses.iter().zip(bytes.chunks_exact(size));
        let heads = heads.map(|(&address, bytes)| Self::of(target, address, Bytes(bytes)));
        heads.collect::<Option<_>>().ok_or(Doubt::Structure)
    }

    fn of(target: &Target, address: usize, fields: Bytes<'_>) -> Option<Self> {
        let layout = target.layout.code;
        if fields.address(TYPE)? != target.code_type {
            return None;
        }
        let pointer = |offset: usize| fields.address(offset).filter(|&at| is_plausible(at));
        Some(Self {
            address,
            first_line: fields.int(layout.first_line)?,
            first_traceable: fields.int(layout.first_traceable)?,
            units: fields
                .address(UNITS)
                .filter(|units| (1..MAX_UNITS).contains(units))?,
            version: match layout.version {
                Some(offset) => Some(fields.half_word(offset)?),
                None => None,
            },
            file: pointer(layout.file)?,
            function: pointer(layout.function)?,
            line_table: pointer(layout.line_table)?,
            instructions: address + layout.instructions,
        })
    }

    /// The index of the instruction at this address, -1 before the first. `None` if it is not in this code.
    pub fn index(&self, instruction: usize) -> Option<i32> {
        let from_before_the_first = (instruction + 2).checked_sub(self.instructions)?;
        let index = i32::try_from(from_before_the_first / 2).ok()? - 1;
        let is_in = from_before_the_first % 2 == 0 && from_before_the_first / 2 <= self.units;
        is_in.then_some(index)
    }

    /// Whether a frame at this instruction has begun. A generator's has, as soon as there is a generator.
    pub fn has_begun(&self, index: i32) -> bool {
        index >= self.first_traceable
    }
}

/// What is kept of a code object.
#[derive(Clone)]
pub struct Contents {
    pub file: Arc<str>,
    pub function: Arc<str>,
    pub line_table: Arc<[u8]>,
}

struct Kept {
    head: Head,
    contents: Contents,
    /// 3.11: where the strings and the table are, and what was there.
    copies: Option<Copies>,
}

/// Places in memory, and what was there, one behind the other.
struct Copies {
    places: Vec<(usize, usize)>,
    bytes: Vec<u8>,
}

#[derive(Default)]
pub struct Codes {
    kept: ByAddress<Kept>,
    kept_bytes: usize,
    buffer: Vec<u8>,
}

impl Codes {
    pub fn forget(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
    }

    /// The contents of a code object whose fields have just been read.
    pub fn contents(&mut self, target: &Target, head: &Head) -> Result<Contents, Doubt> {
        if let Some(kept) = self.kept.get(&head.address)
            && kept.head == *head
            && match (&kept.copies, head.version) {
                (_, Some(version)) => version != 0,
                (Some(copies), None) => copies.is_still_there(target, &mut self.buffer),
                (None, None) => false,
            }
        {
            return Ok(kept.contents.clone());
        }
        let kept = Kept::read(target, head)?;
        let contents = kept.contents.clone();
        self.keep(kept);
        Ok(contents)
    }

    fn keep(&mut self, kept: Kept) {
        let size = kept.size();
        if size > MAX_KEPT / 4 {
            return;
        }
        if self.kept_bytes + size > MAX_KEPT {
            self.forget();
        }
        self.kept_bytes += size;
        match self.kept.entry(kept.head.address) {
            Entry::Occupied(mut entry) => {
                self.kept_bytes -= entry.insert(kept).size();
            }
            Entry::Vacant(entry) => {
                entry.insert(kept);
            }
        }
    }
}

impl Kept {
    fn read(target: &Target, head: &Head) -> Result<Self, Doubt> {
        let file = Text::read(target, head.file)?;
        let function = Text::read(target, head.function)?;
        let (line_table, table_copy) = line_table(target, head.line_table)?;
        let copies = match (head.version, file.copy, function.copy) {
            (None, Some(file), Some(function)) => Some(Copies::of(&[file, function, table_copy])),
            _ => None,
        };
        Ok(Self {
            head: *head,
            contents: Contents {
                file: file.text.into(),
                function: function.text.into(),
                line_table,
            },
            copies,
        })
    }

    fn size(&self) -> usize {
        let Contents {
            file,
            function,
            line_table,
        } = &self.contents;
        let copies = self.copies.as_ref().map_or(0, |copies| copies.bytes.len());
        ENTRY + file.len() + function.len() + line_table.len() + copies
    }
}

impl Copies {
    fn of(copies: &[(usize, Vec<u8>)]) -> Self {
        Self {
            places: copies
                .iter()
                .map(|(at, bytes)| (*at, bytes.len()))
                .collect(),
            bytes: copies
                .iter()
                .flat_map(|(_, bytes)| bytes)
                .copied()
                .collect(),
        }
    }

    fn is_still_there(&self, target: &Target, buffer: &mut Vec<u8>) -> bool {
        buffer.resize(self.bytes.len(), 0);
        target.memory.read_all(&self.places, buffer) && *buffer == self.bytes
    }
}

/// The bytes of a line table, and a copy of all of the object that can tell it from another one.
fn line_table(target: &Target, address: usize) -> Result<(Arc<[u8]>, (usize, Vec<u8>)), Doubt> {
    let length = target.address(address + LENGTH).ok_or(Doubt::Memory)?;
    if length > MAX_LINE_TABLE {
        return Err(Doubt::Structure);
    }
    let mut bytes = vec![0; BYTES - LENGTH + length];
    if !target.memory.read(address + LENGTH, &mut bytes) {
        return Err(Doubt::Memory);
    }
    let table = bytes.get(BYTES - LENGTH..).ok_or(Doubt::Structure)?;
    Ok((table.into(), (address + LENGTH, bytes)))
}
