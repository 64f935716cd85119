//! The sampling thread of `check`: it asks for the GIL at random moments, and counts how long it waits.

pub mod knocker;
pub mod reading;
pub mod switch_interval;
pub mod tally;
