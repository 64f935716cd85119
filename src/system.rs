//! What is Linux's: clocks, run queues, scheduling, the threads of this process. A port to another system starts here.

pub mod clock;
pub mod other_threads;
pub mod pace;
pub mod run_queue;
pub mod scheduling;
