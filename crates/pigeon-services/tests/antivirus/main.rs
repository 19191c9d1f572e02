//! The real clamd behind the service, through the whole agent.

#[cfg(test)]
mod clamd;
