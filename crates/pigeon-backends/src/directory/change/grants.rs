//! Who administers what.

use pigeon_core::address::Address;
use pigeon_core::directory::{Entry, Grant, Role};
use pigeon_core::rights::Reach;
use serde_json::json;

use super::super::failure::{Failure, Outcome};
use super::super::rows::Write;
use super::{Work, Written};

impl Work<'_> {
    pub(super) async fn add_grant(&mut self, account: &Address, domain: Option<&str>) -> Outcome<Written> {
        // A role is given by those who hold it.
        let (reach, role, name) = self.role(domain).await?;
        self.may_administer(&reach)?;
        let (account, _) = self.living_account(account).await?;
        if self.rows.roles_of(&account.id).await?.contains(&role) {
            return Err(Failure::exists(format!("the grant of {name} to {}", account.address), ""));
        }
        let after = Some(json!({ "account": account.address, "role": name }));
        let grant = Entry::Grant(Grant { account: account.id, role });
        Ok(Written { after, ..Written::rows(vec![Write::Put(grant)]) })
    }

    pub(super) async fn remove_grant(&mut self, account: &Address, domain: Option<&str>) -> Outcome<Written> {
        let (reach, role, name) = self.role(domain).await?;
        self.may_administer(&reach)?;
        let (account, _) = self.any_account(account).await?;
        if !self.rows.roles_of(&account.id).await?.contains(&role) {
            return Err(Failure::not_found(format!("the grant of {name} to {}", account.address), ""));
        }
        let before = Some(json!({ "account": account.address, "role": name }));
        let grant = Entry::Grant(Grant { account: account.id, role });
        Ok(Written { before, ..Written::rows(vec![Write::Drop(grant)]) })
    }

    /// Where a role reaches, what it is, and its name for people.
    async fn role(&mut self, domain: Option<&str>) -> Outcome<(Reach, Role, String)> {
        let Some(domain) = domain else { return Ok((Reach::System, Role::System, "the system".to_owned())) };
        let row = self.any_domain(domain).await?;
        Ok((Reach::Domain(row.id.clone()), Role::Domain(row.id), row.name.to_string()))
    }
}
