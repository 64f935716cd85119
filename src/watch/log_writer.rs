//! The thread that writes one log. It never attaches to the interpreter, and no other thread waits for it: if the log's reader
//! is stuck, lines are dropped and counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar};
use std::time::Duration;

use crate::locked::Locked;
use crate::system::clock::now_ns;
use crate::system::kept_file::{Fault, KeptFile};
use crate::system::own_threads::OwnThreads;
use crate::system::scheduling::{self, Priority};
use crate::watch::log_file::LogFile;
use crate::watch::log_line::Entry;

/// Lines that wait to be written.
const MAX_LINES: usize = 64;
/// A new stall gets no line any more from here on: the rest is for the ends of those that have one.
const MAX_LINES_OF_STALLS: usize = 32;
/// How long the last lines may take when the watch ends.
const MAX_NS_AT_CLOSE: u64 = 200_000_000;
const MS_BETWEEN_TRIES: i32 = 50;
const MAX_WAIT_AT_CLOSE: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(2);

pub enum Item {
    Entry(Box<Entry>),
    /// A line that is ready.
    Text(String),
}

/// The lines that wait, and what is counted.
pub struct LogWriter {
    file: Arc<LogFile>,
    queue: Locked<Queue>,
    changed: Condvar,
    threads: OwnThreads,
    dropped: AtomicU64,
    /// Of `dropped`: those that a later line has named.
    named: AtomicU64,
    ran_ns: AtomicU64,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    /// When to give up, once the watch ends.
    until_ns: Option<u64>,
    ended: bool,
}

impl LogWriter {
    pub fn new(file: Arc<LogFile>) -> Self {
        Self {
            file,
            queue: Locked::default(),
            changed: Condvar::new(),
            threads: OwnThreads::new(),
            dropped: AtomicU64::new(0),
            named: AtomicU64::new(0),
            ran_ns: AtomicU64::new(0),
        }
    }

    /// The thread that runs [`Self::run`].
    pub fn threads(&self) -> &OwnThreads {
        &self.threads
    }

    pub fn file(&self) -> &LogFile {
        &self.file
    }

    pub fn push(&self, item: Item, begins: bool) {
        let most = if begins {
            MAX_LINES_OF_STALLS
        } else {
            MAX_LINES
        };
        let taken = self.queue.with(|queue| {
            let has_room = queue.items.len() < most && !queue.ended;
            if has_room {
                queue.items.push_back(item);
            }
            has_room
        });
        if taken {
            self.changed.notify_one();
        } else {
            self.drop_lines(1);
        }
    }

    pub fn drop_lines(&self, lines: u64) {
        // Relaxed: a sum, used by itself.
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// How many lines have been left out so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// CPU time of the thread.
    pub fn ran_ns(&self) -> u64 {
        self.ran_ns.load(Ordering::Relaxed)
    }

    /// Ends the thread when it has written what waits, and waits for that, for a short time. The caller is detached.
    pub fn close(&self) {
        self.end_soon();
        let is_writing = |queue: &mut Queue| !queue.ended;
        let stuck = self
            .queue
            .wait_timeout_while(&self.changed, MAX_WAIT_AT_CLOSE, is_writing);
        if stuck {
            self.threads.leave();
        } else {
            self.threads.join();
        }
        self.file.close();
    }

    /// Ends the thread when it has written what waits.
    pub fn end_soon(&self) {
        let until_ns = now_ns() + MAX_NS_AT_CLOSE;
        self.queue.with(|queue| {
            queue.until_ns.get_or_insert(until_ns);
        });
        self.changed.notify_all();
    }

    /// Runs the thread. `line` makes an item's line, which says how many were left out before it.
    pub fn run(
        &self,
        file: Arc<KeptFile>,
        line: impl Fn(&Item, u64) -> String,
        last: impl Fn(u64) -> String,
    ) {
        scheduling::prepare_sampling_thread(Priority::Prompt);
        let mut output = Output {
            writer: self,
            file,
            torn: false,
        };
        while let Some(item) = self.next() {
            output.write(|unnamed| line(&item, unnamed));
            self.ran_ns
                .store(scheduling::own_cpu_time_ns(), Ordering::Relaxed);
        }
        if self.unnamed() > 0 {
            output.write(last);
        }
        drop(output);
        self.queue.with(|queue| queue.ended = true);
        self.changed.notify_all();
    }

    #[cfg(test)]
    pub fn take_all(&self) -> Vec<Item> {
        self.queue.with(|queue| queue.items.drain(..).collect())
    }

    fn unnamed(&self) -> u64 {
        self.dropped() - self.named.load(Ordering::Relaxed) // only this thread writes it
    }

    /// Waits for the next item. `None` once the watch has ended and nothing waits.
    fn next(&self) -> Option<Item> {
        self.queue.wait_while(&self.changed, |queue| {
            queue.items.is_empty() && queue.until_ns.is_none()
        });
        self.queue.with(|queue| queue.items.pop_front())
    }

    fn must_give_up(&self) -> bool {
        self.queue
            .with(|queue| queue.until_ns.is_some_and(|until_ns| now_ns() >= until_ns))
    }
}

/// The file as the thread writes it.
struct Output<'a> {
    writer: &'a LogWriter,
    file: Arc<KeptFile>,
    /// Whether the last line was not written to its end.
    torn: bool,
}

impl Output<'_> {
    fn write(&mut self, line: impl FnOnce(u64) -> String) {
        let unnamed = self.writer.unnamed();
        let mut text = line(unnamed);
        if self.torn {
            text.insert(0, '\n');
        }
        if self.write_all(text.as_bytes()) {
            self.writer.named.fetch_add(unnamed, Ordering::Relaxed); // see `unnamed`
        } else {
            self.writer.drop_lines(1);
        }
    }

    /// Returns whether all of `bytes` was written.
    fn write_all(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        let mut reopened = false;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(written) => {
                    rest = &rest[written.min(rest.len())..];
                    self.torn = !rest.is_empty();
                }
                Err(Fault::Full) => {
                    if self.writer.must_give_up() {
                        return false;
                    }
                    self.file.wait_for_room(MS_BETWEEN_TRIES);
                    std::thread::sleep(PAUSE); // the system may say that there is room where there is too little
                }
                Err(Fault::Gone) if !reopened => {
                    reopened = true;
                    let Some(file) = self.writer.file.reopened(&self.file) else {
                        return false;
                    };
                    self.file = file;
                    (rest, self.torn) = (bytes, false);
                }
                Err(Fault::Gone | Fault::Failed) => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
