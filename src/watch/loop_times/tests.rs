use std::collections::HashMap;

use super::{LoopTimes, MAX_LOOPS, OTHER_LOOPS};
use crate::gil::ThreadIds;
use crate::system::pace::Pace;
use crate::watch::loop_time::Doing;
use crate::watch::loop_time::Spent;
use crate::watch::time_tree::BusyStack;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const THREAD: ThreadIds = ThreadIds {
    ident: 7,
    native: 7,
};

fn stack(function: &str) -> BusyStack {
    BusyStack {
        frames: vec![("app.py".into(), 1, function.into())],
        ..BusyStack::default()
    }
}

/// What a loop does again and again: for how long, where, and which part of the reads of its stack fail.
struct Step {
    ns: u64,
    doing: Doing,
    function: &'static str,
}

const fn step(ns: u64, doing: Doing, function: &'static str) -> Step {
    Step {
        ns,
        doing,
        function,
    }
}

fn at(steps: &[Step], now_ns: u64) -> &Step {
    let period_ns: u64 = steps.iter().map(|step| step.ns).sum();
    let mut left_ns = now_ns % period_ns;
    for step in steps {
        if left_ns < step.ns {
            return step;
        }
        left_ns -= step.ns;
    }
    &steps[0]
}

/// Samples a loop for some minutes. Returns the share of each function in all time.
#[allow(clippy::cast_precision_loss)]
fn sampled(steps: &[Step]) -> HashMap<(Spent, String), f64> {
    let mut times = LoopTimes::new();
    let mut pace = Pace::seeded(5);
    let (end_ns, mut now_ns, mut before_ns) = (400 * SECOND, 0, 0);
    while now_ns < end_ns {
        let next_ns = now_ns + pace.jittered_ns(4 * MS);
        let step = at(steps, now_ns);
        times.add(1, THREAD, now_ns, step.doing);
        let weight_ns = (next_ns - before_ns) / 2;
        if step.doing != Doing::Asleep && times.wants_stack(now_ns, weight_ns) {
            times.add_stack(1, step.doing, &stack(step.function), Some(0), 50_000);
        }
        (before_ns, now_ns) = (now_ns, next_ns);
    }
    let busy_ns = times.loops().next().map_or(0, |(_, time)| time.busy_ns);
    let frames = times.tree.frames();
    let mut shares = HashMap::new();
    let mut sum_ns = 0;
    for branch in times.tree.branches() {
        let function = frames[branch.frames[0] as usize].2.to_string();
        sum_ns += branch.ns;
        shares.insert((branch.spent, function), branch.ns as f64 / now_ns as f64);
    }
    let waiting_ns: u64 = times
        .loops()
        .flat_map(|(_, time)| time.waiting_by_kind())
        .map(|(_, ns)| ns)
        .sum();
    assert_eq!(sum_ns + waiting_ns, busy_ns);
    assert!(waiting_ns < SECOND);
    shares
}

#[test]
fn the_share_of_each_line_is_right_and_all_add_up_to_the_busy_time() {
    let steps = [
        step(12 * MS, Doing::HoldsGil, "parse"),
        step(3 * MS, Doing::HoldsGil, "render"),
        step(5 * MS, Doing::WaitsForGil(THREAD), "render"),
        step(2 * MS, Doing::Sleeps, "load"),
        step(MS / 10, Doing::Runs, "hash"),
        step(10 * MS, Doing::Asleep, ""),
    ];
    let period_ns: u64 = steps.iter().map(|step| step.ns).sum();
    let shares = sampled(&steps);
    for step in &steps[..5] {
        let spent = Spent::of(step.doing).expect("busy");
        #[allow(clippy::cast_precision_loss)]
        let truth = step.ns as f64 / period_ns as f64;
        let share = shares[&(spent, step.function.to_owned())];
        assert!(
            (share - truth).abs() < 0.01,
            "{} {share} {truth}",
            step.function
        );
    }
}

#[test]
fn turns_that_are_shorter_than_the_gaps_are_seen_in_proportion() {
    let steps = [
        step(300_000, Doing::HoldsGil, "first"),
        step(100_000, Doing::HoldsGil, "second"),
        step(600_001, Doing::Asleep, ""),
    ];
    let shares = sampled(&steps);
    for (function, truth) in [("first", 0.3), ("second", 0.1)] {
        let share = shares[&(Spent::Computing, function.to_owned())];
        assert!((share - truth).abs() < 0.015, "{function} {share}");
    }
}

#[test]
fn the_time_of_many_loops_that_have_ended_is_shared() {
    let mut times = LoopTimes::new();
    for number in 1..=1000 {
        for sample in 0..=number {
            times.add(
                number,
                THREAD,
                number * SECOND + sample * MS,
                Doing::HoldsGil,
            );
        }
        times.add_stack(number, Doing::HoldsGil, &stack("work"), None, 0);
        times.pause(number);
    }
    let loops: Vec<_> = times
        .loops()
        .map(|(number, time)| (number, time.busy_ns))
        .collect();
    assert!(loops.len() <= MAX_LOOPS + 1);
    assert_eq!(loops[0].0, OTHER_LOOPS);
    assert_eq!(loops.last().map(|it| it.0), Some(1000));
    let sum: u64 = loops.iter().map(|it| it.1).sum();
    assert_eq!(sum, 1000 * 1001 / 2 * MS);
    let of_tree: u64 = times.tree.branches().iter().map(|it| it.ns).sum();
    assert_eq!(of_tree, sum);
    let others = times
        .tree
        .branches()
        .into_iter()
        .filter(|it| it.loop_number == OTHER_LOOPS);
    assert_eq!(others.map(|it| it.ns).sum::<u64>(), loops[0].1);
}

#[test]
fn a_loop_that_runs_is_never_merged() {
    let mut times = LoopTimes::new();
    for number in 1..=200 {
        times.add(number, THREAD, number, Doing::Asleep);
    }
    assert_eq!(times.loops().count(), 200);
}

#[test]
fn a_loop_in_another_thread_begins_anew() {
    let mut times = LoopTimes::new();
    let other = ThreadIds {
        ident: 8,
        native: 8,
    };
    times.add(1, THREAD, 0, Doing::HoldsGil);
    times.add(1, THREAD, 10, Doing::HoldsGil);
    times.add(1, other, 1000, Doing::HoldsGil);
    times.add(1, other, 1010, Doing::HoldsGil);
    let (_, time) = times.loops().next().expect("one loop");
    assert_eq!((time.busy_ns, time.thread), (20, other));
}
