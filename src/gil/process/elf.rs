//! Symbols of a program or a library that a process has loaded, read from the process's memory: no file is opened. So they are
//! found in a container too, and after the file was deleted.

use crate::gil::memory::Memory;
use crate::gil::reader::bytes::Bytes;

const MAGIC: &[u8] = b"\x7fELF";
/// `ET_DYN` (elf.h): may be loaded anywhere, as opposed to `ET_EXEC`.
const ANYWHERE: u16 = 3;
const SYMBOL_SIZE: usize = 24;
/// No image has more program headers, or entries in its dynamic section.
const MAX_HEADERS: usize = 256;
const MAX_ENTRIES: usize = 256;
/// A chain of symbols with similar hashes has no more: the memory is not what it seems to be.
const MAX_CHAIN: usize = 1 << 16;

/// Program headers and entries of the dynamic section (elf.h).
mod kind {
    pub const LOAD: u32 = 1;
    pub const DYNAMIC: u32 = 2;
    pub const HASH: usize = 4;
    pub const STRINGS: usize = 5;
    pub const SYMBOLS: usize = 6;
    pub const GNU_HASH: usize = 0x6fff_fef5;
}

/// Which images there are at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    Bits32,
    Bits64,
}

/// What is loaded at `address`; `None` if it is not an ELF image.
pub fn class(memory: Memory, address: usize) -> Option<Class> {
    let mut start = [0; 5];
    if !memory.read(address, &mut start) || &start[..4] != MAGIC {
        return None;
    }
    match start[4] {
        1 => Some(Class::Bits32),
        2 => Some(Class::Bits64),
        _ => None,
    }
}

/// A 64-bit image that is linked dynamically.
#[derive(Clone, Copy)]
pub struct Image {
    memory: Memory,
    /// What has to be added to the addresses in the image.
    bias: usize,
    symbols: usize,
    strings: usize,
    table: Table,
}

/// Which table of hashes an image has.
#[derive(Clone, Copy)]
enum Table {
    Gnu(usize),
    SystemV(usize),
}

impl Image {
    /// The image whose first bytes are at `base`; `None` if there is none with symbols.
    pub fn at(memory: Memory, base: usize) -> Option<Self> {
        if class(memory, base)? != Class::Bits64 {
            return None;
        }
        let mut header = [0; 64];
        if !memory.read(base, &mut header) {
            return None;
        }
        let header = Bytes(&header);
        let number = usize::from(header.short(56)?).min(MAX_HEADERS);
        let mut headers = vec![0; 56 * number];
        if !memory.read(base.checked_add(header.address(32)?)?, &mut headers) {
            return None;
        }
        let of_kind = |kind| {
            let mut headers = headers.chunks_exact(56);
            headers.find(|header| Bytes(header).half_word(0) == Some(kind))
        };
        let field = |header: &[u8], offset| Bytes(header).address(offset);
        let first = of_kind(kind::LOAD)?;
        let dynamic = of_kind(kind::DYNAMIC)?;
        let bias = if header.short(16)? == ANYWHERE {
            // The first part to be loaded begins with the image's first bytes, or with what is behind them in the file.
            base.wrapping_sub(field(first, 16)?.wrapping_sub(field(first, 8)?))
        } else {
            0
        };
        let entries = Entries::read(
            memory,
            bias.wrapping_add(field(dynamic, 16)?),
            field(dynamic, 40)?,
        )?;
        // glibc has added the bias to these already; musl has not.
        let place = |kind| {
            let address = entries.get(kind)?;
            Some(if address < base {
                address.wrapping_add(bias)
            } else {
                address
            })
        };
        let gnu = place(kind::GNU_HASH).map(Table::Gnu);
        Some(Self {
            memory,
            bias,
            symbols: place(kind::SYMBOLS)?,
            strings: place(kind::STRINGS)?,
            table: gnu.or_else(|| place(kind::HASH).map(Table::SystemV))?,
        })
    }

    /// The address of an exported symbol.
    pub fn symbol(&self, name: &str) -> Option<usize> {
        match self.table {
            Table::Gnu(table) => self.by_gnu_hash(table, name),
            Table::SystemV(table) => self.by_hash(table, name),
        }
    }

    fn by_gnu_hash(&self, table: usize, name: &str) -> Option<usize> {
        let mut head = [0; 16];
        if !self.memory.read(table, &mut head) {
            return None;
        }
        let head = |at: usize| Bytes(&head).half_word(4 * at).map(|word| word as usize);
        let (buckets, first, words) = (head(0)?, head(1)?, head(2)?);
        let hash = gnu_hash(name);
        let table_of_buckets = table.checked_add(16 + 8 * words)?;
        let chain = table_of_buckets.checked_add(4 * buckets)?;
        let bucket = (hash as usize).checked_rem(buckets)?;
        let start = self.half_word(table_of_buckets + 4 * bucket)? as usize;
        for index in start..start + MAX_CHAIN {
            let link = self.half_word(chain.checked_add(4 * index.checked_sub(first)?)?)?;
            if link | 1 == hash | 1
                && let Some(address) = self.named(index, name)
            {
                return Some(address);
            }
            if link & 1 == 1 {
                return None;
            }
        }
        None
    }

    fn by_hash(&self, table: usize, name: &str) -> Option<usize> {
        let buckets = self.half_word(table)? as usize;
        let bucket = (hash(name) as usize).checked_rem(buckets)?;
        let mut index = self.half_word(table + 8 + 4 * bucket)? as usize;
        for _ in 0..MAX_CHAIN {
            if index == 0 {
                return None;
            }
            if let Some(address) = self.named(index, name) {
                return Some(address);
            }
            index = self.half_word(table.checked_add(8 + 4 * (buckets + index))?)? as usize;
        }
        None
    }

    /// The address of the symbol with this index, if that is its name and the image defines it.
    fn named(&self, index: usize, name: &str) -> Option<usize> {
        let mut symbol = [0; SYMBOL_SIZE];
        if !self
            .memory
            .read(self.symbols.checked_add(SYMBOL_SIZE * index)?, &mut symbol)
        {
            return None;
        }
        let symbol = Bytes(&symbol);
        let mut text = vec![0; name.len() + 1];
        let at = self.strings.checked_add(symbol.half_word(0)? as usize)?;
        let is_it = self.memory.read(at, &mut text)
            && text.strip_suffix(b"\0") == Some(name.as_bytes())
            && symbol.short(6)? != 0;
        is_it.then_some(symbol.address(8)?.wrapping_add(self.bias))
    }

    fn half_word(&self, address: usize) -> Option<u32> {
        let mut bytes = [0; 4];
        let is_there = self.memory.read(address, &mut bytes);
        is_there.then_some(u32::from_ne_bytes(bytes))
    }
}

/// The dynamic section: pairs of a kind and a value.
struct Entries(Vec<u8>);

impl Entries {
    fn read(memory: Memory, address: usize, size: usize) -> Option<Self> {
        let mut bytes = vec![0; size.min(16 * MAX_ENTRIES)];
        memory.read(address, &mut bytes).then_some(Self(bytes))
    }

    fn get(&self, kind: usize) -> Option<usize> {
        let mut pairs = self.0.chunks_exact(16);
        let pair = pairs
            .find(|pair| matches!(Bytes(pair).address(0), Some(own) if own == kind || own == 0))?;
        let pair = Bytes(pair);
        (pair.address(0)? == kind).then_some(pair.address(8)?)
    }
}

fn gnu_hash(name: &str) -> u32 {
    name.bytes().fold(5381, |hash: u32, byte| {
        hash.wrapping_mul(33).wrapping_add(byte.into())
    })
}

fn hash(name: &str) -> u32 {
    name.bytes().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}

#[cfg(test)]
mod tests;
