//! The CPU-bound kernels: one countdown loop, run with the GIL held or with the GIL released.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::arguments;
use crate::main_interpreter;

/// Takes 2.4 us at 4.2 GHz. Checking the flag costs less than 1 % of that.
const STEPS_BETWEEN_STOP_CHECKS: u64 = 10_000;
/// Takes about a quarter of a millisecond.
const STEPS_BETWEEN_SIGNAL_OR_CLOCK_CHECKS: u64 = 1_000_000;
/// A countdown on the main thread that released the GIL attaches this often to check for Python signals. If another thread
/// runs Python, each check waits a switch interval (5 ms) for the GIL: with 50 ms that costs 6 to 8 %.
const DETACHED_TIME_BETWEEN_SIGNAL_CHECKS: Duration = Duration::from_millis(50);

/// Decrements a register `n` times, one iteration per clock cycle, and returns 0.
///
/// LLVM would replace a plain loop by its result. The empty `asm!` hides each value of `n` from LLVM, so that it can neither
/// replace nor unroll the loop. It also keeps `n` in a register. `black_box` would move `n` through the stack: 4 to 5 cycles
/// per iteration on processors without memory renaming.
#[inline(never)]
fn count_down(mut n: u64) -> u64 {
    while n > 0 {
        n -= 1;
        // SAFETY: the template is only a comment: it executes nothing, touches neither memory nor stack nor flags, and
        // leaves `n` unchanged.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) n, options(nomem, nostack, preserves_flags));
        }
    }
    n
}

/// Counts down in pieces of `steps` while `go_on` returns true; returns the rest of `n`.
fn count_down_while(n: u64, steps: u64, mut go_on: impl FnMut() -> bool) -> u64 {
    let mut left = n;
    while left > 0 && go_on() {
        let piece = left.min(steps);
        left -= piece - count_down(piece);
    }
    left
}

/// Counts down until `stop` is set; returns the number of decrements.
pub fn count_down_until(n: u64, stop: impl Fn() -> bool) -> u64 {
    n - count_down_while(n, STEPS_BETWEEN_STOP_CHECKS, || !stop())
}

/// Whether a flag that cancels work is set.
pub fn is_set(flag: &AtomicBool) -> bool {
    // Relaxed: the flag protects no other data, and seeing it late only means that one more piece is counted.
    flag.load(Ordering::Relaxed)
}

/// Count `n` down to 0 with the GIL held all the time.
#[pyfunction]
pub fn countdown_held(py: Python<'_>, n: &Bound<'_, PyAny>) -> PyResult<u64> {
    let n = arguments::count(n)?;
    let mut left = n;
    while left > 0 {
        let piece = left.min(STEPS_BETWEEN_SIGNAL_OR_CLOCK_CHECKS);
        left -= piece - count_down(piece);
        py.check_signals()?;
    }
    Ok(n - left)
}

/// Count `n` down to 0 with the GIL released.
#[pyfunction]
pub fn countdown_released(py: Python<'_>, n: &Bound<'_, PyAny>) -> PyResult<u64> {
    let n = arguments::count(n)?;
    if n <= STEPS_BETWEEN_SIGNAL_OR_CLOCK_CHECKS || !main_interpreter::is_main_thread(py)? {
        return Ok(n - py.detach(|| count_down(n)));
    }
    let mut left = n;
    while left > 0 {
        left = py.detach(|| {
            let start = Instant::now();
            count_down_while(left, STEPS_BETWEEN_SIGNAL_OR_CLOCK_CHECKS, || {
                start.elapsed() < DETACHED_TIME_BETWEEN_SIGNAL_CHECKS
            })
        });
        py.check_signals()?;
    }
    Ok(n - left)
}
