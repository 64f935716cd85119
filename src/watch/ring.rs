//! Spans of time, packed: the latest ones, within a limit of age and of memory.
//!
//! A span is a hold of the GIL by a thread, or a beat or a probe from when it was due to when it came. Spans lie in blocks, and
//! the oldest block is dropped as a whole.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::gil::ThreadIds;
use crate::watch::packed_spans::PackedSpans;
pub use crate::watch::packed_spans::Span;

/// A block with more bytes than this is closed, and the next one begins.
const BYTES_PER_BLOCK: usize = 1 << 16;
/// A block that spans more time than this is closed too, so that old spans are dropped in time.
const MAX_NS_PER_BLOCK: u64 = 60_000_000_000;
/// What a block takes besides its bytes and its threads: itself, its counts of references, and its place in the ring.
const BYTES_OF_A_BLOCK: usize = size_of::<PackedSpans>() + 3 * size_of::<usize>();
/// What a ring keeps.
#[derive(Clone, Copy)]
pub struct Limits {
    pub age_ns: u64,
    pub bytes: usize,
    /// This many of the latest spans are kept whatever their age and size.
    pub spans: usize,
    /// Moments and lengths are kept in units of this many nanoseconds.
    pub unit_ns: u64,
}

/// The spans, in the order in which they were added: mostly that of their ends.
pub struct Ring {
    limits: Limits,
    closed: VecDeque<Arc<PackedSpans>>,
    open: PackedSpans,
    /// The numbers of the threads in the open block.
    numbers: HashMap<ThreadIds, u64>,
    closed_bytes: usize,
    closed_spans: usize,
    complete_since_ns: u64,
}

/// What a ring had at some time. The blocks are shared with the ring, so it costs next to nothing.
pub struct Kept {
    blocks: Vec<Arc<PackedSpans>>,
    /// Spans that were not in a block yet.
    pub rest: Vec<Span>,
    unit_ns: u64,
    /// No span that ended later was dropped.
    pub complete_since_ns: u64,
}

impl Ring {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            closed: VecDeque::new(),
            open: PackedSpans::default(),
            numbers: HashMap::new(),
            closed_bytes: 0,
            closed_spans: 0,
            complete_since_ns: 0,
        }
    }

    /// Adds a span, and drops what is too old by its end or too much. Returns how many bytes it takes.
    pub fn add(&mut self, span: Span) -> usize {
        let unit = self.limits.unit_ns;
        let (from, to) = (span.from_ns / unit, span.to_ns / unit);
        let is_old = to.saturating_sub(self.open.begin) > MAX_NS_PER_BLOCK / unit;
        if self.open.spans > 0 && (is_old || self.open.size() >= BYTES_PER_BLOCK) {
            self.close_block();
        }
        self.drop_oldest(span.to_ns);
        let before = self.open.size();
        let open = &mut self.open;
        let number = *self
            .numbers
            .entry(span.by)
            .or_insert_with(|| open.add_thread(span.by));
        open.add(number, from, to);
        open.size() - before
    }

    /// What the ring has of the spans that ended after `since_ns`, and maybe some older ones.
    pub fn kept(&self, since_ns: u64) -> Kept {
        let since = since_ns / self.limits.unit_ns;
        let closed = self.closed.iter().filter(|block| block.end >= since);
        let open = (self.open.spans > 0).then(|| Arc::new(self.open.clone()));
        Kept {
            blocks: closed.cloned().chain(open).collect(),
            rest: Vec::new(),
            unit_ns: self.limits.unit_ns,
            complete_since_ns: self.complete_since_ns,
        }
    }

    /// How many bytes the ring takes.
    pub fn size(&self) -> usize {
        let numbers = self.numbers.capacity() * (size_of::<(ThreadIds, u64)>() + 1);
        let open = self.open.capacity();
        self.closed_bytes + open + numbers
    }

    fn close_block(&mut self) {
        let mut block = std::mem::take(&mut self.open);
        block.shrink();
        self.open.begin = block.end;
        self.open.end = block.end;
        self.numbers.clear();
        self.numbers.shrink_to(64);
        self.closed_bytes += block.size() + BYTES_OF_A_BLOCK;
        self.closed_spans += block.spans;
        self.closed.push_back(Arc::new(block));
    }

    fn drop_oldest(&mut self, now_ns: u64) {
        let limits = self.limits;
        let oldest = now_ns.saturating_sub(limits.age_ns) / limits.unit_ns;
        while let Some(first) = self.closed.front() {
            let is_needed = self.closed_spans + self.open.spans < limits.spans + first.spans;
            let fits = self.size() + BYTES_PER_BLOCK <= limits.bytes;
            if is_needed || (fits && first.end >= oldest) {
                break;
            }
            self.complete_since_ns = (first.end + 1) * limits.unit_ns;
            self.closed_bytes -= first.size() + BYTES_OF_A_BLOCK;
            self.closed_spans -= first.spans;
            self.closed.pop_front();
        }
    }
}

impl Kept {
    /// The spans, the oldest first.
    pub fn spans(&self) -> impl Iterator<Item = Span> {
        let packed = self
            .blocks
            .iter()
            .flat_map(|block| block.spans(self.unit_ns));
        packed.chain(self.rest.iter().copied())
    }

    /// The last `count` spans.
    pub fn latest(&self, count: usize) -> impl Iterator<Item = Span> {
        let all = self.blocks.iter().map(|block| block.spans).sum::<usize>() + self.rest.len();
        self.spans().skip(all.saturating_sub(count))
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, Ring, Span};
    use crate::gil::ThreadIds;

    const LIMITS: Limits = Limits {
        age_ns: 600_000_000_000,
        bytes: 1_000_000,
        spans: 0,
        unit_ns: 1,
    };

    fn span(thread: u64, from_ns: u64, to_ns: u64) -> Span {
        let by = ThreadIds {
            ident: thread,
            native: thread,
        };
        Span { by, from_ns, to_ns }
    }

    fn all(ring: &Ring) -> Vec<Span> {
        ring.kept(0).spans().collect()
    }

    #[test]
    fn spans_come_back_as_they_were_added_whatever_their_order_and_size() {
        let spans = [
            span(7, 5, 5),
            span(7, 5, 1_000_005),
            span(8, 1_000_005, 2_000_000),
            span(7, 2_500_000, 90_000_000_000),
            span(8, 3, 2_000_000), // a beat of another loop that was noted later
            span(u64::MAX, 0, 90_000_000_001),
        ];
        let mut ring = Ring::new(LIMITS);
        for span in spans {
            ring.add(span);
        }
        assert_eq!(all(&ring), spans);
        assert_eq!(ring.kept(0).latest(2).collect::<Vec<_>>(), spans[4..]);
    }

    #[test]
    fn spans_are_dropped_by_their_age() {
        let mut ring = Ring::new(LIMITS);
        for second in 0..2000_u64 {
            ring.add(span(1, second * 1_000_000_000, second * 1_000_000_000 + 5));
        }
        let kept = ring.kept(0);
        let first = kept.spans().next().unwrap();
        let age = 1999 - first.from_ns / 1_000_000_000;
        assert!((600..=661).contains(&age), "{age}");
        assert!(kept.complete_since_ns <= first.to_ns);
        assert!(kept.complete_since_ns > first.to_ns - 1_000_000_000);
    }

    #[test]
    fn spans_are_dropped_when_they_take_too_much_memory() {
        let mut ring = Ring::new(LIMITS);
        let mut largest = 0;
        for number in 0..1_000_000_u64 {
            ring.add(span(number, number * 3, number * 3 + 2)); // a thread each
            largest = largest.max(ring.size());
        }
        assert!(largest <= LIMITS.bytes, "{largest}");
        assert_eq!(
            all(&ring).last(),
            Some(&span(999_999, 2_999_997, 2_999_999))
        );
    }

    #[test]
    fn a_trace_keeps_its_latest_spans_however_old_and_large() {
        let mut ring = Ring::new(Limits {
            age_ns: 0,
            bytes: 0,
            spans: 5000,
            unit_ns: 1,
        });
        for number in 0..20_000_u64 {
            ring.add(span(number, number << 20, (number << 20) + 1));
        }
        let spans = all(&ring);
        assert!((5000..=15_000).contains(&spans.len()), "{}", spans.len());
    }

    #[test]
    fn a_unit_rounds_each_end_down() {
        let mut ring = Ring::new(Limits {
            unit_ns: 1000,
            ..LIMITS
        });
        ring.add(span(1, 1999, 5001));
        assert_eq!(all(&ring), [span(1, 1000, 5000)]);
    }

    #[test]
    fn what_was_kept_stays_as_it_was() {
        let mut ring = Ring::new(LIMITS);
        ring.add(span(1, 1, 2));
        let kept = ring.kept(0);
        for number in 2..1_000_000 {
            ring.add(span(number, number * 2, number * 2 + 1));
        }
        assert_eq!(kept.spans().collect::<Vec<_>>(), [span(1, 1, 2)]);
    }
}
