//! Integration tests.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod command;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod e2e;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod node;
#[cfg(test)]
mod notify;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod scenarios;
