//! What an instrument's thread asks of the system, so that it is punctual and in nobody's way. Each is a request: where
//! it is refused or unknown, the instrument is less punctual, not wrong.

use crate::system::clock::read_clock_ns;

/// How an instrument's thread is to be run beside the program's own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    /// Before all others, where that is permitted: for a measurement of seconds, each of whose delays counts.
    First,
    /// Soon after it wakes, on whatever core is idle: for a watch that lasts as long as a service does. A thread that goes
    /// first stays on its core, and pushes aside the program's thread there even where the next core is idle.
    Soon,
}

/// Settles the calling thread.
pub fn settle(rank: Rank) {
    block_signals();
    be_punctual();
    ask_to_be_run(rank);
}

/// The processor time that the calling thread has had; 0 where the system does not count it.
pub fn ran_ns() -> u64 {
    read_clock_ns(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or(0)
}

/// Writes `text` over the beginning of a file that whoever owns this process reads.
pub fn overwrite(fd: i32, text: &str) {
    // SAFETY: the kernel reads `text.len()` bytes of `text`, and checks `fd`. A write that fails is one that nobody reads.
    unsafe {
        libc::pwrite(fd, text.as_ptr().cast(), text.len(), 0);
    }
}

/// Python's signals are for its main thread, whose system calls they must interrupt.
fn block_signals() {
    // SAFETY: both calls fill or read a set of ours; the mask is the calling thread's alone.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
    }
}

/// The default slack of 50 us would make the shortest waits of them all the same.
fn be_punctual() {
    let nanosecond: libc::c_ulong = 1;
    // SAFETY: sets a number of the calling thread's.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanosecond) };
}

const SCHED_OTHER: u32 = 0;
const SCHED_FIFO: u32 = 1;
/// What the thread starts does not inherit its priority (it starts nothing).
const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
const SIZE: u32 = 48;

/// `struct sched_attr` of linux/sched/types.h, as far as it was from the beginning.
#[repr(C)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// A thread that uses a hundredth of a processor, and whose every delay must be taken off what it measures, asks to
/// go first: before all ordinary threads, where the process may have that (`CAP_SYS_NICE`, or `RLIMIT_RTPRIO`), and if
/// not by slices of 0.1 ms, the least there is, which Linux 6.12 and later understand as the wish to wait less when
/// it wakes. It gets no more of the processor in all than it uses, and what it waits for it waits for asleep.
pub fn ask_to_be_run(rank: Rank) {
    // SAFETY: reads a number of the calling thread's.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let real_time = SchedAttr {
        size: SIZE,
        policy: SCHED_FIFO,
        flags: SCHED_FLAG_RESET_ON_FORK,
        nice: 0,
        priority: 1,
        runtime: 0,
        deadline: 0,
        period: 0,
    };
    let short_slices = SchedAttr {
        policy: SCHED_OTHER,
        nice,
        priority: 0,
        runtime: 100_000,
        ..real_time
    };
    let _ = (rank == Rank::First && ask(&real_time)) || ask(&short_slices);
}

fn ask(attr: &SchedAttr) -> bool {
    let calling_thread: libc::pid_t = 0;
    let flags: libc::c_uint = 0;
    // SAFETY: the kernel reads `size` bytes of a structure laid out as it defines it. Only the calling thread is
    // changed.
    let status = unsafe {
        libc::syscall(
            libc::SYS_sched_setattr,
            calling_thread,
            std::ptr::from_ref(attr),
            flags,
        )
    };
    status == 0
}
