//! Keeps the calling thread off the core of another thread.
//!
//! A thread that is woken on the core of the thread that wakes it may preempt it at once. So a thread that waits for the GIL
//! there acquires it at the briefest release, while on any other core it comes too late, every time. Which of the two happens
//! in a program is luck, and lasts for long. A measurement of how long threads may wait must not rely on that luck.

use std::mem::size_of;

pub struct Placement {
    /// The cores that this thread may run on.
    allowed: libc::cpu_set_t,
    avoided: Option<usize>,
}

impl Placement {
    /// `None` if Linux does not tell.
    pub fn of_this_thread() -> Option<Self> {
        // SAFETY: a `cpu_set_t` is plain integers, for which zero is valid; the call fills it and changes nothing else.
        let (status, allowed) = unsafe {
            let mut allowed: libc::cpu_set_t = std::mem::zeroed();
            let status = libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut allowed);
            (status, allowed)
        };
        (status == 0).then_some(Self {
            allowed,
            avoided: None,
        })
    }

    /// Lets this thread run on all its cores but `core`; on `core` too if it has no other.
    pub fn avoid(&mut self, core: usize) {
        if self.avoided == Some(core) || core >= size_of::<libc::cpu_set_t>() * 8 {
            return;
        }
        self.avoided = Some(core);
        let mut others = self.allowed;
        // SAFETY: `core` is a bit of the set, as checked above; the sets are local, and the system call reads one and changes
        // the calling thread only. If Linux refuses, the thread stays where it is.
        unsafe {
            libc::CPU_CLR(core, &mut others);
            if libc::CPU_COUNT(&others) > 0 {
                libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const others);
            }
        }
    }
}
