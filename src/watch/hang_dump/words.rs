//! The text of a hang, from what was seen of the threads.

use std::fmt::Write as _;

use super::{HungLoop, Thread};
use crate::gil::known_objects::Seen;
use crate::gil::stack::{Doubt, FRAMES_KEPT_AT_EACH_END, Stack};
use crate::histogram::seconds;
use crate::watch::thread_files::Activity;

pub fn written(hung: &[HungLoop], mut threads: Vec<Thread>, has_stacks: bool) -> String {
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
