//! Which thread holds the GIL, read without attaching to the interpreter. Raw interpreter memory is read here only.
//!
//! CPython keeps `struct _gil_runtime_state` of the main interpreter in static memory, and in all of 3.11 to 3.15 (64 bit,
//! builds with a GIL) its first fields are the same. Where it is, and where a thread state keeps its thread's ids, differs
//! by version: see [`offsets`].
//!
//! CPython promises none of this. So [`Gil::locate`] checks before the first sample: it compares what it reads with what it
//! knows (the switch interval, which it changes and must see change; the calling thread, attached and then detached). Until
//! that check has passed, every read goes through the kernel, which answers a bad address with an error where a load would
//! crash.

mod coroutines;
pub mod known_objects;
pub mod memory;
pub mod objects;
mod offsets;
mod outside;
pub mod process;
pub mod reader;
mod requests;
mod specimens;
pub mod stack;
pub mod switch_interval;
mod tasks;
pub mod thread_names;

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use self::memory::Memory;

/// Offsets in `struct _gil_runtime_state` (`Include/internal/pycore_gil.h`); the condition variables and their mutexes,
/// of glibc, follow.
mod field {
    pub const INTERVAL: usize = 0;
    pub const LAST_HOLDER: usize = 8;
    pub const LOCKED: usize = 16;
    pub const SWITCH_NUMBER: usize = 24;
    pub const WAITERS: usize = 32;
    /// Where a thread waits after it has released the GIL on request, until another has acquired it.
    pub const SWITCHERS: usize = WAITERS + 48 + 40;
    pub const END: usize = SWITCHERS + 48 + 40;
}

/// Why the GIL cannot be read.
#[derive(Clone, Copy)]
pub enum Unreadable {
    Version,
    FreeThreaded,
    Symbol,
    Memory,
    Interval,
    Holder,
    Thread,
    /// The user asked not to read it.
    Declined,
    /// The holder can be read; Python stacks cannot: one was read and differs from what Python says.
    Stack,
}

impl Unreadable {
    pub const ALL: [Self; 9] = [
        Self::Version,
        Self::FreeThreaded,
        Self::Symbol,
        Self::Memory,
        Self::Interval,
        Self::Holder,
        Self::Thread,
        Self::Declined,
        Self::Stack,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::FreeThreaded => "free-threaded",
            Self::Symbol => "symbol",
            Self::Memory => "memory",
            Self::Interval => "interval",
            Self::Holder => "holder",
            Self::Thread => "thread",
            Self::Declined => "declined",
            Self::Stack => "stack",
        }
    }
}

/// The two ids that CPython keeps of a thread; both are 0 in a thread state that is not bound yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct ThreadIds {
    /// `threading.get_ident()`
    pub ident: u64,
    /// `threading.get_native_id()`
    pub native: u64,
}

/// The GIL as one read showed it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GilState {
    /// The holder; its ids are 0 if they could not be read. `None` if no thread holds the GIL.
    pub holder: Option<ThreadIds>,
    /// Grows by one whenever a thread other than the last holder acquires the GIL.
    pub switches: u64,
}

/// The GIL of the main interpreter of this process or of another one, found and checked. Reading it takes no lock and needs no
/// attached thread.
#[derive(Clone, Copy)]
pub struct Gil {
    /// That of another process; `None` if it is this one, whose memory needs no system call.
    memory: Option<Memory>,
    address: usize,
    ids_offset: usize,
}

/// The calling thread's ids.
pub fn own_ids() -> ThreadIds {
    memory::own_ids()
}

/// Return the code of the reason why the GIL cannot be read; `None` if it can.
#[pyfunction]
pub fn gil_unreadable(py: Python<'_>) -> PyResult<Option<&'static str>> {
    Ok(Gil::locate(py)?.err().map(Unreadable::code))
}

/// Return the code of the reason why Python stacks cannot be read without the GIL; `None` if they can.
#[pyfunction]
pub fn stacks_unreadable(py: Python<'_>) -> PyResult<Option<&'static str>> {
    Ok(reader::Reader::in_process(py)?.err().map(Unreadable::code))
}

/// Adds the codes of all reasons to the module.
pub fn export_codes(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let codes = Unreadable::ALL.map(Unreadable::code);
    module.add("GIL_UNREADABLE_CODES", PyTuple::new(module.py(), codes)?)?;
    let codes = process::cannot_attach::CannotAttach::CODES;
    module.add("CANNOT_ATTACH_CODES", PyTuple::new(module.py(), codes)?)
}

impl Gil {
    /// Finds the GIL and checks it. Changes the switch interval for some microseconds, and restores it.
    pub fn locate(py: Python<'_>) -> PyResult<Result<Self, Unreadable>> {
        match offsets::find(py) {
            Ok(gil) => gil.checked(py),
            Err(why) => Ok(Err(why)),
        }
    }

    fn checked(self, py: Python<'_>) -> PyResult<Result<Self, Unreadable>> {
        if !self.interval_follows(py)? {
            return Ok(Err(Unreadable::Interval));
        }
        let own = memory::own_thread_state(py);
        if self.read_safely(field::LAST_HOLDER) != Some(own as u64)
            || self
                .read_safely(field::LOCKED)
                .is_none_or(|word| word & 0xffff_ffff != 1)
        {
            return Ok(Err(Unreadable::Holder));
        }
        if memory::thread_ids(Memory::own(), own + self.ids_offset) != Some(memory::own_ids()) {
            return Ok(Err(Unreadable::Thread));
        }
        // Detached, this thread does not hold the GIL, although it may be the last holder.
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

    /// Whether the word that should be the switch interval equals it, and changes with it.
    fn interval_follows(self, py: Python<'_>) -> PyResult<bool> {
        let agrees = |us: u32| self.read_safely(field::INTERVAL) == Some(u64::from(us));
        let before_us = switch_interval::get_us(py)?;
        if !agrees(before_us) {
            return Ok(false);
        }
        let other_us = before_us.saturating_add(4321);
        switch_interval::while_set_to(py, other_us, || agrees(other_us))
            .map(|followed| followed && agrees(before_us))
    }

    /// Which thread holds the GIL now.
    ///
    /// The holder's thread state may be freed, and its memory used again, while its ids are read. They are read through the
    /// kernel, and used only if the same thread state holds the GIL after the read as before.
    ///
    /// Of a process that has ended, it reads as free.
    pub fn read(self) -> GilState {
        if let Some(memory) = self.memory {
            return self.read_in(memory);
        }
        let switches = self.switches();
        let holder = self.is_locked().then(|| {
            let state = self.last_holder();
            let ids = usize::try_from(state)
                .ok()
                .and_then(|state| memory::thread_ids(Memory::own(), state + self.ids_offset));
            if self.switches() == switches && self.last_holder() == state {
                ids.unwrap_or_default()
            } else {
                ThreadIds::default()
            }
        });
        GilState { holder, switches }
    }

    /// Whether a thread that sleeps on the futex at `address` waits for the GIL.
    pub fn is_waited_for_at(self, address: u64) -> bool {
        usize::try_from(address).is_ok_and(|at| {
            (self.address + field::WAITERS..self.address + field::END).contains(&at)
        })
    }

    /// Whether a thread that sleeps on the futex at `address` has asked for the GIL, not just released it.
    pub fn is_asked_for_at(self, address: u64) -> bool {
        usize::try_from(address).is_ok_and(|at| {
            (self.address + field::WAITERS..self.address + field::SWITCHERS).contains(&at)
        })
    }

    /// The switch interval, in nanoseconds.
    pub fn interval_ns(self) -> u64 {
        self.load_u64(field::INTERVAL) * 1000
    }

    fn is_locked(self) -> bool {
        if self.memory.is_some() {
            return self.load_u64(field::LOCKED) & 0xffff_ffff != 0;
        }
        // SAFETY: the address is that of the main interpreter's GIL, which stays in memory as long as the process lives, and
        // `checked` saw it behave like one; the field is aligned as an i32. CPython itself writes it atomically.
        let locked = unsafe { AtomicI32::from_ptr((self.address + field::LOCKED) as *mut i32) };
        // Relaxed: one field, used by itself; no other read depends on it.
        locked.load(Ordering::Relaxed) != 0
    }

    fn last_holder(self) -> u64 {
        self.load_u64(field::LAST_HOLDER)
    }

    /// How often a thread other than the last holder has acquired the GIL.
    pub fn switches(self) -> u64 {
        self.load_u64(field::SWITCH_NUMBER)
    }

    fn load_u64(self, offset: usize) -> u64 {
        if let Some(memory) = self.memory {
            return memory.word(self.address + offset).unwrap_or_default();
        }
        // SAFETY: as for `is_locked`, with the alignment of a u64. CPython writes the interval and the switch number without
        // atomics: an aligned word is nevertheless read whole on x86-64.
        let word = unsafe { AtomicU64::from_ptr((self.address + offset) as *mut u64) };
        // Acquire: `read` reads the switch number before and after the holder, and these reads must not be reordered.
        word.load(Ordering::Acquire)
    }

    fn read_safely(self, offset: usize) -> Option<u64> {
        memory::word(self.address + offset)
    }
}
