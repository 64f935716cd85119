//! Which thread kept the GIL while a knock waited, for how long, and at which line.
//!
//! CPython counts how often a thread other than the last holder acquires the GIL. While that number stays the same, the
//! thread that had the GIL when the knock began has kept it from everybody else: it never released it, or acquired it again
//! before any waiting thread was awake. A second thread, which never attaches, looks at the number while the knock waits.

use pyo3::prelude::*;

use crate::gil::{Gil, ThreadIds};
use crate::histogram::seconds;
use crate::locked::Locked;
use crate::system::clock::now_ns;
use crate::watch::stacks::{self, FrameData};
use crate::watch::thread_names;

/// Between two looks at the number.
pub const LOOK_EVERY_NS: u64 = 1_000_000;
const MAX_LONG_WAITS: usize = 1000;

/// A wait in which one thread kept the GIL for long.
#[pyclass(frozen, get_all, module = "gilscope._core")]
#[derive(Clone)]
pub struct LongWait {
    start: f64,
    end: f64,
    thread: String,
    stack: Vec<FrameData>,
}

/// The wait in progress.
#[derive(Clone, Copy)]
struct Waiting {
    holder: ThreadIds,
    switches: u64,
    /// When the number was last seen to be still the same.
    same_ns: u64,
}

/// Sees who keeps the GIL for more than `least_ns`.
pub struct Keepers {
    gil: Gil,
    least_ns: u64,
    waiting: Locked<Option<Waiting>>,
    long: Locked<Vec<LongWait>>,
}

impl Keepers {
    /// `None` if the GIL cannot be read.
    pub fn new(py: Python<'_>, least_ns: u64) -> PyResult<Option<Self>> {
        stacks::prepare(py)?;
        let gil = Gil::locate(py)?.ok();
        Ok(gil.map(|gil| Self {
            gil,
            least_ns,
            waiting: Locked::default(),
            long: Locked::default(),
        }))
    }

    /// A knock is about to ask for the GIL.
    pub fn begin(&self, start_ns: u64) {
        let state = self.gil.read();
        let holder = state
            .holder
            .filter(|holder| *holder != ThreadIds::default());
        let waiting = holder.map(|holder| Waiting {
            holder,
            switches: state.switches,
            same_ns: start_ns,
        });
        self.waiting.with(|it| *it = waiting);
    }

    /// Looks at the wait in progress, if there is any. Called every [`LOOK_EVERY_NS`].
    pub fn look(&self) {
        self.waiting.with(|waiting| {
            if let Some(waiting) = waiting
                && self.gil.switches() == waiting.switches
            {
                waiting.same_ns = now_ns();
            }
        });
    }

    /// The knock has acquired the GIL. Returns for how long, from its beginning, one thread had kept the GIL: a lower bound.
    pub fn end(&self, py: Python<'_>, start_ns: u64, end_ns: u64) -> Option<u64> {
        let waiting = self.waiting.with(Option::take)?;
        let switches = self.gil.switches().saturating_sub(waiting.switches);
        let until_ns = if switches <= 1 {
            end_ns
        } else {
            waiting.same_ns
        };
        let kept_ns = until_ns.saturating_sub(start_ns);
        if kept_ns > self.least_ns {
            // After another thread's turn and this one, the holder has not had the GIL again: it is where it was.
            let stack = (switches <= 2).then(|| stacks::take(py, &[waiting.holder.ident], false));
            let stack = stack
                .and_then(Result::ok)
                .and_then(|mut stacks| stacks.pop());
            let names = thread_names::all(py).unwrap_or_default();
            let name = names
                .into_iter()
                .find(|(ident, ..)| *ident == waiting.holder.ident);
            let wait = LongWait {
                start: seconds(start_ns),
                end: seconds(until_ns),
                thread: name.map(|(.., name)| name).unwrap_or_default(),
                stack: stack.map(|stack| stack.frames).unwrap_or_default(),
            };
            self.long.with(|long| {
                if long.len() < MAX_LONG_WAITS {
                    long.push(wait);
                }
            });
        }
        Some(kept_ns)
    }

    pub fn long_waits(&self) -> Vec<LongWait> {
        self.long.with(|long| long.clone())
    }
}
