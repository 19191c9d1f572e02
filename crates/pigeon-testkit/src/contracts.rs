//! Contract suites: one for each port, the same for every backend.

pub mod mailstore;
pub mod directory;
