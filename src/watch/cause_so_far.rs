//! What the evidence of a stall says of its cause while the stall lasts and no Python code can run: the rules of
//! `gilscope/watch/cause.py`, which explains them, for the whole stall. `tests/watch/test_cause_so_far.py` proves that both
//! say the same.

use crate::histogram::seconds;
use crate::watch::evidence::{Contender, Evidence};

const MIN_SHARE_OF_CAUSE: f64 = 0.5;
const NEARLY_ALL: f64 = 0.9;
const MIN_SWITCHES_FOR_TURNS: u64 = 2;
const MAX_SECONDS_TO_ACQUIRE_FREE_GIL: f64 = 0.002;
const MIN_SHARE_LEFT_TO_PROBE: f64 = 0.25;
const LONG_HOLD_SECONDS: f64 = 0.02;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    Computing,
    Waiting,
    Hog,
    Turns,
    NoCpu,
    Garbage,
    Unknown,
}

impl Cause {
    pub fn name(self) -> &'static str {
        match self {
            Self::Computing => "blocked, computing",
            Self::Waiting => "blocked, waiting",
            Self::Hog => "starved by a hog",
            Self::Turns => "starved by turns",
            Self::NoCpu => "no CPU",
            Self::Garbage => "garbage collection",
            Self::Unknown => "unknown",
        }
    }
}

/// What a loop waits for that waits for the GIL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Starving {
    Hog,
    Turns,
    NoCpu,
}

/// What a stall's time was spent on, in seconds.
#[derive(Clone, Copy, Default)]
pub struct TimeSpent {
    pub computing: f64,
    pub waiting: f64,
    pub hog: f64,
    pub turns: f64,
    pub no_cpu: f64,
}

/// How the prober got the GIL once the stall was noticed.
#[derive(Clone, Copy)]
pub struct Probe {
    pub waited_ns: u64,
    pub asked_ago_ns: u64,
}

/// The cause of a stall of `late_ns`.
pub fn cause(seen: &Evidence, late_ns: u64, stall_ns: u64, probe: Option<Probe>) -> Cause {
    let (late, stall) = (seconds(late_ns), seconds(stall_ns));
    let starving = starved_by(seen);
    let mut spent = time_spent(seen, starving);
    let unknown = seconds(seen.unknown_ns);
    let mut waits_for_hog = u64::from(spent.hog > 0.0);
    if let Some(probe) = probe
        && seen.sampled_ns > 0
        && unknown >= MIN_SHARE_OF_CAUSE * seconds(seen.sampled_ns)
    {
        let was_free = seconds(probe.waited_ns) < MAX_SECONDS_TO_ACQUIRE_FREE_GIL;
        waits_for_hog += u64::from(!was_free);
        // The system does not say what the loop's thread was waiting for. If the GIL was free, it was not the GIL.
        match (was_free, starving) {
            (true, _) => spent.waiting += unknown,
            (false, Starving::Hog) => spent.hog += unknown,
            (false, Starving::Turns) => spent.turns += unknown,
            (false, Starving::NoCpu) => spent.no_cpu += unknown,
        }
    }
    let hog = top_hog(seen);
    let (cause, held_ns, collected_ns) = match longest(&spent, late, stall) {
        Cause::Computing => (Cause::Computing, seen.held_ns, seen.collected_ns),
        Cause::Hog => hog.map_or((Cause::Hog, 0, 0), |hog| {
            let [held_ns, collected_ns] = [hog.held_ns, hog.collected_ns];
            (
                Cause::Hog,
                waits_for_hog * held_ns,
                waits_for_hog * collected_ns,
            )
        }),
        other => (other, 0, 0),
    };
    if only_by_gc(seconds(collected_ns), seconds(held_ns), stall) {
        Cause::Garbage
    } else {
        cause
    }
}

/// What would have been a stall by itself comes before what prolongs one; of each kind, what took the most time.
fn longest(spent: &TimeSpent, late: f64, stall: f64) -> Cause {
    let half = MIN_SHARE_OF_CAUSE * late;
    let sole = [
        (Cause::Computing, spent.computing),
        (Cause::Waiting, spent.waiting),
        (Cause::Hog, spent.hog),
    ];
    let prolonging = [(Cause::NoCpu, spent.no_cpu), (Cause::Turns, spent.turns)];
    for (kind, needed) in [(&sole[..], stall.min(half)), (&prolonging[..], half)] {
        let mut most = (Cause::Unknown, 0.0);
        for &(cause, spent) in kind {
            if spent > most.1 {
                most = (cause, spent);
            }
        }
        if most.1 >= needed && most.1 > 0.0 {
            return most.0;
        }
    }
    Cause::Unknown
}

pub fn starved_by(seen: &Evidence) -> Starving {
    let held_long: u64 = seen.contenders.values().map(|it| it.held_long_ns).sum();
    let waited_ns = if seen.waited_ns > 0 {
        seen.waited_ns
    } else {
        seen.unknown_ns
    };
    if seconds(held_long) >= MIN_SHARE_OF_CAUSE * seconds(waited_ns) {
        Starving::Hog
    } else if seen.switches >= MIN_SWITCHES_FOR_TURNS {
        Starving::Turns
    } else {
        Starving::NoCpu
    }
}

pub fn time_spent(seen: &Evidence, starving: Starving) -> TimeSpent {
    let (held, ran_without) = (seconds(seen.held_ns), seconds(seen.ran_without_gil_ns));
    let (unsampled, waited) = (seconds(seen.unsampled_ns), seconds(seen.waited_ns));
    let on_cpu = held + ran_without;
    let ran = seen.cpu.map_or(on_cpu, |cpu| seconds(cpu.ran_ns));
    let queued = seen.cpu.map_or(0.0, |cpu| seconds(cpu.queued_ns));
    let running = if on_cpu > 0.0 {
        1.0 - queued.min(on_cpu) / on_cpu
    } else {
        0.0
    };
    let without_gil = ran_without * running;
    let ran_without_gil = if without_gil > 0.0 {
        (ran / without_gil).min(1.0)
    } else {
        0.0
    };
    // CPU time beyond what the samples show was used while the sampler did not run.
    let unseen = if unsampled > 0.0 {
        (unsampled - (ran - on_cpu).max(0.0)).max(0.0) / unsampled
    } else {
        0.0
    };
    let waited_for = |what| if starving == what { waited } else { 0.0 };
    TimeSpent {
        computing: held * running,
        waiting: seconds(seen.slept_ns) + without_gil * ran_without_gil,
        hog: waited_for(Starving::Hog),
        turns: waited_for(Starving::Turns),
        no_cpu: on_cpu * (1.0 - running)
            + unsampled * unseen
            + waited_for(Starving::NoCpu)
            + without_gil * (1.0 - ran_without_gil),
    }
}

/// The cause if the GIL cannot be read, from the prober's wait and from the CPU times.
pub fn without_gil(seen: &Evidence, late_ns: u64, stall_ns: u64, probe: Option<Probe>) -> Cause {
    let (late, stall) = (seconds(late_ns), seconds(stall_ns));
    // If the prober asked for the GIL when the stall was almost over, a short wait shows nothing.
    let waited = probe
        .filter(|probe| seconds(probe.asked_ago_ns) >= MIN_SHARE_LEFT_TO_PROBE * late)
        .map(|probe| seconds(probe.waited_ns));
    let enough = stall.min(MIN_SHARE_OF_CAUSE * late);
    let queued = seen.cpu.map_or(0.0, |cpu| seconds(cpu.queued_ns));
    let ran = seen.cpu.map_or(0.0, |cpu| seconds(cpu.ran_ns));
    if queued + seconds(seen.unsampled_ns) >= NEARLY_ALL * late {
        return Cause::NoCpu;
    }
    if seconds(seen.slept_ns) >= enough {
        return Cause::Waiting;
    }
    if let Some(waited) = waited {
        let was_free = waited < MAX_SECONDS_TO_ACQUIRE_FREE_GIL;
        if ran >= enough {
            return if was_free {
                Cause::Waiting
            } else {
                Cause::Computing
            };
        }
        if seconds(seen.unknown_ns) >= MIN_SHARE_OF_CAUSE * late {
            return match (was_free, waited > LONG_HOLD_SECONDS) {
                (true, _) => Cause::Waiting,
                (false, true) => Cause::Hog,
                (false, false) => Cause::Turns,
            };
        }
    }
    if queued >= MIN_SHARE_OF_CAUSE * late {
        Cause::NoCpu
    } else {
        Cause::Unknown
    }
}

fn only_by_gc(collected: f64, held: f64, stall: f64) -> bool {
    held > 0.0
        && (collected >= NEARLY_ALL * held
            || (collected >= MIN_SHARE_OF_CAUSE * held && held - collected < stall))
}

fn top_hog(seen: &Evidence) -> Option<&Contender> {
    let hogs = seen.contenders.values();
    hogs.max_by_key(|hog| (hog.held_long_ns, hog.held_ns))
}
