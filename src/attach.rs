//! Another process, watched from outside: which thread holds its GIL, and how long the turns of its event loops are.
//!
//! A loop's turn is the time from when it leaves its selector until it sleeps there again, or begins its next iteration. There is
//! no heartbeat: nothing of ours runs in the process, which is only read. What a turn was spent on is collected and judged by the
//! same code as in a watch: see [`crate::watch::late_period`].
//!
//! One thread samples. It finds the loops by the stacks of the process's threads ([`census`]), and reads from each loop's own
//! variables when its current iteration began ([`run_once`], [`uv_loop`]).

pub mod attached_loop;
pub mod census;
pub mod exports;
pub mod kind;
pub mod late_now;
pub mod long_holds;
pub mod loop_count;
pub mod places;
pub mod run_once;
pub mod sampler;
pub mod turn_log;
pub mod turns;
pub mod uv_loop;
pub mod watcher;
