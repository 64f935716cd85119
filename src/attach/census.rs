//! Which threads another process has, and which of them run an event loop.
//!
//! The threads are listed ten times a second. The stack of a thread is read when it is new, and then now and then, if it has run
//! meanwhile: a thread that sleeps has not begun to run a loop.

use std::collections::{BTreeSet, HashMap};
use std::fs;

use super::kind::Kind;
use super::places::Places;
use super::uv_loop::LoopTypes;
use crate::gil::ThreadIds;
use crate::gil::process::Process;
use crate::gil::reader::Reader;
use crate::watch::state::WatchState;

const NS_BETWEEN_LISTS: u64 = 100_000_000;
/// Between two stacks of a thread: of one that is new, and of one that has run no loop in its first stacks.
const NS_BETWEEN_FIRST_STACKS: u64 = 150_000_000;
const NS_BETWEEN_STACKS: u64 = 500_000_000;
const FIRST_STACKS: u32 = 5;
/// After a stack that could not be read, because its thread runs fast.
const NS_AFTER_FAILURE: u64 = 4_000_000;
/// How often it is tried to read a stack when all threads are looked at.
const MAX_ATTEMPTS: usize = 20;
/// How often it is looked whether the process has loaded uvloop.
const NS_BETWEEN_MAPS: u64 = 500_000_000;
/// How many stacks of a thread are read to find out its name.
const MAX_STACKS_FOR_NAME: u32 = 10;

/// A moment, and the `ident` and native id of a thread.
type Due = (u64, u64, u64);

struct Known {
    outer_id: u64,
    /// Its CPU time when its stack was last read.
    ran_ns: Option<u64>,
    runs_loop: bool,
    /// Its stack has last shown a loop of an unknown kind.
    is_vague: bool,
    /// How many stacks were read since it last ran a loop.
    stacks: u32,
    /// How many more stacks may be read for its name; 0 if it has one.
    looks_for_name: u32,
}

pub struct Census {
    known: HashMap<ThreadIds, Known>,
    /// When each thread is looked at next, except those that run a loop.
    due: BTreeSet<Due>,
    listed_ns: u64,
    mapped_ns: u64,
    uvloop: Option<LoopTypes>,
    process_name: String,
}

/// What a step has found.
#[derive(Default)]
pub struct Found {
    pub loops: Vec<(ThreadIds, Kind)>,
    /// Threads that have ended.
    pub gone: Vec<ThreadIds>,
}

/// Where the census looks.
pub struct Around<'a> {
    pub process: &'a mut Process,
    pub reader: &'a mut Reader,
    pub places: &'a Places,
    pub watch: &'a WatchState,
}

impl Census {
    pub fn new(pid: libc::pid_t) -> Self {
        Self {
            known: HashMap::new(),
            due: BTreeSet::new(),
            listed_ns: 0,
            mapped_ns: 0,
            uvloop: None,
            process_name: fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default(),
        }
    }

    /// Looks at all threads at once.
    pub fn all(&mut self, around: &mut Around<'_>, now_ns: u64) -> Found {
        let mut found = Found::default();
        self.list(around, now_ns, &mut found);
        for _ in 0..MAX_ATTEMPTS {
            // A stack that could not be read is tried again at once.
            let next = || self.next_due(now_ns + NS_AFTER_FAILURE);
            let due: Vec<_> = std::iter::from_fn(next).collect();
            for thread in due {
                self.look_at(thread, around, now_ns, &mut found);
            }
        }
        found
    }

    /// Looks at one thread at most.
    pub fn step(&mut self, around: &mut Around<'_>, now_ns: u64) -> Found {
        let mut found = Found::default();
        if now_ns >= self.listed_ns + NS_BETWEEN_LISTS {
            self.list(around, now_ns, &mut found);
            return found;
        }
        if let Some(thread) = self.next_due(now_ns) {
            self.look_at(thread, around, now_ns, &mut found);
        }
        found
    }

    /// The loop of a thread has ended, or has not been found where it was.
    pub fn ended(&mut self, thread: ThreadIds) {
        if let Some(known) = self.known.get_mut(&thread) {
            known.runs_loop = false;
            known.ran_ns = None;
            known.stacks = 0;
            self.due.insert((0, thread.ident, thread.native));
        }
    }

    /// The thread that is to be looked at by now.
    fn next_due(&mut self, now_ns: u64) -> Option<ThreadIds> {
        let &(due_ns, ident, native) = self.due.first()?;
        if due_ns > now_ns {
            return None;
        }
        self.due.pop_first();
        Some(ThreadIds { ident, native })
    }

    fn list(&mut self, around: &mut Around<'_>, now_ns: u64, found: &mut Found) {
        self.listed_ns = now_ns;
        if self.uvloop.is_none() && now_ns >= self.mapped_ns + NS_BETWEEN_MAPS {
            self.mapped_ns = now_ns;
            self.uvloop = has_uvloop(around.process.pid()).then(LoopTypes::default);
        }
        let threads = around.process.threads();
        if threads.is_empty() {
            return; // it could not be read; or the process is about to end, which is noticed elsewhere
        }
        for &thread in &threads {
            if self.known.contains_key(&thread) {
                continue;
            }
            let Some(outer_id) = around.watch.threads.outer_id(thread.native) else {
                continue;
            };
            let known = Known {
                outer_id,
                ran_ns: None,
                runs_loop: false,
                is_vague: false,
                stacks: 0,
                looks_for_name: MAX_STACKS_FOR_NAME,
            };
            self.known.insert(thread, known);
            self.due.insert((0, thread.ident, thread.native));
        }
        if self.known.len() > threads.len() {
            self.known.retain(|thread, _| {
                let is_there = threads.contains(thread);
                if !is_there {
                    found.gone.push(*thread);
                }
                is_there
            });
        }
    }

    fn look_at(
        &mut self,
        thread: ThreadIds,
        around: &mut Around<'_>,
        now_ns: u64,
        found: &mut Found,
    ) {
        let pid = around.process.pid();
        let Some(known) = self.known.get_mut(&thread) else {
            return;
        };
        let pause_ns = if known.stacks < FIRST_STACKS {
            NS_BETWEEN_FIRST_STACKS
        } else {
            NS_BETWEEN_STACKS
        };
        let mut look_again_after = |pause_ns: u64| {
            self.due
                .insert((now_ns + pause_ns, thread.ident, thread.native));
        };
        let ran_ns = ran_ns(pid, known.outer_id);
        if ran_ns.is_some() && ran_ns == known.ran_ns {
            look_again_after(pause_ns);
            return;
        }
        let whole = around.reader.stack(thread.native);
        let is_whole = whole.is_ok();
        // A loop that runs fast and never sleeps changes its innermost frames all the time, not that in which it runs.
        let Ok(stack) = whole.or_else(|_| around.reader.outermost(thread.native, 0)) else {
            look_again_after(NS_AFTER_FAILURE);
            return;
        };
        known.ran_ns = ran_ns;
        known.stacks += 1;
        if known.looks_for_name > 0 {
            known.looks_for_name -= 1;
            let name = around.process.thread_name(&stack).or_else(|| {
                let name = fs::read_to_string(format!("/proc/{pid}/task/{}/comm", known.outer_id));
                let name = name.ok().filter(|name| *name != self.process_name)?;
                Some(name.trim_end().to_owned())
            });
            if let Some(name) = name {
                known.looks_for_name = 0;
                around.watch.names.with(|names| names.insert(thread, name));
            }
        }
        let types = self.uvloop.as_mut();
        let kind = Kind::in_stack(around.places, types, &stack, now_ns);
        if !is_whole && !matches!(kind, Some(Kind::RunOnce(_) | Kind::Uv(_))) {
            known.ran_ns = None;
            look_again_after(NS_AFTER_FAILURE);
            return;
        }
        // A loop of asyncio's that just begins, ends, or changes to its next iteration looks like one of an unknown kind.
        let is_vague = matches!(kind, Some(Kind::Other(_)));
        let was_vague = std::mem::replace(&mut known.is_vague, is_vague);
        if is_vague {
            known.ran_ns = None;
        }
        if let Some(kind) = kind.filter(|_| !is_vague || was_vague) {
            known.runs_loop = true;
            found.loops.push((thread, kind));
        } else {
            look_again_after(pause_ns);
        }
    }
}

/// Whether a process has loaded uvloop.
pub fn has_uvloop(pid: libc::pid_t) -> bool {
    let maps = fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
    maps.windows(13).any(|bytes| bytes == b"/uvloop/loop.")
}

/// The CPU time of a thread, as of the last tick of the scheduler.
fn ran_ns(pid: libc::pid_t, tid: u64) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat")).ok()?;
    text.split(' ').next()?.parse().ok()
}
