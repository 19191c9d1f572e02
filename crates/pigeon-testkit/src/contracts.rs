//! Contract suites: one for each port, the same for every backend.

pub mod directory;
pub mod mailstore;
pub mod state;
