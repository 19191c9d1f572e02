//! backends
pub mod blocking;
pub mod mailstore;
pub mod outbox;
pub mod spool;
pub mod state;
pub mod directory;
pub mod passwords;
