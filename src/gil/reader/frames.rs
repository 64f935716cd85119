//! From raw frames to frames of Python code: which of them have begun, where they stand, and both ends of a deep stack.

use std::collections::{HashMap, VecDeque};

use super::code::Head;
use super::codes::Codes;
use super::line_table;
use super::target::Target;
use super::walk::RawFrame;
use crate::gil::stack::{Doubt, FRAMES_KEPT_AT_EACH_END, Frame};

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
        let head = heads.get(number).ok_or(Doubt::Structure)?;
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
fn heads(target: &Target, raw: &[RawFrame]) -> Result<(Vec<Head>, Vec<usize>), Doubt> {
    let mut numbers = HashMap::new();
    let mut addresses = Vec::new();
    let mut last = (0, 0);
    let of_frames = raw.iter().map(|frame| {
        // Most frames of a deep stack are of one function.
        if frame.code != last.0 {
            let number = *numbers.entry(frame.code).or_insert_with(|| {
                addresses.push(frame.code);
                addresses.len() - 1
            });
            last = (frame.code, number);
        }
        last.1
    });
    let of_frames = of_frames.collect();
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
