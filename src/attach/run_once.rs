//! asyncio's own loop: when its current iteration began.
//!
//! `BaseEventLoop._run_once` runs one iteration. Its variable `end_time` has no value until the selector has returned; then it is
//! the loop's time at that moment, and the callbacks follow. So the variable says all: whether callbacks are run, in which
//! iteration, and since when. The frame is at the same place in each iteration.

use super::places::Places;
use super::turns::Look;
use crate::gil::stack::Stack;

/// How many variables of the function are looked at.
const MAX_VARIABLES: usize = 32;
/// How far into the future a beginning may lie: the loop adds its clock's resolution.
const MAX_AHEAD_NS: u64 = 2_000_000;
/// Where a float has its type and its value.
const VALUE: usize = 16;
const TYPE: usize = 8;

pub struct RunOnce {
    frame: usize,
    code: usize,
    /// The address of the frame's reference to its code, and of the variable.
    code_at: usize,
    end_time_at: usize,
    context_version_at: usize,
    /// The address of `float`, once it has been seen.
    float: Option<usize>,
}

impl RunOnce {
    /// The innermost such frame in a stack.
    pub fn in_stack(places: &Places, stack: &Stack) -> Option<Self> {
        stack.frames.iter().find_map(|frame| {
            // Loops that may be run from within their callbacks have a `_run_once` of their own, with the same variable.
            if !is_run_once(&frame.function) {
                return None;
            }
            let index = variable(places, frame.code, "end_time")?;
            Some(Self {
                frame: frame.address,
                code: frame.code,
                code_at: frame.address + places.layout.frame.code,
                end_time_at: frame.address + places.layout.frame.variables + 8 * index,
                context_version_at: places.context_version(stack.state),
                float: None,
            })
        })
    }

    /// Whether this is the frame of the innermost loop in a stack, or will be in the next iteration: between two iterations the
    /// loop may lose the CPU or the GIL, and stand in the function that calls this one.
    pub fn is_in(&self, stack: &Stack) -> bool {
        let mut frames = stack.frames.iter();
        if stack
            .frames
            .first()
            .is_some_and(|frame| is_called(&frame.function, "run_forever"))
        {
            return true;
        }
        let innermost = frames.find(|frame| is_run_once(&frame.function));
        innermost.is_some_and(|it| it.address == self.frame && it.code == self.code)
    }

    /// What the frame shows, except whether the loop sleeps: then it shows `Between`. `None` if the frame is not there any more.
    pub fn look(&mut self, places: &Places, now_ns: u64) -> Option<Look> {
        for _ in 0..3 {
            let [code, end_time, mark] =
                places.words([self.code_at, self.end_time_at, self.context_version_at])?;
            if places.address(code) != self.code {
                return None;
            }
            let object = places.address(end_time);
            if object == 0 {
                return Some(Look::Between { mark });
            }
            // The number may be freed, and its memory used again, while it is read.
            let Some([kind, value, again]) =
                places.words([object + TYPE, object + VALUE, self.end_time_at])
            else {
                continue;
            };
            if again == end_time {
                let is_float = self.is_float(places, places.address(kind));
                let began_ns = is_float.then(|| moment(f64::from_bits(value), now_ns));
                return Some(match began_ns.flatten() {
                    Some(began_ns) => Look::Running {
                        id: value,
                        began_ns: Some(began_ns),
                    },
                    // The loop has a clock of its own, which may stand still: each callback counts as a turn.
                    None => Look::Running {
                        id: mark,
                        began_ns: None,
                    },
                });
            }
        }
        Some(Look::Between { mark: now_ns }) // it goes round faster than it can be read
    }

    fn is_float(&mut self, places: &Places, kind: usize) -> bool {
        if self.float.is_none() && places.is_type_named(kind, "float") {
            self.float = Some(kind);
        }
        self.float == Some(kind)
    }
}

fn is_run_once(function: &str) -> bool {
    is_called(function, "_run_once")
}

/// Whether the last part of a function's qualified name is this.
fn is_called(function: &str, name: &str) -> bool {
    function.rsplit('.').next() == Some(name)
}

/// The moment on our clock; `None` if it cannot be one: the loop has another clock.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked before
fn moment(seconds: f64, now_ns: u64) -> Option<u64> {
    let ns = seconds * 1e9;
    let is_one = ns.is_finite() && ns > 0.0 && ns < 9e18;
    is_one
        .then_some(ns as u64)
        .filter(|&ns| ns <= now_ns + MAX_AHEAD_NS)
}

/// The index of a variable of the function with this code.
fn variable(places: &Places, code: usize, name: &str) -> Option<usize> {
    const NAMES_BEFORE_FILE: usize = 16; // `co_localsplusnames`, `co_localspluskinds`, `co_filename`
    let names = code + places.layout.code.file - NAMES_BEFORE_FILE;
    let names = places.objects.object(names)?;
    let names = places.objects.items::<MAX_VARIABLES>(names)?;
    names
        .iter()
        .position(|&it| it != 0 && places.objects.is_text(it, name))
}

#[cfg(test)]
mod tests {
    use super::RunOnce;
    use crate::gil::ThreadIds;
    use crate::gil::stack::{Certainty, Frame, Stack};

    const RUN_ONCE: RunOnce = RunOnce {
        frame: 0x1000,
        code: 0x2000,
        code_at: 0x1008,
        end_time_at: 0x1080,
        context_version_at: 0x3000,
        float: None,
    };

    fn stack(functions: &[(&str, usize)]) -> Stack {
        let frame = |&(function, address): &(&str, usize)| Frame {
            file: "".into(),
            function: function.into(),
            line: None,
            first_line: 1,
            instruction: 0,
            address,
            code: 0x2000,
            is_generator: false,
        };
        Stack {
            thread: ThreadIds::default(),
            state: 0x3000,
            frames: functions.iter().map(frame).collect(),
            left_out: 0,
            certainty: Certainty::ReadTwice,
        }
    }

    #[test]
    fn a_loop_that_stands_between_two_iterations_is_still_the_loop() {
        let (forever, once) = (
            ("BaseEventLoop.run_forever", 0x0f00),
            ("BaseEventLoop._run_once", 0x1000),
        );
        assert!(RUN_ONCE.is_in(&stack(&[("handler", 0x1100), once, forever])));
        assert!(RUN_ONCE.is_in(&stack(&[forever, ("Runner.run", 0x0e00)])));
        assert!(!RUN_ONCE.is_in(&stack(&[("main", 0x0100)])));
    }

    #[test]
    fn a_loop_that_runs_on_top_of_the_loop_is_another_one() {
        let (inner, once) = (
            ("_patch_loop.<locals>._run_once", 0x1400),
            ("BaseEventLoop._run_once", 0x1000),
        );
        assert!(!RUN_ONCE.is_in(&stack(&[
            ("handler", 0x1500),
            inner,
            ("handler", 0x1100),
            once
        ])));
    }
}
