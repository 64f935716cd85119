//! Writes, while a stall lasts, that it does, and when it is over, that it was. The sampler calls this: nothing here waits.

use crate::gil::ThreadIds;
use crate::gil::stack::Certainty;
use crate::system::clock::{now_ns, read_clock_ns};
use crate::watch::cause_so_far::Cause;
use crate::watch::evidence::Evidence;
use crate::watch::log_limit::LogLimit;
use crate::watch::log_line::{Entry, Event, Holder, Place, Task};
use crate::watch::log_writer::Item;
use crate::watch::logs::{Logs, WORDS, WRITERS};
use crate::watch::reports::FinishedStall;
use crate::watch::stacks::{FrameData, Stack};
use crate::watch::stall_so_far::{LateNow, cause_of, probe};
use crate::watch::watched_loop::OpenStall;

/// In words, a stall is named again when it has lasted this long.
const WORTH_REPEATING_NS: [u64; 4] = [
    1_000_000_000,
    10_000_000_000,
    60_000_000_000,
    600_000_000_000,
];

/// A stall that is not over.
struct Open {
    loop_number: u64,
    due_ns: u64,
    id: u64,
    thread: ThreadIds,
    /// Which logs have its first line.
    told: [bool; WRITERS],
    /// How many of [`WORTH_REPEATING_NS`] it has reached.
    reached: usize,
}

/// What the logs have of the stalls that are not over.
#[derive(Default)]
pub struct StallLog {
    open: Vec<Open>,
    ids: u64,
    limits: [LogLimit; WRITERS],
}

impl StallLog {
    /// Whether [`Self::note`] has something to write of a stall: what it needs takes longer to find out.
    pub fn wants(&mut self, logs: &Logs, (loop_number, due_ns): (u64, u64), now_ns: u64) -> bool {
        let late_ns = now_ns.saturating_sub(due_ns);
        if late_ns < logs.stall_ns {
            return false;
        }
        let is_its = |open: &&Open| open.loop_number == loop_number && open.due_ns == due_ns;
        let open = self.open.iter().find(is_its);
        if open.is_some_and(|open| open.told[WORDS] && reached(late_ns) > open.reached) {
            return true;
        }
        (0..WRITERS).any(|which| {
            logs.writers[which].is_some()
                && !open.is_some_and(|open| open.told[which])
                && self.limits[which].has_room_for_two(now_ns)
        })
    }

    /// Writes once, as soon as there is room, that a loop is late by the threshold or more.
    pub fn note(&mut self, logs: &Logs, now: &LateNow<'_>) {
        let at = self.position(now.loop_number, now.due_ns, now.thread);
        let open = &mut self.open[at];
        let reached = reached(now.late_ns());
        for (which, writer) in logs.writers.iter().enumerate() {
            let Some(writer) = writer else { continue };
            let limit = &mut self.limits[which];
            let event = if !open.told[which] && limit.begin(now.now_ns) {
                open.told[which] = true;
                Event::Stall
            } else if which == WORDS && reached > open.reached && limit.single(now.now_ns) {
                Event::Still
            } else {
                continue;
            };
            writer.push(Item::from(entry(logs, now, open.id, event)), true);
        }
        open.reached = reached;
    }

    /// Writes that a stall is over. In words, Python does that once it has judged the stall, if `stall.told` says so.
    pub fn over(&mut self, logs: &Logs, stall: &mut FinishedStall, now_ns: u64) {
        let at = self.position(stall.loop_number, stall.late.due_ns, stall.thread);
        let open = self.open.swap_remove(at);
        let end = Entry {
            cause: cause_at_end(logs, stall),
            ..end(logs, &open, stall.late.came_ns)
        };
        for (which, writer) in logs.writers.iter().enumerate() {
            let Some(writer) = writer else { continue };
            let limit = &mut self.limits[which];
            if open.told[which] {
                limit.end(now_ns);
            } else if !limit.single(now_ns) {
                writer.drop_lines(2);
                continue;
            }
            if which == WORDS {
                stall.told = true;
            } else {
                writer.push(Item::from(end.clone()), false);
            }
        }
    }

    /// Writes which stalls of a loop are over, before what it is late for now, if it is: since `due_ns`.
    pub fn follow(
        &mut self,
        logs: &Logs,
        over: &mut [OpenStall],
        (loop_number, due_ns): (u64, Option<u64>),
        now_ns: u64,
    ) {
        for (_, stall) in over {
            self.over(logs, stall, now_ns);
        }
        self.settle(logs, loop_number, due_ns, now_ns);
    }

    /// Ends what was taken for a stall of a loop that is not late now, or by another beat: the beat came at that moment.
    pub fn settle(&mut self, logs: &Logs, loop_number: u64, due_ns: Option<u64>, now_ns: u64) {
        let is_over = |open: &Open| open.loop_number == loop_number && Some(open.due_ns) != due_ns;
        while let Some(at) = self.open.iter().position(is_over) {
            let open = self.open.swap_remove(at);
            let end = end(logs, &open, open.due_ns + logs.stall_ns);
            for (which, writer) in logs.writers.iter().enumerate() {
                if let (Some(writer), true) = (writer, open.told[which]) {
                    self.limits[which].end(now_ns);
                    writer.push(Item::from(end.clone()), false);
                }
            }
        }
    }

    fn position(&mut self, loop_number: u64, due_ns: u64, thread: ThreadIds) -> usize {
        let is_its = |open: &Open| open.loop_number == loop_number && open.due_ns == due_ns;
        self.open.iter().position(is_its).unwrap_or_else(|| {
            self.ids += 1;
            self.open.push(Open {
                loop_number,
                due_ns,
                id: self.ids,
                thread,
                told: [false; WRITERS],
                reached: 0,
            });
            self.open.len() - 1
        })
    }
}

fn reached(late_ns: u64) -> usize {
    WORTH_REPEATING_NS.partition_point(|&at_ns| at_ns <= late_ns)
}

fn entry(logs: &Logs, now: &LateNow<'_>, id: u64, event: Event) -> Entry {
    let stack = |ident: u64| {
        let stacks = &now.stacks?.stacks;
        stacks.iter().find(|stack| stack.ident == ident)
    };
    let own = stack(now.thread.ident);
    let callback = own.map(|own| {
        let above = now.below.and_then(|below| own.above(below));
        logs.lines.callback(&own.frames, above)
    });
    let holder = now.holder.map(|(thread, since_ns)| {
        // Stacks that are older than the hold show something else.
        let is_of_hold = now
            .stacks
            .is_some_and(|stacks| stacks.attached_ns >= since_ns);
        let shown = stack(thread.ident).filter(|_| is_of_hold);
        let line = shown.and_then(|stack| place(stack, logs.lines.closest(&stack.frames)));
        Holder { thread, line }
    });
    let task = now.stacks.and_then(|stacks| stacks.task.as_ref());
    Entry {
        event,
        id,
        wall_ns: wall_ns(now.now_ns),
        at_ns: now.now_ns.saturating_sub(logs.started_ns),
        loop_number: now.loop_number,
        thread: now.thread,
        late_ns: now.late_ns(),
        stall_ns: logs.stall_ns,
        cause: now.cause(logs),
        holder,
        line: own
            .zip(callback)
            .and_then(|(own, callback)| place(own, logs.lines.closest(callback))),
        task: task.map(|task| Task {
            name: task.name.clone(),
            coroutine: task.coroutine.clone(),
        }),
        request: own.and_then(|own| own.request.clone()),
    }
}

/// The last line of a stall that ended at `came_ns`.
fn end(logs: &Logs, open: &Open, came_ns: u64) -> Entry {
    Entry {
        event: Event::End,
        id: open.id,
        wall_ns: wall_ns(came_ns),
        at_ns: came_ns.saturating_sub(logs.started_ns),
        loop_number: open.loop_number,
        thread: open.thread,
        late_ns: came_ns.saturating_sub(open.due_ns),
        stall_ns: logs.stall_ns,
        cause: Cause::Unknown,
        holder: None,
        line: None,
        task: None,
        request: None,
    }
}

fn cause_at_end(logs: &Logs, stall: &FinishedStall) -> Cause {
    let mut parts = stall.segments.iter().map(|segment| &segment.evidence);
    let mut whole: Evidence = parts.next().cloned().unwrap_or_default();
    parts.for_each(|evidence| whole.merge(evidence.clone()));
    let came_ns = stall.late.came_ns;
    let first = stall.segments.first();
    let probe_of_first = first
        .and_then(|first| first.sample.as_ref())
        .and_then(|sample| probe(sample, came_ns));
    cause_of(
        &whole,
        came_ns.saturating_sub(stall.late.due_ns),
        probe_of_first,
        logs,
    )
}

fn place(stack: &Stack, frame: Option<&FrameData>) -> Option<Place> {
    let (file, line, function) = frame?;
    Some(Place {
        file: file.to_string(),
        line: *line,
        function: function.to_string(),
        certainty: certainty(stack),
    })
}

fn certainty(stack: &Stack) -> &'static str {
    match stack.certainty {
        Certainty::Proved => "proved",
        Certainty::ReadTwice => "read twice",
    }
}

/// The moment `at_ns` of the monotonic clock, since 1970.
fn wall_ns(at_ns: u64) -> u64 {
    let ago_ns = now_ns().saturating_sub(at_ns);
    read_clock_ns(libc::CLOCK_REALTIME)
        .unwrap_or(0)
        .saturating_sub(ago_ns)
}

#[cfg(test)]
mod tests;
