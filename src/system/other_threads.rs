//! The process's other threads, for the knocks that come while the watched one is blocked: it may have another thread do
//! its work, which then is the one that keeps the GIL, or lets go of it, or waits for a processor.

use crate::system::clock::now_ns;
use crate::system::run_queue::{Account, Doing};

/// Of more threads than this no others are looked at: a look costs some microseconds each.
const MOST: usize = 16;

/// What a thread was at when a knock came, and what it has been doing since the knock before.
#[derive(Clone, Copy)]
pub struct Met {
    tid: i32,
    pub doing: Doing,
    pub ran_before_ns: u64,
    pub queued_before_ns: u64,
    pub ran_ns: u64,
    pub queued_ns: u64,
}

/// The other threads, by their ids.
pub struct Others {
    but: [i32; 2],
    known: Vec<Other>,
}

struct Other {
    tid: i32,
    account: Account,
    /// As they stood at the end of the knock before; `None` if the thread was not looked at then.
    last: Option<(u64, u64)>,
}

impl Others {
    /// All but these two: the watched one and the caller's own.
    pub fn but(watched: i32, own: i32) -> Self {
        Self {
            but: [watched, own],
            known: Vec::new(),
        }
    }

    /// Looks at them when a knock comes; returns those that are not blocked.
    pub fn meet(&mut self) -> Vec<Met> {
        self.learn();
        let at_ns = now_ns();
        let clocks: Vec<_> = self.known.iter().map(Other::reading).collect();
        let met = |(other, reading): (&Other, &Option<(u64, u64)>)| {
            let (ran_ns, queued_ns) = (*reading)?;
            let doing = other.account.doing(ran_ns, at_ns);
            let (last_ran_ns, last_queued_ns) = other.last.unwrap_or((ran_ns, queued_ns));
            matches!(doing, Doing::Running | Doing::Queued).then_some(Met {
                tid: other.tid,
                doing,
                ran_before_ns: ran_ns - last_ran_ns,
                queued_before_ns: queued_ns - last_queued_ns,
                ran_ns,
                queued_ns,
            })
        };
        self.known.iter().zip(&clocks).filter_map(met).collect()
    }

    /// Looks at them when the knock is over; returns the one of `met` that may have delayed it the most, with the time
    /// that it ran and stood in a run queue meanwhile.
    pub fn part(&mut self, met: &[Met]) -> Option<Met> {
        for other in &mut self.known {
            other.last = other.reading();
        }
        let since = |met: &Met| {
            let other = self.known.iter().find(|other| other.tid == met.tid)?;
            let (ran_ns, queued_ns) = other.last?;
            Some(Met {
                ran_ns: ran_ns - met.ran_ns,
                queued_ns: queued_ns - met.queued_ns,
                ..*met
            })
        };
        met.iter()
            .filter_map(since)
            .max_by_key(|met| (met.queued_ns, met.doing == Doing::Queued, met.ran_ns))
    }

    /// Forgets what they were at: a knock passes without a look.
    pub fn pass(&mut self) {
        for other in &mut self.known {
            other.last = None;
        }
    }

    /// Learns which threads there are now.
    fn learn(&mut self) {
        let tids = Account::tids(MOST);
        self.known.retain(|other| tids.contains(&other.tid));
        for tid in tids {
            if self.but.contains(&tid) || self.known.iter().any(|other| other.tid == tid) {
                continue;
            }
            self.known.extend(Account::of(tid).map(|account| Other {
                tid,
                account,
                last: None,
            }));
        }
    }
}

impl Other {
    fn reading(&self) -> Option<(u64, u64)> {
        self.account.ran_ns().zip(self.account.queued_ns())
    }
}
