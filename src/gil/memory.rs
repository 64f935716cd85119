//! Reads words of this process's memory through the kernel, which answers a bad address with an error where a load would
//! crash.

use pyo3::prelude::*;

use super::ThreadIds;

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

pub fn thread_ids(address: usize) -> Option<ThreadIds> {
    let [ident, native] = read::<2>(address)?;
    Some(ThreadIds { ident, native })
}

pub fn word(address: usize) -> Option<u64> {
    read::<1>(address).map(|[word]| word)
}

/// `None` if nothing is mapped at `address`, or if the system does not permit the read.
fn read<const N: usize>(address: usize) -> Option<[u64; N]> {
    let mut words = [0u64; N];
    let local = libc::iovec {
        iov_base: words.as_mut_ptr().cast(),
        iov_len: size_of_val(&words),
    };
    let remote = libc::iovec {
        iov_base: address as *mut _,
        iov_len: size_of_val(&words),
    };
    // SAFETY: the kernel writes at most `iov_len` bytes to `local`, which is ours, and checks `remote` itself. The memory
    // may change while the kernel copies it: any bytes make a valid u64, and the callers check what they read.
    let copied = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    (usize::try_from(copied) == Ok(size_of_val(&words))).then_some(words)
}
