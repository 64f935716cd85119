//! The fields of code objects.

use super::bytes::{Bytes, is_plausible};
use super::target::Target;
use crate::gil::stack::Doubt;

/// Where a code object has its type, and the number of its instructions, in all versions.
const TYPE: usize = 8;
const UNITS: usize = 16;
const MAX_UNITS: usize = 1 << 26;

/// The fields of a code object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub address: usize,
    pub first_line: i32,
    first_traceable: i32,
    units: usize,
    /// A number that no other code object has, unless it is 0. `None` on 3.11.
    pub version: Option<u32>,
    pub file: usize,
    pub function: usize,
    pub line_table: usize,
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
