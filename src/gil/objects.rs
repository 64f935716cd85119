//! Python objects read from memory: strings, numbers, tuples, cells and dictionaries.
//!
//! The thread that owns an object may change or free it meanwhile. So every read goes through the kernel, every object's type
//! is compared with the type that is expected, no length is trusted beyond a limit, and whoever needs a value that is right
//! reads it twice.

pub mod dictionaries;
pub mod learned;
mod located;

use std::fmt::Write;

use super::memory::Memory;

/// Longer texts are cut.
pub const MAX_CHARACTERS: usize = 1000;
/// How many bases of a type are looked at.
const MAX_BASES: usize = 16;

/// Offsets that are the same in all versions of CPython from 3.11 to 3.15, of builds with a GIL.
pub mod field {
    pub const TYPE: usize = 8;
    /// The number of items of an object of variable size, and the length of a string.
    pub const SIZE: usize = 16;
    pub const BYTES_DATA: usize = 32;
    pub const TYPE_BASE: usize = 256;
}

/// The addresses of types.
#[derive(Clone, Copy)]
pub struct Types {
    pub str: usize,
    pub int: usize,
    pub tuple: usize,
    pub bytes: usize,
    pub dict: usize,
    pub cell: usize,
    pub code: usize,
    pub coroutine: usize,
    pub generator: usize,
}

/// How to read objects: what [`learned`] has found out and checked, or, in another process, [`located`].
#[derive(Clone, Copy)]
pub struct Objects {
    pub memory: Memory,
    pub types: Types,
    /// Where the characters of a compact string begin: of one that is ASCII only, and of any other. A string that is not compact
    /// has their address at the latter offset.
    ascii: usize,
    characters: usize,
    tuple_items: usize,
    digits: usize,
    /// Whether an int keeps its sign in the two lowest bits of its size, as since 3.12, or is its size negative.
    has_sign_bits: bool,
    /// Where the values begin in the table of a dictionary that shares its keys with others; `None` if unknown.
    shared_values: Option<usize>,
}

impl Objects {
    pub fn word(&self, address: usize) -> Option<usize> {
        usize::try_from(self.memory.word(address)?).ok()
    }

    /// The address of an object that the word at `address` refers to.
    pub fn object(&self, address: usize) -> Option<usize> {
        self.word(address).filter(|&object| is_object(object))
    }

    pub fn is_a(&self, address: usize, kind: usize) -> bool {
        is_object(address) && self.word(address + field::TYPE) == Some(kind)
    }

    /// Whether the object's type is `kind` or derived from it through first bases only, so that it begins like a `kind`.
    pub fn extends(&self, address: usize, kind: usize) -> bool {
        let mut own = is_object(address)
            .then(|| self.object(address + field::TYPE))
            .flatten();
        for _ in 0..MAX_BASES {
            match own {
                Some(own) if own == kind => return true,
                Some(derived) => own = self.object(derived + field::TYPE_BASE),
                None => return false,
            }
        }
        false
    }

    /// The words of an object's beginning.
    pub fn words<const N: usize>(&self, address: usize) -> Option<[usize; N]> {
        let mut words = [[0; 8]; N];
        (is_object(address) && self.memory.read(address, words.as_flattened_mut()))
            .then(|| words.map(usize::from_ne_bytes))
    }

    /// A string's first characters, at most `limit`. Lone surrogates are escaped as in [`crate::watch::text`].
    pub fn text(&self, address: usize, limit: usize) -> Option<String> {
        let [_, kind, length, _, state] = self.words(address)?;
        if kind != self.types.str && !self.extends(address, self.types.str) {
            return None;
        }
        let width @ (1 | 2 | 4) = state >> 2 & 7 else {
            return None;
        };
        let data = match (state >> 5 & 1, state >> 6 & 1) {
            (1, 1) => address + self.ascii,
            (1, _) => address + self.characters,
            _ => self.word(address + self.characters)?, // it is not compact
        };
        let mut bytes = vec![0; length.min(limit) * width];
        (bytes.is_empty() || self.memory.read(data, &mut bytes)).then(|| decoded(&bytes, width))?
    }

    /// Whether an object is the ASCII string `text`.
    pub fn is_text(&self, address: usize, text: &str) -> bool {
        self.words(address)
            .is_some_and(|[_, kind, length]| kind == self.types.str && length == text.len())
            && self.text(address, text.len()).as_deref() == Some(text)
    }

    /// A number that is not negative and has at most two digits, so is below 2 to the power of 60.
    pub fn number(&self, address: usize) -> Option<u64> {
        let [_, kind, size] = self.words(address)?;
        if kind != self.types.int {
            return None;
        }
        let digits = match self.has_sign_bits {
            true if size & 3 == 2 => return None,
            true => size >> 3,
            false => size,
        };
        let words = self.memory.word(address + self.digits)?;
        let (low, high) = (words & 0x3fff_ffff, words >> 32 & 0x3fff_ffff);
        match digits {
            0 => Some(0),
            1 => Some(low),
            2 => Some(low | high << 30),
            _ => None,
        }
    }

    /// The addresses of a tuple's first items, at most `N`; 0 for those that it does not have.
    pub fn items<const N: usize>(&self, tuple: usize) -> Option<[usize; N]> {
        let [_, kind, length] = self.words(tuple)?;
        if kind != self.types.tuple {
            return None;
        }
        let mut items = [[0; 8]; N];
        let there = &mut items[..length.min(N)];
        (there.is_empty()
            || self
                .memory
                .read(tuple + self.tuple_items, there.as_flattened_mut()))
        .then(|| items.map(usize::from_ne_bytes))
    }

    /// The first bytes of a `bytes` object, at most `N`; 0 for those that it does not have.
    pub fn bytes<const N: usize>(&self, address: usize) -> Option<[u8; N]> {
        let [_, kind, length] = self.words(address)?;
        if kind != self.types.bytes {
            return None;
        }
        let mut bytes = [0; N];
        let there = &mut bytes[..length.min(N)];
        (there.is_empty() || self.memory.read(address + field::BYTES_DATA, there)).then_some(bytes)
    }

    /// What a cell refers to.
    pub fn content(&self, cell: usize) -> Option<usize> {
        let [_, kind, content] = self.words(cell)?;
        (kind == self.types.cell && is_object(content)).then_some(content)
    }
}

/// Whether an object can be at an address: a process has the lower half of the addresses, and objects are aligned.
pub fn is_object(address: usize) -> bool {
    (0x1000..1 << 47).contains(&address) && address % align_of::<usize>() == 0
}

/// The offset that was found, if it is the only one.
pub fn only_offset(found: &[usize]) -> Option<usize> {
    match found {
        [offset] => Some(*offset),
        _ => None,
    }
}

fn decoded(bytes: &[u8], width: usize) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    for unit in bytes.chunks_exact(width) {
        let mut number = [0; 4];
        number[..width].copy_from_slice(unit);
        let number = u32::from_ne_bytes(number);
        match char::from_u32(number) {
            Some(character) => text.push(character),
            None if (0xd800..0xe000).contains(&number) => {
                let _ = write!(text, "\\u{number:04x}"); // a string takes any text
            }
            None => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_of_every_width_are_decoded() {
        assert_eq!(decoded(b"a\xe9", 1).as_deref(), Some("aé"));
        assert_eq!(decoded(&[0x2d, 0x4e], 2).as_deref(), Some("中"));
        assert_eq!(decoded(&0x1d4b3_u32.to_ne_bytes(), 4).as_deref(), Some("𝒳"));
    }

    #[test]
    fn a_lone_surrogate_is_escaped_and_no_other_number_is_text() {
        assert_eq!(decoded(&[0xe9, 0xdc], 2).as_deref(), Some("\\udce9"));
        assert_eq!(decoded(&0x11_0000_u32.to_ne_bytes(), 4), None);
    }

    #[test]
    fn only_an_aligned_address_of_a_process_is_an_object() {
        assert!(is_object(0x7f00_0000_0010));
        for address in [0, 8, 0x7f00_0000_0011, 1 << 47, usize::MAX - 7] {
            assert!(!is_object(address));
        }
    }
}
