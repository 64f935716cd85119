//! The memory that a thread's frames lie in: chunks, each copied with one read. Frames of generators lie elsewhere, in the
//! generator objects, and those of C code that calls Python on the C stack; each of these is read by itself.

use super::bytes::{Bytes, is_plausible};
use super::target::Target;
use crate::gil::stack::Doubt;

/// `_PyStackChunk`: the next older chunk, its size, and how many words of `data` are in use once there is a newer one.
const PREVIOUS: usize = 0;
const TOP: usize = 16;
const DATA: usize = 24;
/// Chunks have 16 KiB, unless one frame needs more.
const MAX_COPIED: usize = 1 << 20;
/// No frame is larger, as far as it is read.
pub const MAX_FRAME: usize = 128;

/// The part of it that a walk outwards through the frames needs now. The older a frame is, the lower it lies in its chunk,
/// and the older is the chunk.
#[derive(Default)]
pub struct DataStack {
    /// A copy of what is at `begin`.
    copy: Vec<u8>,
    begin: usize,
    /// The next older chunk, and where its frames end if that is known.
    chunk: usize,
    end: Option<usize>,
    previous: usize,
}

impl DataStack {
    /// Forgets all, and begins with the newest chunk, whose frames end at `top`.
    pub fn begin(&mut self, target: &Target, chunk: usize, top: usize) {
        self.copy.clear();
        self.chunk = chunk;
        self.end = is_plausible(chunk)
            .then(|| target.address(chunk + PREVIOUS))
            .flatten()
            .map(|previous| {
                self.previous = previous;
                top
            });
    }

    /// A copy of the frame at `address`, `size` bytes.
    pub fn frame(
        &mut self,
        target: &Target,
        address: usize,
        size: usize,
    ) -> Result<[u8; MAX_FRAME], Doubt> {
        let mut frame = [0; MAX_FRAME];
        let bytes = frame.get_mut(..size).ok_or(Doubt::Structure)?;
        if let Some(copied) = self.copied(address, size) {
            bytes.copy_from_slice(copied);
        } else if self.is_in_next_chunk(target, address)
            && self.copy_next_up_to(target, address + size)
        {
            bytes.copy_from_slice(self.copied(address, size).ok_or(Doubt::Structure)?);
        } else if !target.memory.read(address, bytes) {
            return Err(Doubt::Memory);
        }
        Ok(frame)
    }

    fn copied(&self, address: usize, size: usize) -> Option<&[u8]> {
        let from = address.checked_sub(self.begin)?;
        self.copy.get(from..from + size)
    }

    fn is_in_next_chunk(&mut self, target: &Target, address: usize) -> bool {
        if self.end.is_none() && is_plausible(self.chunk) {
            let mut header = [0; DATA];
            if target.memory.read(self.chunk, &mut header) {
                let header = Bytes(&header);
                self.previous = header.address(PREVIOUS).unwrap_or_default();
                let top = header.address(TOP).filter(|&words| words < MAX_COPIED);
                self.end = top.map(|words| self.chunk + DATA + 8 * words);
            }
        }
        self.end
            .is_some_and(|end| (self.chunk..end).contains(&address))
    }

    fn copy_next_up_to(&mut self, target: &Target, end: usize) -> bool {
        let length = end - self.chunk;
        if length > MAX_COPIED {
            return false;
        }
        self.copy.resize(length, 0);
        self.begin = self.chunk;
        self.chunk = self.previous;
        self.end = None;
        let copied = target.memory.read(self.begin, &mut self.copy);
        if !copied {
            self.copy.clear();
        }
        copied
    }
}
