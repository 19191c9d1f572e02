//! testkit
pub mod peers;
