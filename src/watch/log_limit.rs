//! How many lines a log gets: so few that no disk fills up, and so that no stall is left without its end.

use std::collections::VecDeque;

/// Lines a second.
pub const MAX_LINES: usize = 10;
const SECOND_NS: u64 = 1_000_000_000;

/// The lines of the last second, together with those that are promised, are never more than [`MAX_LINES`]. So a line that was
/// promised can be written at any time.
#[derive(Default)]
pub struct LogLimit {
    written: VecDeque<u64>,
    promised: usize,
}

impl LogLimit {
    /// Whether there is room for the first of two lines.
    pub fn has_room_for_two(&mut self, now_ns: u64) -> bool {
        self.has_room(now_ns, 2)
    }

    /// Counts the first of two lines, if there is room for both.
    pub fn begin(&mut self, now_ns: u64) -> bool {
        let has_room = self.has_room(now_ns, 2);
        if has_room {
            self.promised += 1;
            self.written.push_back(now_ns);
        }
        has_room
    }

    /// Counts the second of two lines.
    pub fn end(&mut self, now_ns: u64) {
        self.promised = self.promised.saturating_sub(1);
        self.written.push_back(now_ns);
    }

    /// Counts a line by itself, if there is room.
    pub fn single(&mut self, now_ns: u64) -> bool {
        let has_room = self.has_room(now_ns, 1);
        if has_room {
            self.written.push_back(now_ns);
        }
        has_room
    }

    fn has_room(&mut self, now_ns: u64, lines: usize) -> bool {
        while self
            .written
            .front()
            .is_some_and(|&at_ns| at_ns.saturating_add(SECOND_NS) <= now_ns)
        {
            self.written.pop_front();
        }
        self.written.len() + self.promised + lines <= MAX_LINES
    }
}

#[cfg(test)]
mod tests {
    use super::{LogLimit, MAX_LINES, SECOND_NS};

    #[test]
    fn every_begin_has_room_for_its_end() {
        let mut limit = LogLimit::default();
        assert_eq!((0..100).filter(|_| limit.begin(0)).count(), MAX_LINES / 2);
        (0..MAX_LINES / 2).for_each(|_| limit.end(1));
        assert_eq!(limit.written.len(), MAX_LINES);
        assert!(!limit.begin(SECOND_NS - 1));
        assert!(limit.begin(SECOND_NS));
    }

    #[test]
    fn no_second_has_more_lines_whenever_they_begin_and_end() {
        let mut limit = LogLimit::default();
        let (mut lines, mut open) = (Vec::new(), 0);
        let mut random = 1_u64;
        for step in 0..20_000_u64 {
            let now_ns = step * 10_000_000;
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            match random >> 61 {
                0..=2 if limit.begin(now_ns) => {
                    open += 1;
                    lines.push(now_ns);
                }
                3..=4 if open > 0 => {
                    open -= 1;
                    limit.end(now_ns);
                    lines.push(now_ns);
                }
                5 if limit.single(now_ns) => lines.push(now_ns),
                _ => {}
            }
        }
        assert!(lines.len() > 1000);
        assert!(
            lines
                .windows(MAX_LINES + 1)
                .all(|some| some[MAX_LINES] - some[0] >= SECOND_NS)
        );
    }
}
