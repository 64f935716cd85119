//! The text that is written when a loop hangs: what every thread of the process does, and its Python stack.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::gil::known_objects::Seen;
use crate::gil::stack::{Doubt, FRAMES_KEPT_AT_EACH_END, Stack};
use crate::gil::{Gil, ThreadIds};
use crate::histogram::seconds;
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
    let mut text = written(hung, threads, has_stacks);
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

fn written(hung: &[HungLoop], mut threads: Vec<Thread>, has_stacks: bool) -> String {
    threads.sort_by_key(|thread| {
        let has_no_python = matches!(thread.stack, Err(Doubt::NoThread | Doubt::NoFrame));
        (!thread.holds_gil, thread.loops.is_empty(), has_no_python)
    });
    let mut text = String::new();
    for it in hung {
        let _ = writeln!(
            text,
            "gilscope: event loop {} has given no heartbeat for {:.1} s: it hangs.",
            it.number,
            seconds(it.silent_ns)
        );
    }
    let _ = writeln!(
        text,
        "gilscope: the threads of process {}, {}:",
        std::process::id(),
        if has_stacks {
            "innermost frame first"
        } else {
            "without their stacks, which cannot be read here"
        }
    );
    let (native, python): (Vec<Thread>, Vec<Thread>) = threads.into_iter().partition(|thread| {
        thread.loops.is_empty()
            && !thread.holds_gil
            && matches!(thread.stack, Err(Doubt::NoThread | Doubt::NoFrame))
    });
    for thread in &python {
        add_thread(&mut text, thread, hung, has_stacks);
    }
    if !native.is_empty() {
        let names: Vec<String> = native
            .iter()
            .map(|thread| format!("{} ({})", printable(&thread.name), thread.native))
            .collect();
        let _ = writeln!(
            text,
            "\nthreads that run no Python code: {}",
            names.join(", ")
        );
    }
    text
}

fn add_thread(text: &mut String, thread: &Thread, hung: &[HungLoop], has_stacks: bool) {
    let mut loops = String::new();
    for number in &thread.loops {
        let _ = write!(loops, ", event loop {number}");
    }
    let _ = writeln!(
        text,
        "\n{} (thread {}{loops}) {}",
        printable(&thread.name),
        thread.native,
        in_words_of(thread)
    );
    match &thread.stack {
        Ok(seen) => {
            add_work(text, seen);
            add_stack(text, &seen.stack);
        }
        Err(doubt) if has_stacks => {
            let _ = writeln!(text, "  its stack could not be read: {}", in_words(*doubt));
        }
        Err(_) => {}
    }
    let own = hung.iter().find(|it| thread.loops.contains(&it.number));
    if let (Err(_), Some((ago_ns, frames))) = (&thread.stack, own.and_then(|it| it.taken.as_ref()))
    {
        let _ = writeln!(text, "  its stack {:.1} s ago:", seconds(*ago_ns));
        for (file, line, function) in frames {
            if file.is_empty() {
                let _ = writeln!(text, "  ... {line} frames left out ...");
            } else {
                add_frame(text, file, Some(*line), function);
            }
        }
    }
}

/// What the loop's thread is busy with.
fn add_work(text: &mut String, seen: &Seen) {
    if let Some((name, coroutine)) = &seen.task {
        let _ = writeln!(
            text,
            "  in the task {} ({})",
            printable(name),
            printable(coroutine)
        );
    }
    if let Some(request) = &seen.request {
        let _ = writeln!(text, "  for the request {}", printable(request));
    }
}

fn in_words_of(thread: &Thread) -> &'static str {
    match (thread.holds_gil, thread.activity) {
        (true, Activity::Sleeps) => "holds the GIL and sleeps",
        (true, Activity::Runs) => "holds the GIL and runs",
        (true, _) | (_, Activity::HoldsGil) => "holds the GIL",
        (_, Activity::WaitsForGil) => "waits for the GIL",
        (_, Activity::Sleeps) => "sleeps",
        (_, Activity::Runs) if !thread.knows_gil => "runs",
        (_, Activity::Runs) => "runs without the GIL",
        (_, Activity::Unknown) => "does what the system does not report",
    }
}

fn add_stack(text: &mut String, stack: &Stack) {
    for (at, frame) in stack.frames.iter().enumerate() {
        if at == FRAMES_KEPT_AT_EACH_END && stack.left_out > 0 {
            let _ = writeln!(text, "  ... {} frames left out ...", stack.left_out);
        }
        add_frame(text, &frame.file, frame.line, &frame.function);
    }
}

fn add_frame(text: &mut String, file: &str, line: Option<u32>, function: &str) {
    let line = line.map_or("?".into(), |line| line.to_string());
    let _ = writeln!(
        text,
        "  {}:{line} in {}",
        printable(file),
        printable(function)
    );
}

/// A name may contain anything: a control character must not reach a terminal.
fn printable(name: &str) -> String {
    let shown = |letter: char| {
        if letter.is_control() {
            letter.escape_default().to_string()
        } else {
            letter.to_string()
        }
    };
    name.chars().map(shown).collect()
}

fn in_words(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::NoThread | Doubt::NoFrame => "it runs no Python code",
        Doubt::Memory => "the system refuses to read this process's memory",
        Doubt::Structure | Doubt::Changed => "it changed while it was read",
        Doubt::TooDeep => "it is too deep",
    }
}
