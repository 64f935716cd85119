//! Runs the program that `gilscope watch` watches with no Python frame beneath its own.
//!
//! A frame of gilscope's there would be in every traceback that reaches the bottom of the stack, in `inspect.stack()`, and in
//! the warnings whose `stacklevel` leads beyond the program. So `gilscope watch` ends by an exception of its own. All of its
//! frames are gone when the interpreter calls `sys.excepthook` with that exception, and [`RunProgram`] is that hook.

use std::ffi::{CString, c_char, c_int, c_void};

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCode, PyDict, PyTuple};

#[pyclass(frozen, module = "gilscope._core")]
pub struct RunProgram {
    prepare: Py<PyAny>,
    failed: Py<PyAny>,
    interrupted: Py<PyAny>,
}

#[pymethods]
impl RunProgram {
    #[new]
    #[pyo3(signature = (*, prepare, failed, interrupted))]
    fn new(prepare: Py<PyAny>, failed: Py<PyAny>, interrupted: Py<PyAny>) -> Self {
        Self {
            prepare,
            failed,
            interrupted,
        }
    }

    /// Does what the interpreter does with its main program, up to and including the end of the process. It returns only
    /// after an exception that was not `SystemExit`: then the interpreter ends the process with status 1, or by SIGINT.
    #[pyo3(signature = (*_exception))]
    fn __call__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        // A syntax error is raised by our code, not by the program's.
        let prepared = self.prepare.bind(py).call0();
        let prepared = prepared.map_err(|error| without_traceback(py, error));
        let Err(error) = prepared.and_then(|prepared| run(&prepared)) else {
            // SAFETY: attached, as `py` proves. Ends the process, as the interpreter does after its main program.
            unsafe { ffi::Py_Exit(0) };
            #[allow(unreachable_code)] // for bindings in which the function does not return
            return Ok(());
        };
        let interrupted = error.get_type(py).is(py.get_type::<PyKeyboardInterrupt>());
        if is_failure(py, &error) {
            self.failed.bind(py).call1((error.get_type(py),))?;
        }
        error.restore(py);
        // SAFETY: attached, with an exception set. `SystemExit` ends the process here; others go to `sys.excepthook`.
        unsafe { ffi::PyErr_PrintEx(1) };
        if interrupted {
            self.interrupted.bind(py).call0()?;
        }
        Ok(())
    }
}

unsafe extern "C" {
    // What the interpreter itself calls for a script. The stable ABI does not have it; CPython 3.11 to 3.15 export it.
    fn PyRun_FileExFlags(
        file: *mut libc::FILE,
        name: *const c_char,
        start: c_int,
        globals: *mut ffi::PyObject,
        locals: *mut ffi::PyObject,
        close: c_int,
        flags: *mut c_void,
    ) -> *mut ffi::PyObject;
}

/// `prepared` is the descriptor of a source file and the program's globals, a code object and the globals, or a function and
/// its arguments.
fn run(prepared: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = prepared.py();
    let (what, with): (Bound<'_, PyAny>, Bound<'_, PyAny>) = prepared.extract()?;
    let Ok(globals) = with.cast::<PyDict>() else {
        return what.call1(with.cast::<PyTuple>()?).map(drop);
    };
    if let Ok(descriptor) = what.extract::<c_int>() {
        return run_file(descriptor, globals);
    }
    let code = what.cast::<PyCode>()?;
    // SAFETY: attached; a code object, and a dict twice.
    let returned = unsafe {
        let returned = ffi::PyEval_EvalCode(code.as_ptr(), globals.as_ptr(), globals.as_ptr());
        Bound::from_owned_ptr_or_err(py, returned)
    };
    returned.map(drop)
}

/// Whether the exception gives the process another exit status than 0.
fn is_failure(py: Python<'_>, error: &PyErr) -> bool {
    let is_zero = || {
        let code = error.value(py).getattr("code")?;
        Ok::<bool, PyErr>(code.is_none() || code.call_method1("__and__", (0xff,))?.eq(0)?)
    };
    !error.is_instance_of::<PySystemExit>(py) || !is_zero().unwrap_or(false)
}

/// Parses and runs a file. The interpreter's messages about a file that it cannot read or decode differ from those about bytes
/// that `compile` gets.
fn run_file(descriptor: c_int, globals: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = globals.py();
    let name = globals.get_item("__file__")?;
    let name: Vec<u8> = py
        .import("os")?
        .call_method1("fsencode", (name,))?
        .extract()?;
    let name = CString::new(name)?;
    // SAFETY: the descriptor is open, and nothing else uses it; the mode is a C string.
    let file = unsafe { libc::fdopen(descriptor, c"rb".as_ptr()) };
    if file.is_null() {
        return Err(std::io::Error::last_os_error().into());
    }
    // SAFETY: attached; a file that is open for reading, which the call closes, a C string, and a dict twice. Without flags the
    // future features of a caller are not inherited.
    let returned = unsafe {
        let (globals, flags) = (globals.as_ptr(), std::ptr::null_mut());
        let returned = PyRun_FileExFlags(
            file,
            name.as_ptr(),
            ffi::Py_file_input,
            globals,
            globals,
            1,
            flags,
        );
        Bound::from_owned_ptr_or_err(py, returned)
    };
    returned.map(drop)
}

/// Returns the exception without the frames that it has passed. (In builds for the stable ABI of Python 3.11 a `PyErr` has the
/// traceback apart from the exception, and `PyErr::set_traceback` leaves that one.)
pub fn without_traceback(py: Python<'_>, error: PyErr) -> PyErr {
    let value = error.into_value(py).into_bound(py).into_any();
    match value.setattr("__traceback__", py.None()) {
        Ok(()) => PyErr::from_value(value),
        Err(error) => error,
    }
}
