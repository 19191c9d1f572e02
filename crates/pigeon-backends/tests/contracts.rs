//! The contract suites over every backend that can be had here.

#[path = "contracts/sqlite.rs"]
mod sqlite;
