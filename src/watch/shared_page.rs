//! One page of memory that the reporter process reads as well. It holds what must be known even if the program is killed
//! while no Python code can run.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

/// The fields, in the order in which `gilscope/watch/updates.py` reads them.
#[repr(C)]
pub struct Fields {
    /// When the beat was due that the latest loop has been waiting for; 0 if no loop is late.
    pub late_since_ns: AtomicU64,
    /// When the sampler last ran.
    pub sampled_ns: AtomicU64,
    /// 1 while the program replaces itself by another, 2 once it needs the reporter no more, 3 if it is ended for a hang.
    pub stage: AtomicU64,
    /// How often the program was asked, by a signal, for a report while it runs.
    pub requests: AtomicU64,
}

/// See [`Fields::stage`].
const STAGE_HANG: u64 = 3;
/// The size of `Fields`, as the kernel wants it.
const LENGTH: libc::off_t = 32;
const _: () = assert!(size_of::<Fields>() == 32);

pub struct SharedPage {
    fields: NonNull<Fields>,
}

// SAFETY: the fields are atomics, and the mapping stays until the process ends.
unsafe impl Send for SharedPage {}
// SAFETY: as above.
unsafe impl Sync for SharedPage {}

impl SharedPage {
    /// Maps a new page. The file is for the reporter process; the mapping needs it no more.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        // SAFETY: the name is a constant with a NUL at its end.
        let number = unsafe { libc::memfd_create(c"gilscope".as_ptr(), libc::MFD_CLOEXEC) };
        if number < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened, and no other code knows its number.
        let file = unsafe { OwnedFd::from_raw_fd(number) };
        // SAFETY: the descriptor is open, and a new mapping at an address that the kernel chooses touches no other memory.
        let memory = unsafe {
            if libc::ftruncate(file.as_raw_fd(), LENGTH) < 0 {
                return Err(io::Error::last_os_error());
            }
            libc::mmap(
                ptr::null_mut(),
                size_of::<Fields>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        match NonNull::new(memory.cast::<Fields>()) {
            Some(fields) if memory != libc::MAP_FAILED => Ok((Self { fields }, file)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    pub fn fields(&self) -> &'static Fields {
        // SAFETY: the mapping is as large as `Fields`, aligned to a page, zeroed, and never removed.
        unsafe { self.fields.as_ref() }
    }

    /// Notes what the sampler sees. Relaxed: each value is used by itself.
    pub fn note_sample(&self, now_ns: u64, late_since_ns: Option<u64>) {
        let fields = self.fields();
        fields
            .late_since_ns
            .store(late_since_ns.unwrap_or(0), Ordering::Relaxed);
        fields.sampled_ns.store(now_ns, Ordering::Relaxed);
    }

    /// Notes that the process is about to be ended because a loop hangs.
    pub fn note_hang(&self) {
        // SeqCst, as for the other stages: the cost does not matter.
        self.fields().stage.store(STAGE_HANG, Ordering::SeqCst);
    }
}
