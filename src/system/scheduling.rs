//! How the sampling threads ask Linux to run them: on time, and without disturbing the program. If Linux refuses a request,
//! samples come later, but they are not wrong.

use crate::system::clock::read_clock_ns;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Before all ordinary threads, if the process may ask for that. For a measurement of seconds, where each delay counts.
    RealTime,
    /// As a thread of the program, with no request: for a measurement of what such a thread waits for.
    Ordinary,
    /// Soon after the wakeup, on any idle core. For a watch that lasts as long as a service. A real-time thread stays on its
    /// core, and preempts the program's thread there even if another core is idle.
    Prompt,
}

/// Prepares the calling thread for sampling.
pub fn prepare_sampling_thread(priority: Priority) {
    if priority == Priority::Ordinary {
        return;
    }
    reduce_timer_slack();
    request(priority);
}

/// The calling thread's CPU time; 0 if Linux does not provide it.
pub fn own_cpu_time_ns() -> u64 {
    read_clock_ns(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or(0)
}

/// Writes `text` to a file, and ends the process with status 1. Nothing of the process runs any more.
pub fn write_and_exit(fd: i32, text: &str) -> ! {
    // SAFETY: the kernel reads `text.len()` bytes of `text`, and checks `fd`; `_exit` takes a number and does not return.
    unsafe {
        libc::write(fd, text.as_ptr().cast(), text.len());
        libc::_exit(1)
    }
}

/// Writes `text` over the beginning of a file that the parent process reads.
pub fn overwrite(fd: i32, text: &str) {
    // SAFETY: the kernel reads `text.len()` bytes of `text`, and checks `fd`. A failed write needs no handling: the file
    // is gone, so its reader is too.
    unsafe {
        libc::pwrite(fd, text.as_ptr().cast(), text.len(), 0);
    }
}

/// With the default slack of 50 us, all shorter waits would take about the same time.
fn reduce_timer_slack() {
    let nanosecond: libc::c_ulong = 1;
    // SAFETY: sets a number that belongs to the calling thread.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanosecond) };
}

const SCHED_OTHER: u32 = 0;
const SCHED_FIFO: u32 = 1;
/// Threads and processes that this thread starts do not inherit its priority (it starts none).
const SCHED_FLAG_RESET_ON_FORK: u64 = 1;
const SCHED_ATTR_SIZE: u32 = 48;

/// `struct sched_attr` of linux/sched/types.h, in its first and shortest version.
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

/// Requests a priority for the calling thread.
///
/// Real time is `SCHED_FIFO`, which needs `CAP_SYS_NICE` or `RLIMIT_RTPRIO`. Otherwise the request is for slices of 0.1 ms,
/// the minimum: Linux 6.12 and later then run the thread sooner after a wakeup. Neither takes much from the program: a
/// sampling thread uses about a hundredth of a core, and sleeps whenever it waits.
pub fn request(priority: Priority) {
    // SAFETY: reads a number that belongs to the calling thread.
    let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    let real_time = SchedAttr {
        size: SCHED_ATTR_SIZE,
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
    let ordinary = SchedAttr {
        runtime: 0,
        ..short_slices
    };
    if priority == Priority::Ordinary {
        set(&ordinary);
        return;
    }
    let _ = (priority == Priority::RealTime && set(&real_time)) || set(&short_slices);
}

fn set(attr: &SchedAttr) -> bool {
    let calling_thread: libc::pid_t = 0;
    let flags: libc::c_uint = 0;
    // SAFETY: the kernel reads `size` bytes of a structure with the layout that it defines, and changes the calling
    // thread only.
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
