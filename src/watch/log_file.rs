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

    /// The open file. If the program has closed it, or this is a forked child, it is opened again.
    pub fn file(&self) -> io::Result<Arc<KeptFile>> {
        self.file.with(|file| {
            if let Some(file) = file
                && file.is_there()
            {
                return Ok(Arc::clone(file));
            }
            let opened = Arc::new(self.open(file.as_deref())?);
            *file = Some(Arc::clone(&opened));
            Ok(opened)
        })
    }

    /// Opens the file; `closed` is what was open before. A descriptor's number may be another file's by now.
    fn open(&self, closed: Option<&KeptFile>) -> io::Result<KeptFile> {
        closed.inspect(|closed| closed.leave());
        let number = match &self.target {
            Target::Path(path) => return KeptFile::open(path),
            Target::Descriptor(number) => *number,
        };
        let file = KeptFile::copy_of(number)?;
        if closed.is_some_and(|closed| !closed.is_same(&file)) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        Ok(file)
    }

    /// The exception of a watch that cannot start. Its words are those of `log_file` in `gilscope/watch/arguments.py`.
    pub fn refused(&self, error: &io::Error) -> PyErr {
        let (number, mut why) = parts(error);
        let place = match &self.target {
            Target::Path(path) => path.to_string_lossy().into_owned(),
            Target::Descriptor(descriptor) => format!("descriptor {descriptor}"),
        };
        if number == libc::EBADF {
            "it is closed, or another file's by now".clone_into(&mut why);
        }
        PyOSError::new_err((number, format!("cannot write the log to {place}: {why}")))
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

    /// Closes the file in a forked child: else whoever reads a pipe to its end would wait for that child as well.
    fn close_in_child(&self) {
        // A thread that the child does not have may hold the lock.
        self.file.visit(|file| {
            if let Some(file) = file {
                file.close();
            }
        });
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

    /// Close the file in a forked child.
    fn close_in_child(&self) {
        self.0.close_in_child();
    }
}

impl PyLogFile {
    fn new(target: Target) -> PyResult<Self> {
        LogFile::new(target)
            .map(|file| Self(Arc::new(file)))
            .map_err(|error| PyOSError::new_err(parts(&error)))
    }
}

/// The `errno` of an error, and what it means.
fn parts(error: &io::Error) -> (i32, String) {
    let number = error.raw_os_error().unwrap_or(libc::EIO);
    let text = error.to_string();
    let text = text
        .rsplit_once(" (os error")
        .map_or(&*text, |(text, _)| text);
    (number, text.to_owned())
}
