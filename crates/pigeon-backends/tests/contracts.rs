//! The contract suites over every backend that can be had here.

#[path = "contracts/ldap.rs"]
mod ldap;
#[path = "contracts/mariadb.rs"]
mod mariadb;
#[path = "contracts/postgres.rs"]
mod postgres;
#[path = "contracts/sql.rs"]
mod sql;
#[path = "contracts/sqlite.rs"]
mod sqlite;
