//! The clock that every instrument here reads: monotonic, nanoseconds, the one that `time.monotonic` reads on Linux.

/// A clock of the system's, in nanoseconds; `None` if there is no such clock (any more: a thread's ends with it).
#[allow(clippy::cast_sign_loss)] // no clock here is before its zero
pub fn read_clock_ns(clock: libc::clockid_t) -> Option<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a `timespec` of ours, which the call fills.
    let status = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (status == 0).then_some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

pub fn now_ns() -> u64 {
    read_clock_ns(libc::CLOCK_MONOTONIC).expect("every Linux has it")
}
