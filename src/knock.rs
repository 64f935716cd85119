//! The sampling thread of `check`: asks for the GIL at random moments, and measures how long it waits.

pub mod keeper;
pub mod knock_thread;
pub mod knocker;
pub mod reading;
pub mod tally;
pub mod windows;
