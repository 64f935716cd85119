//! What kind of loop runs in a thread, and what it shows of itself at a moment.

use super::places::Places;
use super::run_once::RunOnce;
use super::turns::Look;
use super::uv_loop::{LoopTypes, UvLoop};
use crate::gil::stack::Stack;
use crate::watch::thread_files::{SleepsIn, ThreadFiles};

/// What calls the callbacks of a loop of which nothing else is known: asyncio's and uvloop's functions that run a loop.
const RUN: [(&str, &str); 4] = [
    ("/asyncio/runners.py", "Runner.run"),
    ("/asyncio/base_events.py", "BaseEventLoop.run_forever"),
    ("/uvloop/__init__.py", "run"),
    ("/uvloop/__init__.py", "run.<locals>.wrapper"),
];

/// The system call in which a loop's thread sleeps, if it does.
#[derive(Clone, Copy)]
pub struct Call {
    pub sleeps: SleepsIn,
    /// It is one in which event loops sleep.
    pub selects: bool,
    /// The system does not report it.
    pub is_hidden: bool,
}

impl Call {
    pub fn of(files: &ThreadFiles) -> Self {
        Self {
            sleeps: files.sleeps_in(),
            selects: files.selects(),
            is_hidden: !files.is_reported(),
        }
    }
}

pub enum Kind {
    RunOnce(RunOnce),
    Uv(UvLoop),
    /// A native loop of another kind. Its callbacks are seen to change, and no more.
    Other(OtherLoop),
}

pub struct OtherLoop {
    context_version_at: usize,
    /// The epoll file in which the loop sleeps, once a stack has shown that it does, and another one that it does not sleep in.
    epoll: Option<i32>,
    foreign: Option<i32>,
}

impl Kind {
    /// The loop that runs in the thread with this stack, if one does. `uvloop` says whether the process has loaded it.
    pub fn in_stack(
        places: &Places,
        types: Option<&mut LoopTypes>,
        stack: &Stack,
        now_ns: u64,
    ) -> Option<Self> {
        if let Some(found) = RunOnce::in_stack(places, stack) {
            return Some(Self::RunOnce(found));
        }
        if let Some(types) = types
            && let Some(found) = UvLoop::in_stack(places, types, stack, now_ns)
        {
            return Some(Self::Uv(found));
        }
        runs_loop(stack).then(|| {
            Self::Other(OtherLoop {
                context_version_at: places.context_version(stack.state),
                epoll: None,
                foreign: None,
            })
        })
    }

    /// Whether nothing is known of the loop but that its thread runs one.
    pub fn is_vague(&self) -> bool {
        matches!(self, Self::Other(_))
    }

    /// Whether it still is the innermost loop of the thread with this stack.
    pub fn is_in(&self, stack: &Stack) -> bool {
        match self {
            Self::RunOnce(frame) => frame.is_in(stack),
            Self::Uv(_) => true, // each look shows it
            Self::Other(_) => {
                let mut functions = stack.frames.iter().map(|frame| &*frame.function);
                !functions.any(|name| name == "BaseEventLoop._run_once") && runs_loop(stack)
            }
        }
    }

    /// Whether a stack is needed to know whether the loop sleeps in `call`.
    pub fn wants_stack(&self, call: SleepsIn) -> bool {
        match (self, call) {
            (Self::Other(it), SleepsIn::Epoll(file)) => {
                it.epoll != Some(file) && it.foreign != Some(file)
            }
            _ => false,
        }
    }

    /// Adds a stack of the loop's thread, taken while the thread slept in `call`.
    pub fn note_stack(&mut self, call: SleepsIn, stack: &Stack) {
        if let (Self::Other(it), SleepsIn::Epoll(file)) = (self, call) {
            let innermost = stack.frames.first();
            let is_its = innermost.is_some_and(|frame| {
                is_run(&frame.file, &frame.function) || frame.file.ends_with("/selectors.py")
            });
            if is_its {
                it.epoll = Some(file);
            } else {
                it.foreign = Some(file);
            }
        }
    }

    /// What the loop shows. `None` if it does not run in this frame any more.
    ///
    /// The last look was at `seen_ns`. If the system hides calls, a native loop is taken to sleep: no stall is better than a false one.
    pub fn look(
        &mut self,
        places: &Places,
        call: Call,
        (seen_ns, now_ns): (u64, u64),
    ) -> Option<Look> {
        match self {
            Self::RunOnce(frame) => {
                let look = frame.look(places, now_ns)?;
                let is_between = matches!(look, Look::Between { .. });
                Some(if (call.selects || call.is_hidden) && is_between {
                    Look::Asleep
                } else {
                    look
                })
            }
            Self::Uv(uv_loop) => {
                let look = uv_loop.look(places, seen_ns, now_ns)?;
                Some(
                    if call.is_hidden || call.sleeps == SleepsIn::Epoll(uv_loop.epoll) {
                        Look::Asleep
                    } else {
                        look
                    },
                )
            }
            Self::Other(it) => {
                let is_its = |file| it.epoll == Some(file);
                let is_asleep =
                    call.is_hidden || matches!(call.sleeps, SleepsIn::Epoll(file) if is_its(file));
                let [mark] = places.words([it.context_version_at])?;
                Some(if is_asleep {
                    Look::Asleep
                } else {
                    Look::Between { mark }
                })
            }
        }
    }
}

fn runs_loop(stack: &Stack) -> bool {
    let mut frames = stack.frames.iter();
    frames.any(|frame| is_run(&frame.file, &frame.function))
}

fn is_run(file: &str, function: &str) -> bool {
    RUN.iter()
        .any(|&(end, name)| function == name && file.ends_with(end))
}
