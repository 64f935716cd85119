//! What may be in the way of reading a process, apart from what it runs.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;

use super::cannot_attach::CannotAttach;

/// Whether `/proc` shows the ids of this PID namespace.
pub fn is_proc_ours() -> bool {
    let own = fs::read_link("/proc/self");
    own.is_ok_and(|own| own.to_str() == Some(&std::process::id().to_string()))
}

/// Why the system refuses to read a process's memory: a filter of system calls leaves other ways open, missing rights do not.
pub fn why_refused(pid: libc::pid_t, address: usize) -> CannotAttach {
    let memory = fs::File::open(format!("/proc/{pid}/mem"));
    let is_open = memory.is_ok_and(|memory| memory.read_at(&mut [0], address as u64).is_ok());
    if is_open {
        CannotAttach::Filter
    } else {
        CannotAttach::Rights
    }
}

/// Whether a process without memory is a thread of the kernel; if not, it is about to end.
pub fn is_kernel_thread(pid: libc::pid_t) -> bool {
    // `PF_KTHREAD` among the flags, which are the seventh field behind the name (proc(5)).
    const KERNEL_THREAD: u64 = 0x0020_0000;
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    let flags = fields
        .split(' ')
        .nth(6)
        .and_then(|flags| flags.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & KERNEL_THREAD != 0)
}

/// Whether there is a process with this id: `/proc` may hide those of other users.
fn exists(pid: libc::pid_t) -> bool {
    // SAFETY: takes two numbers, and sends no signal.
    let refused = pid > 0 && unsafe { libc::kill(pid, 0) } != 0;
    pid > 0 && (!refused || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM))
}

/// Why there is no process with this id that could be read, as far as anyone may know it.
pub fn why_no_process(pid: libc::pid_t) -> Option<CannotAttach> {
    let Ok(status) = fs::read(format!("/proc/{pid}/status")) else {
        return Some(if exists(pid) {
            CannotAttach::Rights
        } else {
            CannotAttach::Gone
        });
    };
    let status = String::from_utf8_lossy(&status);
    let field = |name: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(name).map(str::trim))
    };
    if field("State:").is_some_and(|state| state.starts_with(['Z', 'X'])) {
        return Some(CannotAttach::Zombie);
    }
    let group = field("Tgid:")?.parse().ok()?;
    (group != pid).then_some(CannotAttach::Thread(group))
}
