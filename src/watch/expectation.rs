//! When a loop's next heartbeat is due: one word that the loop's thread and the sampler change without a lock.
//!
//! | word | meaning | changed by |
//! |---|---|---|
//! | 0 | the loop does not run | the loop's thread |
//! | a moment | a beat is due then | the loop's thread; the sampler when it sees the loop fall asleep |
//! | a moment, with the highest bit set | the loop sleeps in its selector, as the sampler saw last at that moment; no beat is due | the sampler; the loop's thread if it beats or stops all the same |
//!
//! The loop's thread simply stores what it expects next. The sampler only exchanges the very word that it has read: if the loop's
//! thread was first, the sampler has seen an old state, and leaves the new one alone.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expectation {
    /// The loop does not run.
    Nothing,
    Beat {
        due_ns: u64,
    },
    /// The loop sleeps in its selector: when the sampler saw that last.
    Asleep {
        seen_ns: u64,
    },
}

const ASLEEP: u64 = 1 << 63;

impl Expectation {
    fn of(word: u64) -> Self {
        match word {
            0 => Self::Nothing,
            _ if word & ASLEEP != 0 => Self::Asleep {
                seen_ns: word & !ASLEEP,
            },
            due_ns => Self::Beat { due_ns },
        }
    }

    fn word(self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Beat { due_ns } => due_ns & !ASLEEP,
            Self::Asleep { seen_ns } => seen_ns | ASLEEP,
        }
    }

    /// When the timer must expire that wakes the loop; 0 for never.
    pub fn due_ns(self) -> u64 {
        match self {
            Self::Beat { due_ns } => due_ns,
            Self::Nothing | Self::Asleep { .. } => 0,
        }
    }
}

#[derive(Default)]
pub struct ExpectationCell(AtomicU64);

// SeqCst throughout. Acquire and Release make visible what is written before a change: the loop's ids, its late beat, and when the
// sampler saw that the loop runs. The one order between all threads is for `HeartbeatState::settle_timer`, which changes the
// expectation, sets the timer, and must then see any change that another thread has made before it set the timer.
impl ExpectationCell {
    pub fn get(&self) -> Expectation {
        Expectation::of(self.0.load(Ordering::SeqCst))
    }

    pub fn set(&self, new: Expectation) {
        self.0.store(new.word(), Ordering::SeqCst);
    }

    /// Changes the expectation to `new` if it is still `old`.
    pub fn exchange(&self, old: Expectation, new: Expectation) -> bool {
        self.0
            .compare_exchange(old.word(), new.word(), Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Expectation, ExpectationCell};

    #[test]
    fn an_expectation_is_kept_as_it_was_set() {
        let cell = ExpectationCell::default();
        assert_eq!(cell.get(), Expectation::Nothing);
        for expected in [
            Expectation::Beat { due_ns: 5 },
            Expectation::Asleep { seen_ns: 5 },
            Expectation::Nothing,
        ] {
            cell.set(expected);
            assert_eq!(cell.get(), expected);
        }
    }

    #[test]
    fn the_sampler_changes_nothing_that_the_loop_has_changed_meanwhile() {
        let cell = ExpectationCell::default();
        let (seen, next) = (
            Expectation::Beat { due_ns: 5 },
            Expectation::Beat { due_ns: 6 },
        );
        cell.set(seen);
        cell.set(next);
        assert!(!cell.exchange(seen, Expectation::Asleep { seen_ns: 3 }));
        assert_eq!(cell.get(), next);
        assert!(cell.exchange(next, Expectation::Asleep { seen_ns: 3 }));
    }

    #[test]
    fn only_a_beat_has_a_moment_when_it_is_due() {
        assert_eq!(Expectation::Beat { due_ns: 5 }.due_ns(), 5);
        assert_eq!(Expectation::Asleep { seen_ns: 5 }.due_ns(), 0);
        assert_eq!(Expectation::Nothing.due_ns(), 0);
    }
}
