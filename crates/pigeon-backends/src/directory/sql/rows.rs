//! From rows to the words of the directory, and the reads of changes, in one transaction.

use async_trait::async_trait;
use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{Account, AliasPattern, Id, Role};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::{Content, Setting, SettingName};
use pigeon_core::timestamp::Timestamp;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{DomainRow, Holder, Owner, Rows, StoredAlias};
use crate::sql::{Param, Row, Session};

/// A transaction.
pub(super) struct Reader {
    pub(super) session: Session,
    /// Whether something was written.
    pub(super) is_writing: bool,
}

impl Reader {
    pub(super) const fn new(session: Session) -> Self {
        Self { session, is_writing: false }
    }

    /// All rows of a query.
    pub(super) async fn all<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        read: impl FnMut(&Row) -> Outcome<T> + Send,
    ) -> Outcome<Vec<T>> {
        self.session.fetch(sql, params).await?.iter().map(read).collect()
    }

    /// The first row of a query, if there is one.
    pub(super) async fn first<T>(
        &mut self,
        sql: &str,
        params: &[Param<'_>],
        read: impl FnOnce(&Row) -> Outcome<T> + Send,
    ) -> Outcome<Option<T>> {
        self.session.fetch(sql, params).await?.first().map(read).transpose()
    }

    /// Runs a statement; returns how many rows it found to change.
    pub(super) async fn run(&mut self, sql: &str, params: &[Param<'_>]) -> Outcome<u64> {
        Ok(self.session.run(sql, params).await?)
    }
}

/// Columns: id, primary name, status.
pub(super) fn domain_row(row: &Row, from: usize) -> Outcome<DomainRow> {
    Ok(DomainRow { id: Id(row.text(from)?), name: row.parsed(from + 1)?, status: row.parsed(from + 2)? })
}

/// Columns: local, id, name, mailbox, password, status.
pub(super) fn account(row: &Row, from: usize, domain: &DomainRow) -> Outcome<Account> {
    Ok(Account {
        id: Id(row.text(from + 1)?),
        domain: domain.id.clone(),
        address: address(&row.text(from)?, domain.name.clone())?,
        name: row.text(from + 2)?,
        mailbox: MailboxPath(row.text(from + 3)?),
        password: row.maybe_text(from + 4)?,
        status: row.parsed(from + 5)?,
    })
}

/// The address of a local part in a column.
pub(super) fn address(local: &str, domain: DomainName) -> Outcome<Address> {
    Address::from_parts(local, domain)
        .map_err(|error| Failure::Unusable(format!("holds the local part {local:?} that is none: {error}")))
}

/// Columns: local, id, targets, status.
pub(super) fn alias(row: &Row, from: usize, domain: &DomainRow) -> Outcome<StoredAlias> {
    Ok(StoredAlias {
        pattern: AliasPattern { local: row.text(from)?, domain: domain.name.clone() },
        id: Id(row.text(from + 1)?),
        domain: domain.id.clone(),
        targets: row.json(from + 2)?,
        status: row.parsed(from + 3)?,
    })
}

/// Columns: layer, service, key, content, pin, until, reason, `written_by`.
pub(super) fn setting(row: &Row, from: usize, until: Option<i64>) -> Outcome<Setting> {
    Ok(Setting {
        layer: row.parsed(from)?,
        name: SettingName { service: row.text(from + 1)?, key: row.text(from + 2)? },
        content: row.json::<Content>(from + 3)?,
        pin: row.parsed(from + 4)?,
        until: until.map(Timestamp::from_micros),
        reason: row.maybe_text(from + 6)?,
        by: row.text(from + 7)?,
    })
}

/// The domain of a grant.
pub(super) fn role(row: &Row, column: usize) -> Outcome<Role> {
    let domain = row.text(column)?;
    Ok(if domain.is_empty() { Role::System } else { Role::Domain(Id(domain)) })
}

#[async_trait]
impl Rows for Reader {
    async fn domain_named(&mut self, name: &str) -> Outcome<Option<DomainRow>> {
        let sql = "SELECT d.id, p.name, d.status FROM domain_names n JOIN domains d ON d.id = n.domain
                   JOIN domain_names p ON p.domain = n.domain AND p.is_primary = 1 WHERE n.name = ?";
        self.first(sql, &[name.into()], |row| domain_row(row, 0)).await
    }

    async fn domain_of(&mut self, id: &Id) -> Outcome<Option<DomainRow>> {
        let sql = "SELECT d.id, p.name, d.status FROM domains d
                   JOIN domain_names p ON p.domain = d.id AND p.is_primary = 1 WHERE d.id = ?";
        self.first(sql, &[(&id.0).into()], |row| domain_row(row, 0)).await
    }

    async fn other_names(&mut self, domain: &Id) -> Outcome<Vec<String>> {
        let sql = "SELECT name FROM domain_names WHERE domain = ? AND is_primary = 0 ORDER BY name";
        self.all(sql, &[(&domain.0).into()], |row| Ok(row.text(0)?)).await
    }

    async fn account_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<Account>> {
        let sql =
            "SELECT local, id, name, mailbox, password, status FROM accounts WHERE domain = ? AND local = ?";
        self.first(sql, &[(&domain.id.0).into(), local.into()], |row| account(row, 0, domain)).await
    }

    async fn account_of(&mut self, id: &Id) -> Outcome<Option<(Account, DomainRow)>> {
        let sql = "SELECT d.id, p.name, d.status, a.local, a.id, a.name, a.mailbox, a.password, a.status
                   FROM accounts a JOIN domains d ON d.id = a.domain
                   JOIN domain_names p ON p.domain = d.id AND p.is_primary = 1 WHERE a.id = ?";
        self.first(sql, &[(&id.0).into()], |row| {
            let domain = domain_row(row, 0)?;
            Ok((account(row, 3, &domain)?, domain))
        })
        .await
    }

    async fn alias_at(&mut self, domain: &DomainRow, local: &str) -> Outcome<Option<StoredAlias>> {
        let sql = "SELECT local, id, targets, status FROM aliases WHERE domain = ? AND local = ?";
        self.first(sql, &[(&domain.id.0).into(), local.into()], |row| alias(row, 0, domain)).await
    }

    async fn mailbox_holder(&mut self, mailbox: &MailboxPath) -> Outcome<Option<Holder>> {
        let sql = "SELECT id FROM accounts WHERE mailbox = ?
                   UNION ALL SELECT NULL FROM retired_mailboxes WHERE mailbox = ?";
        let params = [(&mailbox.0).into(), (&mailbox.0).into()];
        let holder = self.first(sql, &params, |row| Ok(row.maybe_text(0)?)).await?;
        Ok(holder.map(|id| id.map_or(Holder::Nobody, |id| Holder::Account(Id(id)))))
    }

    async fn mailboxes_in(&mut self, domain: &Id) -> Outcome<Vec<MailboxPath>> {
        let sql = "SELECT mailbox FROM accounts WHERE domain = ? ORDER BY mailbox";
        self.all(sql, &[(&domain.0).into()], |row| Ok(MailboxPath(row.text(0)?))).await
    }

    async fn settings_of(&mut self, owner: &Owner) -> Outcome<Vec<Setting>> {
        let sql = r#"SELECT layer, service, "key", content, pin, until, reason, written_by FROM settings
                     WHERE layer = ? AND owner = ?"#;
        let layer = owner.layer.to_string();
        let params = [(&layer).into(), (&owner.id).into()];
        self.all(sql, &params, |row| setting(row, 0, row.maybe_integer(5)?)).await
    }

    async fn roles_of(&mut self, account: &Id) -> Outcome<Vec<Role>> {
        let sql = "SELECT domain FROM grants WHERE account = ? ORDER BY domain";
        self.all(sql, &[(&account.0).into()], |row| role(row, 0)).await
    }
}
