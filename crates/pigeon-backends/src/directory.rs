//! The directory's backends, and what they share: what an address means, which changes are allowed, how mailboxes
//! are named. An engine adds how its rows are read and written ([`rows`]).

pub(crate) mod change;
pub(crate) mod failure;
pub(crate) mod fetched;
pub mod foreign;
pub(crate) mod guard;
pub mod kept;
pub mod ldap;
pub(crate) mod listing;
pub(crate) mod lookup;
pub(crate) mod mailbox;
pub(crate) mod rows;
pub(crate) mod scopes;
pub mod sql;
pub mod sqlite;
