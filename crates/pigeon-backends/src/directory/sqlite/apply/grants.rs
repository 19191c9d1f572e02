//! Who administers what.

use pigeon_core::address::Address;
use pigeon_core::rights::Reach;
use serde_json::json;

use super::super::failure::{Failure, Outcome};
use super::super::rows;
use super::{Work, Written};

impl Work<'_> {
    pub(super) fn add_grant(&self, account: &Address, domain: Option<&str>) -> Outcome<Written> {
        // A role is given by those who hold it.
        let (reach, owner, name) = self.role(domain)?;
        self.may_administer(&reach)?;
        let (account, _) = self.living_account(account)?;
        let sql = "INSERT INTO grants (account, domain) SELECT ?1, ?2
                   WHERE NOT EXISTS (SELECT 1 FROM grants WHERE account = ?1 AND domain = ?2)";
        if rows::run(self.connection, sql, [&account.id.0, &owner])? == 0 {
            return Err(Failure::exists(format!("the grant of {name} to {}", account.address), ""));
        }
        Ok(Written::new(None, Some(json!({ "account": account.address, "role": name }))))
    }

    pub(super) fn remove_grant(&self, account: &Address, domain: Option<&str>) -> Outcome<Written> {
        let (reach, owner, name) = self.role(domain)?;
        self.may_administer(&reach)?;
        let (account, _) = self.any_account(account)?;
        let sql = "DELETE FROM grants WHERE account = ?1 AND domain = ?2";
        if rows::run(self.connection, sql, [&account.id.0, &owner])? == 0 {
            return Err(Failure::not_found(format!("the grant of {name} to {}", account.address), ""));
        }
        Ok(Written::new(Some(json!({ "account": account.address, "role": name })), None))
    }

    /// Where a role reaches, the column that keeps it, and its name for people.
    fn role(&self, domain: Option<&str>) -> Outcome<(Reach, String, String)> {
        let Some(domain) = domain else { return Ok((Reach::System, String::new(), "the system".to_owned())) };
        let row = self.any_domain(domain)?;
        Ok((Reach::Domain(row.id.clone()), row.id.0, row.name.to_string()))
    }
}
