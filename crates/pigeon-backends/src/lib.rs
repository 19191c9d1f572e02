//! backends
pub mod blocking;
