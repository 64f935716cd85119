//! The name that `threading` has for a thread, read from memory as its stack is.
//!
//! The outermost frame of a thread that `threading` has started is that of `Thread._bootstrap`, whose first variable is the
//! thread's object. Where such an object keeps its name is found out with objects whose names are known.

use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::coroutines::Coroutines;
use super::objects::learned::{address_of, basic_size};
use super::objects::{MAX_CHARACTERS, Objects, is_object};
use super::stack::Stack;

/// How many attributes are looked at: `CPython` shares the names of no more.
const MAX_ATTRIBUTES: usize = 32;
/// Until 3.12 the attributes lie elsewhere; one of these words before the object refers to them.
const WORDS_BEFORE: [usize; 4] = [8, 16, 24, 32];
/// What is to be added to that word: 3.12 marks it.
const MARKS: [isize; 3] = [0, 1, -1];

#[derive(Clone, Copy)]
pub struct ThreadNames {
    objects: Objects,
    coroutines: Coroutines,
    /// The addresses of `threading.Thread` and of the code of its `_bootstrap`.
    thread: usize,
    bootstrap: usize,
    place: Place,
}

/// Where a thread's object keeps its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the object, at this offset.
    Inside(usize),
    /// At this offset of a table, to which a word before the object refers.
    Outside {
        before: usize,
        mark: isize,
        offset: usize,
    },
}

impl ThreadNames {
    /// `None` if a check fails.
    pub fn learn(
        py: Python<'_>,
        objects: &Objects,
        coroutines: &Coroutines,
    ) -> PyResult<Option<Self>> {
        let kind: Bound<'_, PyType> = py.import("threading")?.getattr("Thread")?.cast_into()?;
        let size = basic_size(&kind)?;
        let bootstrap = kind.getattr("_bootstrap")?.getattr("__code__")?;
        let mut places: Option<Vec<Place>> = None;
        for name in ["a known thread", "another known thread"] {
            let name = PyString::new(py, name);
            // Made without `__init__`: no Python code runs, and `threading` knows nothing of it.
            let thread = kind.call_method1("__new__", (&kind,))?;
            thread.setattr("_name", &name)?;
            let found = found(objects, address_of(&thread), size, name.as_ptr() as usize);
            places = Some(match places {
                None => found,
                Some(before) => before
                    .into_iter()
                    .filter(|place| found.contains(place))
                    .collect(),
            });
        }
        let [place] = places.unwrap_or_default()[..] else {
            return Ok(None);
        };
        Ok(Some(Self {
            objects: *objects,
            coroutines: *coroutines,
            thread: address_of(&kind),
            bootstrap: address_of(&bootstrap),
            place,
        }))
    }

    /// The name of the thread that has this stack; `None` if `threading` has not started it, or if it has another class.
    pub fn read(&self, stack: &Stack) -> Option<String> {
        let outermost = stack.frames.last()?;
        if outermost.code != self.bootstrap {
            return None;
        }
        let thread = self.coroutines.variable(outermost.address, 0)?;
        if !self.objects.is_a(thread, self.thread) {
            return None;
        }
        let read = || {
            let name = address_of_name(&self.objects, thread, self.place)?;
            self.objects.text(name, MAX_CHARACTERS)
        };
        let name = read()?;
        // What changes while it is read differs.
        (read().as_ref() == Some(&name)).then_some(name)
    }
}

fn found(objects: &Objects, thread: usize, size: usize, name: usize) -> Vec<Place> {
    let inside = (size..size + 8 * MAX_ATTRIBUTES)
        .step_by(8)
        .map(Place::Inside);
    let outside = WORDS_BEFORE.iter().flat_map(|&before| {
        MARKS.iter().flat_map(move |&mark| {
            let offsets = (0..MAX_ATTRIBUTES).map(|index| 8 * index);
            offsets.map(move |offset| Place::Outside {
                before,
                mark,
                offset,
            })
        })
    });
    let is_it = |&place: &Place| address_of_name(objects, thread, place) == Some(name);
    inside.chain(outside).filter(is_it).collect()
}

fn address_of_name(objects: &Objects, thread: usize, place: Place) -> Option<usize> {
    match place {
        Place::Inside(offset) => objects.object(thread + offset),
        Place::Outside {
            before,
            mark,
            offset,
        } => {
            let table = objects.word(thread.checked_sub(before)?)?;
            let table = table.checked_add_signed(mark)?;
            is_object(table).then(|| objects.object(table + offset))?
        }
    }
}
