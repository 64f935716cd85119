//! Fields of a structure that was copied from a process's memory.

/// The copy. A field that lies outside reads as `None`: the offsets come from the process that is read.
#[derive(Clone, Copy)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    pub fn byte(self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }

    pub fn short(self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_ne_bytes)
    }

    pub fn int(self, offset: usize) -> Option<i32> {
        self.array(offset).map(i32::from_ne_bytes)
    }

    pub fn half_word(self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_ne_bytes)
    }

    pub fn word(self, offset: usize) -> Option<u64> {
        self.array(offset).map(u64::from_ne_bytes)
    }

    pub fn address(self, offset: usize) -> Option<usize> {
        self.array(offset).map(usize::from_ne_bytes)
    }

    fn array<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        let bytes = self.0.get(offset..offset.checked_add(N)?)?;
        bytes.try_into().ok()
    }
}

/// Whether an object or a frame can lie there: aligned, in user space, and not in the first page.
pub fn is_plausible(address: usize) -> bool {
    address % 8 == 0 && (4096..1 << 47).contains(&address)
}
