//! Reads Python stacks from memory, without the GIL: from any native thread, without attaching, locking or stopping anyone.
//!
//! Everything is read through the kernel, which answers a bad address with an error where a load would crash. A stack may
//! change while it is read. It is used only if it certainly did not: see [`Certainty`].
//!
//! CPython promises nothing of the layout. So [`Reader::in_process`] first compares what it reads with what Python says of
//! the same stacks: see [`self_check`].

pub mod bytes;
mod code;
mod codes;
mod data_stack;
mod frames;
pub mod layout;
mod line_table;
mod outermost;
mod position;
mod published;
mod self_check;
pub mod target;
mod text;
mod walk;

use pyo3::prelude::*;

use self::codes::Codes;
use self::data_stack::DataStack;
use self::layout::Layout;
use self::target::{Target, ThreadState};
use self::walk::{RawFrame, Walk};
use crate::gil::memory::Memory;
use crate::gil::stack::{Certainty, Doubt, Frame, Stack};
use crate::gil::{ThreadIds, Unreadable};

/// How often it is tried to read a stack that changes meanwhile.
const MAX_ATTEMPTS: usize = 4;

/// Reads stacks; keeps what it has read of code objects. One thread at a time can use it.
pub struct Reader {
    target: Target,
    /// Whether the process that is read is always the one that reads, in a forked child too.
    reads_itself: bool,
    codes: Codes,
    states: Vec<ThreadState>,
    stack: DataStack,
    walk: Walk,
    second_walk: Walk,
}

/// Why an attempt has failed.
enum Failure {
    /// Another one would fail too.
    Final(Doubt),
    Passing(Doubt),
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
        let target = Target::find(memory, &layout, runtime, symbol(c"PyCode_Type")?)?;
        Ok(Self {
            reads_itself: true,
            ..Self::new(&target)
        })
    }

    /// A reader of any process, this one or another. Nothing is checked.
    pub fn new(target: &Target) -> Self {
        Self {
            target: *target,
            reads_itself: false,
            codes: Codes::default(),
            states: Vec::new(),
            stack: DataStack::default(),
            walk: Walk::default(),
            second_walk: Walk::default(),
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
        for _ in 0..MAX_ATTEMPTS {
            match self.attempt(native_id) {
                Ok(stack) => return Ok(stack),
                Err(Failure::Final(why)) => return Err(why),
                Err(Failure::Passing(why)) => doubt = why,
            }
        }
        Err(doubt)
    }

    /// Whether the thread of this stack still is where its outermost frames were, so many of them; the innermost frame of all may
    /// have gone on. One read is enough: what is read while the stack changes does not look like that.
    pub fn stands(&mut self, stack: &Stack, outermost: usize) -> bool {
        let Some(first) = stack.frames.len().checked_sub(outermost) else {
            return false;
        };
        if !matches!(self.state_of(stack.thread.native), Ok(state) if state.address == stack.state)
        {
            return false;
        }
        let offset = self.target.layout.code.instructions;
        let is_same = |at: usize, (frame, raw): (&Frame, &RawFrame)| {
            let place = raw.code.wrapping_add(offset);
            let place = place.wrapping_add_signed(2 * frame.instruction as isize);
            frame.address == raw.address
                && frame.code == raw.code
                && (first + at == 0 || place == raw.instruction)
        };
        for _ in 0..MAX_ATTEMPTS {
            let read = self.walk.read(&self.target, &mut self.stack, stack.state);
            if read.is_err() {
                continue;
            }
            let Some(beginning) = self.walk.frames.len().checked_sub(outermost) else {
                return false;
            };
            let pairs = stack.frames[first..]
                .iter()
                .zip(&self.walk.frames[beginning..]);
            return pairs.enumerate().all(|(at, pair)| is_same(at, pair));
        }
        false
    }

    fn attempt(&mut self, native_id: u64) -> Result<Stack, Failure> {
        let look = self.target.look_at_gil();
        let state = self.state_of(native_id).map_err(Failure::Final)?;
        let read = self.walk.read(&self.target, &mut self.stack, state.address);
        let frames =
            read.and_then(|()| frames::resolve(&self.target, &mut self.codes, &self.walk.frames));
        let is_proved = self.is_excluded(look, state);
        let (frames, left_out) = frames.map_err(|why| {
            if is_proved || why == Doubt::TooDeep {
                Failure::Final(why)
            } else {
                Failure::Passing(why)
            }
        })?;
        let certainty = if is_proved {
            Certainty::Proved
        } else {
            self.read_again(state).map_err(|why| {
                if self.walk.is_deep() {
                    Failure::Final(why)
                } else {
                    Failure::Passing(why)
                }
            })?
        };
        self.walk.give_back_memory();
        Ok(Stack {
            thread: state.ids,
            state: state.address,
            frames,
            left_out,
            certainty,
        })
    }

    /// Reads a stack a second time.
    fn read_again(&mut self, state: ThreadState) -> Result<Certainty, Doubt> {
        // A walk takes some microseconds: what its thread does meanwhile shows in the position at its end, if not in the frames.
        let is_there = |walk: &Walk| walk.is_still_there(&self.target, state.address);
        if !is_there(&self.walk) {
            return Err(Doubt::Changed);
        }
        self.second_walk
            .read(&self.target, &mut self.stack, state.address)?;
        let is_same = is_there(&self.second_walk)
            && self.walk.stood_until(&self.second_walk)
            && self.is_listed(state);
        self.second_walk.give_back_memory();
        if is_same {
            Ok(Certainty::ReadTwice)
        } else {
            Err(Doubt::Changed)
        }
    }

    /// Whether the thread could not change its frames since `look` was taken.
    fn is_excluded(&self, look: Option<target::Look>, state: ThreadState) -> bool {
        look.is_some_and(|look| {
            look.excludes(state.address)
                && self.is_beside(state, look.last_holder())
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

    /// Whether both are listed, as different threads. On 3.11 one thread may change between states of several interpreters, and
    /// the GIL then still shows the former one as its holder.
    fn is_beside(&self, state: ThreadState, holder: usize) -> bool {
        let (mut is_listed, mut has_holder) = (false, false);
        let both_found = self.target.find_thread(|other| {
            is_listed |= other == state;
            has_holder |= other.address == holder && other.ids.native != state.ids.native;
            is_listed && has_holder
        });
        matches!(both_found, Ok(true))
    }

    fn is_listed(&self, state: ThreadState) -> bool {
        let is_it = |other: ThreadState| other == state;
        matches!(self.target.find_thread(is_it), Ok(true))
    }

    /// Lists all thread states that belong to a thread, as far as the list can be read.
    fn list_states(&mut self) {
        let states = &mut self.states;
        for _ in 0..MAX_ATTEMPTS {
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

    /// Forgets what it has read of code objects.
    pub fn forget(&mut self) {
        self.codes.forget();
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
