//! The kernels: one loop, counted down with the GIL held and with it released.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use crate::arguments;
use crate::main_interpreter;

/// Steps between two looks at a stop flag: 2.4 us at 4.2 GHz, and the look costs less than 1 %.
const STOP_STEPS: u64 = 10_000;
/// Steps between two looks at the clock or at Python's signals: about a quarter of a millisecond.
const SIGNAL_STEPS: u64 = 1_000_000;
/// How long a detached countdown on the main thread runs between two looks at Python's signals. Each look attaches,
/// and waits a switch interval (5 ms) for it where another thread runs Python: at 50 ms that costs 6 to 8 %.
const SIGNAL_PERIOD: Duration = Duration::from_millis(50);

/// Decrements a register `n` times, one iteration a clock cycle, and returns 0.
///
/// LLVM replaces the bare loop by its closed form. The empty `asm!` makes each value of `n` opaque to it, so that it can
/// neither do that nor unroll, and keeps `n` in a register, where `black_box` sends it through the stack (1 iteration in
/// 4 to 5 cycles on processors without memory renaming).
#[inline(never)]
fn count_down(mut n: u64) -> u64 {
    while n > 0 {
        n -= 1;
        // SAFETY: the template is a comment: it executes nothing, touches no memory, stack or flags, and leaves `n` as
        // it is.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) n, options(nomem, nostack, preserves_flags));
        }
    }
    n
}

/// Counts down in pieces of `steps` for as long as `go_on` says so; returns what is left.
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
    n - count_down_while(n, STOP_STEPS, || !stop())
}

/// A flag that ends the countdown of whoever shares it.
pub fn is_set(flag: &AtomicBool) -> bool {
    // Relaxed: nothing else is read on the strength of the flag, and a late look only means one more piece.
    flag.load(Ordering::Relaxed)
}

/// Count `n` down to 0 with the GIL held all the way.
#[pyfunction]
pub fn countdown_held(py: Python<'_>, n: &Bound<'_, PyAny>) -> PyResult<u64> {
    let n = arguments::count(n)?;
    let mut left = n;
    while left > 0 {
        let piece = left.min(SIGNAL_STEPS);
        left -= piece - count_down(piece);
        py.check_signals()?;
    }
    Ok(n - left)
}

/// Count `n` down to 0 with the GIL released all the way.
#[pyfunction]
pub fn countdown_released(py: Python<'_>, n: &Bound<'_, PyAny>) -> PyResult<u64> {
    let n = arguments::count(n)?;
    if n <= SIGNAL_STEPS || !main_interpreter::is_main_thread(py)? {
        return Ok(n - py.detach(|| count_down(n)));
    }
    let mut left = n;
    while left > 0 {
        left = py.detach(|| {
            let start = Instant::now();
            count_down_while(left, SIGNAL_STEPS, || start.elapsed() < SIGNAL_PERIOD)
        });
        py.check_signals()?;
    }
    Ok(n - left)
}
