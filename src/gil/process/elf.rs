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
mod tests {
    use super::*;
    use crate::gil::process::images;

    fn own() -> (Memory, libc::pid_t) {
        (Memory::own(), i32::try_from(std::process::id()).unwrap())
    }

    /// Where the linker of this process says that a symbol is.
    fn linked(name: &std::ffi::CStr) -> usize {
        // SAFETY: looks up a NUL-terminated name among the loaded symbols, and reads nothing there.
        unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) as usize }
    }

    fn found(name: &str) -> Vec<usize> {
        let (memory, pid) = own();
        let mapped = images::of(pid).unwrap().into_iter();
        let images = mapped.filter_map(|mapped| Image::at(memory, mapped.base));
        images.filter_map(|image| image.symbol(name)).collect()
    }

    #[test]
    fn symbols_of_libraries_are_found_where_the_linker_says_that_they_are() {
        for name in [c"getpid", c"malloc", c"qsort", c"environ"] {
            let there = linked(name);
            assert_ne!(there, 0);
            assert!(found(name.to_str().unwrap()).contains(&there), "{name:?}");
        }
    }

    #[test]
    fn a_symbol_that_nothing_defines_is_not_found() {
        assert!(found("gilscope_defines_no_such_symbol").is_empty());
        assert!(found("").is_empty());
    }

    #[test]
    fn both_tables_of_hashes_say_the_same() {
        // The kernel's part of each process has both, or the old one only.
        let (memory, _) = own();
        // SAFETY: returns a number.
        let base = unsafe { libc::getauxval(libc::AT_SYSINFO_EHDR) };
        let base = usize::try_from(base).unwrap();
        let Some(image) = Image::at(memory, base) else {
            return; // this kernel gives processes no such part
        };
        let by_either = image.symbol("__vdso_clock_gettime");
        let dynamic = |kind| {
            let mut entries = Vec::new();
            let mut header = [0; 64];
            assert!(memory.read(base, &mut header));
            let number = usize::from(Bytes(&header).short(56).unwrap());
            for index in 0..number {
                let mut entry = [0; 56];
                assert!(memory.read(
                    base + Bytes(&header).address(32).unwrap() + 56 * index,
                    &mut entry
                ));
                entries.push(entry);
            }
            let entry = entries
                .iter()
                .find(|entry| Bytes(&entry[..]).half_word(0) == Some(kind::DYNAMIC));
            let entry = Bytes(&entry.unwrap()[..]);
            let section = Entries::read(
                memory,
                image.bias.wrapping_add(entry.address(16).unwrap()),
                entry.address(40).unwrap(),
            );
            section.unwrap().get(kind).map(|at| {
                if at < base {
                    at.wrapping_add(image.bias)
                } else {
                    at
                }
            })
        };
        assert!(by_either.is_some());
        if let Some(table) = dynamic(kind::HASH) {
            assert_eq!(image.by_hash(table, "__vdso_clock_gettime"), by_either);
            assert_eq!(
                image.by_hash(table, "gilscope_defines_no_such_symbol"),
                None
            );
        }
    }

    #[test]
    fn hashes_are_those_of_the_standard() {
        assert_eq!(gnu_hash(""), 5381);
        assert_eq!(gnu_hash("printf"), 0x156b_2bb8);
        assert_eq!(hash(""), 0);
        assert_eq!(hash("printf"), 0x0779_05a6);
    }

    #[test]
    fn what_is_not_an_image_is_not_taken_for_one() {
        let (memory, _) = own();
        let mut bytes = vec![0_u8; 4096];
        let base = bytes.as_ptr() as usize;
        assert!(Image::at(memory, base).is_none());
        bytes[..5].copy_from_slice(b"\x7fELF\x01");
        assert_eq!(class(memory, base), Some(Class::Bits32));
        assert!(Image::at(memory, base).is_none());
        bytes[4] = 2;
        // All zero behind the first bytes, then all ones.
        assert!(Image::at(memory, base).is_none());
        bytes[5..].fill(0xff);
        assert!(Image::at(memory, base).is_none());
        assert!(Image::at(memory, 8).is_none());
    }
}
