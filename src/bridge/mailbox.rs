//! Where workers leave results for one event loop, and the bell that tells the loop so.
//!
//! The bell is rung only when the mailbox was empty: the loop takes everything that it finds. It silences the bell before
//! it looks, so that a result left after the look finds the mailbox empty and rings again: no result is forgotten.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

use crate::system::event_fd::EventFd;

/// A result that is turned into a Python object on the loop's thread. It must hold no Python reference by itself.
pub trait Plain: Send {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>>;
}

impl<T: Send + for<'py> IntoPyObject<'py>> Plain for T {
    fn into_python(self: Box<Self>, py: Python<'_>) -> PyResult<Py<PyAny>> {
        (*self).into_py_any(py)
    }
}

/// How a piece of work ended.
pub enum Outcome {
    Done(Box<dyn Plain>),
    /// It panicked, with this message.
    Panicked(String),
    /// It was stopped, or never started, because nobody wants it any more.
    Unwanted,
}

pub struct Letter {
    /// Which of the loop's futures it is for.
    pub slot: usize,
    pub outcome: Outcome,
}

pub struct Mailbox {
    letters: Mutex<VecDeque<Letter>>,
    bell: EventFd,
}

impl Mailbox {
    pub fn new(bell: EventFd) -> Self {
        Self {
            letters: Mutex::default(),
            bell,
        }
    }

    /// Called by workers. Returns whether the loop has yet to take what was there.
    pub fn post(&self, letter: Letter) -> bool {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = letters.is_empty();
        letters.push_back(letter);
        drop(letters);
        if was_empty {
            self.bell.notify();
        }
        !was_empty
    }

    /// Moves everything that has arrived to the end of `taken`. Called by the loop.
    pub fn empty_into(&self, taken: &mut VecDeque<Letter>) {
        self.bell.clear();
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        taken.append(&mut letters);
    }

    /// Has the loop look again in its next turn.
    pub fn ring(&self) {
        self.bell.notify();
    }
}
