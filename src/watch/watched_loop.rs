//! One loop, as the sampler watches it: notices when its heartbeat is late, collects evidence, and reports the stall.

use std::sync::Arc;

use crate::gil::ThreadIds;
use crate::watch::evidence::Evidence;
use crate::watch::heartbeat::{HeartbeatState, LateBeat};
use crate::watch::late_period::{LatePeriod, Sample};
use crate::watch::reports::FinishedStall;
use crate::watch::state::WatchState;
use crate::watch::thread_files::{CpuTimes, ThreadFiles};

/// A stall that is over, with the id of the stack request that it may be waiting for.
pub type OpenStall = (Option<u64>, FinishedStall);

pub struct WatchedLoop {
    pub heartbeat: Arc<HeartbeatState>,
    thread: ThreadIds,
    files: ThreadFiles,
    due_ns: u64,
    /// The CPU times of the loop's thread when the beat that is due now was first seen.
    cpu: Option<CpuTimes>,
    late_period: Option<LatePeriod>,
}

impl WatchedLoop {
    pub fn new(heartbeat: Arc<HeartbeatState>) -> Self {
        let due_ns = heartbeat.due_ns();
        let thread = heartbeat.thread();
        let files = ThreadFiles::new(thread.native);
        // No beat is due before the loop starts and after it has ended.
        let cpu = (due_ns != 0).then(|| files.cpu_times()).flatten();
        Self {
            heartbeat,
            thread,
            files,
            due_ns,
            cpu,
            late_period: None,
        }
    }

    pub fn is_late(&self) -> bool {
        self.late_period.is_some()
    }

    /// Adds a sample. `late_periods` counts them, for their ids; stalls that are over go to `open`.
    pub fn add(
        &mut self,
        watch: &WatchState,
        now_ns: u64,
        sample: &Sample<'_>,
        late_periods: &mut u64,
        open: &mut Vec<OpenStall>,
    ) {
        let due_ns = self.heartbeat.due_ns();
        if due_ns != self.due_ns {
            self.end_late_period(watch, open);
            self.due_ns = due_ns;
            let thread = self.heartbeat.thread();
            if thread != self.thread {
                self.thread = thread;
                self.files = ThreadFiles::new(thread.native);
            }
            self.cpu = self.files.cpu_times();
        }
        let late_ns = now_ns.saturating_sub(due_ns);
        if due_ns == 0 || late_ns < watch.settings.stall_ns / 10 {
            return;
        }
        let late_period = self.late_period.get_or_insert_with(|| {
            *late_periods += 1;
            LatePeriod::new(*late_periods, due_ns, self.cpu)
        });
        let contender = late_period.add(late_ns, sample, self.thread, &self.files);
        let requests = &watch.stack_requests;
        if late_period.noticed.is_none() && late_ns >= watch.settings.stall_ns / 2 {
            late_period.noticed = Some((now_ns, sample.holder()));
            let loop_number = self.heartbeat.loop_number;
            requests.ask(late_period.id, loop_number, self.thread.ident);
            for contender in late_period.contenders() {
                requests.add_thread(late_period.id, contender.ident);
            }
        } else if let Some(contender) = contender
            && late_period.noticed.is_some()
        {
            requests.add_thread(late_period.id, contender.ident);
        }
    }

    /// The late beat has come, or the loop has stopped: adds the stall to `open`, if it was one.
    pub fn end_late_period(&mut self, watch: &WatchState, open: &mut Vec<OpenStall>) {
        let cpu = self.files.cpu_times();
        if let Some(late_period) = self.late_period.take() {
            match self.heartbeat.take_late(late_period.due_ns) {
                Some(late) => {
                    let id = late_period.noticed.map(|_| late_period.id);
                    open.push((id, self.stall(late, late_period.finish(late.came_ns, cpu))));
                }
                None => watch.stack_requests.cancel(late_period.id),
            }
        }
        // Stalls that began and ended while the sampler itself did not run.
        while let Some(late) = self.heartbeat.take_any_late() {
            let unseen = LatePeriod::new(0, late.due_ns, self.cpu);
            open.push((None, self.stall(late, unseen.finish(late.came_ns, cpu))));
        }
    }

    fn stall(
        &self,
        late: LateBeat,
        (noticed, evidence): (Option<(u64, Option<ThreadIds>)>, Evidence),
    ) -> FinishedStall {
        FinishedStall {
            loop_number: self.heartbeat.loop_number,
            thread: self.thread,
            late,
            noticed,
            evidence,
            stack_sample: None,
        }
    }
}
