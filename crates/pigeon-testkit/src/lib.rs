//! testkit
pub mod contracts;
pub mod hooks;
pub mod memory;
pub mod peers;
pub mod seeds;
