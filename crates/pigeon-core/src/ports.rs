//! What the walk needs from outside: one trait for each, implemented in `pigeon-backends` under the same word.

pub mod directory;
pub mod handover;
pub mod mailstore;
pub mod spool;
pub mod state;
