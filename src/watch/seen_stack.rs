//! What the stack of a silent loop's thread shows: that the loop sleeps, or that someone debugs it.

use crate::gil::stack;
use crate::watch::debuggers::is_a_debuggers_file;
use crate::watch::native_stacks::NativeStacks;
use crate::watch::stacks::Below;
use crate::watch::watched_loop::WatchedLoop;

/// The stack of a loop's thread: files and functions, innermost first.
pub struct SeenStack {
    frames: Vec<(String, String)>,
    depth: usize,
    root: usize,
}

impl SeenStack {
    pub fn of(watched: &WatchedLoop, native: &mut Option<&mut NativeStacks>) -> Option<Self> {
        let read = native
            .as_mut()
            .and_then(|native| native.reader.stack(watched.thread().native).ok());
        if let Some(stack) = read {
            return Some(Self::read(&stack));
        }
        let (_, taken) = watched.stack_taken()?;
        let frames = taken.frames.iter();
        Some(Self {
            depth: taken.depth,
            root: taken.root,
            frames: frames
                .map(|(file, _, function)| (file.to_string(), function.to_string()))
                .collect(),
        })
    }

    pub fn read(stack: &stack::Stack) -> Self {
        let frames = stack.frames.iter();
        Self {
            depth: stack.depth(),
            root: stack.frames.last().map_or(0, |frame| frame.code),
            frames: frames
                .map(|frame| (frame.file.to_string(), frame.function.to_string()))
                .collect(),
        }
    }

    /// Whether the thread is in the loop's own selector, not in a callback that waits for files.
    pub fn is_in_selector(&self, below: Option<Below>) -> bool {
        let Some((file, function)) = self.frames.first() else {
            return true;
        };
        let calls_selector = |outer: &(String, String)| outer.1.ends_with("_run_once");
        if file.ends_with("selectors.py") && self.frames.get(1).is_some_and(calls_selector) {
            return true;
        }
        // A native loop has no frames of its own.
        below.is_some_and(|below| {
            below.root == self.root && self.depth <= below.depth && function != "Handle._run"
        })
    }

    pub fn is_in_debugger(&self) -> bool {
        self.frames
            .iter()
            .any(|(file, _)| is_a_debuggers_file(file))
    }
}

#[cfg(test)]
mod tests {
    use super::SeenStack;
    use crate::watch::stacks::Below;

    fn seen(frames: &[(&str, &str)]) -> SeenStack {
        let owned = |&(file, function): &(&str, &str)| (file.to_owned(), function.to_owned());
        SeenStack {
            frames: frames.iter().map(owned).collect(),
            depth: frames.len(),
            root: 7,
        }
    }

    #[test]
    fn a_loop_in_its_selector_is_distinguished_from_a_callback_that_waits_for_files() {
        let run_once = ("/lib/asyncio/base_events.py", "BaseEventLoop._run_once");
        let select = ("/lib/selectors.py", "EpollSelector.select");
        assert!(seen(&[select, run_once]).is_in_selector(None));
        let communicate = ("/lib/subprocess.py", "Popen._communicate");
        assert!(!seen(&[select, communicate, run_once]).is_in_selector(None));
    }

    #[test]
    fn a_native_loop_sleeps_if_no_frame_lies_above_the_one_that_runs_it() {
        let main = seen(&[("/srv/app.py", "main"), ("/srv/app.py", "<module>")]);
        let below = |depth, root| Some(Below { depth, root });
        assert!(main.is_in_selector(below(2, 7)));
        assert!(!main.is_in_selector(below(1, 7)));
        assert!(!main.is_in_selector(below(2, 8)));
        let direct = seen(&[("/lib/asyncio/events.py", "Handle._run")]);
        assert!(!direct.is_in_selector(below(1, 7)));
    }

    #[test]
    fn a_program_at_a_breakpoint_is_in_a_debugger() {
        let input = ("/lib/cmd.py", "Cmd.cmdloop");
        let pdb = ("/lib/pdb.py", "Pdb.interaction");
        assert!(seen(&[input, pdb, ("/srv/app.py", "main")]).is_in_debugger());
        assert!(!seen(&[input, ("/srv/app.py", "main")]).is_in_debugger());
    }
}
