//! The loops that the sampler watches, as they come and go, and their stalls that are over.

use std::sync::Arc;
use std::time::Duration;

use super::Sampler;
use crate::system::clock::now_ns;
use crate::watch::heartbeat::HeartbeatState;
use crate::watch::watched_loop::WatchedLoop;

/// A stall's report waits for its stack sample until this long after the stall: a later stack shows something else.
const MAX_WAIT_FOR_STACKS_NS: u64 = 100_000_000;
/// How long a watch that closes waits for a stack sample.
const MAX_WAIT_AT_CLOSE_NS: u64 = 5_000_000;

impl Sampler<'_> {
    /// Drops the loops that have ended, and adds the new ones.
    pub(super) fn update_loops(&mut self) {
        let version = self.watch.heartbeats_version();
        if version == self.loops_version {
            return;
        }
        self.loops_version = version;
        for heartbeat in self.watch.take_ended_heartbeats() {
            let mut ended = match self.position(&heartbeat) {
                Some(at) => self.loops.swap_remove(at),
                None => WatchedLoop::new(heartbeat), // it began and ended between two samples
            };
            self.end_late_period(&mut ended);
            let number = ended.heartbeat.loop_number;
            self.watch.loop_times.with(|times| times.pause(number));
        }
        for heartbeat in self.watch.heartbeats() {
            if self.position(&heartbeat).is_none() {
                self.loops.push(WatchedLoop::new(heartbeat));
            }
        }
    }

    fn position(&self, heartbeat: &Arc<HeartbeatState>) -> Option<usize> {
        self.loops
            .iter()
            .position(|watched| Arc::ptr_eq(&watched.heartbeat, heartbeat))
    }

    /// Reports the stalls whose stack sample is there, or will not come any more.
    pub(super) fn report_stalls(&mut self, now_ns: u64) {
        let requests = &self.watch.stack_requests;
        for (id, mut stall) in std::mem::take(&mut self.open) {
            if let Some(id) = id {
                let sample = requests.take_sample(id);
                if sample.is_none()
                    && now_ns < stall.late.came_ns.saturating_add(MAX_WAIT_FOR_STACKS_NS)
                {
                    self.open.push((Some(id), stall));
                    continue;
                }
                requests.cancel(id);
                if let Some(segment) = stall.segments.last_mut() {
                    segment.sample = sample;
                }
            }
            self.watch.add_stall(stall);
        }
    }

    pub(super) fn close(&mut self) {
        let end_ns = now_ns() + MAX_WAIT_AT_CLOSE_NS;
        while self.watch.stack_requests.is_pending() && now_ns() < end_ns {
            std::thread::sleep(Duration::from_micros(100));
        }
        self.update_loops();
        for mut watched in std::mem::take(&mut self.loops) {
            self.end_late_period(&mut watched);
        }
        self.report_stalls(u64::MAX);
        self.hangs.wait_until_written();
    }

    fn end_late_period(&mut self, ended: &mut WatchedLoop) {
        let known = self.open.len();
        ended.end_late_period(self.watch, &mut self.open);
        if let Some(logs) = self.watch.logs.get() {
            let over = &mut self.open[known..];
            self.log
                .follow(logs, over, (ended.heartbeat.loop_number, None), now_ns());
        }
    }
}
