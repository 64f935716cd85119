//! The Python interpreter of another process, found from that process's memory alone and read from outside.
//!
//! The process is never stopped and never written to, and needs no help: it need not know of us. The way: `/proc/PID/maps` says
//! where programs and libraries begin; their tables of symbols, in memory, say where `_PyRuntime` is; from there on everything
//! is as in this process: see [`reader`](super::reader).

pub mod cannot_attach;
mod elf;
mod images;
mod life;
pub mod names;
mod obstacles;
pub mod outer_ids;
mod symbol_table;

use std::io;

use pyo3::prelude::*;

use self::cannot_attach::{CannotAttach, Version};
use self::elf::{Class, Image};
use self::images::Mapped;
use self::life::Life;
use self::names::{Namer, ThreadNames};
use self::obstacles::{is_kernel_thread, is_proc_ours, why_no_process, why_refused};
use self::outer_ids::OuterIds;
use self::symbol_table::SymbolTable;
use super::memory::Memory;
use super::objects::Objects;
use super::reader::Reader;
use super::reader::layout::Layout;
use super::reader::target::{self, Target};
use super::stack::Stack;
use super::{Gil, ThreadIds, Unreadable};

/// The first and the last minor version of Python 3 that can be read.
const MINORS: std::ops::RangeInclusive<u8> = 11..=15;
/// How often a process is looked at that replaces its program meanwhile.
const MAX_PROGRAMS: usize = 5;
/// The offset of `tp_name` in `PyTypeObject`.
const TYPE_NAME: usize = 24;

/// A process with a Python interpreter that can be read.
pub struct Process {
    pid: libc::pid_t,
    version: Version,
    target: Target,
    threads: Reader,
    names: Option<ThreadNames>,
    outer_ids: OuterIds,
    life: Life,
}

impl Process {
    /// Finds the interpreter of the process with this id.
    pub fn find(pid: libc::pid_t) -> Result<Self, CannotAttach> {
        if pid.unsigned_abs() == std::process::id() {
            return Err(CannotAttach::Own);
        }
        // Numbers of another PID namespace may be those of other processes here.
        if !is_proc_ours() {
            return Err(CannotAttach::OtherProc);
        }
        if let Some(why) = why_no_process(pid) {
            return Err(why);
        }
        let mut doubt = CannotAttach::Gone;
        for _ in 0..MAX_PROGRAMS {
            let (found, is_same) = Self::search(pid);
            match found {
                Ok(found) if is_same => return Ok(found),
                Ok(_) => {}
                Err(why) => doubt = why,
            }
            // A process that ends while it is looked at has ended; whatever was missing in it is of no interest.
            if let Some(why) = why_no_process(pid) {
                return Err(why);
            }
            if is_same {
                break;
            }
        }
        Err(doubt)
    }

    /// The interpreter, or why there is none; and whether the process has run the same program all the time.
    fn search(pid: libc::pid_t) -> (Result<Self, CannotAttach>, bool) {
        let images = images::of(pid).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => CannotAttach::Rights,
            _ => CannotAttach::Gone,
        });
        let images = match images {
            Ok(images) => images,
            Err(why) => return (Err(why), true),
        };
        let Some(first) = images.first() else {
            let why = if is_kernel_thread(pid) {
                CannotAttach::KernelThread
            } else {
                CannotAttach::Zombie // it is about to end
            };
            return (Err(why), true);
        };
        let refusal = match Memory::of(pid).refusal(first.base) {
            Some(libc::ENOSYS) => Some(CannotAttach::Filter),
            Some(libc::EPERM | libc::EACCES) => Some(why_refused(pid, first.base)),
            Some(libc::ESRCH) => Some(CannotAttach::Gone),
            _ => None,
        };
        if let Some(why) = refusal {
            return (Err(why), true);
        }
        let life = Life::of(pid, first.base);
        let found = Self::search_in(pid, &images, first);
        let is_same = !life.has_ended();
        let found = found.map(|(version, target, names)| Self {
            pid,
            version,
            target,
            threads: Reader::new(&target),
            names,
            outer_ids: OuterIds::of(pid),
            life,
        });
        (found, is_same)
    }

    fn search_in(
        pid: libc::pid_t,
        images: &[Mapped],
        first: &Mapped,
    ) -> Result<Found, CannotAttach> {
        let memory = Memory::of(pid);
        let mut doubt = CannotAttach::NotPython;
        if elf::class(memory, first.base) == Some(Class::Bits32) {
            doubt = CannotAttach::ThirtyTwoBit;
        }
        for mapped in images {
            let Some(image) = Image::at(memory, mapped.base) else {
                continue;
            };
            match interpreter(memory, &|name| image.symbol(name)) {
                Ok(found) => return Ok(found),
                // A process may load a second CPython that it never starts, or one that cannot be read.
                Err(why) if why != CannotAttach::NotPython => doubt = why,
                Err(_) => {}
            }
        }
        // A program may contain CPython and export nothing of it.
        if doubt == CannotAttach::NotPython
            && let Some(table) = SymbolTable::of(pid, first)
        {
            return interpreter(memory, &|name| table.symbol(name));
        }
        Err(doubt)
    }

    pub fn pid(&self) -> libc::pid_t {
        self.pid
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn gil(&self) -> Gil {
        Gil::of(&self.target)
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How to read the process's objects; `None` if its interpreter does not export their types.
    pub fn objects(&self) -> Option<Objects> {
        self.names.as_ref().map(ThreadNames::objects)
    }

    /// A reader of the process's stacks. Each of them keeps what it has read of code objects.
    pub fn reader(&self) -> Reader {
        Reader::new(&self.target)
    }

    /// The threads that the main interpreter knows. Native ids are those in the process's PID namespace.
    pub fn threads(&mut self) -> Vec<ThreadIds> {
        self.threads.threads()
    }

    /// The id in our PID namespace of the thread with this native id; `None` if there is no such thread now.
    pub fn outer_id(&mut self, native: u64) -> Option<u64> {
        self.outer_ids.get(native)
    }

    /// Whether the main interpreter collects garbage just now.
    pub fn is_collecting(&self) -> bool {
        self.target.is_collecting()
    }

    /// The name that `threading` has for the thread with this stack; `None` if `threading` has not started the thread.
    pub fn thread_name(&self, stack: &Stack) -> Option<String> {
        self.namer().name(stack)
    }

    /// The same for whoever does not have the process.
    pub fn namer(&self) -> Namer {
        Namer {
            names: self.names,
            main: self.outer_ids.main(),
        }
    }

    /// Whether the process has ended, or has replaced its program by another one.
    pub fn has_ended(&self) -> bool {
        self.life.has_ended()
    }
}

/// Return the version of the Python interpreter that runs in another process, if it can be attached to; raise `LookupError` with
/// the code of the reason and its detail if not.
#[pyfunction]
pub fn find_process(pid: libc::pid_t) -> PyResult<Version> {
    Ok(Process::find(pid)?.version())
}

/// An interpreter that was found.
type Found = (Version, Target, Option<ThreadNames>);

/// The main interpreter of the CPython that has these symbols. `NotPython` if they are none of CPython's.
fn interpreter(
    memory: Memory,
    symbol: &dyn Fn(&str) -> Option<usize>,
) -> Result<Found, CannotAttach> {
    let Some(runtime) = symbol("_PyRuntime") else {
        // Python 3.6 and older have none.
        let is_older = symbol("PyEval_EvalFrameEx").is_some();
        return Err(if is_older {
            CannotAttach::Version(None)
        } else {
            CannotAttach::NotPython
        });
    };
    let version = symbol("Py_Version").and_then(|at| memory.word(at));
    let version = version.ok_or(CannotAttach::Version(None))?.to_le_bytes();
    let version = (version[3], version[2], version[1]);
    if version.0 != 3 || !MINORS.contains(&version.1) {
        return Err(CannotAttach::Version(Some(version)));
    }
    let code_type = symbol("PyCode_Type");
    let code_type = code_type.ok_or(CannotAttach::Layout(version))?;
    let layout = Layout::find(memory, runtime, version.1).map_err(|why| match why {
        Unreadable::FreeThreaded => CannotAttach::FreeThreaded(version),
        _ => CannotAttach::Layout(version),
    })?;
    if !target::has_started(memory, &layout, runtime) {
        return Err(CannotAttach::NoInterpreter(version));
    }
    let target = Target::find(memory, &layout, runtime, code_type)
        .map_err(|_| CannotAttach::Layout(version))?;
    if is_type(memory, code_type, b"code\0") && target.has_plausible_gil() {
        let objects = Objects::locate(memory, &layout, version.1, symbol);
        let names = objects.map(|objects| ThreadNames::of(objects, &layout, version.1));
        Ok((version, target, names))
    } else {
        Err(CannotAttach::Layout(version))
    }
}

/// Whether the type at an address has this name, with the NUL at its end.
fn is_type<const N: usize>(memory: Memory, kind: usize, name: &[u8; N]) -> bool {
    let mut text = [0; N];
    let at = memory.word(kind + TYPE_NAME);
    let at = at.and_then(|at| usize::try_from(at).ok());
    at.is_some_and(|at| memory.read(at, &mut text)) && text == *name
}
