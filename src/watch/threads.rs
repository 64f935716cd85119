//! Whose threads are looked at: those of this process, or those of another one.

use crate::gil::process::outer_ids::OuterIds;
use crate::locked::Locked;
use crate::watch::thread_files::ThreadFiles;

pub enum Threads {
    Own,
    /// Of the process with this id. Its interpreter may know its threads by other ids than `/proc` does.
    Other(libc::pid_t, Locked<OuterIds>),
}

impl Threads {
    pub fn of(pid: libc::pid_t) -> Self {
        Self::Other(pid, Locked::new(OuterIds::of(pid)))
    }

    /// The files of the thread that the interpreter knows by this native id.
    pub fn files(&self, native: u64) -> ThreadFiles {
        match self {
            Self::Own => ThreadFiles::new(native),
            Self::Other(pid, _) => ThreadFiles::of(*pid, self.outer_id(native).unwrap_or(0)),
        }
    }

    /// The id that `/proc` has for that thread; `None` if there is no such thread now.
    pub fn outer_id(&self, native: u64) -> Option<u64> {
        match self {
            Self::Own => Some(native),
            Self::Other(_, ids) => ids.with(|ids| ids.get(native)),
        }
    }
}
