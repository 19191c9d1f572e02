//! Writes rows, with their row of the change log; the triggers say what each touches.

use std::collections::HashSet;

use async_trait::async_trait;
use pigeon_core::directory::{Account, Alias, Domain, Entry, Grant, Id, LoggedChange, Role};
use pigeon_core::setting::Setting;
use pigeon_core::timestamp::Timestamp;
use serde_json::Value;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{Transaction, Write, Writes};
use super::super::scopes::text_of;
use super::rows::Reader;
use crate::sql::{Engine, Param};

#[async_trait]
impl Transaction for Reader {
    async fn commit(&mut self, log: LoggedChange, writes: Writes) -> Outcome<u64> {
        self.is_writing = true;
        let seq = self.write_log(&log).await?;
        // From here on the triggers leave the log to this change.
        self.applying(if writes.scopes.is_some() { "bulk" } else { "change" }).await?;
        let scopes: HashSet<String> = writes.scopes.iter().flatten().map(text_of).collect();
        for scope in &scopes {
            let sql = "INSERT INTO change_scopes (seq, scope) VALUES (?, ?)";
            self.run(sql, &[seq.into(), scope.into()]).await?;
        }
        for write in &writes.rows {
            match write {
                Write::Put(entry) => self.put(entry).await?,
                Write::Drop(entry) => self.drop_row(entry).await?,
            }
        }
        if self.session.engine() == Engine::MariaDb {
            // Elsewhere it ends with the transaction.
            self.run("SET @pigeon_applying = NULL", &[]).await?;
        }
        u64::try_from(seq).map_err(|_| Failure::Unusable("holds a change log below zero".to_owned()))
    }
}

impl Reader {
    /// Waits until nobody else changes the directory, and keeps it so until the end of the transaction.
    pub(super) async fn lock(&mut self) -> Outcome<()> {
        let sql = match self.session.engine() {
            Engine::Postgres => "SELECT pigeon_change_lock()",
            Engine::MariaDb => "SELECT seq FROM change_position WHERE number = 1 FOR UPDATE",
        };
        match self.session.fetch(sql, &[]).await {
            Err(error) if error.is_late() => Err(Failure::Unusable(format!(
                "is being changed by somebody who does not come to an end, by a transaction that was left open in an \
                 SQL shell perhaps ({error})"
            ))),
            locked => Ok(locked.map(drop)?),
        }
    }

    async fn write_log(&mut self, log: &LoggedChange) -> Outcome<i64> {
        let seq = self.first("SELECT seq + 1 FROM change_position", &[], |row| Ok(row.integer(0)?)).await?;
        let seq =
            seq.ok_or_else(|| Failure::Unusable("has lost the position of its change log".to_owned()))?;
        if self.session.engine() == Engine::MariaDb {
            self.run("UPDATE change_position SET seq = ? WHERE number = 1", &[seq.into()]).await?;
        }
        let text = |row: &Option<Value>| row.as_ref().map(Value::to_string);
        let (change, before, after) = (log.change.to_string(), text(&log.before), text(&log.after));
        let sql =
            r#"INSERT INTO change_log (seq, at, actor, "change", "before", after) VALUES (?, ?, ?, ?, ?, ?)"#;
        let params = [
            seq.into(),
            log.at.micros().into(),
            (&log.actor).into(),
            (&change).into(),
            before.as_deref().into(),
            after.as_deref().into(),
        ];
        self.run(sql, &params).await?;
        Ok(seq)
    }

    async fn applying(&mut self, how: &str) -> Outcome<()> {
        match self.session.engine() {
            Engine::Postgres => {
                let sql = "SELECT set_config('pigeon.applying', ?, TRUE)";
                self.session.fetch(sql, &[how.into()]).await?;
            }
            Engine::MariaDb => {
                self.run("SET @pigeon_applying = ?", &[how.into()]).await?;
            }
        }
        Ok(())
    }

    async fn put(&mut self, entry: &Entry) -> Outcome<()> {
        match entry {
            Entry::Domain(domain) => self.put_domain(domain).await,
            Entry::Account(account) => self.put_account(account).await,
            Entry::Alias(alias) => self.put_alias(alias).await,
            Entry::Grant(grant) => self.put_grant(grant).await,
            Entry::Setting { owner, setting } => self.put_setting(owner_text(owner), setting).await,
        }
    }

    /// Writes a row in the place of the one with the same key, or as a new one. Not in one statement: what MariaDB has
    /// for that takes the place of any row that is in the way, whatever its key.
    async fn update_or_insert(
        &mut self,
        (update, insert): (&str, &str),
        values: &[Param<'_>],
        key: &[Param<'_>],
    ) -> Outcome<()> {
        let params = [values, key].concat();
        if self.run(update, &params).await? == 0 {
            self.run(insert, &params).await?;
        }
        Ok(())
    }

    async fn put_domain(&mut self, domain: &Domain) -> Outcome<()> {
        let (id, status) = (&domain.id.0, domain.status.to_string());
        let sql = "SELECT status FROM domains WHERE id = ?";
        match self.first(sql, &[id.into()], |row| Ok(row.text(0)?)).await? {
            None => {
                let sql = "INSERT INTO domains (id, status) VALUES (?, ?)";
                self.run(sql, &[id.into(), (&status).into()]).await?;
            }
            Some(known) if known != status => {
                let sql = "UPDATE domains SET status = ? WHERE id = ?";
                self.run(sql, &[(&status).into(), id.into()]).await?;
            }
            Some(_) => {}
        }
        self.put_names(domain).await
    }

    /// Names that stay are left alone; whatever was primary gives way before the new one comes.
    async fn put_names(&mut self, domain: &Domain) -> Outcome<()> {
        let id = &domain.id.0;
        let sql = "SELECT name, is_primary FROM domain_names WHERE domain = ?";
        let written = self.all(sql, &[id.into()], |row| Ok((row.text(0)?, row.integer(1)? == 1))).await?;
        let wanted: Vec<(&str, bool)> = std::iter::once((domain.name.as_str(), true))
            .chain(domain.aliases.iter().map(|name| (name.as_str(), false)))
            .collect();
        for (name, is_primary) in &written {
            if !wanted.contains(&(name.as_str(), *is_primary)) {
                self.run("DELETE FROM domain_names WHERE name = ?", &[name.into()]).await?;
            }
        }
        for (name, is_primary) in wanted {
            if !written.iter().any(|(known, was_primary)| known == name && *was_primary == is_primary) {
                let sql = "INSERT INTO domain_names (name, domain, is_primary) VALUES (?, ?, ?)";
                self.run(sql, &[name.into(), id.into(), is_primary.into()]).await?;
            }
        }
        Ok(())
    }

    async fn put_account(&mut self, account: &Account) -> Outcome<()> {
        let status = account.status.to_string();
        let values = [
            (&account.domain.0).into(),
            account.address.local().into(),
            (&account.name).into(),
            (&account.mailbox.0).into(),
            account.password.as_deref().into(),
            (&status).into(),
        ];
        let update = "UPDATE accounts SET domain = ?, local = ?, name = ?, mailbox = ?, password = ?, status = ? WHERE id = ?";
        let insert = "INSERT INTO accounts (domain, local, name, mailbox, password, status, id) VALUES (?, ?, ?, ?, ?, ?, ?)";
        self.update_or_insert((update, insert), &values, &[(&account.id.0).into()]).await
    }

    async fn put_alias(&mut self, alias: &Alias) -> Outcome<()> {
        let (targets, status) = (json(&alias.targets)?, alias.status.to_string());
        let values =
            [(&alias.domain.0).into(), (&alias.pattern.local).into(), (&targets).into(), (&status).into()];
        let update = "UPDATE aliases SET domain = ?, local = ?, targets = ?, status = ? WHERE id = ?";
        let insert = "INSERT INTO aliases (domain, local, targets, status, id) VALUES (?, ?, ?, ?, ?)";
        self.update_or_insert((update, insert), &values, &[(&alias.id.0).into()]).await
    }

    async fn put_grant(&mut self, Grant { account, role }: &Grant) -> Outcome<()> {
        let params = [(&account.0).into(), domain_of_role(role).into()];
        let sql = "SELECT account FROM grants WHERE account = ? AND domain = ?";
        if self.first(sql, &params, |_| Ok(())).await?.is_none() {
            self.run("INSERT INTO grants (account, domain) VALUES (?, ?)", &params).await?;
        }
        Ok(())
    }

    async fn put_setting(&mut self, owner: &str, setting: &Setting) -> Outcome<()> {
        let (content, pin) = (json(&setting.content)?, setting.pin.to_string());
        let (layer, kind) = (setting.layer.to_string(), setting.content.kind().to_string());
        let values = [
            (&content).into(),
            (&pin).into(),
            setting.until.map(Timestamp::micros).into(),
            setting.reason.as_deref().into(),
            (&setting.by).into(),
        ];
        let key = [
            (&layer).into(),
            owner.into(),
            (&setting.name.service).into(),
            (&setting.name.key).into(),
            (&kind).into(),
        ];
        let update = r#"UPDATE settings SET content = ?, pin = ?, until = ?, reason = ?, written_by = ?
                        WHERE layer = ? AND owner = ? AND service = ? AND "key" = ? AND kind = ?"#;
        let insert = r#"INSERT INTO settings (content, pin, until, reason, written_by, layer, owner, service, "key", kind)
                        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"#;
        self.update_or_insert((update, insert), &values, &key).await
    }

    /// What belongs to a row goes with it by foreign keys and triggers.
    async fn drop_row(&mut self, entry: &Entry) -> Outcome<()> {
        let dropped = match entry {
            Entry::Domain(domain) => {
                self.run("DELETE FROM domains WHERE id = ?", &[(&domain.id.0).into()]).await
            }
            Entry::Account(account) => {
                self.run("DELETE FROM accounts WHERE id = ?", &[(&account.id.0).into()]).await
            }
            Entry::Alias(alias) => {
                self.run("DELETE FROM aliases WHERE id = ?", &[(&alias.id.0).into()]).await
            }
            Entry::Grant(Grant { account, role }) => {
                let sql = "DELETE FROM grants WHERE account = ? AND domain = ?";
                self.run(sql, &[(&account.0).into(), domain_of_role(role).into()]).await
            }
            Entry::Setting { owner, setting } => {
                let sql = r#"DELETE FROM settings
                             WHERE layer = ? AND owner = ? AND service = ? AND "key" = ? AND kind = ?"#;
                let Setting { layer, name, content, .. } = setting;
                let (layer, kind) = (layer.to_string(), content.kind().to_string());
                let (service, key) = ((&name.service).into(), (&name.key).into());
                self.run(sql, &[(&layer).into(), owner_text(owner).into(), service, key, (&kind).into()])
                    .await
            }
        };
        dropped.map(drop)
    }
}

const fn domain_of_role(role: &Role) -> &str {
    match role {
        Role::System => "",
        Role::Domain(id) => id.0.as_str(),
    }
}

const fn owner_text(owner: &Option<Id>) -> &str {
    match owner {
        Some(id) => id.0.as_str(),
        None => "",
    }
}

fn json(value: &impl serde::Serialize) -> Outcome<String> {
    serde_json::to_string(value).map_err(|error| Failure::invalid(error.to_string()))
}
