//! What the directory and the State share on PostgreSQL and MariaDB.
//!
//! Where the database is, connections that are kept, statements written once for both engines, and a schema that is
//! migrated by whoever comes first.
//!
//! Statements are standard SQL with `?` for each value and `"` around names that are reserved somewhere (`key`,
//! `change`, `before`); what reads differently on the two engines is chosen by [`Engine`]. Columns are 64-bit
//! numbers, text or octets, nothing else; times are microseconds since 1970, UTC.
//!
//! The pool is our own. That of sqlx asks the server at every return whether the connection lives, which is a second
//! round trip for each look-up, and goes on trying a server that refuses connections until the time is up, which
//! every delivery would have to wait for.

mod connection;
mod dialect;
mod error;
mod listener;
mod migrate;
mod pool;
mod rest;
mod url;

pub(crate) use dialect::{Param, Row};
pub(crate) use error::SqlError;
pub(crate) use listener::Listener;
pub(crate) use migrate::{Migration, Schema, create};
pub(crate) use pool::{Limits, Pool, Session};
pub use url::{Engine, Host, SqlUrl, SqlUrlError, TlsMode};
