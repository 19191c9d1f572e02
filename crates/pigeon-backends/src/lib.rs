//! backends
pub mod blocking;
pub mod mailstore;
pub mod spool;
