//! Reads a process's memory through the kernel, which answers a bad address with an error where a load would crash.

use pyo3::prelude::*;

use super::ThreadIds;

/// How many places one system call reads; Linux permits up to 1024.
const PLACES_AT_ONCE: usize = 64;

/// A process whose memory is read: this one, or another one that this one may trace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pid: libc::pid_t,
}

impl Memory {
    /// The memory of this process. A forked child must ask again: its parent's memory is another process's there.
    pub fn own() -> Self {
        // SAFETY: returns a number.
        let pid = unsafe { libc::getpid() };
        Self { pid }
    }

    /// The memory of another process.
    pub fn of(pid: libc::pid_t) -> Self {
        Self { pid }
    }

    /// Why nothing can be read at `address`: the error's number; `None` if it can.
    pub fn refusal(self, address: usize) -> Option<i32> {
        if self.read(address, &mut [0]) {
            None
        } else {
            std::io::Error::last_os_error().raw_os_error()
        }
    }

    /// Fills `bytes` with what is at `address`. Returns false if nothing is mapped there, or if the system does not permit
    /// the read; `bytes` are then of no use.
    pub fn read(self, address: usize, bytes: &mut [u8]) -> bool {
        let local = libc::iovec {
            iov_base: bytes.as_mut_ptr().cast(),
            iov_len: bytes.len(),
        };
        let remote = libc::iovec {
            iov_base: address as *mut _,
            iov_len: bytes.len(),
        };
        // SAFETY: the kernel writes at most `iov_len` bytes to `local`, which is ours, and checks `remote` itself. The memory
        // may change while the kernel copies it: any bytes are valid, and the callers check what they read.
        let copied = unsafe {
            libc::process_vm_readv(self.pid, &raw const local, 1, &raw const remote, 1, 0)
        };
        usize::try_from(copied) == Ok(bytes.len())
    }

    /// Fills `bytes` with what is at these places (address, length), one behind the other. Returns false as for
    /// [`Self::read`], or if `bytes` is shorter than the places together.
    pub fn read_all(self, places: &[(usize, usize)], bytes: &mut [u8]) -> bool {
        let mut rest = bytes;
        for places in places.chunks(PLACES_AT_ONCE) {
            let total = places.iter().map(|&(_, length)| length).sum();
            let Some((now, later)) = rest.split_at_mut_checked(total) else {
                return false;
            };
            let local = libc::iovec {
                iov_base: now.as_mut_ptr().cast(),
                iov_len: total,
            };
            let mut remote = [libc::iovec {
                iov_base: std::ptr::null_mut(),
                iov_len: 0,
            }; PLACES_AT_ONCE];
            for (vector, &(address, length)) in remote.iter_mut().zip(places) {
                vector.iov_base = address as *mut _;
                vector.iov_len = length;
            }
            // SAFETY: as for `read`; the kernel reads `places.len()` elements of `remote`, which has at least as many.
            let copied = unsafe {
                libc::process_vm_readv(
                    self.pid,
                    &raw const local,
                    1,
                    remote.as_ptr(),
                    places.len() as libc::c_ulong,
                    0,
                )
            };
            if usize::try_from(copied) != Ok(total) {
                return false;
            }
            rest = later;
        }
        true
    }

    /// `None` as for [`Self::read`].
    pub fn words<const N: usize>(self, address: usize) -> Option<[u64; N]> {
        let mut words = [[0; 8]; N];
        self.read(address, words.as_flattened_mut())
            .then_some(words.map(u64::from_ne_bytes))
    }

    /// `None` as for [`Self::read`].
    pub fn word(self, address: usize) -> Option<u64> {
        let mut word = [0; 8];
        self.read(address, &mut word)
            .then_some(u64::from_ne_bytes(word))
    }
}

/// The address of the calling thread's thread state.
pub fn own_thread_state(_py: Python<'_>) -> usize {
    // SAFETY: the function needs an attached thread, which `_py` proves.
    unsafe { pyo3::ffi::PyThreadState_Get() as usize }
}

pub fn own_ids() -> ThreadIds {
    // SAFETY: both calls only return the calling thread's ids. A thread id is positive.
    let (ident, native) = unsafe { (libc::pthread_self(), libc::gettid()) };
    ThreadIds {
        ident,
        native: u64::from(native.unsigned_abs()),
    }
}

pub fn thread_ids(memory: Memory, address: usize) -> Option<ThreadIds> {
    let mut words = [0; 16];
    if !memory.read(address, &mut words) {
        return None;
    }
    let (ident, native) = words.split_at(8);
    Some(ThreadIds {
        ident: u64::from_ne_bytes(ident.try_into().ok()?),
        native: u64::from_ne_bytes(native.try_into().ok()?),
    })
}

pub fn word(address: usize) -> Option<u64> {
    Memory::own().word(address)
}
