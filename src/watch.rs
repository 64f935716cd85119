//! A watch over a running program. The native side notes what happens while the program cannot be asked, and hands it on
//! as plain data; what it means is `gilscope/causes.py`.
//!
//! Two threads. The sampler never attaches to the interpreter: it sees a stall while it lasts, and who holds the GIL. The
//! witness does attach: its waits at random moments are the distribution of waits, and when the sampler calls it, it waits
//! in line during the stall, so that the holder's frame is still at the line, or just after it, when its turn comes.
//!
//! What they share is in [`shared`]. No lock of it is ever held while waiting for the GIL, by anyone.

pub mod alarm;
pub mod collections;
pub mod episode;
pub mod heart;
pub mod ledger;
pub mod report;
pub mod sampler;
pub mod shared;
pub mod stacks;
pub mod thread;
pub mod watcher;
pub mod witness;
