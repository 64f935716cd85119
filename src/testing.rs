//! Native functions for gilscope's own tests and benches, kept out of the way of users: `_core._Testing`.

mod process_reading;
mod stack_reading;
mod stall_rules;
mod task_reading;

use std::sync::atomic::Ordering;

use pyo3::prelude::*;

use crate::arguments;
use crate::bridge;
use crate::countdown::count_down_until;
use crate::gil::ThreadIds;
use crate::histogram::{nanoseconds, seconds};
use crate::system::clock::now_ns;
use crate::testing::stall_rules::EvidenceRecord;
use crate::watch::line_choice::LineRules;
use crate::watch::rhythm::FULL_RATE_FOR_NS;
use crate::watch::ring::Span;
use crate::watch::watcher::Watcher;

#[pyclass(frozen, name = "_Testing", module = "gilscope._core")]
pub struct Testing;

#[pymethods]
impl Testing {
    /// Panic with this message on a worker thread of the bridge; await the returned future for the exception.
    #[staticmethod]
    fn panic_bridge(py: Python<'_>, message: String) -> PyResult<Bound<'_, PyAny>> {
        bridge::start(py, move |_| -> () { panic!("{message}") })
    }

    /// Add 1 to a register `n` times, where each addition waits for the one before: one addition takes one clock cycle.
    #[staticmethod]
    fn add_chain(py: Python<'_>, n: &Bound<'_, PyAny>) -> PyResult<u64> {
        let n = arguments::count(n)?;
        Ok(py.detach(|| chain_of_additions(n)))
    }

    /// Count `n` down to 0 with the GIL held, `pieces` times; release the GIL between two of them for as long as it takes to
    /// acquire it again.
    #[staticmethod]
    fn hold_in_pieces(py: Python<'_>, n: u64, pieces: u32) -> u64 {
        (0..pieces)
            .map(|_| {
                py.detach(|| ());
                count_down_until(n, || false)
            })
            .sum()
    }

    /// Let the watches that start from now on sample at their full rate for so long, in seconds, instead of 3. Return the time that
    /// was set before.
    #[staticmethod]
    fn set_full_rate_at_start(duration: f64) -> PyResult<f64> {
        let duration_ns = nanoseconds(duration)?;
        // Relaxed: used by itself.
        let before_ns = FULL_RATE_FOR_NS.swap(duration_ns, Ordering::Relaxed);
        Ok(seconds(before_ns))
    }

    /// Add `count` holds of 1 ms by threads that take turns, and `count` beats and probes, to what `watcher` keeps of the last
    /// minutes. Return how many bytes all of that takes.
    #[staticmethod]
    fn fill_rings(watcher: &Watcher, count: u64, threads: u64) -> usize {
        let state = &watcher.state;
        let start_ns = now_ns().saturating_sub(count * 1_000_000);
        for number in 1..=count {
            let to_ns = start_ns + number * 1_000_000;
            let native = 1 + number % threads.max(1);
            let by = ThreadIds {
                ident: native,
                native,
            };
            let from_ns = to_ns - 1_000_000;
            let hold = Span { by, from_ns, to_ns };
            state.gil_usage.with(|usage| usage.keep(hold));
            state.beats.add(to_ns, number % 1000 * 1000);
            state.probes.add(to_ns, number % 1000 * 1000);
        }
        state.size_of_rings()
    }

    /// Return the cause that the native half sees in evidence of a stall.
    #[staticmethod]
    #[pyo3(signature = (evidence, *, duration, threshold, reads_gil))]
    fn cause_so_far(
        evidence: EvidenceRecord,
        duration: f64,
        threshold: f64,
        reads_gil: bool,
    ) -> PyResult<&'static str> {
        stall_rules::cause(&evidence, duration, threshold, reads_gil)
    }

    /// Return where the callback's frames begin and end, and the indices of its line and of the whole stack's line.
    #[staticmethod]
    #[pyo3(signature = (rules, packages, frames, above))]
    fn choose_line(
        rules: LineRules,
        packages: Vec<String>,
        frames: Vec<(String, u32, String)>,
        above: Option<usize>,
    ) -> (usize, usize, Option<usize>, Option<usize>) {
        stall_rules::choice(rules, packages, &frames, above)
    }
}

/// Adds `Testing` without `PyModule::add`, which would list it in `__all__`.
pub fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.setattr("_Testing", module.py().get_type::<Testing>())?;
    module.setattr(
        "_StackReader",
        module.py().get_type::<stack_reading::StackReader>(),
    )?;
    module.setattr(
        "_ProcessReader",
        module.py().get_type::<process_reading::ProcessReader>(),
    )?;
    module.setattr(
        "_TaskReader",
        module.py().get_type::<task_reading::TaskReader>(),
    )
}

fn chain_of_additions(n: u64) -> u64 {
    let mut sum = 0_u64;
    let one = std::hint::black_box(1_u64);
    for _ in 0..n / 16 {
        // SAFETY: sixteen additions of one register to another, which touch neither memory nor the stack.
        unsafe {
            std::arch::asm!(
                ".rept 16", "add {sum}, {one}", ".endr",
                sum = inout(reg) sum, one = in(reg) one, options(nomem, nostack)
            );
        }
    }
    sum
}
