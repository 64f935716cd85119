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

#[cfg(test)]
mod tests {
    use super::{NotATable, line};

    /// An entry: its code, how many instructions it covers, and the bytes behind the first.
    fn entry(code: u8, instructions: u8, rest: &[u8]) -> Vec<u8> {
        [&[0x80 | code << 3 | (instructions - 1)], rest].concat()
    }

    fn lines(table: &[u8], first_line: i32, until: i32) -> Vec<Option<u32>> {
        let lines = (-1..until).map(|index| line(table, first_line, index));
        lines.collect::<Result<_, _>>().expect("a line table")
    }

    #[test]
    fn before_the_first_instruction_the_line_is_the_first() {
        assert_eq!(line(&[], 7, -1), Ok(Some(7)));
    }

    #[test]
    fn a_line_number_goes_on_by_what_each_entry_says() {
        let table = [
            entry(0, 1, &[0x11]),              // same line, short form
            entry(11, 2, &[1, 2]),             // one line on
            entry(13, 1, &[4]),                // two lines on, no columns
            entry(14, 1, &[7, 0, 1, 1]),       // three lines back, long form
            entry(14, 1, &[0x40, 2, 0, 1, 1]), // 64 lines on, in two bytes
        ]
        .concat();
        let expected = [10, 10, 11, 11, 13, 10, 74].map(Some);
        assert_eq!(lines(&table, 10, 6), expected);
    }

    #[test]
    fn an_instruction_without_a_line_leaves_the_line_of_the_next_as_it_was() {
        let table = [entry(12, 1, &[0, 0]), entry(15, 8, &[]), entry(0, 1, &[0])].concat();
        assert_eq!(line(&table, 1, 0), Ok(Some(3)));
        assert_eq!(line(&table, 1, 8), Ok(None));
        assert_eq!(line(&table, 1, 9), Ok(Some(3)));
    }

    #[test]
    fn behind_the_end_of_the_table_there_is_no_line() {
        assert_eq!(line(&entry(0, 2, &[0]), 1, 2), Ok(None));
    }

    #[test]
    fn a_negative_line_is_none() {
        assert_eq!(line(&entry(13, 1, &[3]), 0, 0), Ok(None));
        assert_eq!(line(&entry(0, 1, &[0]), 0, 0), Ok(Some(0)));
    }

    #[test]
    fn other_bytes_are_not_a_table() {
        assert_eq!(line(&[1], 1, 0), Err(NotATable));
        assert_eq!(line(&entry(13, 1, &[]), 1, 0), Err(NotATable));
        assert_eq!(line(&entry(13, 1, &[0x40]), 1, 0), Err(NotATable));
        assert_eq!(line(&entry(13, 1, &[0x7f; 9]), 1, 0), Err(NotATable));
    }
}
