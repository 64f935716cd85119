//! What the log says of a stall at one moment, as a line of JSON (`docs/watch.md` lists the fields) or in words.

use crate::gil::ThreadIds;
use crate::histogram::seconds;
use crate::system::kept_file::MAX_BYTES_AT_ONCE;
use crate::watch::cause_so_far::Cause;
use crate::watch::json_line::{Json, iso_8601};

/// Grows when a field changes its meaning or goes away.
const SCHEMA: &str = "gilscope-stalls-1";
/// Texts are cut to this length if the line would otherwise be too long to be written at once.
const MAX_CUT_BYTES: usize = 150;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    Stall,
    /// The stall goes on: in words only.
    Still,
    End,
}

/// A line of Python.
#[derive(Clone, Debug)]
pub struct Place {
    pub file: String,
    pub line: u32,
    pub function: String,
    /// Why the line is right.
    pub certainty: &'static str,
}

#[derive(Clone, Debug)]
pub struct Holder {
    pub thread: ThreadIds,
    pub line: Option<Place>,
}

#[derive(Clone, Debug)]
pub struct Task {
    pub name: String,
    pub coroutine: String,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub event: Event,
    pub id: u64,
    /// Since 1970.
    pub wall_ns: u64,
    /// Since the watch began.
    pub at_ns: u64,
    pub loop_number: u64,
    pub thread: ThreadIds,
    pub late_ns: u64,
    pub stall_ns: u64,
    pub cause: Cause,
    pub holder: Option<Holder>,
    pub line: Option<Place>,
    pub task: Option<Task>,
    pub request: Option<String>,
}

impl Entry {
    /// The line of JSON. `name` looks a thread's name up; `dropped` lines were left out before this one.
    pub fn json(&self, name: &impl Fn(ThreadIds) -> Option<String>, dropped: u64) -> String {
        let whole = self.json_cut_to(usize::MAX, name, dropped);
        if whole.len() <= MAX_BYTES_AT_ONCE {
            whole
        } else {
            self.json_cut_to(MAX_CUT_BYTES, name, dropped)
        }
    }

    fn json_cut_to(
        &self,
        longest: usize,
        name: &impl Fn(ThreadIds) -> Option<String>,
        dropped: u64,
    ) -> String {
        let event = match self.event {
            Event::Stall | Event::Still => "stall",
            Event::End => "end",
        };
        let mut json = begin(event, self.wall_ns, self.at_ns, longest);
        json.number("id", self.id);
        json.number("loop", self.loop_number);
        json.object("thread", |json| {
            json.number("id", self.thread.native);
            json.text("name", name(self.thread).as_deref());
        });
        json.seconds("seconds", self.late_ns);
        json.seconds("threshold", self.stall_ns);
        json.text("cause", Some(self.cause.name()));
        if self.event != Event::End {
            match &self.holder {
                None => json.null("holder"),
                Some(holder) => json.object("holder", |json| {
                    json.number("id", holder.thread.native);
                    json.text("name", name(holder.thread).as_deref());
                    add_place(json, "line", holder.line.as_ref());
                }),
            }
            add_place(&mut json, "loop_line", self.line.as_ref());
            let task = self.task.as_ref();
            json.text("task", task.map(|task| task.name.as_str()));
            json.text("coroutine", task.map(|task| task.coroutine.as_str()));
            json.text("request", self.request.as_deref());
        }
        json.number("dropped", dropped);
        json.end()
    }

    /// The line in words; files in `directory` are named relative to it.
    pub fn words(&self, name: &impl Fn(ThreadIds) -> Option<String>, directory: &str) -> String {
        let began = seconds(self.at_ns.saturating_sub(self.late_ns));
        let length = duration(self.late_ns);
        let stalled = match self.event {
            Event::Stall => format!("stalled for {length}"),
            Event::Still => format!("still stalled after {length}"),
            Event::End => format!("stalled for {length} in all"),
        };
        let called =
            |thread: ThreadIds| name(thread).unwrap_or_else(|| format!("thread {}", thread.native));
        let whose = if self.thread.native == u64::from(std::process::id()) {
            String::new()
        } else {
            format!(" (the loop of {})", called(self.thread))
        };
        let at = |line: Option<&Place>| line.map(|line| line.words(directory)).unwrap_or_default();
        let holds = self.holder.as_ref().map(|holder| {
            let (thread, line) = (called(holder.thread), at(holder.line.as_ref()));
            format!("{thread} holds the GIL{line}")
        });
        let why = match (self.cause, holds) {
            (Cause::Hog, Some(holds)) => holds,
            (Cause::Turns | Cause::Garbage, Some(holds)) => {
                format!("{}: {holds}", self.cause.name())
            }
            (Cause::Unknown, Some(holds)) => format!("cause unknown so far: {holds}"),
            (Cause::Unknown, None) => format!("cause unknown so far{}", at(self.line.as_ref())),
            (Cause::Computing | Cause::Waiting | Cause::Garbage, _) => {
                format!("{}{}", self.cause.name(), at(self.line.as_ref()))
            }
            (Cause::NoCpu, _) if self.line.is_some() => {
                format!("no CPU so far, the loop is{}", at(self.line.as_ref()))
            }
            (Cause::Hog | Cause::Turns | Cause::NoCpu, _) => self.cause.name().to_owned(),
        };
        format!("gilscope: {began:8.2} s: {stalled}{whose}: {why}")
    }
}

/// The line of JSON that says only how many lines were left out before it.
pub fn dropped_json(wall_ns: u64, at_ns: u64, dropped: u64) -> String {
    let mut json = begin("dropped", wall_ns, at_ns, usize::MAX);
    json.number("dropped", dropped);
    json.end()
}

/// What is added to a line in words.
pub fn left_out(dropped: u64) -> String {
    match dropped {
        0 => String::new(),
        1 => " (1 line left out before this one)".into(),
        n => format!(" ({n} lines left out before this one)"),
    }
}

impl Place {
    fn words(&self, directory: &str) -> String {
        let inside = self.file.strip_prefix(directory);
        let inside = inside.and_then(|rest| rest.strip_prefix('/'));
        let file = inside.unwrap_or(&self.file);
        format!(" at {file}:{} in {}", self.line, self.function)
    }
}

fn duration(ns: u64) -> String {
    match seconds(ns) {
        long if long >= 10.0 => format!("{long:.0} s"),
        some if some >= 0.1 => format!("{some:.1} s"),
        short if short >= 0.001 => format!("{:.0} ms", short * 1e3),
        shorter => format!("{:.0} us", shorter * 1e6),
    }
}

/// The object with what every line has.
fn begin(event: &str, wall_ns: u64, at_ns: u64, longest: usize) -> Json {
    let mut json = Json::new(longest);
    json.text("schema", Some(SCHEMA));
    json.text("event", Some(event));
    json.number("pid", u64::from(std::process::id()));
    json.text("time", Some(&iso_8601(wall_ns)));
    json.seconds("at", at_ns);
    json
}

fn add_place(json: &mut Json, key: &str, place: Option<&Place>) {
    let Some(place) = place else {
        return json.null(key);
    };
    json.object(key, |json| {
        json.text("file", Some(&place.file));
        json.number("line", u64::from(place.line));
        json.text("function", Some(&place.function));
        json.text("certainty", Some(place.certainty));
    });
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_short() {
        let spans = [50_400_000, 300_000_000, 1_000_000_000, 61_000_000_000, 900];
        assert_eq!(
            spans.map(duration),
            ["50 ms", "0.3 s", "1.0 s", "61 s", "1 us"]
        );
    }
}
