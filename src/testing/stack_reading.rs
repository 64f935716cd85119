//! The stack reader, for tests and benches: `_core._StackReader`.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::gil::reader::Reader;
use crate::gil::stack::{Certainty, Doubt, Frame, Stack};
use crate::gil::{Unreadable, own_ids};
use crate::locked::Locked;
use crate::system::clock::now_ns;

/// File, function, line, first line, index of the instruction.
pub type FrameRow = (String, String, Option<u32>, u32, i32);
/// How certain the stack is or why there is none, frames, frames left out.
pub type StackRow = (&'static str, Vec<FrameRow>, usize);
/// File, function, line.
type Place = (Arc<str>, Arc<str>, Option<u32>);

#[pyclass(frozen, name = "_StackReader", module = "gilscope._core")]
pub struct StackReader {
    reader: Arc<Locked<Reader>>,
    reading: Locked<Option<JoinHandle<Vec<StackRow>>>>,
}

#[pymethods]
impl StackReader {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let reader = Reader::in_process(py)?;
        let reader = reader.map_err(|why| PyRuntimeError::new_err(Unreadable::code(why)))?;
        Ok(Self {
            reader: Arc::new(Locked::new(reader)),
            reading: Locked::new(None),
        })
    }

    /// Read the threads' ids: `ident`, native id.
    fn threads(&self) -> Vec<(u64, u64)> {
        let threads = self.reader.with(Reader::threads);
        threads.iter().map(|ids| (ids.ident, ids.native)).collect()
    }

    /// Read these threads' stacks on a native thread, while this thread waits with the GIL held.
    fn read(&self, native_ids: Vec<u64>) -> Vec<StackRow> {
        let read_all = || {
            let stacks = native_ids
                .iter()
                .map(|&id| self.reader.with(|reader| reader.stack(id)));
            stacks.map(row).collect()
        };
        thread::scope(|scope| scope.spawn(read_all).join()).unwrap_or_default()
    }

    /// Start a native thread that waits until this thread's innermost frame is of `function`, reads the thread's stack
    /// `reads` times, and then writes a byte to `fd`, for which this thread may wait with the GIL held.
    fn release_after(&self, native_id: u64, function: String, reads: usize, fd: i32) {
        let reader = self.reader.clone();
        let reading = thread::spawn(move || {
            let read = || reader.with(|reader| reader.stack(native_id));
            let is_there = |stack: &Stack| {
                let innermost = stack.frames.first();
                innermost.is_some_and(|frame| *frame.function == *function)
            };
            // Should it never be there, the waiting thread is released all the same.
            let deadline_ns = now_ns() + 30_000_000_000;
            while !read().is_ok_and(|stack| is_there(&stack)) && now_ns() < deadline_ns {
                thread::sleep(Duration::from_micros(100));
            }
            let rows = (0..reads).map(|_| row(read())).collect();
            // SAFETY: writes one byte that lives as long as the call.
            unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) };
            rows
        });
        self.reading.with(|place| place.replace(reading));
    }

    /// Return what `release_after` has read.
    fn released(&self, py: Python<'_>) -> Vec<StackRow> {
        let reading = self.reading.with(Option::take);
        let join = || reading.and_then(|reading| reading.join().ok());
        py.detach(join).unwrap_or_default()
    }

    /// Read the stacks of all other threads, one after another, `reads` times in all. Return each different stack with its
    /// number, and how many reads found none, by reason. Releases the GIL.
    #[allow(clippy::type_complexity)] // rows for Python
    fn read_others(
        &self,
        py: Python<'_>,
        reads: usize,
    ) -> (
        Vec<(usize, &'static str, Vec<(String, String, Option<u32>)>)>,
        HashMap<&'static str, usize>,
    ) {
        py.detach(|| {
            let mut seen: HashMap<(bool, Vec<Place>), usize> = HashMap::new();
            let mut doubts = HashMap::new();
            let mut left = reads;
            while left > 0 {
                let threads = self.reader.with(Reader::threads);
                let others = threads.into_iter().filter(|&ids| ids != own_ids());
                let others: Vec<_> = others.take(left).collect();
                if others.is_empty() {
                    break;
                }
                left -= others.len();
                for ids in others {
                    match self.reader.with(|reader| reader.stack(ids.native)) {
                        Ok(stack) => {
                            let places = stack.frames.into_iter();
                            let places =
                                places.map(|frame| (frame.file, frame.function, frame.line));
                            let is_proved = stack.certainty == Certainty::Proved;
                            *seen.entry((is_proved, places.collect())).or_default() += 1;
                        }
                        Err(why) => *doubts.entry(doubt(why)).or_default() += 1,
                    }
                }
            }
            let rows = seen.into_iter().map(|((is_proved, places), number)| {
                let places = places.into_iter();
                let places = places
                    .map(|(file, function, line)| (file.to_string(), function.to_string(), line));
                let certainty = if is_proved { "proved" } else { "twice" };
                (number, certainty, places.collect())
            });
            (rows.collect(), doubts)
        })
    }

    /// Read a thread's stack `reads` times on a native thread, while this thread waits with the GIL held. Return the
    /// nanoseconds that each took, and how many found no stack. With `cold`, nothing is kept from one read to the next.
    fn time(&self, native_id: u64, reads: usize, cold: bool) -> (Vec<u64>, usize) {
        let time_all = || {
            let mut failed = 0;
            let times = (0..reads).map(|_| {
                if cold {
                    self.reader.with(Reader::forget);
                }
                let start_ns = now_ns();
                let stack = self.reader.with(|reader| reader.stack(native_id));
                let took_ns = now_ns() - start_ns;
                failed += usize::from(stack.is_err());
                took_ns
            });
            (times.collect(), failed)
        };
        thread::scope(|scope| scope.spawn(time_all).join()).unwrap_or_default()
    }
}

pub fn row(stack: Result<Stack, Doubt>) -> StackRow {
    match stack {
        Ok(stack) => {
            let certainty = match stack.certainty {
                Certainty::Proved => "proved",
                Certainty::ReadTwice => "twice",
            };
            (
                certainty,
                stack.frames.iter().map(frame_row).collect(),
                stack.left_out,
            )
        }
        Err(why) => (doubt(why), Vec::new(), 0),
    }
}

fn frame_row(frame: &Frame) -> FrameRow {
    (
        frame.file.to_string(),
        frame.function.to_string(),
        frame.line,
        frame.first_line,
        frame.instruction,
    )
}

fn doubt(why: Doubt) -> &'static str {
    match why {
        Doubt::NoThread => "no thread",
        Doubt::NoFrame => "no frame",
        Doubt::Memory => "memory",
        Doubt::Structure => "structure",
        Doubt::Changed => "changed",
        Doubt::TooDeep => "too deep",
    }
}
