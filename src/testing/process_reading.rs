//! Another process read from outside, for tests and benches: `_core._ProcessReader`.

use pyo3::prelude::*;

use crate::gil::process::Process;
use crate::gil::reader::Reader;
use crate::histogram::seconds;
use crate::locked::Locked;
use crate::system::clock::now_ns;
use crate::testing::stack_reading::{StackRow, row};
use crate::watch::thread_files::{Activity, ThreadFiles};

#[pyclass(frozen, name = "_ProcessReader", module = "gilscope._core")]
pub struct ProcessReader {
    process: Locked<Process>,
    reader: Locked<Reader>,
}

#[pymethods]
impl ProcessReader {
    #[new]
    fn new(pid: libc::pid_t) -> PyResult<Self> {
        let process = Process::find(pid)?;
        Ok(Self {
            reader: Locked::new(process.reader()),
            process: Locked::new(process),
        })
    }

    fn version(&self) -> (u8, u8, u8) {
        self.process.with(|process| process.version())
    }

    /// The threads' ids: `ident`, native id, native id outside of the process's PID namespace.
    fn threads(&self) -> Vec<(u64, u64, Option<u64>)> {
        self.process.with(|process| {
            let threads = process.threads();
            let row =
                |ids: crate::gil::ThreadIds| (ids.ident, ids.native, process.outer_id(ids.native));
            threads.into_iter().map(row).collect()
        })
    }

    fn stack(&self, native_id: u64) -> StackRow {
        row(self.reader.with(|reader| reader.stack(native_id)))
    }

    /// The name that the thread has for `threading`.
    fn thread_name(&self, native_id: u64) -> Option<String> {
        let stack = self.reader.with(|reader| reader.stack(native_id)).ok()?;
        self.process.with(|process| process.thread_name(&stack))
    }

    fn is_collecting(&self) -> bool {
        self.process.with(|process| process.is_collecting())
    }

    /// The native id of the thread that holds the GIL, and how often the GIL has changed hands.
    fn gil(&self) -> (Option<u64>, u64) {
        let state = self.process.with(|process| process.gil().read());
        (state.holder.map(|ids| ids.native), state.switches)
    }

    fn switch_interval(&self) -> f64 {
        seconds(self.process.with(|process| process.gil().interval_ns()))
    }

    /// What a thread is doing; a holder of the GIL counts by what it does besides.
    fn activity(&self, native_id: u64) -> &'static str {
        let activity = self.process.with(|process| {
            let outer = process.outer_id(native_id)?;
            Some(ThreadFiles::of(process.pid(), outer).activity(Some(process.gil())))
        });
        match activity {
            Some(Activity::Runs | Activity::HoldsGil) => "runs",
            Some(Activity::WaitsForGil) => "waits for the GIL",
            Some(Activity::Sleeps) => "sleeps",
            Some(Activity::Unknown) | None => "unknown",
        }
    }

    /// A thread's CPU time and run-queue delay, and how often it was put on a CPU.
    fn times(&self, native_id: u64) -> Option<(f64, f64, u64)> {
        self.process.with(|process| {
            let outer = process.outer_id(native_id)?;
            let files = ThreadFiles::of(process.pid(), outer);
            let times = files.cpu_times()?;
            Some((
                seconds(times.ran_ns),
                seconds(times.queued_ns),
                files.times_run()?,
            ))
        })
    }

    fn has_ended(&self) -> bool {
        self.process.with(|process| process.has_ended())
    }

    /// The nanoseconds that each of so many looks at the GIL takes.
    fn time_gil(&self, looks: usize) -> Vec<u64> {
        let gil = self.process.with(|process| process.gil());
        let time = |_| {
            let start_ns = now_ns();
            let _ = gil.read();
            now_ns() - start_ns
        };
        (0..looks).map(time).collect()
    }
}
