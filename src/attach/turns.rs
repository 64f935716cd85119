//! From what samples show of a loop to its turns. No time is counted twice, and no turn is longer than it may have been.

/// Between two samples it is unknown when something happened. It is taken to have happened in the middle, and if the sampler has
/// not run for long, no further from the nearest sample than this.
const MAX_UNCERTAIN_NS: u64 = 2_500_000;

/// What a sample shows of a loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// Asleep in its selector.
    Asleep,
    /// Not asleep, and not running callbacks either: on its way to the selector, or back from it. It may wait for the GIL there.
    /// The mark changes whenever a callback is run.
    Between { mark: u64 },
    /// Running callbacks, in the iteration with this id, and since this moment if it is known.
    Running { id: u64, began_ns: Option<u64> },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Unknown,
    Asleep,
    Between { since_ns: u64, mark: u64 },
    Running { since_ns: u64, id: u64 },
}

/// A turn that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    pub began_ns: u64,
    pub ended_ns: u64,
}

impl Turn {
    pub fn length_ns(self) -> u64 {
        self.ended_ns.saturating_sub(self.began_ns)
    }
}

/// One loop's turns.
pub struct Turns {
    state: State,
    /// The last sample.
    seen_ns: u64,
    /// What was before this is not counted.
    from_ns: u64,
}

impl Turns {
    pub fn new(now_ns: u64) -> Self {
        Self {
            state: State::Unknown,
            seen_ns: now_ns,
            from_ns: now_ns,
        }
    }

    /// When the current turn began; `None` if the loop sleeps.
    pub fn since_ns(&self) -> Option<u64> {
        match self.state {
            State::Unknown | State::Asleep => None,
            State::Between { since_ns, .. } | State::Running { since_ns, .. } => Some(since_ns),
        }
    }

    /// Adds a sample. Returns the turn that has ended, if one has.
    pub fn add(&mut self, now_ns: u64, look: Look) -> Option<Turn> {
        let state = self.after(now_ns, look);
        let goes_on = self.goes_on(look);
        let turn = self.since_ns().filter(|_| !goes_on).map(|began_ns| {
            let next_ns = match look {
                Look::Running {
                    began_ns: Some(began_ns),
                    ..
                } => began_ns.clamp(self.seen_ns, now_ns),
                _ => now_ns,
            };
            Turn {
                began_ns,
                ended_ns: soon_after(self.seen_ns, next_ns),
            }
        });
        self.state = state;
        self.seen_ns = now_ns;
        turn
    }

    /// Whether a look that follows shows that the current turn goes on.
    pub fn goes_on(&self, look: Look) -> bool {
        match (self.state, look) {
            (State::Between { mark, .. }, Look::Between { mark: now }) => mark == now,
            (State::Running { id, .. }, Look::Running { id: now, .. }) => id == now,
            (State::Between { .. }, Look::Running { .. }) => true,
            _ => false,
        }
    }

    /// The loop has ended, or its process does not run: ends the current turn.
    pub fn end(&mut self, now_ns: u64) -> Option<Turn> {
        let turn = self.since_ns().map(|began_ns| Turn {
            began_ns,
            ended_ns: soon_after(self.seen_ns, now_ns),
        });
        self.state = State::Unknown;
        (self.seen_ns, self.from_ns) = (now_ns, now_ns);
        turn
    }

    fn after(&self, now_ns: u64, look: Look) -> State {
        let just_now = soon_before(self.seen_ns, now_ns);
        match (self.state, look) {
            (_, Look::Asleep) => State::Asleep,
            (
                State::Between {
                    since_ns,
                    mark: before,
                },
                Look::Between { mark },
            ) if mark == before => State::Between { since_ns, mark },
            (_, Look::Between { mark }) => State::Between {
                since_ns: just_now.max(self.from_ns),
                mark,
            },
            (
                State::Running {
                    since_ns,
                    id: before,
                },
                Look::Running { id, .. },
            ) if id == before => State::Running { since_ns, id },
            // The iteration began on the way back from the selector.
            (State::Between { since_ns, .. }, Look::Running { id, .. }) => {
                State::Running { since_ns, id }
            }
            (State::Unknown, Look::Running { id, began_ns }) => State::Running {
                since_ns: began_ns.unwrap_or(now_ns).max(self.from_ns).min(now_ns),
                id,
            },
            (_, Look::Running { id, began_ns }) => State::Running {
                since_ns: began_ns.unwrap_or(just_now).clamp(self.seen_ns, now_ns),
                id,
            },
        }
    }
}

fn soon_after(seen_ns: u64, now_ns: u64) -> u64 {
    seen_ns.midpoint(now_ns).min(seen_ns + MAX_UNCERTAIN_NS)
}

fn soon_before(seen_ns: u64, now_ns: u64) -> u64 {
    seen_ns
        .midpoint(now_ns)
        .max(now_ns.saturating_sub(MAX_UNCERTAIN_NS))
}

#[cfg(test)]
mod tests {
    use super::{Look, Turn, Turns};

    const MS: u64 = 1_000_000;

    fn running(id: u64, began_ms: u64) -> Look {
        Look::Running {
            id,
            began_ns: Some(began_ms * MS),
        }
    }

    /// The turns that end, as (beginning, length) in microseconds, and when the last one began that has not.
    fn turns(looks: &[(u64, Look)]) -> (Vec<(u64, u64)>, Option<u64>) {
        let mut turns = Turns::new(0);
        let ended = looks
            .iter()
            .filter_map(|&(at_ms, look)| turns.add(at_ms * MS, look));
        let ended: Vec<Turn> = ended.collect();
        let row = |turn: &Turn| (turn.began_ns / 1000, turn.length_ns() / 1000);
        (ended.iter().map(row).collect(), turns.since_ns())
    }

    #[test]
    fn a_turn_begins_where_the_loop_says_and_ends_between_two_samples() {
        let looks = [
            (10, Look::Asleep),
            (20, running(1, 12)),
            (21, running(1, 12)),
            (22, running(1, 12)),
            (23, Look::Asleep),
        ];
        assert_eq!(turns(&looks), (vec![(12_000, 10_500)], None));
    }

    #[test]
    fn a_loop_that_never_sleeps_has_a_turn_for_each_iteration() {
        let looks: Vec<_> = (1..100)
            .map(|at| (at, running(at / 4, at / 4 * 4)))
            .collect();
        let (ended, since_ns) = turns(&looks);
        assert_eq!(ended.len(), 24);
        assert!(ended.iter().all(|&(_, length)| length <= 4000));
        assert_eq!(since_ns, Some(96 * MS));
    }

    #[test]
    fn the_wait_for_the_gil_on_the_way_back_from_the_selector_is_part_of_the_turn() {
        let waits = Look::Between { mark: 7 };
        let looks = [
            (1, Look::Asleep),
            (2, waits),
            (3, waits),
            (61, waits),
            (62, running(1, 62)),
            (63, Look::Asleep),
        ];
        assert_eq!(turns(&looks), (vec![(1500, 61_000)], None));
    }

    #[test]
    fn a_loop_that_is_seen_between_two_iterations_again_and_again_has_no_long_turn() {
        let looks: Vec<_> = (1..100)
            .map(|at| (at, Look::Between { mark: at }))
            .collect();
        let (ended, since_ns) = turns(&looks);
        assert!(ended.iter().all(|&(_, length)| length <= 1500));
        assert!(since_ns > Some(98 * MS));
    }

    #[test]
    fn while_the_sampler_does_not_run_no_turn_grows() {
        let looks = [
            (1, Look::Asleep),
            (2, running(1, 2)),
            (500, running(2, 499)), // the first may have ended at any time
            (900, Look::Between { mark: 1 }),
            (901, Look::Asleep),
        ];
        let (ended, _) = turns(&looks);
        assert!(ended.iter().all(|&(_, length)| length <= 3500), "{ended:?}");
    }

    #[test]
    fn what_was_before_the_first_sample_is_not_counted() {
        let mut turns = Turns::new(1000 * MS);
        turns.add(1001 * MS, running(1, 3));
        assert_eq!(turns.since_ns(), Some(1000 * MS));
        assert_eq!(turns.end(1002 * MS).map(Turn::length_ns), Some(1_500_000));
        assert_eq!(turns.add(2000 * MS, running(1, 3)), None);
        assert_eq!(turns.since_ns(), Some(1002 * MS));
    }
}
