//! The files of a watch that a forked child inherits: it closes them, and never writes to them.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::system::signals;
use crate::watch::watcher::Watcher;

/// Close, in a forked child, the files of its parent's watch.
#[pyfunction]
pub fn close_in_child(watcher: &Watcher) {
    if let Some(file) = &watcher.heartbeat_file {
        file.close_in_child();
    }
    if let Some(stderr) = &watcher.state.stderr {
        stderr.close_in_child();
    }
}

impl Watcher {
    /// Starts the thread that writes the heartbeat file. A watch that closes does not wait for it without a limit.
    pub fn start_writing(&self) -> PyResult<()> {
        let Some(file) = self.heartbeat_file.clone() else {
            return Ok(());
        };
        let watch = Arc::clone(&self.state);
        let thread = std::thread::Builder::new().name("gilscope-file".into());
        signals::blocked(|| thread.spawn(move || file.run(&watch)))?;
        Ok(())
    }

    /// The threads of the watch have ended: nothing is written any more. The caller must be detached.
    pub fn end_writing(&self) {
        if let Some(file) = &self.heartbeat_file {
            file.wait_until_removed();
        }
        if let Some(stderr) = &self.state.stderr {
            stderr.close();
        }
    }
}
