//! Writes rows, with their row of the change log; the triggers say what each touches.

use async_trait::async_trait;
use pigeon_core::directory::{Account, Alias, Domain, Entry, Grant, Id, LoggedChange, Role};
use pigeon_core::setting::Setting;
use pigeon_core::timestamp::Timestamp;
use rusqlite::{Connection, params};
use serde_json::Value;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{Transaction, Write, Writes};
use super::super::scopes::text_of;
use super::rows::{self, Reader, run};

#[async_trait]
impl Transaction for Reader<'_> {
    async fn commit(&mut self, log: LoggedChange, writes: Writes) -> Outcome<u64> {
        let connection = &*self.0;
        let seq = write_log(connection, &log)?;
        // From here on the triggers leave the log to this change.
        let sql = "INSERT INTO applying (is_bulk) VALUES (?1)";
        run(connection, sql, [writes.scopes.is_some()])?;
        for scope in writes.scopes.iter().flatten() {
            let sql = "INSERT INTO change_scopes (seq, scope) VALUES (?1, ?2)";
            run(connection, sql, params![seq, text_of(scope)])?;
        }
        for write in &writes.rows {
            match write {
                Write::Put(entry) => put(connection, entry)?,
                Write::Drop(entry) => drop_row(connection, entry)?,
            }
        }
        run(connection, "DELETE FROM applying", [])?;
        u64::try_from(seq).map_err(|_| Failure::Unusable("holds a change log below zero".to_owned()))
    }
}

fn write_log(connection: &Connection, log: &LoggedChange) -> Outcome<i64> {
    let text = |row: &Option<Value>| row.as_ref().map(Value::to_string);
    let sql = "INSERT INTO change_log (at, actor, change, before, after) VALUES (?1, ?2, ?3, ?4, ?5)";
    let params =
        params![log.at.micros(), log.actor, log.change.to_string(), text(&log.before), text(&log.after)];
    run(connection, sql, params)?;
    Ok(connection.last_insert_rowid())
}

fn put(connection: &Connection, entry: &Entry) -> Outcome<()> {
    match entry {
        Entry::Domain(domain) => put_domain(connection, domain),
        Entry::Account(account) => put_account(connection, account),
        Entry::Alias(alias) => put_alias(connection, alias),
        Entry::Grant(Grant { account, role }) => {
            let sql = "INSERT INTO grants (account, domain) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            run(connection, sql, [&account.0, domain_of_role(role)]).map(drop)
        }
        Entry::Setting { owner, setting } => put_setting(connection, owner_text(owner), setting),
    }
}

fn put_domain(connection: &Connection, domain: &Domain) -> Outcome<()> {
    let sql = "INSERT INTO domains (id, status) VALUES (?1, ?2)
               ON CONFLICT (id) DO UPDATE SET status = excluded.status WHERE status <> excluded.status";
    run(connection, sql, [&domain.id.0, &domain.status.to_string()])?;
    // Names that stay are left alone; whatever was primary gives way before the new one comes.
    let sql = "SELECT name, is_primary FROM domain_names WHERE domain = ?1";
    let written = rows::all(connection, sql, [&domain.id.0], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))
    })?;
    let wanted: Vec<(&str, bool)> = std::iter::once((domain.name.as_str(), true))
        .chain(domain.aliases.iter().map(|name| (name.as_str(), false)))
        .collect();
    for (name, is_primary) in &written {
        if !wanted.contains(&(name.as_str(), *is_primary)) {
            run(connection, "DELETE FROM domain_names WHERE name = ?1", [name])?;
        }
    }
    for (name, is_primary) in wanted {
        if !written.iter().any(|(known, was_primary)| known == name && *was_primary == is_primary) {
            let sql = "INSERT INTO domain_names (name, domain, is_primary) VALUES (?1, ?2, ?3)";
            run(connection, sql, params![name, domain.id.0, is_primary])?;
        }
    }
    Ok(())
}

fn put_account(connection: &Connection, account: &Account) -> Outcome<()> {
    let sql = "INSERT INTO accounts (domain, local, id, name, mailbox, password, status)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (id) DO UPDATE SET domain = excluded.domain, local = excluded.local, name = excluded.name,
               mailbox = excluded.mailbox, password = excluded.password, status = excluded.status";
    let params = params![
        account.domain.0,
        account.address.local(),
        account.id.0,
        account.name,
        account.mailbox.0,
        account.password,
        account.status.to_string()
    ];
    run(connection, sql, params).map(drop)
}

fn put_alias(connection: &Connection, alias: &Alias) -> Outcome<()> {
    let sql = "INSERT INTO aliases (domain, local, id, targets, status) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (id) DO UPDATE SET domain = excluded.domain, local = excluded.local,
               targets = excluded.targets, status = excluded.status";
    let targets = json(&alias.targets)?;
    let status = alias.status.to_string();
    let params = params![alias.domain.0, alias.pattern.local, alias.id.0, targets, status];
    run(connection, sql, params).map(drop)
}

fn put_setting(connection: &Connection, owner: &str, setting: &Setting) -> Outcome<()> {
    let sql = "INSERT INTO settings (owner, service, key, kind, layer, content, pin, until, reason, written_by)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
               ON CONFLICT (layer, owner, service, key, kind) DO UPDATE SET content = excluded.content,
               pin = excluded.pin, until = excluded.until, reason = excluded.reason, written_by = excluded.written_by";
    let params = params![
        owner,
        setting.name.service,
        setting.name.key,
        setting.content.kind().to_string(),
        rows::layer_text(setting.layer),
        json(&setting.content)?,
        setting.pin.to_string(),
        setting.until.map(Timestamp::micros),
        setting.reason,
        setting.by,
    ];
    run(connection, sql, params).map(drop)
}

/// What belongs to a row goes with it by foreign keys and triggers.
fn drop_row(connection: &Connection, entry: &Entry) -> Outcome<()> {
    let dropped = match entry {
        Entry::Domain(domain) => run(connection, "DELETE FROM domains WHERE id = ?1", [&domain.id.0]),
        Entry::Account(account) => run(connection, "DELETE FROM accounts WHERE id = ?1", [&account.id.0]),
        Entry::Alias(alias) => run(connection, "DELETE FROM aliases WHERE id = ?1", [&alias.id.0]),
        Entry::Grant(Grant { account, role }) => {
            let sql = "DELETE FROM grants WHERE account = ?1 AND domain = ?2";
            run(connection, sql, [&account.0, domain_of_role(role)])
        }
        Entry::Setting { owner, setting } => {
            let sql = "DELETE FROM settings
                       WHERE layer = ?1 AND owner = ?2 AND service = ?3 AND key = ?4 AND kind = ?5";
            let Setting { layer, name, content, .. } = setting;
            let kind = content.kind().to_string();
            let params =
                [rows::layer_text(*layer), owner_text(owner), &name.service, &name.key, kind.as_str()];
            run(connection, sql, params)
        }
    };
    dropped.map(drop)
}

fn domain_of_role(role: &Role) -> &String {
    static SYSTEM: String = String::new();
    match role {
        Role::System => &SYSTEM,
        Role::Domain(id) => &id.0,
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
