//! Every service in every state that administrators can bring it into, and in some that they cannot.

#[cfg(test)]
mod every_service;
