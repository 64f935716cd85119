use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Item, LogWriter, MAX_LINES};
use crate::watch::log_file::LogFile;

/// A writer of lines "TEXT DROPPED" whose thread runs.
fn started(output: &PipeWriter) -> Arc<LogWriter> {
    let file = Arc::new(LogFile::of_descriptor(output.as_raw_fd()).unwrap());
    let writer = Arc::new(LogWriter::new(file));
    let (mine, file) = (Arc::clone(&writer), writer.file().file().unwrap());
    writer.threads().add(std::thread::spawn(move || {
        let line = |item: &Item, dropped| match item {
            Item::Text(text) => format!("{text} {dropped}\n"),
            Item::Entry(_) => String::new(),
        };
        mine.run(file, line, |dropped| format!("last {dropped}\n"));
    }));
    writer
}

fn full_pipe() -> (PipeReader, PipeWriter, usize) {
    let (reader, mut output) = std::io::pipe().unwrap();
    // SAFETY: the descriptor is open.
    let size = unsafe { libc::fcntl(output.as_raw_fd(), libc::F_GETPIPE_SZ) };
    let size = usize::try_from(size).unwrap();
    output.write_all(&vec![b'x'; size]).unwrap();
    (reader, output, size)
}

fn text(number: usize) -> Item {
    Item::Text(format!("line {number}"))
}

fn rest(mut reader: PipeReader) -> Vec<String> {
    let mut all = String::new();
    reader.read_to_string(&mut all).unwrap();
    all.lines().map(str::to_owned).collect()
}

#[test]
fn every_line_is_written_before_it_closes() {
    let (reader, output) = std::io::pipe().unwrap();
    let writer = started(&output);
    (0..30).for_each(|number| writer.push(text(number), false));
    writer.close();
    drop((writer, output));
    let expected: Vec<_> = (0..30).map(|number| format!("line {number} 0")).collect();
    assert_eq!(rest(reader), expected);
}

#[test]
fn a_stuck_reader_blocks_neither_the_lines_nor_the_close() {
    let (_reader, output, _) = full_pipe();
    let writer = started(&output);
    (0..100).for_each(|number| writer.push(text(number), false));
    assert!(writer.dropped() >= 100 - u64::try_from(MAX_LINES).unwrap() - 1);
    let began = Instant::now();
    writer.close();
    assert!(began.elapsed() < Duration::from_secs(20)); // it gives up after 0.2 s
}

#[test]
fn a_reader_that_reads_again_gets_what_waited_and_how_much_was_left_out() {
    let (mut reader, output, size) = full_pipe();
    let writer = started(&output);
    (0..100).for_each(|number| writer.push(text(number), false));
    let dropped = writer.dropped();
    reader.read_exact(&mut vec![0; size]).unwrap();
    writer.close();
    assert_eq!(writer.dropped(), dropped);
    drop((writer, output));
    let lines = rest(reader);
    assert_eq!(lines.len() as u64, 100 - dropped);
    let named = |line: &String| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap();
    assert_eq!(lines.iter().map(named).sum::<u64>(), dropped);
}

#[test]
fn the_last_line_names_what_no_other_one_does() {
    let (reader, output) = std::io::pipe().unwrap();
    let writer = started(&output);
    writer.drop_lines(3);
    writer.close();
    drop((writer, output));
    assert_eq!(rest(reader), ["last 3"]);
}

#[test]
fn a_full_queue_keeps_room_for_the_ends() {
    let (_reader, output, _) = full_pipe();
    let writer = started(&output);
    (0..100).for_each(|number| writer.push(text(number), true));
    let dropped = writer.dropped();
    (0..20).for_each(|number| writer.push(text(number), false));
    assert_eq!(writer.dropped(), dropped);
    writer.close();
}
