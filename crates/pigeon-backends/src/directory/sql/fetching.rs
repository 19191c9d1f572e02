//! Everything a look-up can need, in one statement.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use pigeon_core::address::Address;
use pigeon_core::directory::{Id, Status};
use serde_json::json;

use super::super::failure::{Failure, Outcome};
use super::super::fetched::{Fetched, Fetcher, bases};
use super::super::rows::{DomainRow, Owner, Source as _};
use super::rows;
use crate::sql::{Engine, Pool, Row};

const POSTGRES: &str = include_str!("fetch_postgres.sql");
const MARIADB: &str = include_str!("fetch_mariadb.sql");

/// Fetches from one server.
pub(super) struct From(pub(super) Arc<Pool>);

#[async_trait]
impl Fetcher for From {
    async fn fetch(&mut self, wanted: &[Address]) -> Outcome<Fetched> {
        let mut asked = Vec::new();
        for address in wanted {
            let domain = address.domain().as_str();
            asked.extend(bases(address).into_iter().map(|local| json!({ "local": local, "domain": domain })));
        }
        let sql = match self.0.engine() {
            Engine::Postgres => POSTGRES,
            Engine::MariaDb => MARIADB,
        };
        let asked = serde_json::Value::Array(asked).to_string();
        let rows = self.0.fetch(sql, &[(&asked).into()]).await?;
        Taken::default().all(&rows, wanted)
    }
}

/// Rows as they are taken in. Accounts and aliases wait for their domain, for rows come in no order.
#[derive(Default)]
struct Taken<'a> {
    fetched: Fetched,
    domains: HashMap<Id, DomainRow>,
    people: Vec<(&'a Row, bool)>,
    reached: Vec<(String, String)>,
}

impl<'a> Taken<'a> {
    fn all(mut self, rows: &'a [Row], wanted: &[Address]) -> Outcome<Fetched> {
        for row in rows {
            self.take(row)?;
        }
        for (row, is_account) in std::mem::take(&mut self.people) {
            self.place(row, is_account)?;
        }
        for address in wanted {
            self.fetched.cover(address);
        }
        for (local, domain) in std::mem::take(&mut self.reached) {
            self.cover(&local, &domain)?;
        }
        Ok(self.fetched)
    }

    /// Columns: what it is, and then what belongs to it, as the statement says.
    fn take(&mut self, row: &'a Row) -> Outcome<()> {
        match row.text(0)?.as_str() {
            "position" => self.fetched.position = row.parsed(1)?,
            "reached" => {
                // What is too long to be an address has been cut to nothing.
                if let (Some(local), Some(domain)) = (row.maybe_text(1)?, row.maybe_text(2)?) {
                    self.reached.push((local, domain));
                }
            }
            "domain" => {
                let domain = rows::domain_row(row, 2)?;
                self.domains.insert(domain.id.clone(), domain.clone());
                self.fetched.domains.insert(row.text(1)?, domain);
            }
            "account" => self.people.push((row, true)),
            "alias" => self.people.push((row, false)),
            "setting" => {
                let until = row.maybe_text(7)?.map(|_| row.parsed(7)).transpose()?;
                let setting = rows::setting(row, 2, until)?;
                let owner = Owner { layer: setting.layer, id: row.text(1)? };
                self.fetched.settings.entry(owner).or_default().push(setting);
            }
            other => return Err(Failure::Unusable(format!("answered with rows of the kind {other:?}"))),
        }
        Ok(())
    }

    fn place(&mut self, row: &Row, is_account: bool) -> Outcome<()> {
        let Some(domain) = self.domains.get(&Id(row.text(1)?)) else { return Ok(()) };
        if is_account {
            self.fetched.add_account(rows::account(row, 2, domain)?);
        } else {
            self.fetched.add_alias(rows::alias(row, 2, domain)?);
        }
        Ok(())
    }

    /// Whether everything about an address that the statement came to by itself is here. It was looked for by its
    /// text alone: where that leads to nothing, a base of it may be meant, and those were not looked for.
    fn cover(&mut self, local: &str, domain: &str) -> Outcome<()> {
        let Ok(address) = Address::parse(&format!("{local}@{domain}")) else { return Ok(()) };
        if address.local() != local || address.domain().as_str() != domain || local.contains('*') {
            return Ok(());
        }
        let is_known = match self.fetched.domain_named(domain)? {
            None => true,
            Some(row) if row.status == Status::Removed => true,
            Some(row) => {
                let account = self.fetched.account_at(&row, local)?;
                account.is_some_and(|account| account.status != Status::Removed)
                    || self.fetched.alias_at(&row, local)?.is_some()
                    || bases(&address).len() == 1
            }
        };
        if is_known {
            self.fetched.cover(&address);
        }
        Ok(())
    }
}
