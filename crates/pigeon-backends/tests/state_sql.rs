//! State in PostgreSQL and MariaDB: the contract, nodes that share it, outages of the database, and kills.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on fails at that spot"
)]

#[path = "state_sql/database.rs"]
mod database;
#[path = "state_sql/kills.rs"]
mod kills;
#[path = "state_sql/nodes.rs"]
mod nodes;
#[path = "state_sql/outages.rs"]
mod outages;
#[path = "state_sql/shared.rs"]
mod shared;
