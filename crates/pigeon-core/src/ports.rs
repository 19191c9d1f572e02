//! What the core needs from outside, and what servers share: one trait for each, implemented in `pigeon-backends`
//! under the same word.

pub mod authenticator;
pub mod directory;
pub mod handover;
pub mod mailstore;
pub mod scripts;
pub mod spool;
pub mod state;
