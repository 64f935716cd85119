//! Counts how often this process receives a signal, also while no Python code can run. A handler of Python's would wait until the
//! main thread gets to run the next bytecode.
//!
//! The handler adds 1 to a number, and then calls the handler that was there before, if there was one: nothing changes for the
//! program. A handler that the program installs later replaces this one. A forked child is treated as if there were only the
//! handler from before.
//!
//! The handler may be installed again in front of one that calls it, or that puts it back later, as faulthandler's does. So what
//! was there before is remembered for good, and a call that comes out of the handler from before is not passed on to it.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::locked::Locked;

/// One more than the number of the last signal.
const SIGNALS: usize = 65;
/// In how many threads at once a circle of handlers is noticed at its first turn. In a further thread it goes on until one of them
/// is done.
const CALLERS: usize = 16;

/// What the handler needs to know of a signal. Every access is `SeqCst`: signals are rare.
struct Slot {
    count: AtomicU64,
    /// The process that counts.
    pid: AtomicU32,
    /// The handler before, and its flags.
    earlier: AtomicUsize,
    earlier_flags: AtomicI32,
    /// The threads that are in the handler before; 0 where there is none. A thread-local could allocate memory in the handler.
    callers: [AtomicI32; CALLERS],
}

static SLOTS: [Slot; SIGNALS] = [const {
    Slot {
        count: AtomicU64::new(0),
        pid: AtomicU32::new(0),
        earlier: AtomicUsize::new(libc::SIG_DFL),
        earlier_flags: AtomicI32::new(0),
        callers: [const { AtomicI32::new(0) }; CALLERS],
    }
}; SIGNALS];

/// Of each signal that has ever been counted: how many count it, and what is to be restored after the last of them. It stays after
/// the last, because the program may put the handler back: faulthandler does so if it was registered meanwhile.
static INSTALLED: Locked<[Option<Installed>; SIGNALS]> = Locked::new([const { None }; SIGNALS]);

struct Installed {
    users: u32,
    earlier: libc::sigaction,
}

/// While it lives, the signal is counted.
pub struct CountedSignal {
    number: i32,
    index: usize,
}

impl CountedSignal {
    pub fn new(number: i32) -> io::Result<Self> {
        let index = usize::try_from(number).unwrap_or(SIGNALS);
        if index == 0 || index >= SIGNALS {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        INSTALLED.with(|all| {
            let before = current(number)?;
            let users = all[index].as_ref().map_or(0, |it| it.users);
            let earlier = match all[index].take() {
                Some(it) if is_ours(&before) => it.earlier,
                _ => {
                    install(number, index, &before)?;
                    before
                }
            };
            // In a child that was forked without Python's knowledge, the handler is inherited.
            SLOTS[index].pid.store(std::process::id(), Ordering::SeqCst);
            let users = users + 1;
            all[index] = Some(Installed { users, earlier });
            Ok(Self { number, index })
        })
    }
}

impl Drop for CountedSignal {
    /// Restores the handler from before, unless the program has installed another one since. In a forked child too.
    fn drop(&mut self) {
        INSTALLED.with(|all| {
            let Some(installed) = &mut all[self.index] else {
                return;
            };
            installed.users -= 1;
            if installed.users > 0 {
                return;
            }
            if current(self.number).is_ok_and(|now| is_ours(&now)) {
                // SAFETY: the action is the one that the kernel gave for this signal.
                unsafe {
                    libc::sigaction(
                        self.number,
                        &raw const installed.earlier,
                        std::ptr::null_mut(),
                    );
                }
            }
        });
    }
}

/// How often this process has received the signal while it was counted.
pub fn count(number: i32) -> u64 {
    usize::try_from(number)
        .ok()
        .and_then(|index| SLOTS.get(index))
        .map_or(0, |slot| slot.count.load(Ordering::SeqCst))
}

fn current(number: i32) -> io::Result<libc::sigaction> {
    // SAFETY: the kernel fills in the action, and nothing is changed.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(number, std::ptr::null(), &raw mut action) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(action)
    }
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == handler()
}

fn handler() -> usize {
    let handle: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = handle;
    handle as usize
}

fn install(number: i32, index: usize, earlier: &libc::sigaction) -> io::Result<()> {
    let slot = &SLOTS[index];
    slot.earlier.store(earlier.sa_sigaction, Ordering::SeqCst);
    slot.earlier_flags.store(earlier.sa_flags, Ordering::SeqCst);
    let is_handled = ![libc::SIG_DFL, libc::SIG_IGN].contains(&earlier.sa_sigaction);
    // Python's handlers interrupt a system call, so that the main thread gets to run them. Where there is no handler, the program
    // does not expect that a system call is interrupted.
    let restart = if is_handled {
        earlier.sa_flags & libc::SA_RESTART
    } else {
        libc::SA_RESTART
    };
    // SAFETY: the handler makes only calls that signal-safety(7) lists, besides the handler that was there before.
    let failed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler();
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | restart;
        if is_handled {
            action.sa_mask = earlier.sa_mask;
        }
        libc::sigaction(number, &raw const action, std::ptr::null_mut()) < 0
    };
    if failed {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

extern "C" fn handle(number: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(slot) = usize::try_from(number)
        .ok()
        .and_then(|index| SLOTS.get(index))
    else {
        return;
    };
    // SAFETY: the call has no arguments and always succeeds.
    let me = unsafe { libc::gettid() };
    if slot
        .callers
        .iter()
        .any(|it| it.load(Ordering::SeqCst) == me)
    {
        return; // the handler before has called this one, which has counted the signal already
    }
    let is_counted = std::process::id() == slot.pid.load(Ordering::SeqCst);
    if is_counted {
        slot.count.fetch_add(1, Ordering::SeqCst);
    }
    match slot.earlier.load(Ordering::SeqCst) {
        // SAFETY: both calls are listed in signal-safety(7). The signal that is raised here arrives when the handler returns,
        // and does to a forked child what it would do without this handler.
        libc::SIG_DFL if !is_counted => unsafe {
            libc::signal(number, libc::SIG_DFL);
            libc::raise(number);
        },
        libc::SIG_DFL | libc::SIG_IGN => {}
        earlier => {
            let place = slot.callers.iter().find(|it| {
                it.compare_exchange(0, me, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok()
            });
            let flags = slot.earlier_flags.load(Ordering::SeqCst);
            if flags & libc::SA_NODEFER != 0 {
                unblock(number);
            }
            // SAFETY: the kernel called this address for this signal until our handler took its place, with these arguments:
            // all three of them if the flag is set, and else the first.
            unsafe {
                if flags & libc::SA_SIGINFO != 0 {
                    let earlier: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
                        std::mem::transmute(earlier);
                    earlier(number, info, context);
                } else {
                    let earlier: extern "C" fn(i32) = std::mem::transmute(earlier);
                    earlier(number);
                }
            }
            if let Some(place) = place {
                place.store(0, Ordering::SeqCst);
            }
        }
    }
}

/// Lets the signal arrive while its handler runs, as `SA_NODEFER` does: faulthandler's raises it, to call the handler before it. A
/// signal that arrived only after the handler would be the next one for faulthandler, without end. The flag itself would not do:
/// faulthandler may install an action of ours that it has kept from before. The kernel restores the mask after the handler.
fn unblock(number: i32) {
    // SAFETY: all three calls are listed in signal-safety(7), and the set is filled in before it is read.
    unsafe {
        let mut signals: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, number);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const signals, std::ptr::null_mut());
    }
}
