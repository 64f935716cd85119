//! Reads the current task and the request, for tests: `_core._TaskReader`.

use std::thread;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::gil::known_objects::KnownObjects;
use crate::gil::reader::Reader;
use crate::gil::stack::Doubt;
use crate::gil::{Unreadable, own_ids};
use crate::locked::Locked;
use crate::system::clock::now_ns;

/// The task's name and its coroutine's qualified name, and the request.
type TaskAndRequest = (Option<(String, String)>, Option<String>);

#[pyclass(frozen, name = "_TaskReader", module = "gilscope._core")]
pub struct TaskReader {
    reading: Locked<Reading>,
}

struct Reading {
    reader: Reader,
    known: KnownObjects,
}

#[pymethods]
impl TaskReader {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let known = KnownObjects::learn(py)?
            .ok_or_else(|| PyRuntimeError::new_err("objects cannot be read"))?;
        let reader = Reader::in_process(py)?;
        let reader = reader.map_err(|why| PyRuntimeError::new_err(Unreadable::code(why)))?;
        Ok(Self {
            reading: Locked::new(Reading { reader, known }),
        })
    }

    /// Read, on a native thread while the caller holds the GIL, what `event_loop` does in the calling thread or in the one with
    /// this native id.
    #[pyo3(signature = (event_loop, native_id=None))]
    fn read(
        &self,
        event_loop: &Bound<'_, PyAny>,
        native_id: Option<u64>,
    ) -> PyResult<TaskAndRequest> {
        let event_loop = event_loop.as_ptr() as usize;
        let native_id = native_id.unwrap_or(own_ids().native);
        let read = || {
            self.reading
                .with(|reading| reading.read(event_loop, native_id))
        };
        thread::scope(|scope| scope.spawn(read).join())
            .map_err(|_| PyRuntimeError::new_err("the reading thread panicked"))?
            .map_err(|doubt| PyRuntimeError::new_err(format!("no stack: {doubt:?}")))
    }

    /// Read `reads` times with the GIL released. Leave out the reads without a stack.
    fn read_often(
        &self,
        event_loop: &Bound<'_, PyAny>,
        native_id: u64,
        reads: usize,
    ) -> Vec<TaskAndRequest> {
        let py = event_loop.py();
        let event_loop = event_loop.as_ptr() as usize;
        py.detach(|| {
            self.reading.with(|reading| {
                let reads = (0..reads).map(|_| reading.read(event_loop, native_id));
                reads.filter_map(Result::ok).collect()
            })
        })
    }

    /// Read `reads` times, on a native thread while the caller holds the GIL, what `event_loop` does in the calling thread.
    /// Return the nanoseconds that a stack alone took each time, then those of the stack with the task and the request.
    fn time(&self, event_loop: &Bound<'_, PyAny>, reads: usize) -> (Vec<u64>, Vec<u64>) {
        let event_loop = event_loop.as_ptr() as usize;
        let native_id = own_ids().native;
        let time = |what: fn(&mut Reading, usize, u64)| {
            let times = (0..reads).map(|_| {
                let begun_ns = now_ns();
                self.reading
                    .with(|reading| what(reading, event_loop, native_id));
                now_ns() - begun_ns
            });
            times.collect()
        };
        let both = || {
            (
                time(|reading, _, id| drop(reading.reader.stack(id))),
                time(|reading, event_loop, id| drop(reading.read(event_loop, id))),
            )
        };
        thread::scope(|scope| scope.spawn(both).join()).unwrap_or_default()
    }
}

impl Reading {
    fn read(&mut self, event_loop: usize, native_id: u64) -> Result<TaskAndRequest, Doubt> {
        let seen = self.known.see(&mut self.reader, native_id, event_loop)?;
        Ok((seen.task, seen.request))
    }
}
