use super::{BusyStack, MAX_STACKS, TimeTree, is_numbered};
use crate::gil::ThreadIds;
use crate::watch::loop_time::Spent;
use crate::watch::stacks::FrameData;

fn frames(innermost_first: &[(&str, u32)]) -> Vec<FrameData> {
    let frame = |&(function, line): &(&str, u32)| ("app.py".into(), line, function.into());
    innermost_first.iter().map(frame).collect()
}

fn stack(innermost_first: &[(&str, u32)]) -> BusyStack {
    BusyStack {
        frames: frames(innermost_first),
        ..BusyStack::default()
    }
}

fn total(tree: &TimeTree) -> u64 {
    tree.branches().iter().map(|branch| branch.ns).sum()
}

/// The functions of all stacks, outermost first, with their times; the longest first.
fn shown(tree: &TimeTree) -> Vec<(String, u64)> {
    let frames = tree.frames();
    let name = |&number: &u32| frames[number as usize].2.to_string();
    let mut all: Vec<_> = tree
        .branches()
        .iter()
        .map(|branch| {
            let names: Vec<_> = branch.frames.iter().rev().map(name).collect();
            (names.join(" "), branch.ns)
        })
        .collect();
    all.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    all
}

#[test]
fn times_of_equal_stacks_are_added_up() {
    let mut tree = TimeTree::default();
    let (one, two) = (
        stack(&[("parse", 3), ("handle", 2)]),
        stack(&[("parse", 4), ("handle", 2)]),
    );
    tree.add(1, Spent::Computing, &one, 10);
    tree.add(1, Spent::Computing, &two, 15);
    tree.add(1, Spent::Computing, &one, 20);
    tree.add(1, Spent::Sleeping, &one, 5);
    tree.add(2, Spent::Computing, &one, 1);
    tree.add(2, Spent::Computing, &stack(&[]), 0);
    let times: Vec<_> = shown(&tree).iter().map(|(_, ns)| *ns).collect();
    assert_eq!(times, [30, 15, 5, 1]);
    assert_eq!(shown(&tree)[0].0, "handle parse");
}

#[test]
fn the_frames_far_below_the_callback_are_left_out() {
    let mut tree = TimeTree::default();
    let callback = BusyStack {
        above: Some(1),
        ..stack(&[
            ("work", 1),
            ("run", 2),
            ("once", 3),
            ("forever", 4),
            ("main", 5),
        ])
    };
    tree.add(1, Spent::Computing, &callback, 10);
    assert_eq!(shown(&tree), [("forever once run work".to_owned(), 10)]);
    assert_eq!(tree.branches()[0].above, Some(1));
}

#[test]
fn the_numbers_that_asyncio_gives_to_tasks_do_not_keep_stacks_apart() {
    let mut tree = TimeTree::default();
    for name in ["Task-1", "Task-2", "feed", "Task-", "Task-1x"] {
        let stack = BusyStack {
            task: Some((name.to_owned(), "serve".to_owned())),
            ..stack(&[("work", 1)])
        };
        tree.add(1, Spent::Computing, &stack, 10);
    }
    let tasks = tree.branches().into_iter().map(|branch| branch.task);
    let mut tasks: Vec<_> = tasks.map(|it| it.map(|it| it.to_string())).collect();
    tasks.sort();
    let expected = [None, Some("Task-"), Some("Task-1x"), Some("feed")];
    assert_eq!(tasks, expected.map(|it| it.map(str::to_owned)));
    assert!(is_numbered("Task-123"));
}

#[test]
fn many_different_stacks_take_constant_memory_and_no_time_is_lost() {
    let mut tree = TimeTree::default();
    let often = stack(&[("often", 1), ("handle", 2)]);
    let mut sum = 0;
    for line in 1..=20_000 {
        let once = BusyStack {
            holder: ThreadIds {
                ident: 7,
                native: 7,
            },
            holder_frames: frames(&[("hog", line)]),
            task: Some((format!("order {line}"), "serve".to_owned())),
            ..stack(&[("once", line), ("handle", 2)])
        };
        tree.add(1, Spent::WaitingForGil, &once, 10);
        sum += 10;
        if line % 100 == 0 {
            tree.add(1, Spent::Computing, &often, 1000);
            sum += 1000;
        }
    }
    assert_eq!(total(&tree), sum);
    assert!(tree.times.len() <= MAX_STACKS);
    assert!(tree.frames.values.len() <= 3 * MAX_STACKS);
    assert!(tree.nodes.values.len() <= 3 * MAX_STACKS);
    assert!(tree.names.values.len() <= MAX_STACKS + 1);
    let shown = shown(&tree);
    assert!(shown.contains(&("handle often".to_owned(), 200_000)));
    assert!(
        shown
            .iter()
            .any(|(functions, ns)| functions.is_empty() && *ns > 180_000)
    );
}

#[test]
fn stacks_that_differ_in_their_tasks_only_are_merged_first() {
    let mut tree = TimeTree::with_room_for(10);
    for number in 0..11 {
        let stack = BusyStack {
            task: Some((format!("order {number}"), "serve".to_owned())),
            ..stack(&[("work", 1)])
        };
        tree.add(1, Spent::Computing, &stack, 10);
    }
    let branches = tree.branches();
    assert_eq!((branches.len(), branches[0].ns), (1, 110));
    assert_eq!(branches[0].coroutine.as_deref(), Some("serve"));
    assert_eq!(branches[0].frames.len(), 1);
}

#[test]
fn the_time_of_a_loop_can_become_another_ones() {
    let mut tree = TimeTree::default();
    let work = stack(&[("work", 1)]);
    for number in 1..=3 {
        tree.add(number, Spent::Computing, &work, 10);
    }
    tree.rename_loop(1, 0);
    tree.rename_loop(2, 0);
    let mut times: Vec<_> = tree
        .branches()
        .iter()
        .map(|it| (it.loop_number, it.ns))
        .collect();
    times.sort_unstable();
    assert_eq!(times, [(0, 20), (3, 10)]);
}
