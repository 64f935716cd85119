//! The threads that Python's `threading` knows, with the C API only: no Python code runs, so the GIL is not released.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString};

use crate::watch::stacks::NoCollection;
use crate::watch::text::text;

/// The module, and the names of what is read of it.
struct Names {
    threading: Py<PyAny>,
    active: Py<PyString>,
    native_id: Py<PyString>,
    name: Py<PyString>,
}

static NAMES: PyOnceLock<Names> = PyOnceLock::new();

/// A thread as `threading` has it: ident, native id and name.
pub type KnownThread = (u64, u64, String);

/// Must be called before any other function of this module, which must not make the names: that releases the GIL.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    let make = || {
        Ok::<_, PyErr>(Names {
            threading: py.import("threading")?.into_any().unbind(),
            active: PyString::intern(py, "_active").unbind(),
            native_id: PyString::intern(py, "_native_id").unbind(),
            name: PyString::intern(py, "_name").unbind(),
        })
    };
    NAMES.get_or_try_init(py, make).map(drop)
}

/// All threads that `threading` knows.
pub fn all(py: Python<'_>) -> PyResult<Vec<KnownThread>> {
    let names = names(py)?;
    let _collects_no_garbage = NoCollection::new(py);
    let threads: Bound<'_, PyList> = active(py, names)?.items();
    let mut rows = Vec::with_capacity(threads.len());
    for item in threads {
        let Ok((ident, thread)) = item.extract::<(u64, Bound<'_, PyAny>)>() else {
            continue;
        };
        let native = thread.getattr(&names.native_id).and_then(|id| id.extract());
        if let (Ok(native), Ok(name)) = (native, thread.getattr(&names.name)) {
            rows.push((ident, native, text(&name)));
        }
    }
    Ok(rows)
}

/// How many threads `threading` knows.
pub fn count(py: Python<'_>) -> PyResult<usize> {
    Ok(active(py, names(py)?)?.len())
}

fn active<'py>(py: Python<'py>, names: &Names) -> PyResult<Bound<'py, PyDict>> {
    let active = names.threading.bind(py).getattr(&names.active)?;
    Ok(active.cast_into()?)
}

fn names(py: Python<'_>) -> PyResult<&'static Names> {
    NAMES
        .get(py)
        .ok_or_else(|| PyRuntimeError::new_err("the names are not prepared"))
}
