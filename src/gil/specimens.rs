//! Objects whose contents are known, made at the start of a watch to check what is read of them from memory.
//!
//! Nothing of them remains afterwards, and nothing of them runs but the code below, which only makes objects.

use pyo3::prelude::*;
use pyo3::types::PyDict;

const SOURCE: &std::ffi::CStr = c"
texts = '', 'a known text', '\\xe9t\\xe9', '\\u4e2da', '\\U0001d4b3a', '\\udce9a'
numbers = 0, 7, 1 << 29, (1 << 40) + 5
not_read_numbers = -7, 1 << 90, 1.5
first = object()
second = object()
pair = first, second
known_bytes = b'known'
strings = {'gone': 1, 'path': first, 'method': second}
del strings['gone']
mixed = {0: 1, 'path': first, first: second, 'method': second}
del mixed[0]
many = {**dict.fromkeys(map(str, range(300))), 'path': first, 'method': second}
scope, other_scope, receive, send = {'path': '/a', 'method': 'GET'}, {'path': '/b'}, 'known receive', 'known send'
async def plain(scope, receive, send, more=None):
    return more
async def in_cell(more, scope, receive, send):
    return lambda: scope
def around(scope, receive, send):
    async def outside():
        return scope, receive, send
    return outside
outside = around(scope, receive, send)
def generator(*names, **others):
    scope = names
    yield scope, others
def function(scope, receive):
    send = scope
    return send, receive
cell = outside.__closure__[0]
cell_content = cell.cell_contents
";

/// The names of [`SOURCE`]. Functions refer to them, so they are removed at the end, lest all remain as garbage.
pub struct Specimens<'py> {
    names: Bound<'py, PyDict>,
}

impl<'py> Specimens<'py> {
    pub fn new(py: Python<'py>) -> PyResult<Self> {
        let specimens = Self {
            names: PyDict::new(py),
        };
        py.run(SOURCE, Some(&specimens.names), None)?;
        Ok(specimens)
    }

    pub fn get(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.names.as_any().get_item(name)
    }

    pub fn py(&self) -> Python<'py> {
        self.names.py()
    }

    pub fn list(&self, name: &str) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.get(name)?.extract()
    }

    /// A coroutine of one of the functions, which has not begun.
    pub fn coroutine(&self, function: &str, arguments: &[&str]) -> PyResult<Coroutine<'py>> {
        let arguments: Vec<_> = arguments
            .iter()
            .map(|name| self.get(name))
            .collect::<PyResult<_>>()?;
        let arguments = pyo3::types::PyTuple::new(self.py(), arguments)?;
        Ok(Coroutine(self.get(function)?.call1(arguments)?))
    }
}

impl Drop for Specimens<'_> {
    fn drop(&mut self) {
        self.names.clear();
    }
}

/// Closed at the end: a coroutine that never began would cause a warning.
pub struct Coroutine<'py>(pub Bound<'py, PyAny>);

impl Drop for Coroutine<'_> {
    fn drop(&mut self) {
        let _ = self.0.call_method0("close"); // it has not begun, so no code of it runs that could raise
    }
}
