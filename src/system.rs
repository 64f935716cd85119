//! Everything that only Linux has: clocks, run queues, scheduling, the threads of this process, eventfds. A port to
//! another operating system starts in this folder.
//!
//! Three things that depend on Linux or on x86-64 lie elsewhere, beside the code that uses them: the layout of
//! interpreter memory (`src/gil.rs`), the timerfd of the heartbeat (`src/watch`), and the assembly of the kernels
//! (`src/countdown.rs`).

pub mod clock;
pub mod counted_signal;
pub mod descriptors;
pub mod detached_process;
pub mod event_fd;
pub mod kept_file;
pub mod kept_stderr;
pub mod other_threads;
pub mod own_file;
pub mod own_threads;
pub mod pace;
pub mod placement;
pub mod run_queue;
pub mod scheduling;
pub mod signals;
pub mod wall_clock;
