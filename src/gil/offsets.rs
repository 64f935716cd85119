//! Where the GIL is, by the version of CPython. For 3.11 and 3.12 the constants below say it; from 3.13 on,
//! `_Py_DebugOffsets` does, a table that CPython publishes for debuggers. Every word on the way is read through the kernel,
//! and nothing is used before [`Gil::locate`] has checked what was found.

use pyo3::prelude::*;

use super::memory::word;
use super::{Gil, Unreadable};

/// The offset of `ceval.gil` in `_PyRuntime` of 3.11, and of `thread_id` in its thread states.
const V311: (usize, usize) = (360, 152);
/// The offset of `ceval.gil` in `PyInterpreterState` of 3.12, and of `thread_id` in its thread states.
const V312: (usize, usize) = (384, 136);

/// Which words of `_Py_DebugOffsets`, counted from behind its cookie, hold `interpreter_state.ceval_gil` and
/// `thread_state.thread_id`. `native_thread_id` is the word after the latter.
fn words(minor: u8) -> Option<(usize, usize)> {
    match minor {
        13 => Some((13, 23)),
        14 => Some((14, 26)),
        15 => Some((14, 29)),
        _ => None,
    }
}

pub fn find(py: Python<'_>) -> Result<Gil, Unreadable> {
    let version = py.version_info();
    let (address, ids_offset) = match (version.major, version.minor) {
        (3, 11) => (runtime()? + V311.0, V311.1),
        (3, 12) => (pointer(interpreter(py) + V312.0)?, V312.1),
        (3, minor) => published(py, minor)?,
        _ => return Err(Unreadable::Version),
    };
    if address % align_of::<u64>() == 0 {
        Ok(Gil {
            memory: None,
            address,
            ids_offset,
        })
    } else {
        Err(Unreadable::Memory)
    }
}

/// What `_Py_DebugOffsets`, at the start of `_PyRuntime`, says.
fn published(py: Python<'_>, minor: u8) -> Result<(usize, usize), Unreadable> {
    let (gil, thread_id) = words(minor).ok_or(Unreadable::Version)?;
    let table = runtime()?;
    let entry = |index: usize| pointer(table + 8 * (1 + index));
    if word(table) != Some(u64::from_ne_bytes(*b"xdebugpy")) {
        return Err(Unreadable::Symbol);
    }
    if entry(0)? >> 16 != usize::from(minor) | 0x300 {
        return Err(Unreadable::Version);
    }
    if entry(1)? != 0 {
        return Err(Unreadable::FreeThreaded);
    }
    let ids = entry(thread_id)?;
    if entry(thread_id + 1)? != ids + 8 {
        return Err(Unreadable::Thread);
    }
    Ok((pointer(interpreter(py) + entry(gil)?)?, ids))
}

fn runtime() -> Result<usize, Unreadable> {
    // SAFETY: looks up a NUL-terminated name among the loaded symbols. Nothing is read at the returned address here.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_PyRuntime".as_ptr()) };
    if symbol.is_null() {
        Err(Unreadable::Symbol)
    } else {
        Ok(symbol as usize)
    }
}

fn interpreter(_py: Python<'_>) -> usize {
    // SAFETY: the function needs an attached thread, which `_py` proves. This module loads in the main interpreter only.
    unsafe { pyo3::ffi::PyInterpreterState_Get() as usize }
}

fn pointer(address: usize) -> Result<usize, Unreadable> {
    word(address)
        .and_then(|word| usize::try_from(word).ok())
        .ok_or(Unreadable::Memory)
}
