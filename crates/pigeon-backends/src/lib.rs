//! backends
pub mod blocking;
pub mod mailstore;
pub mod spool;
pub mod directory;
pub mod passwords;
