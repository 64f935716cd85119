//! Whether stacks are read rightly: compares what is read of the calling thread with what Python says, frame by frame. Once of
//! its stack as it is, and once of one that has every kind of frame and two chunks of memory: `known_stacks.py`.
//!
//! It leaves nothing behind: no module, no warning, no garbage. It releases the GIL only where any Python function may.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyException, PyMemoryError, PyRecursionError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCFunction, PyDict, PyDictMethods, PyString};
use pyo3::{ffi, intern};

use super::Reader;
use crate::gil::stack::{FRAMES_KEPT_AT_EACH_END, Frame};
use crate::gil::{Unreadable, memory};
use crate::locked::Locked;
use crate::watch::text::text;

const SOURCE: &std::ffi::CStr = match std::ffi::CStr::from_bytes_with_nul(
    concat!(include_str!("known_stacks.py"), "\0").as_bytes(),
) {
    Ok(source) => source,
    Err(_) => panic!("the source has a NUL"),
};
const FILE: &std::ffi::CStr = c"<gilscope's self-check é>";
/// So deep that the stack needs a second chunk of memory.
const RECURSION: u32 = 300;
/// Names in one, two and four bytes a character.
const NAMES: [(&str, &str); 3] = [
    ("called_by_c", "appelé"),
    ("generator", "生成"),
    ("coroutine", "𐐀"),
];
/// The entry of a line table that says of one instruction that it has no line.
const NO_LINE: u8 = 0xf8;
/// Of a deeper stack, the outer frames are not compared: Python makes an object for each frame that it is asked for.
const MAX_COMPARED: usize = 1000;

/// Why the check could not be made.
enum Failed {
    /// The program does not let it: its recursion is too deep, or an audit hook objects.
    NotLet,
    /// An exception that is not of the check, such as a signal handler's.
    Interrupted(PyErr),
}

/// Returns the reader if it passes. Raises only what does not come from the check, such as `KeyboardInterrupt`.
pub fn passed_by(mut reader: Reader, py: Python<'_>) -> PyResult<Result<Reader, Unreadable>> {
    if !knows_where_it_is(&reader, py) || !agrees(&mut reader, py) {
        return Ok(Err(Unreadable::Stack));
    }
    match KnownStacks::new(py, reader).and_then(KnownStacks::passed_reader) {
        Ok(reader) => Ok(reader.ok_or(Unreadable::Stack)),
        Err(Failed::NotLet) => Ok(Err(Unreadable::Stack)),
        Err(Failed::Interrupted(error)) => Err(error),
    }
}

/// For what runs no Python code, except an audit hook's.
fn native<T>(py: Python<'_>, done: PyResult<T>) -> Result<T, Failed> {
    done.map_err(|error| {
        if error.is_instance_of::<PyException>(py) {
            Failed::NotLet
        } else {
            Failed::Interrupted(error)
        }
    })
}

/// For what runs Python code: signal handlers may run in between, and trace functions.
fn python<T>(py: Python<'_>, done: PyResult<T>) -> Result<T, Failed> {
    done.map_err(|error| {
        if error.is_instance_of::<PyRecursionError>(py) || error.is_instance_of::<PyMemoryError>(py)
        {
            Failed::NotLet
        } else {
            Failed::Interrupted(error)
        }
    })
}

/// Whether this thread is in the list of threads, and the GIL shows it as the holder.
fn knows_where_it_is(reader: &Reader, py: Python<'_>) -> bool {
    let (own, state) = (memory::own_ids(), memory::own_thread_state(py));
    let is_own = |thread: super::ThreadState| thread.ids == own && thread.address == state;
    let look = reader.target.look_at_gil();
    matches!(reader.target.find_thread(is_own), Ok(true))
        && look.is_some_and(|look| look.is_held_by(state))
}

/// Whether the calling thread's stack is read as Python has it.
fn agrees(reader: &mut Reader, py: Python<'_>) -> bool {
    let Ok(stack) = reader.stack(memory::own_ids().native) else {
        return false;
    };
    let depth = stack.depth();
    let compares_all = depth <= MAX_COMPARED;
    let mut at = own_frame(py);
    let mut inner = stack.frames.iter();
    let mut outer = VecDeque::new();
    for number in 0..depth {
        let Some(frame) = at else { return false };
        if number < FRAMES_KEPT_AT_EACH_END {
            if !inner
                .next()
                .is_some_and(|read| is_same(read, &frame).unwrap_or(false))
            {
                return false;
            }
        } else if !compares_all {
            return true;
        } else {
            outer.push_back(frame.clone());
            if outer.len() > FRAMES_KEPT_AT_EACH_END {
                outer.pop_front();
            }
        }
        at = match frame.getattr(intern!(py, "f_back")) {
            Ok(back) if !back.is_none() => Some(back),
            Ok(_) => None,
            Err(_) => return false,
        };
    }
    at.is_none()
        && inner.len() == outer.len()
        && inner
            .zip(outer)
            .all(|(read, frame)| is_same(read, &frame).unwrap_or(false))
}

fn own_frame(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    // SAFETY: the thread is attached. The call returns a borrowed reference, or null if no Python code has called.
    unsafe { Bound::from_borrowed_ptr_or_opt(py, ffi::PyEval_GetFrame().cast()) }
}

/// Whether Python says the same of a frame. Not by `f_code`, which would be reported to audit hooks.
fn is_same(read: &Frame, frame: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = frame.py();
    // SAFETY: `frame` is a frame object: `own_frame`, or the `f_back` of one. The call returns a new reference.
    let code =
        unsafe { Bound::from_owned_ptr(py, ffi::PyFrame_GetCode(frame.as_ptr().cast()).cast()) };
    let line: Option<i64> = frame.getattr(intern!(py, "f_lineno"))?.extract()?;
    let first_line: i64 = code.getattr(intern!(py, "co_firstlineno"))?.extract()?;
    let last_instruction: i32 = frame.getattr(intern!(py, "f_lasti"))?.extract()?;
    Ok(read.code == code.as_ptr() as usize
        && *read.file == *text(&code.getattr(intern!(py, "co_filename"))?)
        && *read.function == *text(&code.getattr(intern!(py, "co_qualname"))?)
        && read.line.map(i64::from) == line
        && i64::from(read.first_line) == first_line.max(0)
        && read.instruction == last_instruction / 2)
}

/// The functions of `known_stacks.py`.
struct KnownStacks<'py> {
    names: Bound<'py, PyDict>,
    looked: Arc<Looked>,
}

struct Looked {
    /// `None` once it has read something wrong.
    reader: Locked<Option<Reader>>,
    has_looked: AtomicBool,
}

impl<'py> KnownStacks<'py> {
    fn new(py: Python<'py>, reader: Reader) -> Result<Self, Failed> {
        let known = Self {
            names: PyDict::new(py),
            looked: Arc::new(Looked {
                reader: Locked::new(Some(reader)),
                has_looked: AtomicBool::new(false),
            }),
        };
        let looked = known.looked.clone();
        let look = PyCFunction::new_closure(py, None, None, move |args, _| looked.look(args.py()));
        native(py, look.and_then(|look| known.names.set_item("look", look)))?;
        let code = native(py, compiled(py))?;
        let names = known.names.as_ptr();
        // SAFETY: the thread is attached, and `code` and `names` are a code object and a dict. The call returns a new
        // reference, or null with an exception set.
        let run = unsafe {
            let none = ffi::PyEval_EvalCode(code.as_ptr(), names, names);
            Bound::from_owned_ptr_or_err(py, none)
        };
        python(py, run)?;
        native(py, known.change_code())?;
        Ok(known)
    }

    /// Gives functions names with characters of each width, and one of them instructions without lines.
    fn change_code(&self) -> PyResult<()> {
        let py = self.names.py();
        for (function, name) in NAMES {
            let name = PyString::new(py, name).into_any();
            self.replace(function, "co_qualname", |_| Ok(name))?;
        }
        self.replace("without_lines", "co_linetable", |code| {
            // Exactly as long as the code: CPython 3.11 writes beyond an array of its own otherwise, if the thread is traced.
            let instructions = code.getattr("co_code")?.len()? / 2;
            Ok(PyBytes::new(py, &vec![NO_LINE; instructions]).into_any())
        })
    }

    /// Replaces an attribute of a function's code.
    fn replace(
        &self,
        function: &str,
        attribute: &str,
        value: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let function = self.function(function)?;
        let code = function.getattr("__code__")?;
        let changed = PyDict::new(self.names.py());
        changed.set_item(attribute, value(&code)?)?;
        function.setattr("__code__", code.call_method("replace", (), Some(&changed))?)
    }

    fn function(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.names.as_any().get_item(name)
    }

    /// The reader, if what it reads is right.
    fn passed_reader(self) -> Result<Option<Reader>, Failed> {
        let py = self.names.py();
        let run = native(py, self.function("run"))?;
        match python(py, run.call1((RECURSION,))) {
            // The program is close to its limit of recursion: fewer frames may be possible.
            Err(Failed::NotLet) => python(py, run.call1((0,))).map(drop)?,
            done => done.map(drop)?,
        }
        // Relaxed: this thread has set it.
        let has_looked = self.looked.has_looked.load(Ordering::Relaxed);
        let reader = self.looked.reader.with(Option::take);
        Ok(reader.filter(|_| has_looked))
    }
}

/// The code of `known_stacks.py`.
fn compiled(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the thread is attached, and both strings end with NUL. The call returns a new reference, or null with an
    // exception set.
    unsafe {
        let code = ffi::Py_CompileString(SOURCE.as_ptr(), FILE.as_ptr(), ffi::Py_file_input);
        Bound::from_owned_ptr_or_err(py, code)
    }
}

impl Drop for KnownStacks<'_> {
    fn drop(&mut self) {
        // The functions refer to their module's names, and these to them.
        self.names.clear();
    }
}

impl Looked {
    fn look(&self, py: Python<'_>) {
        // Not under the lock, because Python code may run meanwhile.
        let Some(mut reader) = self.reader.with(Option::take) else {
            return;
        };
        if agrees(&mut reader, py) {
            // Relaxed: only the thread that makes the check reads it.
            self.has_looked.store(true, Ordering::Relaxed);
            self.reader.with(|place| place.replace(reader));
        }
    }
}
