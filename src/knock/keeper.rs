//! Which thread kept the GIL while a knock waited, for how long, and at which line.
//!
//! CPython counts how often a thread other than the last holder acquires the GIL. While that number stays the same, the
//! thread that had the GIL when the knock began has kept it from everybody else: it never released it, or acquired it again
//! before any waiting thread was awake. A second thread, which never attaches, looks at the number while the knock waits, and
//! reads the stack of the thread that keeps the GIL: when the knock has the GIL, that thread may have gone on.

use pyo3::prelude::*;

use crate::gil::known_objects::KnownObjects;
use crate::gil::reader::Reader;
use crate::gil::thread_names::ThreadNames;
use crate::gil::{Gil, ThreadIds};
use crate::histogram::seconds;
use crate::locked::Locked;
use crate::system::clock::now_ns;
use crate::watch::native_stacks::converted;
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
    /// For how long from the start the thread was seen to hold the GIL, at each look.
    held: f64,
    thread: String,
    stack: Vec<FrameData>,
}

/// The wait in progress.
struct Waiting {
    start_ns: u64,
    holder: ThreadIds,
    switches: u64,
    /// When the number was last seen to be still the same.
    same_ns: u64,
    /// When the holder was last seen to hold the GIL. A release ends that.
    held_ns: u64,
    is_released: bool,
    seen: Option<Holder>,
}

/// What is read of the thread that keeps the GIL.
struct Holder {
    /// `None` if `threading` has not started it.
    name: Option<String>,
    stack: Vec<FrameData>,
}

/// Sees who keeps the GIL for more than `least_ns`.
pub struct Keepers {
    gil: Gil,
    /// `None` if stacks cannot be read without the GIL.
    reader: Locked<Option<Reader>>,
    names: Option<ThreadNames>,
    least_ns: u64,
    waiting: Locked<Option<Waiting>>,
    long: Locked<Vec<LongWait>>,
}

impl Keepers {
    /// `None` if the GIL cannot be read.
    pub fn new(py: Python<'_>, least_ns: u64) -> PyResult<Option<Self>> {
        stacks::prepare(py)?;
        let Ok(gil) = Gil::locate(py)? else {
            return Ok(None);
        };
        let reader = Reader::in_process(py)?.ok();
        let names = match &reader {
            Some(_) => KnownObjects::learn_names(py)?,
            None => None,
        };
        Ok(Some(Self {
            gil,
            reader: Locked::new(reader),
            names,
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
            start_ns,
            holder,
            switches: state.switches,
            same_ns: start_ns,
            held_ns: start_ns,
            is_released: false,
            seen: None,
        });
        self.waiting.with(|it| *it = waiting);
    }

    /// Looks at the wait in progress, if there is any. Called every [`LOOK_EVERY_NS`].
    pub fn look(&self) {
        let to_read = self.waiting.with(|waiting| {
            let waiting = waiting.as_mut()?;
            let state = self.gil.read();
            if state.switches != waiting.switches {
                return None;
            }
            waiting.same_ns = now_ns();
            waiting.is_released |= state.holder != Some(waiting.holder);
            if !waiting.is_released {
                waiting.held_ns = waiting.same_ns;
            }
            let is_long = waiting.same_ns - waiting.start_ns > self.least_ns;
            (is_long && waiting.seen.is_none()).then_some((waiting.start_ns, waiting.holder))
        });
        // Outside of the lock: a knock that has acquired the GIL waits for it.
        let Some((start_ns, holder)) = to_read else {
            return;
        };
        let read = self
            .reader
            .with(|reader| reader.as_mut()?.stack(holder.native).ok());
        let read = read.map(|stack| Holder {
            name: self.names.as_ref().and_then(|names| names.read(&stack)),
            stack: converted(&stack).frames,
        });
        if read.is_none() {
            return;
        }
        self.waiting.with(|waiting| {
            if let Some(waiting) = waiting
                && waiting.start_ns == start_ns
                && self.gil.switches() == waiting.switches
            {
                waiting.seen = read;
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
            let seen = waiting.seen.unwrap_or_else(|| Holder {
                name: None,
                // After another thread's turn and this one, the holder has not had the GIL again: it is where it was.
                stack: if switches <= 2 {
                    stack_now(py, waiting.holder)
                } else {
                    Vec::new()
                },
            });
            let name = seen.name.or_else(|| name_now(py, waiting.holder));
            let wait = LongWait {
                start: seconds(start_ns),
                end: seconds(until_ns),
                held: seconds(waiting.held_ns - start_ns),
                thread: name.unwrap_or_default(),
                stack: seen.stack,
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

fn stack_now(py: Python<'_>, thread: ThreadIds) -> Vec<FrameData> {
    let stacks = stacks::take(py, &[thread.ident], false).unwrap_or_default();
    let stack = stacks.into_iter().next();
    stack.map(|stack| stack.frames).unwrap_or_default()
}

fn name_now(py: Python<'_>, thread: ThreadIds) -> Option<String> {
    let names = thread_names::all(py).unwrap_or_default();
    let found = names.into_iter().find(|(ident, ..)| *ident == thread.ident);
    found.map(|(.., name)| name)
}
