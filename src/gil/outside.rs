//! The GIL of another process, read through the kernel.

use super::memory::Memory;
use super::reader::bytes::Bytes;
use super::reader::target::Target;
use super::{Gil, GilState, ThreadIds, field};

impl Gil {
    /// The GIL of another process. All of its addresses are in that process.
    pub fn of(target: &Target) -> Self {
        Self {
            memory: Some(target.memory),
            address: target.gil_address(),
            ids_offset: target.layout.state.ids,
        }
    }

    /// As [`Self::read`], of another process: one system call, and one more if a thread holds the GIL.
    pub(super) fn read_in(self, memory: Memory) -> GilState {
        const WORDS: usize = field::WAITERS / 8;
        let locked_of = |words: &[u64; WORDS]| words[field::LOCKED / 8] & 0xffff_ffff != 0;
        let Some(words) = memory.words::<WORDS>(self.address) else {
            return GilState {
                holder: None,
                switches: 0,
            };
        };
        let switches = words[field::SWITCH_NUMBER / 8];
        let holder = locked_of(&words).then(|| {
            let at = usize::try_from(words[field::LAST_HOLDER / 8]).unwrap_or_default();
            let places = [
                (at.wrapping_add(self.ids_offset), 16),
                (self.address, field::WAITERS),
            ];
            let mut bytes = [0; 16 + field::WAITERS];
            let is_read = memory.read_all(&places, &mut bytes);
            let (ids, after) = bytes.split_at(16);
            // The kernel copies one place after the other: the GIL is the same after its holder's ids were read as before.
            let is_same = is_read && {
                let after = Bytes(after);
                after.word(field::SWITCH_NUMBER) == Some(switches)
                    && after.word(field::LAST_HOLDER) == Some(at as u64)
            };
            let ids = Bytes(ids);
            match (ids.word(0), ids.word(8)) {
                (Some(ident), Some(native)) if is_same => ThreadIds { ident, native },
                _ => ThreadIds::default(),
            }
        });
        GilState { holder, switches }
    }
}
