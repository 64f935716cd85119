//! From raw frames to frames of Python code: which of them have begun, where they stand, and both ends of a deep stack.

use std::collections::{HashMap, VecDeque};

use super::code::Head;
use super::codes::Codes;
use super::line_table;
use super::target::Target;
use super::walk::RawFrame;
use crate::gil::stack::{Doubt, FRAMES_KEPT_AT_EACH_END, Frame};

/// How many code objects are remembered without hashing; a power of two.
const RECENT: usize = 64;

/// The frames that are kept, innermost first, and how many are left out in the middle.
pub fn resolve(
    target: &Target,
    codes: &mut Codes,
    raw: &[RawFrame],
) -> Result<(Vec<Frame>, usize), Doubt> {
    let (heads, numbers) = heads(target, raw)?;
    let mut inner = Vec::with_capacity(raw.len().min(2 * FRAMES_KEPT_AT_EACH_END));
    let mut outer = VecDeque::with_capacity(FRAMES_KEPT_AT_EACH_END);
    let mut left_out = 0;
    for (frame, &number) in raw.iter().zip(&numbers) {
        let head = heads.get(number as usize).ok_or(Doubt::Structure)?;
        let index = head.index(frame.instruction).ok_or(Doubt::Structure)?;
        if !frame.is_generator && !head.has_begun(index) {
            continue;
        }
        if inner.len() < FRAMES_KEPT_AT_EACH_END {
            inner.push((frame, head, index));
        } else {
            if outer.len() == FRAMES_KEPT_AT_EACH_END {
                outer.pop_front();
                left_out += 1;
            }
            outer.push_back((frame, head, index));
        }
    }
    inner.extend(outer);
    if inner.is_empty() {
        return Err(Doubt::NoFrame);
    }
    let kept: Vec<_> = inner.iter().map(|&(_, head, _)| head).collect();
    codes.confirm(target, &kept);
    let frames = inner.into_iter();
    let frames = frames.map(|(raw, head, index)| frame(target, codes, raw, head, index));
    Ok((frames.collect::<Result<_, _>>()?, left_out))
}

/// The code objects of these frames, each once, and for each frame the number of its code object.
fn heads(target: &Target, raw: &[RawFrame]) -> Result<(Vec<Head>, Vec<u32>), Doubt> {
    let mut numbers = HashMap::new();
    let mut addresses = Vec::new();
    // A deep stack has many frames of few functions.
    let mut recent = [(0, 0_u32); RECENT];
    let mut of_frames = Vec::with_capacity(raw.len());
    for frame in raw {
        let recent = recent.get_mut(frame.code >> 4 & (RECENT - 1));
        let recent = recent.ok_or(Doubt::Structure)?;
        if recent.0 != frame.code {
            let next = u32::try_from(addresses.len()).map_err(|_| Doubt::TooDeep)?;
            let number = *numbers.entry(frame.code).or_insert_with(|| {
                addresses.push(frame.code);
                next
            });
            *recent = (frame.code, number);
        }
        of_frames.push(recent.1);
    }
    Ok((Head::read(target, &addresses)?, of_frames))
}

fn frame(
    target: &Target,
    codes: &mut Codes,
    raw: &RawFrame,
    head: &Head,
    index: i32,
) -> Result<Frame, Doubt> {
    let contents = codes.contents(target, head)?;
    let line = line_table::line(&contents.line_table, head.first_line, index);
    Ok(Frame {
        file: contents.file,
        function: contents.function,
        line: line.map_err(|_| Doubt::Structure)?,
        first_line: u32::try_from(head.first_line).unwrap_or_default(),
        instruction: index,
        address: raw.address,
        code: raw.code,
        is_generator: raw.is_generator,
    })
}
