//! A loop whose turn is late: what it does is collected as in a watch.

use super::{Added, AttachedLoop, Outside};
use crate::attach::kind::Call;
use crate::watch::gil_wait::Sample;
use crate::watch::late_period::LatePeriod;
use crate::watch::rhythm::LATE_PART_OF_STALL;
use crate::watch::segment::FROM_OUTSIDE;
use crate::watch::stall_so_far::LateNow;

/// Whether the process is stopped is asked this often in a late turn.
const NS_BETWEEN_QUESTIONS: u64 = 5_000_000;

impl AttachedLoop {
    pub(super) fn add_late(
        &mut self,
        sample: &Sample<'_>,
        since_ns: u64,
        outside: &mut Outside<'_>,
        added: &mut Added,
    ) {
        if sample.now_ns >= self.stop_asked_ns + NS_BETWEEN_QUESTIONS {
            self.stop_asked_ns = sample.now_ns;
            self.is_stopped = self.files.is_stopped();
        }
        if self.is_stopped {
            // What is not sampled counts as time without a CPU, as in a watch, which is stopped together with its process.
            added.doing = None;
            return;
        }
        let late_ns = sample.now_ns.saturating_sub(since_ns);
        // Another loop may begin to run on top of it in the middle of a callback.
        if late_ns >= 2 * self.confirmed_ns {
            match outside.native.reader.stack(self.thread.native) {
                Ok(stack) if self.kind.is_in(&stack) => self.confirmed_ns = late_ns,
                Ok(stack) => {
                    // The frame was left, and nothing has used its memory since.
                    added.has_ended = !self.follow_in(&stack, outside.places, sample.now_ns);
                    return;
                }
                Err(_) => {} // until the next sample
            }
        }
        let stall_ns = outside.watch.settings.stall_ns;
        let cpu = self.cpu_before(self.turn);
        // What the loop does now, it has done since the turn began.
        let since_begun = Sample {
            gap_ns: late_ns,
            planned_gap_ns: late_ns,
            ..*sample
        };
        let is_first = self.late_period.is_none();
        let may_have_lasted = late_ns <= 2 * stall_ns / LATE_PART_OF_STALL;
        let sample = if is_first && may_have_lasted {
            &since_begun
        } else {
            sample
        };
        let late_period = self.late_period.get_or_insert_with(|| {
            let cpu = cpu.or_else(|| self.files.cpu_times());
            LatePeriod::new(since_ns, stall_ns, FROM_OUTSIDE, cpu)
        });
        late_period.add(sample, self.thread, &self.files);
        let (kind, files, places) = (&mut self.kind, &self.files, outside.places);
        let (turns, seen_ns) = (&self.turns, self.seen_ns);
        let is_over = || {
            files.begin_sample();
            let look = kind.look(places, Call::of(files), (seen_ns, sample.now_ns));
            look.is_none_or(|look| !turns.goes_on(look))
        };
        late_period.read_stacks(
            (outside.watch, outside.native),
            sample,
            (self.thread, &self.files, 0),
            is_over,
        );
    }

    /// What the loop is late for by now; `None` if it is not.
    pub fn late_now<'a>(&'a mut self, sample: &Sample<'_>) -> Option<LateNow<'a>> {
        if self.is_stopped {
            return None;
        }
        let late_period = self.late_period.as_mut()?;
        if sample.now_ns < late_period.stalled_since_ns() {
            return None;
        }
        let evidence = late_period.evidence_so_far(self.files.cpu_times());
        Some(LateNow {
            loop_number: self.number,
            thread: self.thread,
            due_ns: late_period.due_ns,
            now_ns: sample.now_ns,
            evidence,
            holder: late_period.holder(sample, self.thread),
            stacks: late_period.latest_stacks(sample.now_ns),
            below: None,
        })
    }
}
