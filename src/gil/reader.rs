//! Reads Python stacks from memory, without the GIL: from any native thread, without attaching, locking or stopping anyone.
//!
//! Everything is read through the kernel, which answers a bad address with an error where a load would crash. A stack may
//! change while it is read. It is used only if it certainly did not: see [`Certainty`].
//!
//! CPython promises nothing of the layout. So [`Reader::in_process`] first compares what it reads with what Python says of
//! the same stacks: see [`self_check`].

mod bytes;
mod code;
mod data_stack;
mod frames;
mod layout;
mod line_table;
mod published;
mod self_check;
mod target;
mod text;
mod walk;

use pyo3::prelude::*;

use self::code::Codes;
use self::data_stack::DataStack;
use self::layout::Layout;
use self::target::{Target, ThreadState};
use self::walk::Walk;
use crate::gil::memory::Memory;
use crate::gil::stack::{Certainty, Doubt, Stack};
use crate::gil::{ThreadIds, Unreadable};

/// How often the stack of a thread that runs is read, until two reads in a row are equal.
const MAX_READS: usize = 8;

/// Reads stacks; keeps what it has read of code objects. One thread at a time can use it.
pub struct Reader {
    target: Target,
    /// Whether the process that is read is always the one that reads, in a forked child too.
    reads_itself: bool,
    codes: Codes,
    states: Vec<ThreadState>,
    stack: DataStack,
    walk: Walk,
    last_walk: Walk,
}

impl Reader {
    /// Finds the calling process's interpreter, and checks that stacks of it are read rightly.
    pub fn in_process(py: Python<'_>) -> PyResult<Result<Self, Unreadable>> {
        match Self::unchecked(py) {
            Ok(reader) => self_check::passed_by(reader, py),
            Err(why) => Ok(Err(why)),
        }
    }

    fn unchecked(py: Python<'_>) -> Result<Self, Unreadable> {
        let version = py.version_info();
        if version.major != 3 {
            return Err(Unreadable::Version);
        }
        let runtime = symbol(c"_PyRuntime")?;
        let memory = Memory::own();
        let layout = Layout::find(memory, runtime, version.minor)?;
        let target = Target::find(memory, layout, runtime, symbol(c"PyCode_Type")?)?;
        Ok(Self {
            reads_itself: true,
            ..Self::new(target)
        })
    }

    /// A reader of any process, this one or another. Nothing is checked.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            reads_itself: false,
            codes: Codes::default(),
            states: Vec::new(),
            stack: DataStack::default(),
            walk: Walk::default(),
            last_walk: Walk::default(),
        }
    }

    /// The threads that the main interpreter knows.
    pub fn threads(&mut self) -> Vec<ThreadIds> {
        self.follow_fork();
        self.list_states();
        self.states.iter().map(|state| state.ids).collect()
    }

    /// The stack of the thread with this native id.
    pub fn stack(&mut self, native_id: u64) -> Result<Stack, Doubt> {
        self.follow_fork();
        let mut doubt = Doubt::Changed;
        let mut reads = 0;
        let mut is_read = false;
        while reads < MAX_READS {
            let look = self.target.look_at_gil();
            let state = self.state_of(native_id)?;
            let again = std::mem::take(&mut is_read);
            if !again {
                reads += 1;
                if let Err(why) = self.walk.read(&self.target, &mut self.stack, state.address) {
                    doubt = why;
                    if self.is_excluded(look, state) {
                        break;
                    }
                    continue;
                }
            }
            let resolved = frames::resolve(&self.target, &mut self.codes, &self.walk.frames);
            let is_excluded = !again && self.is_excluded(look, state);
            let (frames, left_out) = match resolved {
                Ok(found) => found,
                Err(why) => {
                    doubt = why;
                    if is_excluded {
                        break;
                    }
                    continue;
                }
            };
            let stack = Stack {
                thread: state.ids,
                state: state.address,
                frames,
                left_out,
                certainty: Certainty::Proved,
            };
            if is_excluded {
                return Ok(stack);
            }
            std::mem::swap(&mut self.walk, &mut self.last_walk);
            reads += 1;
            if let Err(why) = self.walk.read(&self.target, &mut self.stack, state.address) {
                doubt = why;
                continue;
            }
            if self.last_walk.stood_until(&self.walk) && self.is_listed(state) {
                return Ok(Stack {
                    certainty: Certainty::ReadTwice,
                    ..stack
                });
            }
            doubt = Doubt::Changed;
            is_read = true;
        }
        Err(doubt)
    }

    /// Whether the thread could not change its frames since `look` was taken.
    fn is_excluded(&self, look: Option<target::Look>, state: ThreadState) -> bool {
        look.is_some_and(|look| {
            look.excludes(state.address)
                && self.is_listed(state)
                && self.target.look_at_gil() == Some(look)
        })
    }

    /// The thread state of the thread with this native id.
    fn state_of(&mut self, native_id: u64) -> Result<ThreadState, Doubt> {
        let with_id = |state: &&ThreadState| state.ids.native == native_id;
        if let Some(&state) = self.states.iter().find(with_id)
            && self.is_listed(state)
        {
            return Ok(state);
        }
        self.list_states();
        let state = self.states.iter().find(with_id).copied();
        state.ok_or(Doubt::NoThread)
    }

    fn is_listed(&self, state: ThreadState) -> bool {
        let is_it = |other: ThreadState| other == state;
        matches!(self.target.find_thread(is_it), Ok(true))
    }

    /// Lists all thread states that belong to a thread, as far as the list can be read.
    fn list_states(&mut self) {
        let states = &mut self.states;
        for _ in 0..MAX_READS {
            states.clear();
            let listed = self.target.find_thread(|state| {
                if state.ids.native != 0 {
                    states.push(state);
                }
                false
            });
            if listed.is_ok() {
                return;
            }
        }
    }

    /// In a child of the process that made the reader, the memory is the child's.
    fn follow_fork(&mut self) {
        if self.reads_itself && self.target.memory != Memory::own() {
            self.target.memory = Memory::own();
            self.codes.forget();
            self.states.clear();
        }
    }
}

fn symbol(name: &std::ffi::CStr) -> Result<usize, Unreadable> {
    // SAFETY: looks up a NUL-terminated name among the loaded symbols. Nothing is read at the returned address here.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if symbol.is_null() {
        Err(Unreadable::Symbol)
    } else {
        Ok(symbol as usize)
    }
}
