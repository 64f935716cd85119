//! Whether someone debugs this process. A program that stands at a breakpoint does not hang.

use std::fs;
use std::path::Path;

/// The files of debuggers that are written in Python. All that stop a program in `bdb` are recognised by it: `pdb`, `ipdb`,
/// `pudb`, `rpdb`, `remote_pdb` and their like.
const FILES: [&str; 3] = ["pdb.py", "bdb.py", "pydevd.py"];
/// The folders, or packages, of debuggers.
const FOLDERS: [&str; 4] = ["debugpy", "pydevd", "ipdb", "pudb"];
const PREFIX_OF_FOLDERS: &str = "_pydevd";

/// Whether another process traces this one, as gdb and strace do (ptrace(2)).
pub fn is_traced() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| tracer(&status) != 0)
}

/// The `TracerPid` of `/proc/PID/status` (proc(5)); 0 if there is none.
fn tracer(status: &str) -> u64 {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    line.and_then(|number| number.trim().parse().ok())
        .unwrap_or(0)
}

/// Whether a frame with this file is a debugger's.
pub fn is_a_debuggers_file(file: &str) -> bool {
    let path = Path::new(file);
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| FILES.contains(&name))
        || path.components().any(|part| {
            let part = part.as_os_str().to_str().unwrap_or("");
            FOLDERS.contains(&part) || part.starts_with(PREFIX_OF_FOLDERS)
        })
}

#[cfg(test)]
mod tests {
    use super::{is_a_debuggers_file, tracer};

    #[test]
    fn the_tracer_of_a_process_is_read_from_its_status() {
        let status = "Name:\tpython\nPid:\t41\nPPid:\t40\nTracerPid:\t42\nUid:\t0\n";
        assert_eq!(tracer(status), 42);
        assert_eq!(tracer("Name:\tTracerPid:\t7\nTracerPid:\t0\n"), 0);
        assert_eq!(tracer(""), 0);
    }

    #[test]
    fn debuggers_are_recognised_by_their_files() {
        let theirs = [
            "/usr/lib/python3.13/pdb.py",
            "/usr/lib/python3.11/bdb.py",
            "/site-packages/ipdb/__main__.py",
            "/site-packages/debugpy/_vendored/pydevd/pydevd.py",
            "/opt/pycharm/plugins/python/helpers/pydev/_pydevd_bundle/pydevd_frame.py",
        ];
        assert!(theirs.into_iter().all(is_a_debuggers_file));
        let others = [
            "/srv/app.py",
            "/srv/my_pdb.py",
            "<string>",
            "",
            "/srv/pdb/app.py",
        ];
        assert!(!others.into_iter().any(is_a_debuggers_file));
    }
}
