//! What stands behind the ports of the core: directory, State, mail store, outbox and spool.

pub mod authenticator;
pub mod blocking;
pub mod directory;
pub mod handover;
pub mod mailstore;
pub mod outbox;
pub mod passwords;
pub mod scripts;
pub mod spool;
pub mod sql;
pub mod state;
