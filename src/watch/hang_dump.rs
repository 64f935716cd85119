//! The text that is written when a loop hangs: what every thread of the process does, and its Python stack.

mod words;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::gil::known_objects::Seen;
use crate::gil::stack::Doubt;
use crate::gil::{Gil, ThreadIds};
use crate::watch::native_stacks::NativeStacks;
use crate::watch::stacks::FrameData;
use crate::watch::state::{OWN_THREAD_NAME, WatchState};
use crate::watch::thread_files::{Activity, ThreadFiles};

/// The names that the system has for the watch's native threads begin so.
const OWN_SYSTEM_NAMES: &str = "gilscope-";
/// In a process with more threads, the others are only counted.
const MAX_THREADS: usize = 256;
/// A thread that runs Python code changes its stack all the time: read it until two reads are equal.
const MAX_READS: usize = 20;
/// A thread that waits for the GIL wakes up every 5 ms (the switch interval) to ask for it, and then runs or is runnable: on a
/// busy machine for some milliseconds. So a thread that seems to run is looked at again, this often.
const MAX_LOOKS: usize = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// A loop that hangs.
pub struct HungLoop {
    pub number: u64,
    pub thread: ThreadIds,
    pub silent_ns: u64,
    /// The address of the loop's object.
    pub event_loop: usize,
    /// The stack of the loop's thread that was taken last by attaching: for how long ago that was, and its frames.
    pub taken: Option<(u64, Vec<FrameData>)>,
}

/// One thread, as the text shows it.
struct Thread {
    native: u64,
    name: String,
    /// The numbers of the loops that hang in it.
    loops: Vec<u64>,
    knows_gil: bool,
    holds_gil: bool,
    activity: Activity,
    stack: Result<Seen, Doubt>,
}

/// Returns the text. Attaches to nothing, and waits for no other thread.
pub fn text(
    watch: &WatchState,
    hung: &[HungLoop],
    mut native_stacks: Option<&mut NativeStacks>,
) -> String {
    let names: HashMap<u64, String> = watch.names.with(|names| {
        let known = names.iter();
        known
            .map(|(ids, name)| (ids.native, name.clone()))
            .collect()
    });
    let holder = watch.gil.and_then(|gil| gil.read().holder);
    let matters = |id: u64| {
        holder.is_some_and(|ids| ids.native == id) || hung.iter().any(|it| it.thread.native == id)
    };
    let mut all = thread_ids();
    all.sort_by_key(|&id| !matters(id));
    let left_out = all.len().saturating_sub(MAX_THREADS);
    all.truncate(MAX_THREADS);
    let all = all.into_iter().map(|id| (id, name(id, &names)));
    let theirs: Vec<(u64, String)> = all.filter(|(_, name)| !is_own(name)).collect();
    let has_stacks = native_stacks.is_some();
    let threads = theirs.into_iter().map(|(native, name)| {
        let loops: Vec<_> = hung
            .iter()
            .filter(|it| it.thread.native == native)
            .collect();
        let event_loop = loops.first().map_or(0, |it| it.event_loop);
        let stack = native_stacks
            .as_mut()
            .map(|stacks| read(stacks, native, event_loop));
        Thread {
            native,
            name,
            loops: loops.iter().map(|it| it.number).collect(),
            knows_gil: watch.gil.is_some(),
            holds_gil: holds(watch.gil, native),
            activity: ThreadFiles::new(native).activity(watch.gil),
            stack: stack.unwrap_or(Err(Doubt::Memory)),
        }
    });
    let mut threads: Vec<Thread> = threads.collect();
    if let Some(gil) = watch.gil {
        look_again(&mut threads, gil);
    }
    let mut text = words::written(hung, threads, has_stacks);
    if left_out > 0 {
        let _ = writeln!(text, "\n{left_out} more threads");
    }
    text
}

/// Tells the threads that run from those that wait for the GIL and were awake just now.
fn look_again(threads: &mut [Thread], gil: Gil) {
    let seems_to_run = |it: &Thread| !it.holds_gil && it.activity == Activity::Runs;
    for _ in 1..MAX_LOOKS {
        if gil.read().holder.is_none() || !threads.iter().any(seems_to_run) {
            return;
        }
        sleep(BETWEEN_LOOKS);
        for thread in threads.iter_mut().filter(|it| seems_to_run(it)) {
            if ThreadFiles::new(thread.native).activity(Some(gil)) == Activity::WaitsForGil {
                thread.activity = Activity::WaitsForGil;
            }
        }
    }
}

fn thread_ids() -> Vec<u64> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    threads
        .filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether this is a thread of the watch. A thread of the program may be called "gilscope" by the system: it has the name of
/// the thread that has started it, which is the command's name.
fn is_own(name: &str) -> bool {
    name == OWN_THREAD_NAME || name.starts_with(OWN_SYSTEM_NAMES)
}

fn holds(gil: Option<Gil>, native: u64) -> bool {
    let holder = gil.and_then(|gil| gil.read().holder);
    holder.is_some_and(|ids| ids.native == native)
}

fn read(stacks: &mut NativeStacks, native: u64, event_loop: usize) -> Result<Seen, Doubt> {
    let mut stack = stacks.see(native, event_loop);
    for _ in 1..MAX_READS {
        match stack {
            Err(Doubt::Structure | Doubt::Changed) => stack = stacks.see(native, event_loop),
            _ => break,
        }
    }
    stack
}

/// The name that `threading` has for the thread; else the one that the system has.
fn name(native: u64, names: &HashMap<u64, String>) -> String {
    if let Some(name) = names.get(&native) {
        return name.clone();
    }
    if native == u64::from(std::process::id()) {
        return "MainThread".into();
    }
    let comm = fs::read(format!("/proc/self/task/{native}/comm")).unwrap_or_default();
    let comm = String::from_utf8_lossy(&comm).trim_end().to_owned();
    if comm == OWN_THREAD_NAME {
        "a thread without a name".into()
    } else {
        comm
    }
}
