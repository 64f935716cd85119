//! Who holds the GIL, read from outside of it: the one file in which raw memory is read.
//!
//! CPython keeps `struct _gil_runtime_state` of the main interpreter in static memory, and in all of 3.11 to 3.15 (64 bit,
//! builds with a GIL) it begins alike. Where it is, and where a thread state keeps its thread's ids, differs by version:
//! [`places`] knows.
//!
//! None of this is promised by CPython. So [`Gil::locate`] believes nothing: before the first sample, it holds what it
//! would read against what it knows (the switch interval, which it changes and sees change; this thread, attached and then
//! detached), and every read before that check has passed goes through the kernel, which answers a bad address with an
//! error where a load would crash.

mod places;

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use pyo3::prelude::*;

/// Offsets in `struct _gil_runtime_state` (`Include/internal/pycore_gil.h`); the condition variables and their mutexes,
/// of glibc, follow.
mod field {
    pub const INTERVAL: usize = 0;
    pub const LAST_HOLDER: usize = 8;
    pub const LOCKED: usize = 16;
    pub const SWITCH_NUMBER: usize = 24;
    pub const WAITERS: usize = 32;
    pub const END: usize = WAITERS + 2 * (48 + 40);
}

/// Why the GIL cannot be read here.
#[derive(Clone, Copy)]
pub enum Unreadable {
    Platform,
    Version,
    FreeThreaded,
    Symbol,
    Memory,
    Interval,
    Holder,
    Thread,
    /// Nobody asked.
    Declined,
}

impl Unreadable {
    pub fn code(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Version => "version",
            Self::FreeThreaded => "free-threaded",
            Self::Symbol => "symbol",
            Self::Memory => "memory",
            Self::Interval => "interval",
            Self::Holder => "holder",
            Self::Thread => "thread",
            Self::Declined => "declined",
        }
    }
}

/// A thread, by the two names that CPython keeps for it; both are 0 in a thread state that is not bound yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ThreadIds {
    /// `threading.get_ident()`
    pub ident: u64,
    /// `threading.get_native_id()`
    pub native: u64,
}

/// What one look at the GIL saw.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The holder; its ids are 0 when they could not be read. `None` when nobody holds it.
    pub holder: Option<ThreadIds>,
    /// Grows by one whenever the GIL goes to another thread than the one that had it last.
    pub switches: u64,
}

/// The GIL of the main interpreter, found and checked. Looking at it takes no lock and needs no attached thread.
#[derive(Clone, Copy)]
pub struct Gil {
    address: usize,
    ids_offset: usize,
}

/// The calling thread.
pub fn own_ids() -> ThreadIds {
    reading::own_ids()
}

/// Tell why the GIL cannot be read here, as a word; `None` when it can.
#[pyfunction]
pub fn gil_unreadable(py: Python<'_>) -> PyResult<Option<&'static str>> {
    Ok(Gil::locate(py)?.err().map(Unreadable::code))
}

impl Gil {
    /// Finds the GIL and checks that it is one. Sets the switch interval for some microseconds, and puts it back.
    pub fn locate(py: Python<'_>) -> PyResult<Result<Self, Unreadable>> {
        match places::find(py) {
            Ok(gil) => gil.checked(py),
            Err(why) => Ok(Err(why)),
        }
    }

    fn checked(self, py: Python<'_>) -> PyResult<Result<Self, Unreadable>> {
        if !self.interval_follows(py)? {
            return Ok(Err(Unreadable::Interval));
        }
        let own = reading::own_thread_state(py);
        if self.read_safely(field::LAST_HOLDER) != Some(own as u64)
            || self
                .read_safely(field::LOCKED)
                .is_none_or(|word| word & 0xffff_ffff != 1)
        {
            return Ok(Err(Unreadable::Holder));
        }
        if reading::thread_ids(own + self.ids_offset) != Some(reading::own_ids()) {
            return Ok(Err(Unreadable::Thread));
        }
        // Detached, this thread is not the holder, though it may well be the last one that was.
        let still_ours = py.detach(|| {
            (0..100)
                .any(|_| self.is_locked() && self.last_holder() == own as u64 && self.is_locked())
        });
        Ok(if still_ours {
            Err(Unreadable::Holder)
        } else {
            Ok(self)
        })
    }

    /// Whether the word that should be the switch interval is it, and changes with it.
    fn interval_follows(self, py: Python<'_>) -> PyResult<bool> {
        let sys = py.import("sys")?;
        let interval = || sys.call_method0("getswitchinterval")?.extract::<f64>();
        let agrees = || -> PyResult<bool> {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            // microseconds, positive, small
            let expected = (interval()? * 1e6).round() as u64;
            Ok(self.read_safely(field::INTERVAL) == Some(expected))
        };
        let before = interval()?;
        if !agrees()? {
            return Ok(false);
        }
        sys.call_method1("setswitchinterval", (before + 0.004_321,))?;
        let followed = agrees();
        sys.call_method1("setswitchinterval", (before,))?;
        Ok(followed? && agrees()?)
    }

    /// Who holds the GIL now.
    ///
    /// The holder's thread state may be freed, and its memory used again, while we read its ids. They are read through the
    /// kernel, and believed only if the same thread state holds the GIL after they were read as before.
    pub fn look(self) -> Look {
        let switches = self.switches();
        let holder = self.is_locked().then(|| {
            let state = self.last_holder();
            let ids = usize::try_from(state)
                .ok()
                .and_then(|state| reading::thread_ids(state + self.ids_offset));
            if self.switches() == switches && self.last_holder() == state {
                ids.unwrap_or_default()
            } else {
                ThreadIds::default()
            }
        });
        Look { holder, switches }
    }

    /// Whether a thread that sleeps on the futex at `address` waits for the GIL.
    pub fn is_waited_for_at(self, address: u64) -> bool {
        usize::try_from(address).is_ok_and(|at| {
            (self.address + field::WAITERS..self.address + field::END).contains(&at)
        })
    }

    /// The switch interval, in nanoseconds.
    pub fn interval_ns(self) -> u64 {
        self.load_u64(field::INTERVAL) * 1000
    }

    fn is_locked(self) -> bool {
        // SAFETY: the address is that of the main interpreter's GIL, which lies in static memory, or CPython's memory for
        // the life of the process, and `checked` saw it behave as one; it is aligned as an i32 there. CPython itself writes
        // the field atomically.
        let locked = unsafe { AtomicI32::from_ptr((self.address + field::LOCKED) as *mut i32) };
        // Relaxed: one field, looked at by itself; nothing is read on the strength of it.
        locked.load(Ordering::Relaxed) != 0
    }

    fn last_holder(self) -> u64 {
        self.load_u64(field::LAST_HOLDER)
    }

    /// How often the GIL has gone to another thread than the one that had it last.
    pub fn switches(self) -> u64 {
        self.load_u64(field::SWITCH_NUMBER)
    }

    fn load_u64(self, offset: usize) -> u64 {
        // SAFETY: as for `is_locked`, with the alignment of a u64. CPython writes the interval and the switch number plainly:
        // an aligned word is nevertheless read whole on the 64-bit machines that `find` accepts.
        let word = unsafe { AtomicU64::from_ptr((self.address + offset) as *mut u64) };
        // Acquire: `look` reads the switch number before and after the holder, and those must not be reordered.
        word.load(Ordering::Acquire)
    }

    fn read_safely(self, offset: usize) -> Option<u64> {
        reading::word(self.address + offset)
    }
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod reading {
    use super::ThreadIds;
    use pyo3::prelude::*;

    pub fn own_thread_state(_py: Python<'_>) -> usize {
        // SAFETY: the function needs an attached thread, which `_py` proves.
        unsafe { pyo3::ffi::PyThreadState_Get() as usize }
    }

    pub fn own_ids() -> ThreadIds {
        // SAFETY: both only ask who we are. A thread id is positive.
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

    /// Reads words of our own memory through the kernel: `None` where nothing is mapped, or where that is not permitted.
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
        // SAFETY: the kernel writes at most `iov_len` bytes to `local`, which are ours, and checks `remote` itself. What it
        // copies may change meanwhile: any bytes make a u64, and the callers doubt what they are told.
        let copied = unsafe {
            libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
        };
        (usize::try_from(copied) == Ok(size_of_val(&words))).then_some(words)
    }
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
mod reading {
    use super::ThreadIds;
    use pyo3::prelude::*;

    pub fn own_thread_state(_py: Python<'_>) -> usize {
        0
    }

    pub fn own_ids() -> ThreadIds {
        ThreadIds::default()
    }

    pub fn thread_ids(_address: usize) -> Option<ThreadIds> {
        None
    }

    pub fn word(_address: usize) -> Option<u64> {
        None
    }
}
