//! Integration tests.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod e2e;
#[cfg(test)]
mod node;
