//! testkit
pub mod memory;
pub mod peers;
