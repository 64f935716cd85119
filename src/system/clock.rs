//! The clock that all measurements here use: `CLOCK_MONOTONIC`, in nanoseconds, which `time.monotonic` reads too.

/// Reads a clock of the system, in nanoseconds; `None` if the clock does not exist. A thread's clock ends with its thread.
#[allow(clippy::cast_sign_loss)] // no clock that is read here is negative
pub fn read_clock_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a local `timespec`, which the call fills.
    let status = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (status == 0).then_some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

pub fn now_ns() -> u64 {
    read_clock_ns(libc::CLOCK_MONOTONIC).expect("every Linux has this clock")
}
