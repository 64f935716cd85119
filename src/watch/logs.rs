//! The logs of a watch: lines of JSON, and lines in words.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::gil::ThreadIds;
use crate::histogram::seconds;
use crate::system::clock::{now_ns, read_clock_ns};
use crate::system::signals;
use crate::watch::line_choice::{LineChoice, LineRules};
use crate::watch::log_file::PyLogFile;
use crate::watch::log_line::{Entry, dropped_json, left_out};
use crate::watch::log_writer::{Item, LogWriter};
use crate::watch::state::WatchState;
use crate::watch::watcher::Watcher;

/// The places of the two writers.
pub const JSON: usize = 0;
pub const WORDS: usize = 1;
pub const WRITERS: usize = 2;
const THREAD_NAME: &str = "gilscope-log";

/// What Python says of the logs: `gilscope/watch/log_settings.py`.
#[derive(FromPyObject)]
pub struct LogSettings {
    json: Option<Py<PyLogFile>>,
    words: Option<Py<PyLogFile>>,
    rules: LineRules,
    /// The working directory.
    directory: String,
}

pub struct Logs {
    pub lines: LineChoice,
    pub writers: [Option<Arc<LogWriter>>; WRITERS],
    pub directory: String,
    /// When the watch began, and its threshold.
    pub started_ns: u64,
    pub stall_ns: u64,
    pub reads_gil: bool,
}

impl From<Entry> for Item {
    fn from(entry: Entry) -> Self {
        Self::Entry(Box::new(entry))
    }
}

impl Logs {
    /// Starts a thread for each log.
    pub fn start(watch: &Arc<WatchState>, settings: LogSettings) -> PyResult<()> {
        let writer = |file: Option<Py<PyLogFile>>| {
            file.map(|file| Arc::new(LogWriter::new(Arc::clone(&file.get().0))))
        };
        let writers = [writer(settings.json), writer(settings.words)];
        let lines = LineChoice::new(settings.rules);
        let logs = watch.logs.get_or_init(|| Self {
            lines,
            writers,
            directory: settings.directory,
            started_ns: watch.started_ns,
            stall_ns: watch.settings.stall_ns,
            reads_gil: watch.gil.is_some(),
        });
        for (which, writer) in logs.writers.iter().enumerate() {
            let Some(writer) = writer else { continue };
            let file = writer.file();
            let file = file.file().map_err(|error| file.refused(&error))?;
            let (watch, mine) = (Arc::clone(watch), Arc::clone(writer));
            let run = move || {
                let line = |item: &Item, dropped| line(&watch, which, item, dropped);
                mine.run(file, line, |dropped| last_line(&watch, which, dropped));
            };
            let builder = std::thread::Builder::new().name(THREAD_NAME.into());
            writer
                .threads()
                .add(signals::blocked(|| builder.spawn(run))?);
        }
        Ok(())
    }

    /// Lets the threads write what waits, for a short time, and ends them. The caller is detached.
    pub fn close(&self) {
        let writers = self.writers.iter().flatten();
        writers.clone().for_each(|writer| writer.end_soon());
        writers.for_each(|writer| writer.close());
    }

    /// The same, without waiting for the threads.
    pub fn end_soon(&self) {
        self.writers
            .iter()
            .flatten()
            .for_each(|writer| writer.end_soon());
    }

    /// Adds a line in words.
    pub fn say(&self, text: String) {
        if let Some(words) = &self.writers[WORDS] {
            words.push(Item::Text(text), false);
        }
    }

    /// Lines of JSON that were left out.
    pub fn dropped(&self) -> u64 {
        self.writers[JSON]
            .as_ref()
            .map_or(0, |writer| writer.dropped())
    }

    /// CPU time of the threads.
    pub fn ran_ns(&self) -> u64 {
        self.writers
            .iter()
            .flatten()
            .map(|writer| writer.ran_ns())
            .sum()
    }
}

/// Write a line to the log in words of `watcher`, if it has one.
#[pyfunction]
pub fn say_in_log(watcher: &Watcher, text: String) -> PyResult<()> {
    watcher.must_own_threads()?;
    if let Some(logs) = watcher.state.logs.get() {
        logs.say(text);
    }
    Ok(())
}

/// Name the installed packages that are the program's own, for the lines that the logs of `watcher` name.
#[pyfunction]
pub fn set_program_packages(watcher: &Watcher, packages: Vec<String>) -> PyResult<()> {
    watcher.must_own_threads()?;
    if let Some(logs) = watcher.state.logs.get() {
        logs.lines.set_program_packages(packages);
    }
    Ok(())
}

/// End the logs of `watcher`, which is closed, once all that waits is written: detached, and for a short time.
#[pyfunction]
pub fn close_logs(py: Python<'_>, watcher: &Watcher) {
    if let Some(logs) = watcher.state.logs.get()
        && watcher.must_own_threads().is_ok()
    {
        py.detach(|| logs.close());
    }
}

/// The line of an item, which says how many lines were left out before it.
fn line(watch: &WatchState, which: usize, item: &Item, dropped: u64) -> String {
    let name = |ids: ThreadIds| name(watch, ids);
    let words = match item {
        Item::Entry(entry) if which == JSON => return entry.json(&name, dropped),
        Item::Entry(entry) => {
            let directory = watch.logs.get().map_or("", |logs| &*logs.directory);
            entry.words(&name, directory)
        }
        Item::Text(text) => text.clone(),
    };
    // The name of a thread is any text: nothing in it may command a terminal.
    let words = words.replace(char::is_control, "?");
    format!("{words}{}\n", left_out(dropped))
}

fn last_line(watch: &WatchState, which: usize, dropped: u64) -> String {
    let at_ns = now_ns().saturating_sub(watch.started_ns);
    if which == WORDS {
        return format!(
            "gilscope: {:8.2} s: the watch ends{}\n",
            seconds(at_ns),
            left_out(dropped)
        );
    }
    let wall_ns = read_clock_ns(libc::CLOCK_REALTIME).unwrap_or(0);
    dropped_json(wall_ns, at_ns, dropped)
}

/// The name that `threading` has for a thread or, if that has not been read, the one that CPython 3.14 gives to the system.
fn name(watch: &WatchState, ids: ThreadIds) -> Option<String> {
    let known = watch.names.with(|names| names.get(&ids).cloned());
    known.or_else(|| {
        let name = std::fs::read_to_string(format!("/proc/self/task/{}/comm", ids.native)).ok()?;
        let process = std::fs::read_to_string("/proc/self/comm").ok()?;
        (name != process).then(|| name.trim_end().to_owned())
    })
}
