//! How this interpreter lays out objects: asked of its types, then checked with objects whose contents are known.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyString, PyTuple, PyType};

use super::{Objects, Types, field};
use crate::gil::memory::Memory;
use crate::gil::specimens::Specimens;

/// What the known texts read as.
const TEXTS: [&str; 6] = ["", "a known text", "été", "中a", "𝒳a", "\\udce9a"];
const NUMBERS: [u64; 4] = [0, 7, 1 << 29, (1 << 40) + 5];
/// Where the values of a shared table may begin.
const BEGINNINGS_OF_SHARED_VALUES: [usize; 2] = [0, 8];

impl Objects {
    /// `None` if a check fails.
    pub fn learn(specimens: &Specimens<'_>) -> PyResult<Option<Self>> {
        let py = specimens.py();
        let own_characters = py.get_type::<PyString>();
        let objects = Self {
            memory: Memory::own(),
            types: Types::find(py)?,
            ascii: size_of_text(py, "abc")?.wrapping_sub("abc\0".len()),
            characters: basic_size(&own_characters)?.wrapping_sub(size_of::<usize>()),
            tuple_items: basic_size(&py.get_type::<PyTuple>())?,
            digits: basic_size(&py.get_type::<PyInt>())?,
            has_sign_bits: py.version_info() >= (3, 12),
            shared_values: None,
        };
        let checked = objects.reads_types(py)
            && objects.reads_texts(specimens)?
            && objects.reads_numbers(specimens)?
            && objects.reads_tuples(specimens)?
            && objects.reads_bytes(specimens)?
            && objects.reads_cells(specimens)?
            && objects.reads_dictionaries(specimens)?;
        if !checked {
            return Ok(None);
        }
        let shared_values = objects.find_shared_values(py)?;
        Ok(Some(Self {
            shared_values,
            ..objects
        }))
    }

    fn reads_types(&self, py: Python<'_>) -> bool {
        let yes = PyBool::new(py, true).to_owned();
        let (bool, int) = (address_of(&py.get_type::<PyBool>()), self.types.int);
        self.is_a(yes.as_ptr() as usize, bool)
            && self.extends(yes.as_ptr() as usize, int)
            && !self.extends(yes.as_ptr() as usize, self.types.str)
            && self.object(bool + field::TYPE_BASE) == Some(int)
    }

    fn reads_texts(&self, specimens: &Specimens<'_>) -> PyResult<bool> {
        let texts = specimens.list("texts")?;
        let known = texts.len() == TEXTS.len()
            && texts
                .iter()
                .zip(TEXTS)
                .all(|(text, read)| self.text(address_of(text), 100).as_deref() == Some(read));
        let text = address_of(&texts[1]);
        Ok(known
            && self.text(text, 7).as_deref() == Some("a known")
            && self.is_text(text, "a known text")
            && !self.is_text(text, "a known texT")
            && self
                .text(address_of(&specimens.get("pair")?), 100)
                .is_none())
    }

    fn reads_numbers(&self, specimens: &Specimens<'_>) -> PyResult<bool> {
        let read = |numbers: &str| -> PyResult<Vec<Option<u64>>> {
            let numbers = specimens.list(numbers)?;
            Ok(numbers
                .iter()
                .map(|number| self.number(address_of(number)))
                .collect())
        };
        Ok(read("numbers")? == NUMBERS.map(Some) && read("not_read_numbers")? == [None; 3])
    }

    fn reads_tuples(&self, specimens: &Specimens<'_>) -> PyResult<bool> {
        let pair = address_of(&specimens.get("pair")?);
        let first = address_of(&specimens.get("first")?);
        let second = address_of(&specimens.get("second")?);
        Ok(self.items(pair) == Some([first])
            && self.items(pair) == Some([first, second, 0])
            && self.items::<1>(first).is_none())
    }

    fn reads_bytes(&self, specimens: &Specimens<'_>) -> PyResult<bool> {
        let bytes = address_of(&specimens.get("known_bytes")?);
        Ok(self.bytes(bytes) == Some(*b"kno")
            && self.bytes(bytes) == Some(*b"known\0")
            && self
                .bytes::<1>(address_of(&specimens.get("pair")?))
                .is_none())
    }

    fn reads_cells(&self, specimens: &Specimens<'_>) -> PyResult<bool> {
        let content = address_of(&specimens.get("cell_content")?);
        Ok(
            self.content(address_of(&specimens.get("cell")?)) == Some(content)
                && self.content(content).is_none(),
        )
    }

    /// One dictionary with strings as keys, one with keys of other kinds as well, and a large one.
    fn reads_dictionaries(&self, specimens: &Specimens<'_>) -> PyResult<bool> {
        let py = specimens.py();
        let first = address_of(&specimens.get("first")?);
        let second = address_of(&specimens.get("second")?);
        for dict in ["strings", "mixed", "many"] {
            let dict = address_of(&specimens.get(dict)?);
            let keys = ["path", "method", "gone"].map(|key| (key, interned(py, key)));
            let unknown = keys.map(|(key, _)| (key, 0));
            let expected = Some([Some(first), Some(second), None]);
            if self.values(dict, keys) != expected || self.values(dict, unknown) != expected {
                return Ok(false);
            }
        }
        let mixed = address_of(&specimens.get("mixed")?);
        Ok(self.value_of(mixed, first) == Some(second)
            && self.value_of(mixed, second).is_none()
            && self.values(first, [("path", 0)]).is_none())
    }

    fn find_shared_values(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        let instance = py.import("threading")?.call_method0("Event")?;
        let attributes = instance.getattr("__dict__")?.cast_into::<PyDict>()?;
        let at = address_of(&attributes);
        let Some(condition) = attributes.get_item("_cond")? else {
            return Ok(None);
        };
        let fits = |&begin: &usize| {
            let guess = Self {
                shared_values: Some(begin),
                ..*self
            };
            guess.shares_keys(at)
                && guess.values(at, [("_cond", 0)]) == Some([Some(address_of(&condition))])
        };
        Ok(BEGINNINGS_OF_SHARED_VALUES.into_iter().find(fits))
    }
}

impl Types {
    fn find(py: Python<'_>) -> PyResult<Self> {
        let types = py.import("types")?;
        let other = |name: &str| types.getattr(name).map(|kind| address_of(&kind));
        Ok(Self {
            str: address_of(&py.get_type::<PyString>()),
            int: address_of(&py.get_type::<PyInt>()),
            tuple: address_of(&py.get_type::<PyTuple>()),
            bytes: address_of(&py.get_type::<PyBytes>()),
            dict: address_of(&py.get_type::<PyDict>()),
            cell: other("CellType")?,
            code: other("CodeType")?,
            coroutine: other("CoroutineType")?,
            generator: other("GeneratorType")?,
        })
    }
}

pub fn address_of<T>(object: &Bound<'_, T>) -> usize {
    object.as_ptr() as usize
}

/// The address of an interned string, which stays where it is from now on.
pub fn interned(py: Python<'_>, text: &str) -> usize {
    PyString::intern(py, text).into_ptr() as usize
}

/// The size of the part that all objects of a type have: where what has a variable size begins.
pub fn basic_size(kind: &Bound<'_, PyType>) -> PyResult<usize> {
    kind.getattr("__basicsize__")?.extract()
}

fn size_of_text(py: Python<'_>, text: &str) -> PyResult<usize> {
    PyString::new(py, text)
        .call_method0("__sizeof__")?
        .extract()
}
