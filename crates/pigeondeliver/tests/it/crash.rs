//! What was acknowledged is there, complete, however the process ends: tests with `kill -9` and SIGTERM under load.

mod command;
pub(crate) mod load;
mod outbox;
mod serve;
mod stop;
