//! Spans of time in few bytes: each is a few numbers of variable length. These are the thread's number, the time since the end
//! of the span before, and the span's own length, which is left out if it begins where the span before ended. So most holds of
//! the GIL take 4 bytes.

use crate::gil::ThreadIds;

/// Bits of a span's first number, beneath the number of its thread.
const BACKWARDS: u64 = 1;
const ADJACENT: u64 = 2;
const FLAGS: u32 = 2;

/// A stretch of time, and the thread that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub by: ThreadIds,
    pub from_ns: u64,
    pub to_ns: u64,
}

impl Span {
    pub fn length_ns(self) -> u64 {
        self.to_ns.saturating_sub(self.from_ns)
    }
}

/// Spans that belong together. Times are in units.
#[derive(Clone, Default)]
pub struct PackedSpans {
    bytes: Vec<u8>,
    threads: Vec<ThreadIds>,
    pub spans: usize,
    /// Where the first span begins.
    pub begin: u64,
    /// Where the last one ends.
    pub end: u64,
}

impl PackedSpans {
    /// How many bytes the spans and their threads take.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.threads.len() * size_of::<ThreadIds>()
    }

    /// How many bytes were allocated for them.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.threads.capacity() * size_of::<ThreadIds>()
    }

    /// Gives back what is allocated beyond that. No more spans will be added.
    pub fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.threads.shrink_to_fit();
    }

    /// Returns the number of a thread that has none yet.
    pub fn add_thread(&mut self, thread: ThreadIds) -> u64 {
        self.threads.push(thread);
        self.threads.len() as u64 - 1
    }

    /// Adds a span of the thread with this number.
    pub fn add(&mut self, number: u64, from: u64, to: u64) {
        if self.spans == 0 {
            self.begin = from;
            self.end = from;
        }
        let is_backwards = to < self.end;
        let is_adjacent = !is_backwards && from == self.end;
        let flags = BACKWARDS * u64::from(is_backwards) + ADJACENT * u64::from(is_adjacent);
        put(&mut self.bytes, number << FLAGS | flags);
        put(&mut self.bytes, to.abs_diff(self.end));
        if !is_adjacent {
            put(&mut self.bytes, to.saturating_sub(from));
        }
        self.end = to;
        self.spans += 1;
    }

    /// The spans, in the order in which they were added.
    pub fn spans(&self, unit_ns: u64) -> impl Iterator<Item = Span> {
        let mut left = self.bytes.as_slice();
        let mut end = self.begin;
        (0..self.spans).map(move |_| {
            let head = take(&mut left);
            let apart = take(&mut left);
            let to = if head & BACKWARDS == 0 {
                end + apart
            } else {
                end - apart
            };
            let from = if head & ADJACENT == 0 {
                to - take(&mut left)
            } else {
                end
            };
            end = to;
            Span {
                by: self.threads[usize::try_from(head >> FLAGS).unwrap_or_default()],
                from_ns: from * unit_ns,
                to_ns: to * unit_ns,
            }
        })
    }
}

/// Appends a number: seven bits a byte, the lowest first. The highest bit of a byte is set if there are more.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn take(left: &mut &[u8]) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    while let Some((&byte, rest)) = left.split_first() {
        *left = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    number
}
