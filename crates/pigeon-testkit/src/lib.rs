//! testkit
pub mod contracts;
pub mod memory;
pub mod peers;
pub mod seeds;
