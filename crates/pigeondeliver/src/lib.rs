//! The mail delivery agent: its configuration, the wiring of its parts, and its commands.

pub mod cli;
pub mod clock;
pub mod config;
pub mod docs;
pub mod log;
pub mod posts;
pub mod show;
pub mod wiring;
