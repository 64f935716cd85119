//! What is in a heartbeat file: a line of JSON, filled up with spaces to a constant size.

use std::fmt::Write as _;

use crate::histogram::seconds;
use crate::system::wall_clock::now_utc;
use crate::watch::liveness::{LoopNow, loops_now};
use crate::watch::state::WatchState;

/// The number of the line's format. Every line begins with it, by which a file is known to be ours.
pub const BEGINNING: &str = "{\"heartbeat_schema\":1,";
/// The size of the file: the line, and the spaces that fill it up.
const RECORD: usize = 2048;
/// Loops in one line, the worst ones.
const MAX_LOOPS: usize = 8;
/// The rest of a longer name is left out, so that a record always fits.
const MAX_NAME: usize = 80;

/// The line, filled up to the size of the record.
pub fn record_now(watch: &WatchState) -> String {
    let loops = loops_now(watch);
    let names: Vec<Option<String>> = loops
        .iter()
        .take(MAX_LOOPS)
        .map(|it| watch.names.with(|names| names.get(&it.thread).cloned()))
        .collect();
    record(&loops, &names, &now_utc(), std::process::id())
}

fn record(loops: &[LoopNow], names: &[Option<String>], time: &str, pid: u32) -> String {
    let worst = loops.first();
    let mut line = String::with_capacity(RECORD);
    let _ = write!(
        line,
        "{BEGINNING}\"pid\":{pid},\"time\":\"{time}\",\"state\":\"{}\",\"age\":{},\"loops\":[",
        worst.map_or("idle", |it| it.doing.name()),
        worst.map_or("null".into(), |it| format!("{:.3}", seconds(it.age_ns))),
    );
    for (at, (it, name)) in loops.iter().zip(names).enumerate() {
        let _ = write!(
            line,
            "{}{{\"loop\":{},\"thread\":{},\"native_id\":{},\"state\":\"{}\",\"age\":{:.3}}}",
            if at == 0 { "" } else { "," },
            it.number,
            name.as_deref().map_or("null".into(), json_string),
            it.thread.native,
            it.doing.name(),
            seconds(it.age_ns),
        );
    }
    line.push_str("]}");
    while line.len() < RECORD - 1 {
        line.push(' ');
    }
    line.push('\n');
    line
}

/// The string as JSON in ASCII, without what is longer than [`MAX_NAME`].
fn json_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        let mut pair = [0; 2];
        let shown: String = match letter {
            '"' | '\\' => format!("\\{letter}"),
            ' '..='~' => letter.to_string(),
            _ => {
                let mut units = String::new();
                for unit in letter.encode_utf16(&mut pair) {
                    let _ = write!(units, "\\u{unit:04x}");
                }
                units
            }
        };
        if quoted.len() + shown.len() > MAX_NAME {
            break;
        }
        quoted += &shown;
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::{MAX_LOOPS, RECORD, json_string, record};
    use crate::gil::ThreadIds;
    use crate::watch::liveness::{Doing, LoopNow};

    const TIME: &str = "2026-11-27T15:30:00.250Z";

    fn loops(count: u64) -> Vec<LoopNow> {
        let one = |number| LoopNow {
            number,
            thread: ThreadIds {
                ident: u64::MAX,
                native: u64::MAX,
            },
            doing: Doing::Blocked,
            age_ns: 31_250_000_000,
        };
        (1..=count).map(one).collect()
    }

    #[test]
    fn a_record_has_always_the_same_size_and_ends_with_a_newline() {
        let name = Some("\u{1F600}\"\n".repeat(100));
        for count in [0, 1, 1000] {
            let names = vec![name.clone(); MAX_LOOPS.min(usize::try_from(count).unwrap())];
            let record = record(&loops(count), &names, TIME, u32::MAX);
            assert_eq!((record.len(), record.ends_with('\n')), (RECORD, true));
        }
    }

    #[test]
    fn the_worst_loop_is_the_state_of_the_process() {
        let text = record(&loops(1), &[Some("MainThread".into())], TIME, 7);
        assert!(text.starts_with(
            "{\"heartbeat_schema\":1,\"pid\":7,\"time\":\"2026-11-27T15:30:00.250Z\",\
             \"state\":\"blocked\",\"age\":31.250,\"loops\":[{\"loop\":1,\"thread\":\"MainThread\","
        ));
        let none = record(&[], &[], TIME, 7);
        assert!(none.contains("\"state\":\"idle\",\"age\":null,\"loops\":[]}"));
    }

    #[test]
    fn names_are_quoted_as_json() {
        assert_eq!(
            json_string("a\"b\\c\né😀"),
            "\"a\\\"b\\\\c\\u000a\\u00e9\\ud83d\\ude00\""
        );
    }
}
