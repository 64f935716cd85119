use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::StallLog;
use crate::gil::ThreadIds;
use crate::watch::cause_so_far::Cause;
use crate::watch::evidence::Evidence;
use crate::watch::heartbeat::LateBeat;
use crate::watch::line_choice::{LineChoice, LineRules};
use crate::watch::log_file::LogFile;
use crate::watch::log_line::{Entry, Event};
use crate::watch::log_writer::{Item, LogWriter};
use crate::watch::logs::{JSON, Logs, WORDS};
use crate::watch::reports::FinishedStall;
use crate::watch::segment::Segment;
use crate::watch::stall_so_far::LateNow;

const MS: u64 = 1_000_000;
const STALL: u64 = 50 * MS;
const THREAD: ThreadIds = ThreadIds {
    ident: 1,
    native: 1,
};

/// Both logs, whose writers have no threads.
fn logs() -> Logs {
    let (_reader, output) = std::io::pipe().unwrap();
    let writer = || {
        let file = LogFile::of_descriptor(output.as_raw_fd()).unwrap();
        Some(Arc::new(LogWriter::new(Arc::new(file))))
    };
    Logs {
        lines: LineChoice::new(LineRules::default()),
        writers: [writer(), writer()],
        directory: String::new(),
        started_ns: 0,
        stall_ns: STALL,
        reads_gil: true,
    }
}

/// The loop is late since `due_ns`, at `now_ns`, and slept all the time.
fn late(log: &mut StallLog, logs: &Logs, loop_number: u64, due_ns: u64, now_ns: u64) {
    if log.wants(logs, (loop_number, due_ns), now_ns) {
        let evidence = slept(now_ns - due_ns);
        let now = LateNow {
            loop_number,
            thread: THREAD,
            due_ns,
            now_ns,
            evidence,
            holder: None,
            stacks: None,
            below: None,
        };
        log.note(logs, &now);
    }
}

fn slept(ns: u64) -> Evidence {
    Evidence {
        sampled_ns: ns,
        slept_ns: ns,
        ..Evidence::default()
    }
}

/// The stall is over; returns whether it is to be named in words.
fn over(log: &mut StallLog, logs: &Logs, loop_number: u64, due_ns: u64, now_ns: u64) -> bool {
    let mut segment = Segment::new(None);
    segment.evidence = slept(now_ns - due_ns);
    let mut stall = FinishedStall {
        loop_number,
        thread: THREAD,
        late: LateBeat {
            due_ns,
            came_ns: now_ns,
        },
        noticed: None,
        segments: vec![segment],
        below: None,
        told: false,
    };
    log.over(logs, &mut stall, now_ns);
    stall.told
}

/// What was written since the last call.
fn written(logs: &Logs, which: usize) -> Vec<Entry> {
    let items = logs.writers[which].as_ref().unwrap().take_all();
    items
        .into_iter()
        .filter_map(|item| match item {
            Item::Entry(entry) => Some(*entry),
            Item::Text(_) => None,
        })
        .collect()
}

fn events(logs: &Logs, which: usize) -> Vec<(Event, u64)> {
    let written = written(logs, which);
    written
        .iter()
        .map(|entry| (entry.event, entry.id))
        .collect()
}

#[test]
fn a_stall_has_one_line_when_it_passes_the_threshold_and_one_when_it_is_over() {
    let (logs, mut log) = (logs(), StallLog::default());
    (0..300).for_each(|ms| late(&mut log, &logs, 1, 0, ms * MS));
    let lines = written(&logs, JSON);
    assert_eq!(lines.len(), 1);
    assert_eq!((lines[0].event, lines[0].late_ns), (Event::Stall, STALL));
    assert_eq!(lines[0].cause, Cause::Waiting);
    assert!(over(&mut log, &logs, 1, 0, 300 * MS));
    let ends = written(&logs, JSON);
    assert_eq!(ends.len(), 1);
    assert_eq!((ends[0].event, ends[0].late_ns), (Event::End, 300 * MS));
    assert_eq!((ends[0].id, ends[0].cause), (lines[0].id, Cause::Waiting));
}

#[test]
fn in_words_a_long_stall_is_named_again_now_and_then() {
    let (logs, mut log) = (logs(), StallLog::default());
    (0..12_000).for_each(|ms| late(&mut log, &logs, 1, 0, ms * MS));
    assert_eq!(
        events(&logs, WORDS),
        [(Event::Stall, 1), (Event::Still, 1), (Event::Still, 1)]
    );
    assert_eq!(events(&logs, JSON), [(Event::Stall, 1)]);
}

#[test]
fn of_many_loops_some_wait_for_their_line_and_each_that_has_one_has_an_end() {
    let (logs, mut log) = (logs(), StallLog::default());
    for ms in 0..300 {
        (1..=20).for_each(|number| late(&mut log, &logs, number, 0, ms * MS));
    }
    let begun = events(&logs, JSON);
    assert_eq!(begun.len(), 5);
    for ms in 300..1_500 {
        (1..=20).for_each(|number| late(&mut log, &logs, number, 0, ms * MS));
    }
    let later = events(&logs, JSON);
    assert!(!later.is_empty()); // while the stalls last, the next ones get their lines
    let told = (1..=20)
        .filter(|&number| over(&mut log, &logs, number, 0, 1_500 * MS))
        .count();
    let ended: Vec<_> = events(&logs, JSON);
    for (_, id) in begun.iter().chain(&later) {
        assert!(ended.contains(&(Event::End, *id)));
    }
    assert_eq!(told, ended.len());
    let dropped = logs.dropped();
    assert_eq!(dropped, 2 * (20 - ended.len() as u64));
}

#[test]
fn no_second_has_more_than_ten_lines_and_what_is_left_out_is_counted() {
    let (logs, mut log) = (logs(), StallLog::default());
    let mut lines = 0;
    for number in 0..100 {
        let due_ns = number * 60 * MS;
        late(&mut log, &logs, 1, due_ns, due_ns + STALL);
        over(&mut log, &logs, 1, due_ns, due_ns + 55 * MS);
        lines += written(&logs, JSON).len() as u64;
    }
    assert!((50..=70).contains(&lines), "{lines} lines in 6 s");
    let dropped = logs.dropped();
    assert!(lines + dropped <= 200 && dropped > 100);
}

#[test]
fn a_stall_that_was_over_before_it_was_noticed_has_its_last_line() {
    let (logs, mut log) = (logs(), StallLog::default());
    assert!(over(&mut log, &logs, 1, 0, 300 * MS));
    assert_eq!(events(&logs, JSON), [(Event::End, 1)]);
}

#[test]
fn what_turns_out_to_be_no_stall_has_an_end_too() {
    let (logs, mut log) = (logs(), StallLog::default());
    late(&mut log, &logs, 1, 0, STALL);
    log.settle(&logs, 1, Some(0), STALL);
    assert_eq!(events(&logs, JSON), [(Event::Stall, 1)]);
    log.settle(&logs, 1, None, STALL);
    assert_eq!(events(&logs, JSON), [(Event::End, 1)]);
    assert_eq!(events(&logs, WORDS), [(Event::Stall, 1), (Event::End, 1)]);
}
