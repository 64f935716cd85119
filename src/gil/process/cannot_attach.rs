//! Why another process cannot be read.

use pyo3::exceptions::PyLookupError;
use pyo3::prelude::*;

/// CPython's version: major, minor, micro.
pub type Version = (u8, u8, u8);

/// Why a process cannot be attached to. `python/gilscope/attach/refusal.py` has the sentence for each of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CannotAttach {
    /// `/proc` is that of another PID namespace, or is missing.
    OtherProc,
    /// No process has this id.
    Gone,
    /// The process has ended, and its parent has not asked for its status.
    Zombie,
    /// The id is that of the calling process.
    Own,
    /// The id is that of a thread of the process with this id.
    Thread(libc::pid_t),
    KernelThread,
    /// The system does not permit this process to read the other one's memory.
    Rights,
    /// A filter of system calls forbids to read any other process's memory.
    Filter,
    ThirtyTwoBit,
    NotPython,
    /// The version is unknown if it is older than 3.11.
    Version(Option<Version>),
    FreeThreaded(Version),
    /// Python is there, but no interpreter: it has not started yet, or it has ended.
    NoInterpreter(Version),
    /// What was read is not what this version of CPython has at that place.
    Layout(Version),
}

impl CannotAttach {
    pub const CODES: [&str; 14] = [
        "other-proc",
        "gone",
        "zombie",
        "own",
        "thread",
        "kernel-thread",
        "rights",
        "filter",
        "32-bit",
        "not-python",
        "version",
        "free-threaded",
        "no-interpreter",
        "layout",
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::OtherProc => "other-proc",
            Self::Gone => "gone",
            Self::Zombie => "zombie",
            Self::Own => "own",
            Self::Thread(_) => "thread",
            Self::KernelThread => "kernel-thread",
            Self::Rights => "rights",
            Self::Filter => "filter",
            Self::ThirtyTwoBit => "32-bit",
            Self::NotPython => "not-python",
            Self::Version(_) => "version",
            Self::FreeThreaded(_) => "free-threaded",
            Self::NoInterpreter(_) => "no-interpreter",
            Self::Layout(_) => "layout",
        }
    }

    /// What the sentence names besides the process: a version, or the process that a thread belongs to.
    pub fn detail(self) -> String {
        match self {
            Self::Thread(pid) => pid.to_string(),
            Self::Version(Some(version))
            | Self::FreeThreaded(version)
            | Self::NoInterpreter(version)
            | Self::Layout(version) => text(version),
            _ => String::new(),
        }
    }
}

/// As Python writes a version: `3.13.0`.
pub fn text((major, minor, micro): Version) -> String {
    format!("{major}.{minor}.{micro}")
}

/// A `LookupError` with the code and the detail.
impl From<CannotAttach> for PyErr {
    fn from(why: CannotAttach) -> Self {
        PyLookupError::new_err((why.code(), why.detail()))
    }
}
