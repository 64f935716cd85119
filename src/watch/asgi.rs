//! The request that a web application is answering, read from a frame with an ASGI scope.
//!
//! ASGI applications and middlewares are coroutines with the arguments `scope`, `receive` and `send`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::watch::text::text;
use crate::watch::variables::variable;

const ARGUMENTS: [&str; 3] = ["scope", "receive", "send"];
/// `CO_COROUTINE` of CPython's `code.h`.
const IS_COROUTINE: u32 = 0x80;
/// Longer paths are cut.
const MAX_CHARACTERS: usize = 200;

/// The names of attributes and keys, made beforehand: see [`super::stacks`].
pub struct Names {
    co_flags: Py<PyAny>,
    co_varnames: Py<PyAny>,
    method: Py<PyAny>,
    path: Py<PyAny>,
}

impl Names {
    pub fn new(py: Python<'_>) -> Self {
        let name = |name: &str| pyo3::types::PyString::intern(py, name).unbind().into_any();
        Self {
            co_flags: name("co_flags"),
            co_varnames: name("co_varnames"),
            method: name("method"),
            path: name("path"),
        }
    }
}

/// The method and the path of the request that this frame handles, as in `GET /report`; only the path for a websocket.
pub fn request(frame: &Bound<'_, PyAny>, code: &Bound<'_, PyAny>, names: &Names) -> Option<String> {
    let py = frame.py();
    let flags: u32 = code
        .getattr(names.co_flags.bind(py).cast().ok()?)
        .ok()?
        .extract()
        .ok()?;
    if flags & IS_COROUTINE == 0 || !has_arguments(code, names)? {
        return None;
    }
    let scope = variable(frame, c"scope")?;
    let scope = scope.cast_exact::<PyDict>().ok()?;
    let word = |name: &Py<PyAny>| {
        let value = scope.get_item(name.bind(py)).ok().flatten();
        value
            .map(|value| text(&value))
            .filter(|word| !word.is_empty())
    };
    let path: String = word(&names.path)?.chars().take(MAX_CHARACTERS).collect();
    Some(match word(&names.method) {
        Some(method) => format!("{method} {path}"),
        None => path,
    })
}

fn has_arguments(code: &Bound<'_, PyAny>, names: &Names) -> Option<bool> {
    let variables = code
        .getattr(names.co_varnames.bind(code.py()).cast().ok()?)
        .ok()?;
    let variables = variables.cast_into::<PyTuple>().ok()?;
    let is_there = |name: &str| {
        variables
            .iter()
            .take(4)
            .any(|variable| text(&variable) == name)
    };
    Some(ARGUMENTS.iter().all(|name| is_there(name)))
}
