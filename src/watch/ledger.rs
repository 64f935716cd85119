//! How long the GIL was held, and by whom: sums that only grow.

use std::collections::{HashMap, VecDeque};

use crate::gil::{Look, ThreadIds};

/// Threads kept by name. When there are more, those that held it for the shortest time become one.
const THREADS: usize = 256;
/// Holds kept for a chart: those of the last minutes.
const TRACED: usize = 200_000;
/// Holds that are longer are a hog's, or beginning to be.
const LONG_NS: u64 = 10_000_000;

/// One uninterrupted hold, as far as the samples saw it.
#[derive(Clone, Copy)]
pub struct Hold {
    pub by: ThreadIds,
    pub from_ns: u64,
    pub to_ns: u64,
}

impl Hold {
    pub fn length_ns(self) -> u64 {
        self.to_ns - self.from_ns
    }
}

/// The sums, and the hold that is under way.
pub struct Ledger {
    pub last_ns: u64,
    pub samples: u64,
    pub held_ns: u64,
    pub by_thread: HashMap<ThreadIds, u64>,
    traced: Option<VecDeque<Hold>>,
    last: Option<Look>,
    hold: Option<Hold>,
    /// From when on the hold under way has been credited: half a gap before it was first seen.
    credited_from_ns: u64,
    /// The last long hold, and the switch number that it had.
    long: Option<(Hold, u64)>,
    /// Whether there is a thread in `by_thread` whose name nobody has asked for.
    has_strangers: bool,
}

impl Ledger {
    pub fn new(now_ns: u64, trace: bool) -> Self {
        Self {
            last_ns: now_ns,
            samples: 0,
            held_ns: 0,
            by_thread: HashMap::new(),
            traced: trace.then(VecDeque::new),
            last: None,
            hold: None,
            credited_from_ns: now_ns,
            long: None,
            has_strangers: false,
        }
    }

    /// Enters a look. The time since the last one goes half to what was seen then and half to what is seen now: without
    /// bias, as the gaps are random, and complete, as nothing is lost when the sampler itself is not run.
    pub fn enter(&mut self, now_ns: u64, look: Look) {
        if now_ns < self.last_ns {
            return; // somebody else has looked later, and entered it first
        }
        let gap = now_ns - self.last_ns;
        let earlier = self.last.and_then(|last| last.holder);
        if self.last.is_some() {
            self.credit(earlier, gap / 2);
        }
        self.credit(look.holder, gap - gap / 2);
        self.follow_hold(now_ns, self.last_ns + gap / 2, look);
        self.samples += 1;
        self.last = Some(look);
        self.last_ns = now_ns;
    }

    /// Enters what was seen last as seen again.
    pub fn stay_as_seen(&mut self, now_ns: u64) {
        if let Some(last) = self.last {
            self.enter(now_ns, last);
        }
    }

    /// The hold under way, and how long the samples have seen it.
    pub fn hold(&self) -> Option<Hold> {
        self.hold
    }

    /// The holds of the last minutes, if they are kept, and the one under way, each with its halves of the gaps at its ends:
    /// together they are as long as what is credited.
    pub fn traced(&self) -> Vec<Hold> {
        let under_way = self.hold.map(|hold| Hold {
            from_ns: self.credited_from_ns,
            ..hold
        });
        let Some(traced) = &self.traced else {
            return Vec::new();
        };
        traced.iter().copied().chain(under_way).collect()
    }

    /// Who, of the threads with a long hold since `since_ns`, has had the GIL again when somebody looks who has it at
    /// `switches`. To have it again takes a switch, and to look another: up to two after the hold, the thread stands there.
    pub fn gone_on(&self, since_ns: u64, switches: u64) -> Option<ThreadIds> {
        let (hold, then) = self.long?;
        (hold.to_ns >= since_ns && switches > then + 2).then_some(hold.by)
    }

    /// Whether a thread has turned up whose name nobody has asked for since the last call.
    pub fn take_strangers(&mut self) -> bool {
        std::mem::take(&mut self.has_strangers)
    }

    fn credit(&mut self, holder: Option<ThreadIds>, span_ns: u64) {
        let Some(thread) = holder else { return };
        self.held_ns += span_ns;
        if let Some(sum) = self.by_thread.get_mut(&thread) {
            *sum += span_ns;
            return;
        }
        if self.by_thread.len() >= THREADS {
            self.fold();
        }
        self.has_strangers = true;
        self.by_thread.insert(thread, span_ns);
    }

    /// Makes one entry, without ids, of the half that held the GIL for the shortest time.
    fn fold(&mut self) {
        let mut sums: Vec<_> = self.by_thread.drain().collect();
        sums.sort_unstable_by_key(|&(_, sum)| std::cmp::Reverse(sum));
        let small = sums.split_off(THREADS / 2);
        self.by_thread.extend(sums);
        *self.by_thread.entry(ThreadIds::default()).or_default() +=
            small.iter().map(|&(_, sum)| sum).sum::<u64>();
    }

    /// `border_ns` is where the gap before this look is divided.
    fn follow_hold(&mut self, now_ns: u64, border_ns: u64, look: Look) {
        let same = self.last.is_some_and(|last| last == look);
        match (&mut self.hold, look.holder) {
            (Some(hold), Some(_)) if same => {
                hold.to_ns = now_ns;
                if hold.length_ns() > LONG_NS {
                    self.long = Some((*hold, look.switches));
                }
            }
            _ => {
                let ended = self.hold.take();
                if let (Some(ended), Some(traced)) = (ended, &mut self.traced) {
                    if traced.len() == TRACED {
                        traced.pop_front();
                    }
                    traced.push_back(Hold {
                        by: ended.by,
                        from_ns: self.credited_from_ns,
                        to_ns: border_ns,
                    });
                }
                self.credited_from_ns = border_ns;
                self.hold = look.holder.map(|by| Hold {
                    by,
                    from_ns: now_ns,
                    to_ns: now_ns,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, THREADS};
    use crate::gil::{Look, ThreadIds};

    fn held(native: u64, switches: u64) -> Look {
        let ids = ThreadIds {
            ident: native,
            native,
        };
        Look {
            holder: Some(ids),
            switches,
        }
    }

    const FREE: Look = Look {
        holder: None,
        switches: 0,
    };

    #[test]
    fn a_gap_is_shared_between_the_two_looks_at_its_ends() {
        let mut ledger = Ledger::new(0, false);
        ledger.enter(0, FREE);
        ledger.enter(1000, held(7, 1));
        ledger.enter(2000, held(7, 1));
        ledger.enter(3000, FREE);
        assert_eq!(ledger.held_ns, 2000);
        ledger.enter(1_000_000, FREE);
        assert_eq!(ledger.held_ns, 2000);
    }

    #[test]
    fn a_hold_goes_on_until_the_gil_changes_hands() {
        let mut ledger = Ledger::new(0, true);
        ledger.enter(0, held(7, 1));
        ledger.enter(1000, held(7, 1));
        assert!(
            ledger
                .hold()
                .is_some_and(|hold| hold.to_ns - hold.from_ns == 1000)
        );
        ledger.enter(2000, held(7, 3));
        assert!(ledger.hold().is_some_and(|hold| hold.from_ns == 2000));
    }

    #[test]
    fn the_holds_that_are_kept_are_as_long_as_what_is_credited() {
        let mut ledger = Ledger::new(0, true);
        for (at, look) in [
            (1000, held(7, 1)),
            (1700, held(7, 1)),
            (3001, held(8, 2)), // seen once
            (4000, FREE),
            (9000, held(7, 3)),
            (9500, held(7, 3)),
        ] {
            ledger.enter(at, look);
        }
        let kept: Vec<_> = ledger
            .traced()
            .iter()
            .map(|hold| (hold.from_ns, hold.to_ns))
            .collect();
        assert_eq!(kept, [(500, 2350), (2350, 3500), (6500, 9500)]);
        let sum: u64 = ledger.traced().iter().map(|hold| hold.length_ns()).sum();
        assert_eq!(sum, ledger.held_ns);
    }

    #[test]
    fn a_stack_is_too_late_when_the_hog_may_have_had_the_gil_again() {
        let mut ledger = Ledger::new(0, false);
        ledger.enter(0, held(7, 1));
        ledger.enter(20_000_000, held(7, 1));
        assert!(ledger.gone_on(0, 3).is_none());
        ledger.enter(21_000_000, held(8, 2));
        assert!(ledger.gone_on(0, 3).is_none());
        assert!(ledger.gone_on(0, 4).is_some_and(|ids| ids.native == 7));
        assert!(ledger.gone_on(20_500_000, 4).is_none());
    }

    #[test]
    fn many_threads_take_constant_memory_and_lose_no_time() {
        let mut ledger = Ledger::new(0, false);
        for thread in 0..10_000 {
            ledger.enter(thread * 1000, held(thread + 1, thread));
        }
        assert!(ledger.by_thread.len() <= THREADS);
        assert_eq!(ledger.by_thread.values().sum::<u64>(), 9_999_000);
    }
}
