//! What is kept of code objects: names and line tables.
//!
//! A code object that is freed makes room for another one, and a program that makes many of the same shape gets them at the
//! same addresses, with the same pointers in them. So what is kept is used again only for a code object that is the same:
//! from 3.12 on each has a version number of its own; on 3.11 the texts and the line table are compared.

use std::collections::HashMap;
use std::sync::Arc;

use super::code::Head;
use super::target::Target;
use super::text::Text;
use crate::gil::stack::Doubt;

/// Where a bytes object has its length, and its bytes, in all versions.
const LENGTH: usize = 16;
const BYTES: usize = 32;
const MAX_LINE_TABLE: usize = 1 << 24;

/// At most so many bytes are kept. An entry takes some besides its names and its table.
const MAX_KEPT: usize = 4 << 20;
const ENTRY: usize = 256;

/// What is kept of a code object.
#[derive(Clone)]
pub struct Contents {
    pub file: Arc<str>,
    pub function: Arc<str>,
    pub line_table: Arc<[u8]>,
}

/// A place in memory, and what was there.
pub struct Part {
    pub address: usize,
    pub bytes: Vec<u8>,
}

struct Kept {
    head: Head,
    contents: Contents,
    /// 3.11: what the names and the table were read from.
    parts: Option<[Part; 3]>,
    /// The round in which the parts were still there.
    confirmed_in: u64,
}

#[derive(Default)]
pub struct Codes {
    kept: HashMap<usize, Kept>,
    kept_bytes: usize,
    round: u64,
    buffer: Vec<u8>,
}

impl Codes {
    pub fn forget(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
    }

    /// Compares what is kept of these code objects with what is in memory now, if that is necessary. [`Self::contents`]
    /// follows for each of them.
    pub fn confirm(&mut self, target: &Target, heads: &[&Head]) {
        self.round += 1;
        if target.layout.code.version.is_some() {
            return;
        }
        // Code objects of one file share its name.
        let mut offsets = HashMap::new();
        let (mut places, mut end) = (Vec::new(), 0);
        for head in heads {
            for part in self.parts(head).into_iter().flatten() {
                offsets.entry(part.place()).or_insert_with(|| {
                    places.push(part.place());
                    end += part.bytes.len();
                    end - part.bytes.len()
                });
            }
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(end, 0);
        if target.memory.read_all(&places, &mut buffer) {
            for head in heads {
                let is_there = |part: &Part| {
                    let offset = offsets.get(&part.place());
                    let now = offset.and_then(|&from| buffer.get(from..from + part.bytes.len()));
                    now == Some(&part.bytes)
                };
                if self
                    .parts(head)
                    .is_some_and(|parts| parts.iter().all(is_there))
                    && let Some(kept) = self.kept.get_mut(&head.address)
                {
                    kept.confirmed_in = self.round;
                }
            }
        }
        self.buffer = buffer;
    }

    fn parts(&self, head: &Head) -> Option<&[Part; 3]> {
        let kept = self.kept.get(&head.address);
        kept.filter(|kept| kept.head == *head)?.parts.as_ref()
    }

    /// The contents of a code object whose fields have just been read.
    pub fn contents(&mut self, target: &Target, head: &Head) -> Result<Contents, Doubt> {
        if let Some(kept) = self.kept.get(&head.address)
            && kept.head == *head
            && match head.version {
                Some(version) => version != 0,
                None => kept.confirmed_in == self.round,
            }
        {
            return Ok(kept.contents.clone());
        }
        let kept = Kept::read(target, head, self.round)?;
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
        let replaced = self.kept.insert(kept.head.address, kept);
        self.kept_bytes -= replaced.map_or(0, |replaced| replaced.size());
    }
}

impl Kept {
    fn read(target: &Target, head: &Head, round: u64) -> Result<Self, Doubt> {
        let file = Text::read(target, head.file)?;
        let function = Text::read(target, head.function)?;
        let (line_table, table_part) = line_table(target, head.line_table)?;
        let parts = match (head.version, file.part, function.part) {
            (None, Some(file), Some(function)) => Some([file, function, table_part]),
            _ => None,
        };
        Ok(Self {
            head: *head,
            contents: Contents {
                file: file.text.into(),
                function: function.text.into(),
                line_table,
            },
            parts,
            confirmed_in: round,
        })
    }

    fn size(&self) -> usize {
        let Contents {
            file,
            function,
            line_table,
        } = &self.contents;
        let parts = self.parts.iter().flatten();
        let parts: usize = parts.map(|part| part.bytes.len()).sum();
        ENTRY + file.len() + function.len() + line_table.len() + parts
    }
}

impl Part {
    fn place(&self) -> (usize, usize) {
        (self.address, self.bytes.len())
    }
}

/// The bytes of a line table, and all of the object that can tell it from another one.
fn line_table(target: &Target, address: usize) -> Result<(Arc<[u8]>, Part), Doubt> {
    let from = address + LENGTH;
    let length = target.address(from).ok_or(Doubt::Memory)?;
    if length > MAX_LINE_TABLE {
        return Err(Doubt::Structure);
    }
    let mut bytes = vec![0; BYTES - LENGTH + length];
    if !target.memory.read(from, &mut bytes) {
        return Err(Doubt::Memory);
    }
    let table = bytes.get(BYTES - LENGTH..).ok_or(Doubt::Structure)?;
    Ok((
        table.into(),
        Part {
            address: from,
            bytes,
        },
    ))
}
