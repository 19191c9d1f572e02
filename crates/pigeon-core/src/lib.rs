//! The words of mail delivery, and the walk of a message.
//!
//! Nothing here does I/O: what the walk needs from outside comes in through the traits in [`ports`].
//! Start reading at [`agent`], where a message comes in and receipts go out.

pub mod address;
pub mod agent;
pub mod alias;
pub mod clock;
pub mod compose;
pub mod delivery;
pub mod directory;
pub mod effect;
pub mod envelope;
pub mod fault;
pub mod folder;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod headers;
pub mod journal;
pub mod message;
pub mod outcome;
pub mod plan;
pub mod planner;
pub mod ports;
pub mod receipt;
pub mod redirect;
pub mod resolve;
pub mod rights;
pub mod sasl;
pub mod service;
pub mod setting;
pub mod srs;
pub mod timestamp;
