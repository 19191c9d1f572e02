//! The directory's backends, and what they share: how mailboxes are named, and which settings may be written.

pub(crate) mod guard;
pub(crate) mod mailbox;
pub mod sqlite;
