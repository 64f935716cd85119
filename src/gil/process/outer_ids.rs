//! The ids of a process's threads, where the process is in a PID namespace of its own, as in a container: the interpreter knows
//! the ids inside the namespace; `/proc` wants those outside.

use std::collections::HashMap;
use std::fs;

pub struct OuterIds {
    pid: libc::pid_t,
    /// Whether ids are the same inside and outside.
    same: bool,
    /// The id of the main thread inside.
    main: u64,
    outer: HashMap<u64, u64>,
}

impl OuterIds {
    pub fn of(pid: libc::pid_t) -> Self {
        let ids = status_ids(&format!("/proc/{pid}/status"));
        Self {
            pid,
            same: ids.is_none_or(|(outer, inner)| outer == inner),
            main: ids.map_or(u64::from(pid.unsigned_abs()), |(_, inner)| inner),
            outer: HashMap::new(),
        }
    }

    /// The id inside of the process's first thread.
    pub fn main(&self) -> u64 {
        self.main
    }

    /// The id outside of the thread that has this one inside; `None` if there is no such thread now.
    pub fn get(&mut self, inner: u64) -> Option<u64> {
        let is_there = |outer: u64| {
            let ids = status_ids(&format!("/proc/{}/task/{outer}/status", self.pid));
            ids.is_some_and(|(_, own)| own == inner)
        };
        if self.same {
            return is_there(inner).then_some(inner);
        }
        if let Some(&outer) = self.outer.get(&inner)
            && is_there(outer)
        {
            return Some(outer);
        }
        self.list();
        self.outer.get(&inner).copied()
    }

    fn list(&mut self) {
        self.outer.clear();
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.pid)) else {
            return;
        };
        for task in tasks.flatten() {
            let ids = task.path().join("status");
            if let Some((outer, inner)) = ids.to_str().and_then(status_ids) {
                self.outer.insert(inner, outer);
            }
        }
    }
}

/// A thread's id outside and inside, from its `status`.
fn status_ids(path: &str) -> Option<(u64, u64)> {
    // The name of a thread may consist of any bytes.
    let status = fs::read(path).ok()?;
    parse(&String::from_utf8_lossy(&status))
}

/// Parses the line `NSpid: 4711 12 1` (proc(5)): one id for each namespace, the innermost last.
fn parse(status: &str) -> Option<(u64, u64)> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("NSpid:"))?;
    let mut ids = line.split_ascii_whitespace().map(str::parse);
    let first = ids.next()?.ok()?;
    ids.next_back()
        .map_or(Some((first, first)), |last| Some((first, last.ok()?)))
}

#[cfg(test)]
mod tests {
    use super::{OuterIds, parse};
    use crate::gil::own_ids;

    #[test]
    fn the_first_id_is_outside_and_the_last_inside() {
        assert_eq!(
            parse("Name:\tpython\nNSpid:\t4711\t12\t1\nNSsid:\t1\n"),
            Some((4711, 1))
        );
        assert_eq!(parse("NSpid:\t4711\n"), Some((4711, 4711)));
        assert_eq!(parse("Name:\tpython\n"), None);
    }

    #[test]
    fn an_id_of_this_process_is_the_same_outside_and_an_unknown_one_is_none() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let mut ids = OuterIds::of(pid);
        assert_eq!(ids.get(own_ids().native), Some(own_ids().native));
        assert_eq!(ids.get(u64::from(u32::MAX)), None);
    }
}
