//! The delivery modules, one file for each, and the [`catalogue`] that lists them.
//!
//! A new one begins as a copy of [`template`]: settings, logic and tests in one file, one line in the catalogue.

pub mod address_list;
pub mod antispam;
pub mod antivirus;
pub mod archive;
pub mod authentication;
pub mod breaker;
pub mod catalogue;
pub mod command;
pub mod duplicate;
pub mod forward;
pub mod headers;
pub mod http;
pub mod lists;
pub mod mailbox;
pub mod notify;
pub mod octets;
mod personal;
pub mod quota;
pub mod shown;
pub mod sieve;
pub mod subaddress;
pub mod template;
pub mod vacation;
pub mod web;

pub use pigeon_core::compose;
