//! What an instrument's thread asks of the system, so that it is punctual and in nobody's way. Each is a request: where
//! it is refused or unknown, the instrument is less punctual, not wrong.

/// Settles the calling thread.
pub fn settle() {
    #[cfg(target_os = "linux")]
    {
        linux::block_signals();
        linux::be_punctual();
        linux::ask_for_short_slices();
    }
}

#[cfg(target_os = "linux")]
mod linux {
    /// Python's signals are for its main thread, whose system calls they must interrupt.
    pub fn block_signals() {
        // SAFETY: both calls fill or read a set of ours; the mask is the calling thread's alone.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
        }
    }

    /// The default slack of 50 us would make the shortest waits of them all the same.
    pub fn be_punctual() {
        let nanosecond: libc::c_ulong = 1;
        // SAFETY: sets a number of the calling thread's.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanosecond) };
    }

    const SCHED_OTHER: u32 = 0;

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

    /// On Linux 6.12 and later a thread that asks for slices of 0.1 ms, the least there is, waits less for a processor
    /// when it wakes; it gets no more of it in all. Earlier kernels ignore the wish.
    pub fn ask_for_short_slices() {
        // SAFETY: reads a number of the calling thread's.
        let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
        let attr = SchedAttr {
            size: 48,
            policy: SCHED_OTHER,
            flags: 0,
            nice,
            priority: 0,
            runtime: 100_000,
            deadline: 0,
            period: 0,
        };
        let calling_thread: libc::pid_t = 0;
        let flags: libc::c_uint = 0;
        // SAFETY: the kernel reads `size` bytes of a structure laid out as it defines it. Python's threads keep their
        // policy; a thread that inherited a real-time one from its starter becomes an ordinary one, as it should.
        unsafe {
            libc::syscall(
                libc::SYS_sched_setattr,
                calling_thread,
                &raw const attr,
                flags,
            )
        };
    }
}
