//! Stacks that the sampler reads itself, from memory, while a stall lasts: no thread has to release the GIL for them.

use crate::gil::ThreadIds;
use crate::gil::known_objects::{KnownObjects, Seen};
use crate::gil::process::names::Namer;
use crate::gil::reader::Reader;
use crate::gil::stack::{self, Doubt, FRAMES_KEPT_AT_EACH_END};
use crate::system::clock::now_ns;
use crate::system::scheduling::own_cpu_time_ns;
use crate::watch::gil_wait::Sample;
use crate::watch::stack_requests::{MAX_THREADS, StackSample};
use crate::watch::stacks::{Below, CurrentTask, FrameData, Stack, left_out_frame};
use crate::watch::state::WatchState;

pub struct NativeStacks {
    pub reader: Reader,
    /// `None` if tasks and requests cannot be read.
    pub objects: Option<KnownObjects>,
    /// Of another process: what its threads are called.
    namer: Option<Namer>,
    /// When the sample began in which stacks are read, and how many loops are late.
    sample_ns: u64,
    late_loops: u64,
}

/// Stacks are read for this long in one sample; what is left follows in the next one.
const MAX_NS_PER_SAMPLE: u64 = 2_000_000;

impl NativeStacks {
    #[allow(clippy::large_types_passed_by_value)] // once in a watch
    pub fn new(reader: Reader, objects: Option<KnownObjects>) -> Self {
        Self {
            reader,
            objects,
            namer: None,
            sample_ns: 0,
            late_loops: 0,
        }
    }

    #[allow(clippy::large_types_passed_by_value)] // as above
    pub fn of_process(reader: Reader, namer: Namer) -> Self {
        Self {
            namer: Some(namer),
            ..Self::new(reader, None)
        }
    }

    pub fn begin_sample(&mut self, now_ns: u64, late_loops: u64) {
        self.sample_ns = now_ns;
        self.late_loops = late_loops;
    }

    /// Whether there is time left to read stacks in this sample.
    pub fn has_time(&self) -> bool {
        now_ns().saturating_sub(self.sample_ns) < MAX_NS_PER_SAMPLE
    }

    /// Reads the stacks of a loop's thread, of the thread that holds the GIL, and of `others`. A stack that is in doubt is
    /// left out. `None` if all are, and if the loop's or the holder's is, unless `takes_less`. `event_loop` is the address of the loop's
    /// object.
    pub fn take(
        &mut self,
        watch: &WatchState,
        sample: &Sample<'_>,
        own: ThreadIds,
        others: impl Iterator<Item = ThreadIds>,
        event_loop: usize,
        takes_less: bool,
    ) -> Option<StackSample> {
        let began_ns = own_cpu_time_ns();
        let mut stacks = Vec::new();
        let mut task = None;
        if let Ok(seen) = self.see(own.native, event_loop) {
            self.note_name(watch, &seen.stack);
            let mut stack = converted(&seen.stack);
            stack.request = seen.request;
            task = seen.task;
            stacks.push(stack);
        }
        let holder = sample.holder().filter(|_| !sample.probed);
        let mut seen = vec![own];
        for thread in holder.into_iter().chain(others) {
            if thread.native == 0 || seen.contains(&thread) || seen.len() == MAX_THREADS {
                continue;
            }
            seen.push(thread);
            let read = self.reader.stack(thread.native);
            // The holder's stack shows what it holds the GIL for only if it has held it all along.
            let is_in_time = Some(thread) != holder || sample.is_same_hold_now();
            if let Ok(read) = read
                && is_in_time
            {
                self.note_name(watch, &read);
                stacks.push(converted(&read));
            }
        }
        let is_there = |holder: ThreadIds| stacks.iter().any(|stack| stack.ident == holder.ident);
        let is_complete = is_there(own) && holder.is_none_or(is_there);
        if stacks.is_empty() || !(is_complete || takes_less) {
            return None;
        }
        Some(StackSample {
            id: 0,
            asked_ns: None,
            attached_ns: sample.now_ns,
            // Each late loop has its share of the time for stacks.
            took_ns: (own_cpu_time_ns() - began_ns) * self.late_loops.max(1),
            stacks,
            task: task.map(|(name, coroutine)| CurrentTask { name, coroutine }),
        })
    }
}

impl NativeStacks {
    /// Keeps the name of the thread with this stack, if it is not known yet.
    pub fn note_name(&self, watch: &WatchState, stack: &stack::Stack) {
        if watch.names.with(|names| names.contains_key(&stack.thread)) {
            return;
        }
        let name = match &self.namer {
            Some(namer) => namer.name(stack),
            None => self.objects.and_then(|objects| objects.thread_name(stack)),
        };
        if let Some(name) = name {
            watch.names.with(|names| names.insert(stack.thread, name));
        }
    }

    /// The stack of a thread, with the task and the request that the loop at the address `event_loop` is busy with there.
    pub fn see(&mut self, native_id: u64, event_loop: usize) -> Result<Seen, Doubt> {
        match &mut self.objects {
            Some(objects) => objects.see(&mut self.reader, native_id, event_loop),
            None => self.reader.stack(native_id).map(Seen::only),
        }
    }

    /// The same of a thread that runs: as many of its outermost frames as can be read, and if possible so many that one of the
    /// callback is among them, which the loop calls from the frame `below`.
    pub fn see_outermost(
        &mut self,
        native_id: u64,
        event_loop: usize,
        below: Option<Below>,
    ) -> Result<Seen, Doubt> {
        let least = below.map_or(0, |below| below.depth + 1);
        let mut see = |least| match &mut self.objects {
            Some(objects) => {
                objects.see_outermost(&mut self.reader, (native_id, least), event_loop)
            }
            None => self.reader.outermost(native_id, least).map(Seen::only),
        };
        see(least).or_else(|_| see(0))
    }
}

pub fn converted(read: &stack::Stack) -> Stack {
    let frame = |frame: &stack::Frame| -> FrameData {
        let line = frame.line.unwrap_or(frame.first_line).max(1);
        (
            frame.file.clone().into(),
            line,
            frame.function.clone().into(),
        )
    };
    let mut frames: Vec<_> = read.frames.iter().map(frame).collect();
    if read.left_out > 0 {
        let count = u32::try_from(read.left_out).unwrap_or(u32::MAX);
        frames.insert(FRAMES_KEPT_AT_EACH_END, left_out_frame(count));
    }
    Stack {
        ident: read.thread.ident,
        frames,
        depth: read.depth(),
        root: read.frames.last().map_or(0, |outermost| outermost.code),
        request: None,
        certainty: read.certainty,
    }
}
