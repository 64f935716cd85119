//! `co_linetable`: which line an instruction belongs to (`Objects/locations.md` of CPython).

/// The code of an entry is in four bits of its first byte, the only one whose highest bit is set.
const FIRST: u8 = 0x80;
const NO_LINE: u8 = 15;
const LONG: u8 = 14;
const NO_COLUMNS: u8 = 13;
const ONE_LINE: std::ops::RangeInclusive<u8> = 10..=12;

/// The line of an instruction, `None` if it has none. `Err` if this is not a line table.
pub fn line(table: &[u8], first_line: i32, instruction: i32) -> Result<Option<u32>, NotATable> {
    let Ok(instruction) = usize::try_from(instruction) else {
        return Ok(positive(first_line));
    };
    let mut bytes = table.iter().copied().peekable();
    let mut line = first_line;
    let mut end = 0;
    while let Some(first) = bytes.next() {
        if first & FIRST == 0 {
            return Err(NotATable);
        }
        let code = first >> 3 & 15;
        end += usize::from(first & 7) + 1;
        if matches!(code, LONG | NO_COLUMNS) {
            line = line.wrapping_add(signed(&mut bytes)?);
        } else if ONE_LINE.contains(&code) {
            line = line.wrapping_add(i32::from(code - ONE_LINE.start()));
        }
        if instruction < end {
            return Ok(positive(line).filter(|_| code != NO_LINE));
        }
        while bytes.next_if(|&byte| byte & FIRST == 0).is_some() {}
    }
    // Code may be longer than its table.
    Ok(None)
}

#[derive(Debug, PartialEq, Eq)]
pub struct NotATable;

/// Python calls a negative line none; 0 is one.
fn positive(line: i32) -> Option<u32> {
    u32::try_from(line).ok()
}

/// Six bits a byte, the lowest first. The lowest bit of all is the sign.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> Result<i32, NotATable> {
    let mut value = 0_u32;
    for shift in (0..=30).step_by(6) {
        let byte = bytes.next().filter(|byte| byte & FIRST == 0);
        let byte = byte.ok_or(NotATable)?;
        value |= u32::from(byte & 63) << shift;
        if byte & 64 == 0 {
            let magnitude = i32::try_from(value >> 1).map_err(|_| NotATable)?;
            return Ok(if value & 1 == 1 {
                -magnitude
            } else {
                magnitude
            });
        }
    }
    Err(NotATable)
}
