//! Mail stores: where the core's copies are kept.

pub mod maildir;
