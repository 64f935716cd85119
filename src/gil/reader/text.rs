//! Python strings, read from memory.

use std::fmt::Write;

use super::bytes::{Bytes, is_plausible};
use super::codes::Part;
use super::layout;
use super::target::Target;
use crate::gil::stack::Doubt;

/// A longer string is not the name of a file or a function.
const MAX_LENGTH: usize = 100_000;

/// Where the length and the flags are, in all versions.
const LENGTH: usize = 16;
const FLAGS: usize = 32;
/// The longest header of all versions and kinds.
const HEADER: usize = 80;

/// A string as it was read.
pub struct Text {
    pub text: String,
    /// All that can tell the string from another one: the object from its length on. `None` if the characters lie elsewhere.
    pub part: Option<Part>,
}

impl Text {
    pub fn read(target: &Target, address: usize) -> Result<Self, Doubt> {
        let layout = target.layout.text;
        let mut header = [0; HEADER];
        let (whole, ascii) = (layout.pointer + 8, layout.ascii);
        let is_read = [whole, ascii].into_iter().any(|size| {
            // What lies behind a short string may not be mapped.
            let header = header.get_mut(..size);
            header.is_some_and(|header| target.memory.read(address, header))
        });
        if !is_read {
            return Err(Doubt::Memory);
        }
        let found = Characters::of(address, Bytes(&header), layout).ok_or(Doubt::Structure)?;
        let is_inside = !found.is_elsewhere;
        let from = if is_inside {
            address + LENGTH
        } else {
            found.address
        };
        let mut bytes = vec![0; found.address - from + found.bytes()];
        if !target.memory.read(from, &mut bytes) {
            return Err(Doubt::Memory);
        }
        let characters = bytes.get(found.address - from..);
        let text = characters.and_then(|bytes| found.decode(bytes));
        Ok(Self {
            text: text.ok_or(Doubt::Structure)?,
            part: is_inside.then_some(Part {
                address: from,
                bytes,
            }),
        })
    }
}

/// Where a string's characters are, and how many bytes each has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Characters {
    pub address: usize,
    pub length: usize,
    pub width: Width,
    /// Whether they lie outside of the object, as in an instance of a subclass.
    pub is_elsewhere: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    One = 1,
    Two = 2,
    Four = 4,
}

impl Characters {
    /// Reads the header of the string at `address`. `None` if it is not one.
    pub fn of(address: usize, header: Bytes<'_>, layout: layout::Text) -> Option<Self> {
        let flags = header.half_word(FLAGS)?;
        let width = match flags >> 2 & 7 {
            1 => Width::One,
            2 => Width::Two,
            4 => Width::Four,
            _ => return None,
        };
        let (compact, ascii) = (flags & 1 << 5 != 0, flags & 1 << 6 != 0);
        let length = header.address(LENGTH)?;
        let characters = match (compact, ascii) {
            (true, true) => address + layout.ascii,
            (true, false) => address + layout.compact,
            (false, _) => header.address(layout.pointer).filter(|&at| at >= 4096)?,
        };
        (is_plausible(address) && length <= MAX_LENGTH).then_some(Self {
            address: characters,
            length,
            width,
            is_elsewhere: !compact,
        })
    }

    pub fn bytes(self) -> usize {
        self.length * self.width as usize
    }

    /// The text of these bytes. Lone surrogates are escaped as in `\udce9`, as `watch::text` does. `None` if it is not text.
    pub fn decode(self, bytes: &[u8]) -> Option<String> {
        let mut text = String::with_capacity(bytes.len());
        for unit in bytes.chunks_exact(self.width as usize) {
            let number = match *unit {
                [byte] => u32::from(byte),
                [low, high] => u32::from(u16::from_ne_bytes([low, high])),
                _ => u32::from_ne_bytes(unit.try_into().ok()?),
            };
            match char::from_u32(number) {
                Some(character) => text.push(character),
                None if number < 0x11_0000 => write!(text, "\\u{number:04x}").ok()?,
                None => return None,
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Characters, Width, layout};

    const LAYOUT: layout::Text = layout::Text {
        ascii: 40,
        compact: 56,
        pointer: 56,
    };
    const ADDRESS: usize = 1 << 20;

    fn header(length: u64, flags: u32, pointer: u64) -> Vec<u8> {
        let mut header = vec![0; 64];
        header.splice(16..24, length.to_ne_bytes());
        header.splice(32..36, flags.to_ne_bytes());
        header.splice(56..64, pointer.to_ne_bytes());
        header
    }

    fn characters(width: Width) -> Characters {
        Characters {
            address: 0,
            length: 0,
            width,
            is_elsewhere: false,
        }
    }

    #[test]
    fn the_characters_of_a_string_follow_the_header_of_its_kind() {
        let of = |flags| Characters::of(ADDRESS, Bytes(&header(3, flags, 0)), LAYOUT);
        let place = |flags| of(flags).map(|found| (found.address - ADDRESS, found.width));
        assert_eq!(place(1 << 2 | 3 << 5), Some((40, Width::One)));
        assert_eq!(place(1 << 2 | 1 << 5), Some((56, Width::One)));
        assert_eq!(place(2 << 2 | 1 << 5), Some((56, Width::Two)));
        assert_eq!(place(4 << 2 | 1 << 5), Some((56, Width::Four)));
    }

    #[test]
    fn a_string_of_a_subclass_has_its_characters_elsewhere() {
        let header = header(3, 1 << 2 | 1 << 6, 1 << 30);
        let found = Characters::of(ADDRESS, Bytes(&header), LAYOUT).expect("a string");
        assert_eq!((found.address, found.is_elsewhere), (1 << 30, true));
    }

    #[test]
    fn other_bytes_are_not_a_string() {
        let is_one = |header: &[u8]| Characters::of(ADDRESS, Bytes(header), LAYOUT).is_some();
        assert!(!is_one(&header(3, 3 << 2 | 3 << 5, 0)));
        assert!(!is_one(&header(1 << 40, 1 << 2 | 3 << 5, 0)));
        assert!(!is_one(&header(3, 1 << 2, 8)));
        assert!(!is_one(&[0; 20]));
    }

    #[test]
    fn characters_of_each_width_are_decoded() {
        let decode = |width, bytes: &[u8]| characters(width).decode(bytes);
        assert_eq!(decode(Width::One, b"a\xe9").as_deref(), Some("aé"));
        let two = [u16::from(b'a'), 0x4e2d].map(u16::to_ne_bytes).concat();
        assert_eq!(decode(Width::Two, &two).as_deref(), Some("a中"));
        let four = [0x41_u32, 0x1d4b3].map(u32::to_ne_bytes).concat();
        assert_eq!(decode(Width::Four, &four).as_deref(), Some("A𝒳"));
    }

    #[test]
    fn a_lone_surrogate_is_escaped() {
        let bytes = [0xdce9_u16, 0x62].map(u16::to_ne_bytes).concat();
        let text = characters(Width::Two).decode(&bytes);
        assert_eq!(text.as_deref(), Some("\\udce9b"));
    }

    #[test]
    fn a_number_that_is_no_character_is_not_text() {
        let bytes = 0x11_0000_u32.to_ne_bytes();
        assert_eq!(characters(Width::Four).decode(&bytes), None);
    }
}
