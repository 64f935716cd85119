//! The thread that looks, a thousand times a second, who holds the GIL and which loops are late. It never attaches to the
//! interpreter, so it sees what happens while nobody else in the process gets to run.
//!
//! It assumes of the interpreter only what [`crate::gil`] has checked.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::gil::{Look, ThreadIds};
use crate::system::clock::now_ns;
use crate::system::pace::Pace;
use crate::system::scheduling::{self, Priority};
use crate::watch::episode::{Episode, Evidence, Sight};
use crate::watch::heart::{LateBeat, Pulse};
use crate::watch::report::Report;
use crate::watch::shared::{Shared, guard};
use crate::watch::thread::{Probe, Turns};

/// A stall's report is held back for the witness's testimony until this long after the stall: what a stack shows later is
/// another matter.
const TESTIMONY_KEEPS_NS: u64 = 100_000_000;
/// How often the sampler asks for its own processor time: that takes a microsecond.
const SAMPLES_AN_ACCOUNT: u64 = 32;
/// How long a watch that closes waits for a testimony under way.
const CLOSING_NS: u64 = 5_000_000;

/// The sampler's thread.
pub fn run(shared: &Shared) {
    scheduling::prepare_sampling_thread(Priority::Prompt);
    let mut sampler = Sampler::new(shared);
    let mut pace = Pace::new();
    let mut rank = Priority::Prompt;
    for count in 0_u64.. {
        if shared.is_closing() {
            break;
        }
        sampler.sample(now_ns());
        if count % SAMPLES_AN_ACCOUNT == 0 {
            // Relaxed: a sum, by itself.
            shared
                .sampler_ran_ns
                .store(scheduling::own_cpu_time_ns(), Ordering::Relaxed);
        }
        // Every sample counts while a loop is late, and only then is it worth the price.
        let wanted = if sampler.is_a_loop_late() {
            Priority::RealTime
        } else {
            Priority::Prompt
        };
        if wanted != rank {
            rank = wanted;
            scheduling::request(rank);
        }
        shared.nap(pace.jittered_ns(shared.settings.sample_ns));
    }
    sampler.close();
    shared
        .sampler_ran_ns
        .store(scheduling::own_cpu_time_ns(), Ordering::Relaxed);
    shared.close_outbox();
}

struct Sampler<'a> {
    shared: &'a Shared,
    last_ns: u64,
    patients: Vec<Patient>,
    patients_version: u64,
    episodes: u64,
    /// Stalls that are over and wait for the witness.
    open: Vec<(Option<u64>, Report)>,
}

/// A loop that is watched.
struct Patient {
    pulse: Arc<Pulse>,
    thread: ThreadIds,
    probe: Probe,
    due_ns: u64,
    /// When the beat under way was first seen: what the loop's thread had had from the processors.
    turns: Option<Turns>,
    episode: Option<Episode>,
}

impl<'a> Sampler<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            last_ns: shared.started_ns,
            patients: Vec::new(),
            patients_version: 0,
            episodes: 0,
            open: Vec::new(),
        }
    }

    fn sample(&mut self, now_ns: u64) {
        let gil = self.shared.gil.map(|gil| (gil, gil.look()));
        let look = gil.map_or(
            Look {
                holder: None,
                switches: 0,
            },
            |(_, look)| look,
        );
        let hold = {
            let mut ledger = guard(&self.shared.ledger);
            ledger.enter(now_ns, look);
            ledger.hold()
        };
        let sight = Sight {
            gap_ns: now_ns.saturating_sub(self.last_ns),
            gil,
            hold,
            collections: &self.shared.collections,
        };
        self.last_ns = now_ns;
        self.admit_and_discharge();
        for patient in &mut self.patients {
            patient.look_after(
                self.shared,
                now_ns,
                &sight,
                &mut self.episodes,
                &mut self.open,
            );
        }
        self.report(now_ns);
    }

    fn is_a_loop_late(&self) -> bool {
        self.patients
            .iter()
            .any(|patient| patient.episode.is_some())
    }

    fn admit_and_discharge(&mut self) {
        let version = self.shared.pulses_version();
        if version == self.patients_version {
            return;
        }
        self.patients_version = version;
        let pulses = self.shared.pulses();
        for patient in &mut self.patients {
            if !pulses
                .iter()
                .any(|pulse| pulse.number == patient.pulse.number)
            {
                patient.discharge(self.shared, &mut self.open);
            }
        }
        self.patients.retain(|patient| {
            pulses
                .iter()
                .any(|pulse| pulse.number == patient.pulse.number)
        });
        for pulse in pulses {
            if !self
                .patients
                .iter()
                .any(|patient| patient.pulse.number == pulse.number)
            {
                self.patients.push(Patient::new(pulse));
            }
        }
    }

    /// Posts the stalls for which the testimony is there, or will not come any more.
    fn report(&mut self, now_ns: u64) {
        let desk = &self.shared.desk;
        for (id, mut report) in std::mem::take(&mut self.open) {
            report.testimony = id.and_then(|id| desk.collect(id));
            match id {
                Some(id) if report.testimony.is_none() => {
                    if now_ns < report.late.came_ns.saturating_add(TESTIMONY_KEEPS_NS) {
                        self.open.push((Some(id), report));
                        continue;
                    }
                    desk.forget(id);
                }
                _ => (),
            }
            self.shared.post(report);
        }
    }

    fn close(&mut self) {
        let closed_ns = now_ns() + CLOSING_NS;
        while self.shared.desk.is_awaited() && now_ns() < closed_ns {
            std::thread::sleep(Duration::from_micros(100));
        }
        self.admit_and_discharge();
        for patient in &mut self.patients {
            patient.discharge(self.shared, &mut self.open);
        }
        self.report(u64::MAX);
    }
}

impl Patient {
    fn new(pulse: Arc<Pulse>) -> Self {
        let due_ns = pulse.due_ns();
        let thread = pulse.thread();
        let probe = Probe::new(thread.native);
        let turns = probe.turns();
        Self {
            pulse,
            thread,
            probe,
            due_ns,
            turns,
            episode: None,
        }
    }

    fn look_after(
        &mut self,
        shared: &Shared,
        now_ns: u64,
        sight: &Sight<'_>,
        episodes: &mut u64,
        open: &mut Vec<(Option<u64>, Report)>,
    ) {
        let due_ns = self.pulse.due_ns();
        if due_ns != self.due_ns {
            self.discharge(shared, open);
            self.due_ns = due_ns;
            let thread = self.pulse.thread();
            if thread != self.thread {
                self.thread = thread;
                self.probe = Probe::new(thread.native);
            }
            self.turns = self.probe.turns();
        }
        let late_ns = now_ns.saturating_sub(due_ns);
        if due_ns == 0 || late_ns < shared.settings.stall_ns / 10 {
            return;
        }
        let episode = self.episode.get_or_insert_with(|| {
            *episodes += 1;
            Episode::new(*episodes, due_ns, self.turns)
        });
        let rival = episode.add(late_ns, sight, self.thread, &self.probe);
        if episode.noticed.is_none() && late_ns >= shared.settings.stall_ns / 2 {
            let holder = sight.gil.and_then(|(_, look)| look.holder);
            episode.noticed = Some((now_ns, holder));
            shared
                .desk
                .ask(episode.id, self.pulse.number, self.thread.ident);
            for suspect in episode.rivals() {
                shared.desk.ask_too(episode.id, suspect.ident);
            }
        } else if let Some(rival) = rival
            && episode.noticed.is_some()
        {
            shared.desk.ask_too(episode.id, rival.ident);
        }
    }

    /// The beat that was late has come, or the loop has stopped: was it a stall?
    fn discharge(&mut self, shared: &Shared, open: &mut Vec<(Option<u64>, Report)>) {
        let turns = self.probe.turns();
        if let Some(episode) = self.episode.take() {
            match self.pulse.take_late(episode.due_ns) {
                Some(late) => {
                    let id = episode.noticed.map(|_| episode.id);
                    open.push((id, self.stall(late, episode.finish(late.came_ns, turns))));
                }
                None => shared.desk.forget(episode.id),
            }
        }
        // Stalls that came and went while the sampler itself was not run.
        while let Some(late) = self.pulse.take_any_late() {
            let unseen = Episode::new(0, late.due_ns, self.turns);
            open.push((None, self.stall(late, unseen.finish(late.came_ns, turns))));
        }
    }

    fn stall(
        &self,
        late: LateBeat,
        (noticed, evidence): (Option<(u64, Option<ThreadIds>)>, Evidence),
    ) -> Report {
        Report {
            pulse: self.pulse.number,
            own: self.thread,
            late,
            noticed,
            evidence,
            testimony: None,
        }
    }
}
