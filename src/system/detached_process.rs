//! Starts a program that is not a child of this process: `os.wait` does not find it, and its end sends no signal.
//!
//! A child of ours starts the program as its own child and ends. The program then belongs to the nearest reaper. The first
//! child is a clone that sends no signal when it ends, and only a wait with `__WALL` finds it. Neither of the two copies any
//! memory: like after vfork(2), the caller sleeps until the program runs.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::system::descriptors::{owned, raised};
use crate::system::signals;

const STACK_SIZE: usize = 64 * 1024;
/// Signals that a terminal or a service manager sends to every process of a service. The program ignores them.
const IGNORED: [c_int; 9] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// What the two clones need. They share the caller's memory, so they must not allocate, lock or return early.
struct Start {
    argv: Vec<*const c_char>,
    files: [RawFd; FILES],
    null: RawFd,
    second_stack: Stack,
    failure: AtomicI32,
}

/// How many files the program gets besides standard error: as descriptors 3, 4 ...
pub const FILES: usize = 3;
const FIRST_FILE: c_int = 3;
/// The files must have numbers from here on, so that none is overwritten by the copy of another.
pub const LOWEST_NUMBER: RawFd = 16;

struct Stack(*mut c_void);

impl Stack {
    fn new() -> io::Result<Self> {
        // SAFETY: an anonymous mapping at an address that the kernel chooses.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                STACK_SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(memory))
    }

    fn top(&self) -> *mut c_void {
        self.0.wrapping_byte_add(STACK_SIZE)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the clone that ran on it has called execve or has ended.
        unsafe { libc::munmap(self.0, STACK_SIZE) };
    }
}

/// Starts `argv` in a session of its own with this process's environment, directory, user and standard error. Its standard
/// input and output are /dev/null. Of the other files it gets only `files`.
pub fn start(argv: &[CString], files: [RawFd; FILES]) -> io::Result<()> {
    // SAFETY: the path is a constant with a NUL at its end.
    let null = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    let null = raised(owned(null)?, LOWEST_NUMBER)?;
    let mut pointers: Vec<_> = argv.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(ptr::null());
    let first_stack = Stack::new()?;
    let start = Start {
        argv: pointers,
        files,
        null: null.as_raw_fd(),
        second_stack: Stack::new()?,
        failure: AtomicI32::new(0),
    };
    // A handler must not run in a clone, which shares this process's memory.
    signals::blocked(|| clone(first, &first_stack, &start)).and_then(wait)?;
    match start.failure.load(Ordering::Relaxed) {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

fn clone(
    run: extern "C" fn(*mut c_void) -> c_int,
    stack: &Stack,
    start: &Start,
) -> io::Result<libc::pid_t> {
    // SAFETY: `run` never returns into a frame of ours. CLONE_VFORK makes this thread sleep until the clone has called
    // execve or _exit, so `start` and the stack outlive the clone's use of them. No exit signal is named in the flags.
    let pid = unsafe {
        libc::clone(
            run,
            stack.top(),
            libc::CLONE_VM | libc::CLONE_VFORK,
            ptr::from_ref(start).cast_mut().cast(),
        )
    };
    if pid < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(pid)
    }
}

fn wait(pid: libc::pid_t) -> io::Result<()> {
    // SAFETY: no status is asked for.
    while unsafe { libc::waitpid(pid, ptr::null_mut(), libc::__WALL) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// Starts the second clone, and ends.
extern "C" fn first(start: *mut c_void) -> c_int {
    // SAFETY: `clone` passes a `Start` that outlives this process.
    let start = unsafe { &*start.cast::<Start>() };
    if let Err(error) = clone(second, &start.second_stack, start) {
        start.failure.store(
            error.raw_os_error().unwrap_or(libc::EAGAIN),
            Ordering::Relaxed,
        );
    }
    0
}

/// Becomes the program.
extern "C" fn second(start: *mut c_void) -> c_int {
    // SAFETY: as in `first`. Only system calls follow, on descriptors and signal dispositions that this process has to
    // itself: neither CLONE_FILES nor CLONE_SIGHAND was asked for.
    unsafe {
        let start = &*start.cast::<Start>();
        libc::setsid();
        for signal in IGNORED {
            libc::signal(signal, libc::SIG_IGN);
        }
        for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
            if libc::dup2(start.null, standard) < 0 {
                libc::close(standard);
            }
        }
        if libc::fcntl(libc::STDERR_FILENO, libc::F_GETFD) < 0 {
            libc::dup2(start.null, libc::STDERR_FILENO);
        }
        let mut number = FIRST_FILE;
        for file in start.files {
            libc::dup2(file, number);
            number += 1;
        }
        libc::syscall(libc::SYS_close_range, number, libc::c_uint::MAX, 0);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execv(start.argv[0], start.argv.as_ptr());
        start
            .failure
            .store(*libc::__errno_location(), Ordering::Relaxed);
        libc::_exit(127)
    }
}
