//! The file that a log is written to: named by its path, or open already.

use std::ffi::CString;
use std::io;
use std::sync::Arc;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::locked::Locked;
use crate::system::kept_file::KeptFile;

enum Target {
    Path(CString),
    Descriptor(i32),
}

/// A log's file. It is open from when it is made until the watch ends, and again when the watch is started again.
pub struct LogFile {
    target: Target,
    file: Locked<Option<Arc<KeptFile>>>,
}

impl LogFile {
    fn new(target: Target) -> io::Result<Self> {
        let made = Self {
            target,
            file: Locked::default(),
        };
        made.file()?;
        Ok(made)
    }

    #[cfg(test)]
    pub fn of_descriptor(number: i32) -> io::Result<Self> {
        Self::new(Target::Descriptor(number))
    }

    /// The open file.
    pub fn file(&self) -> io::Result<Arc<KeptFile>> {
        self.file.with(|file| {
            if let Some(file) = file {
                return Ok(Arc::clone(file));
            }
            let opened = Arc::new(match &self.target {
                Target::Path(path) => KeptFile::open(path)?,
                Target::Descriptor(number) => KeptFile::copy_of(*number)?,
            });
            *file = Some(Arc::clone(&opened));
            Ok(opened)
        })
    }

    /// The file, opened again after the program has closed it. Another one's descriptor may mean another file by now.
    pub fn reopened(&self, closed: &KeptFile) -> Option<Arc<KeptFile>> {
        let Target::Path(path) = &self.target else {
            return None;
        };
        let file = Arc::new(closed.open_again(path)?);
        let reopened = Arc::clone(&file);
        let before = self.file.with(|it| it.replace(file));
        drop(before);
        Some(reopened)
    }

    pub fn close(&self) {
        let file = self.file.with(Option::take);
        drop(file);
    }
}

/// A log's file, as Python uses it.
#[pyclass(frozen, name = "LogFile", module = "gilscope._core")]
pub struct PyLogFile(pub Arc<LogFile>);

#[pymethods]
impl PyLogFile {
    /// The file at a path.
    #[staticmethod]
    fn at(path: Vec<u8>) -> PyResult<Self> {
        let path = CString::new(path)
            .map_err(|_| PyValueError::new_err("a path must not contain a NUL character"))?;
        Self::new(Target::Path(path))
    }

    /// The file that is open as a descriptor.
    #[staticmethod]
    fn of(descriptor: i32) -> PyResult<Self> {
        Self::new(Target::Descriptor(descriptor))
    }
}

impl PyLogFile {
    fn new(target: Target) -> PyResult<Self> {
        LogFile::new(target)
            .map(|file| Self(Arc::new(file)))
            .map_err(|error| with_number(&error))
    }
}

/// The exception, with its `errno`.
pub fn with_number(error: &io::Error) -> PyErr {
    let number = error.raw_os_error().unwrap_or(libc::EIO);
    let text = error.to_string();
    let text = text
        .rsplit_once(" (os error")
        .map_or(&*text, |(text, _)| text);
    PyOSError::new_err((number, text.to_owned()))
}
