//! uvloop's loop: when its current iteration began.
//!
//! The loop is native and has no frame. While it runs, its object lies among the values of the frame that has called it, and has the
//! `ident` of its thread. libuv's `uv_loop_t`, to which the object refers and which refers back to the object, has the time in
//! milliseconds: new whenever epoll has returned. From libuv 1.45 on it also counts the iterations, so that a callback that asks for
//! the time anew does not look like a new iteration.

use std::collections::HashMap;

use super::places::Places;
use super::turns::Look;
use crate::gil::objects::is_object;
use crate::gil::reader::bytes::Bytes;
use crate::gil::stack::Stack;

/// The frames of a stack that are searched, innermost first, and the words of each.
const MAX_FRAMES: usize = 40;
const WORDS_OF_FRAME: usize = 48;
const TYPE: usize = 8;
const TYPE_SIZE: usize = 32;
const TYPE_BASE: usize = 256;
const MAX_BASES: usize = 4;
const MAX_TYPES: usize = 10_000;
const MAX_WORDS_OF_OBJECT: usize = 128;
/// Offsets in `uv_loop_t` (libuv's include/uv.h and uv/unix.h), the same since libuv 1.0; `time` follows a few words that differ.
const INTERNAL_FIELDS: usize = 40;
const BACKEND_FD: usize = 64;
const WORDS_OF_UV_LOOP: usize = 128;
const FIRST_WORD_OF_TIME: usize = 20;
/// `loop_count` in `uv__loop_internal_fields_t`.
const LOOP_COUNT: usize = 8;
/// The time of a loop that has not slept for longer lies within this.
const MAX_AGE_MS: u64 = 600_000;
const MS: u64 = 1_000_000;

pub struct UvLoop {
    pub epoll: i32,
    ident: u64,
    ident_at: usize,
    time_at: usize,
    /// Where the iterations are counted.
    count_at: usize,
    context_version_at: usize,
    /// The last count, and the time that was seen with it.
    last: Option<(u64, u64)>,
    counts: bool,
}

impl UvLoop {
    /// The loop that runs in the thread with this stack.
    pub fn in_stack(
        places: &Places,
        types: &mut LoopTypes,
        stack: &Stack,
        now_ns: u64,
    ) -> Option<Self> {
        let frames = stack.frames.iter().take(MAX_FRAMES);
        let mut objects: Vec<usize> = frames
            .flat_map(|frame| {
                let from = frame.address + places.layout.frame.variables;
                words(places, from, WORDS_OF_FRAME).unwrap_or_default()
            })
            .map(|word| places.address(word))
            .filter(|&object| is_object(object))
            .collect();
        objects.sort_unstable();
        objects.dedup();
        objects.into_iter().find_map(|object| {
            let size = types.size_of_loop(places, object)?;
            Self::of(places, stack, object, size, now_ns)
        })
    }

    fn of(places: &Places, stack: &Stack, object: usize, size: usize, now_ns: u64) -> Option<Self> {
        let count = (size / 8).min(MAX_WORDS_OF_OBJECT);
        let own = words(places, object, count)?;
        let ident = stack.thread.ident;
        let ident_at = own.iter().position(|&word| word == ident)?;
        let refers_back = |&&word: &&u64| {
            let at = usize::try_from(word).unwrap_or_default();
            is_object(at) && places.objects.word(at) == Some(object)
        };
        let uv_loop = usize::try_from(*own.iter().find(refers_back)?).ok()?;
        let fields = words(places, uv_loop, WORDS_OF_UV_LOOP)?;
        let latest = now_ns / MS;
        let is_time = |&&(at, word): &&(usize, u64)| {
            at >= FIRST_WORD_OF_TIME && word <= latest && word + MAX_AGE_MS > latest
        };
        let fields: Vec<(usize, u64)> = fields.into_iter().enumerate().collect();
        let (time, _) = *fields.iter().find(is_time)?;
        let internal = usize::try_from(fields.get(INTERNAL_FIELDS / 8)?.1).ok()?;
        let (_, epoll) = *fields.get(BACKEND_FD / 8)?;
        Some(Self {
            epoll: i32::try_from(epoll & 0xffff_ffff).ok()?,
            ident,
            ident_at: object + 8 * ident_at,
            time_at: uv_loop + 8 * time,
            count_at: internal + LOOP_COUNT,
            context_version_at: places.context_version(stack.state),
            last: None,
            counts: false,
        })
    }

    /// What the loop shows, except whether it sleeps. `None` if it does not run any more.
    pub fn look(&mut self, places: &Places, seen_ns: u64, now_ns: u64) -> Option<Look> {
        let [ident, time_ms, count, mark] = places.words([
            self.ident_at,
            self.time_at,
            self.count_at,
            self.context_version_at,
        ])?;
        if ident != self.ident {
            return None;
        }
        let latest = now_ns / MS;
        if time_ms > latest || time_ms + MAX_AGE_MS < latest {
            return Some(Look::Between { mark }); // it is not the time after all
        }
        let before = self.last.replace((count, time_ms));
        self.counts |= before.is_some_and(|(before, _)| before != count && before != 0);
        // The time is in whole milliseconds, rounded down.
        let mut began_ns = (time_ms * MS + MS / 2).min(now_ns);
        if before.is_some_and(|(of, time)| of != count && time == time_ms) {
            // The iteration has just been counted, and its time is still that of the one before.
            began_ns = began_ns.max(seen_ns);
        }
        Some(Look::Running {
            id: if self.counts { count } else { time_ms },
            began_ns: Some(began_ns),
        })
    }
}

/// The types that have been seen, and the size of their objects if those are loops.
#[derive(Default)]
pub struct LoopTypes(HashMap<usize, Option<usize>>);

impl LoopTypes {
    /// The size of an object if it is a loop of uvloop's.
    fn size_of_loop(&mut self, places: &Places, object: usize) -> Option<usize> {
        let kind = places.objects.object(object + TYPE)?;
        if self.0.len() > MAX_TYPES {
            self.0.clear();
        }
        let read = || {
            let mut own = kind;
            for _ in 0..MAX_BASES {
                if places.is_type_named(own, "uvloop.loop.Loop") {
                    return places.objects.word(kind + TYPE_SIZE);
                }
                own = places.objects.object(own + TYPE_BASE)?;
            }
            None
        };
        *self.0.entry(kind).or_insert_with(read)
    }
}

/// As many words from there as can be read, half of them at least.
fn words(places: &Places, at: usize, count: usize) -> Option<Vec<u64>> {
    [count, count / 2, count / 4].into_iter().find_map(|count| {
        let mut bytes = vec![0; 8 * count];
        let is_read = places.memory.read(at, &mut bytes);
        let bytes = Bytes(&bytes);
        let word = |index: usize| bytes.word(8 * index).unwrap_or_default();
        is_read.then(|| (0..count).map(word).collect())
    })
}
