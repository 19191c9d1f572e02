//! The database of `PostfixAdmin`, version 3.3.
//!
//! Source: its `model/*.php` and `DATABASE_*.TXT`. What a column means to Postfix is what its documented maps do: an
//! alias goes before a mailbox of the same address, and names the mailbox itself where a copy is kept.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::{AliasPattern, Status};

use super::{Foreign, ForeignAccount, ForeignAlias, ForeignDomain, Origin, shown, with_scheme};

pub mod database;
mod vacation;

/// A row: its columns as text; those that the database does not have are missing.
pub type Row = BTreeMap<String, String>;

/// The rows of the tables.
#[derive(Debug, Default)]
pub struct Tables {
    /// `domain`
    pub domains: Vec<Row>,
    /// `mailbox`
    pub mailboxes: Vec<Row>,
    /// `alias`
    pub aliases: Vec<Row>,
    /// `alias_domain`
    pub alias_domains: Vec<Row>,
    /// `vacation`
    pub vacations: Vec<Row>,
    /// `vacation_notification`
    pub notifications: Vec<Row>,
    /// `domain_admins`
    pub admins: Vec<Row>,
    /// `fetchmail`
    pub fetchmail: Vec<Row>,
}

/// How the tables are read.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The scheme of passwords without `{SCHEME}`, where their form does not tell.
    pub scheme: Option<&'a str>,
    /// The directory that `mailbox.maildir` is relative to (Postfix's `virtual_mailbox_base`).
    pub mail_base: &'a Path,
}

/// A column; empty when it is missing.
fn column<'a>(row: &'a Row, name: &str) -> &'a str {
    row.get(name).map_or("", String::as_str)
}

/// Whether a column says yes; one that is missing says what most rows say.
fn says_yes(row: &Row, name: &str, usual: bool) -> bool {
    match column(row, name) {
        "" => usual,
        text => matches!(text, "1" | "t" | "true" | "TRUE" | "\u{1}"),
    }
}

const fn status(is_active: bool) -> Status {
    if is_active { Status::Active } else { Status::Suspended }
}

/// Makes accounts and aliases of the tables.
#[must_use]
pub fn read(tables: &Tables, options: &Options<'_>) -> Foreign {
    let mut reader = Reader { foreign: Foreign::default(), people: HashMap::new(), backups: HashSet::new() };
    for row in &tables.domains {
        reader.domain(row);
    }
    for row in &tables.alias_domains {
        reader.alias_domain(row);
    }
    for row in &tables.mailboxes {
        reader.mailbox(row, options);
    }
    for row in &tables.aliases {
        reader.alias(row);
    }
    for row in &tables.vacations {
        reader.vacation(row);
    }
    reader.rest(tables);
    reader.foreign
}

struct Reader {
    foreign: Foreign,
    /// The places of the accounts, by their keys.
    people: HashMap<String, usize>,
    /// The domains that mail is only passed on for.
    backups: HashSet<String>,
}

impl Reader {
    fn leave(&mut self, table: &str, what: impl Into<String>, why: impl Into<String>) {
        self.foreign.leave(Origin::whole(table), what, why);
    }

    fn domain(&mut self, row: &Row) {
        let text = column(row, "domain");
        // The row of administrators of everything.
        if text == "ALL" {
            return;
        }
        let what = format!("domain {}", shown(text));
        let name = match DomainName::parse(text) {
            Ok(name) => name,
            Err(error) => return self.leave("domain", what, error.to_string()),
        };
        if says_yes(row, "backupmx", false) {
            self.backups.insert(name.as_str().to_owned());
            return self.leave("domain", what, "it is a backup MX: leave it to the mail server");
        }
        let transport = column(row, "transport");
        if !matches!(transport, "" | "virtual" | "virtual:") {
            let why = "the mail server chooses the transport: see the page of your mail server";
            self.leave("domain", format!("transport {} of {what}", shown(transport)), why);
        }
        let limits: Vec<String> = ["aliases", "mailboxes", "maxquota", "quota"]
            .into_iter()
            .filter_map(|name| {
                row.get(name)
                    .filter(|value| !matches!(&***value, "" | "0"))
                    .map(|value| format!("{name}={}", shown(value)))
            })
            .collect();
        if !limits.is_empty() {
            let why = "domains have no limits here; a range of quota.octets limits what accounts may have";
            self.leave("domain", format!("limits of {what} ({})", limits.join(", ")), why);
        }
        let status = status(says_yes(row, "active", true));
        let origin = Origin::whole("domain");
        self.foreign.domains.push(ForeignDomain { name, aliases: Vec::new(), status, origin });
    }

    fn alias_domain(&mut self, row: &Row) {
        let (alias, target) = (column(row, "alias_domain"), column(row, "target_domain"));
        let what = format!("{} as another name of {}", shown(alias), shown(target));
        if !says_yes(row, "active", true) {
            return self.leave("alias_domain", what, "it is not active");
        }
        let alias = match DomainName::parse(alias) {
            Ok(alias) => alias,
            Err(error) => return self.leave("alias_domain", what, error.to_string()),
        };
        let target = DomainName::parse(target).ok();
        let position =
            |name: &DomainName| self.foreign.domains.iter().position(|domain| domain.name == *name);
        let Some(at) = target.as_ref().and_then(position) else {
            return self.leave("alias_domain", what, "there is no such domain");
        };
        // PostfixAdmin has a row in `domain` for alias domains, too.
        if let Some(own) = position(&alias) {
            if own == at {
                return self.leave("alias_domain", what, "it is the domain itself");
            }
            self.foreign.domains.remove(own);
        }
        if let Some(domain) =
            self.foreign.domains.iter_mut().find(|domain| Some(&domain.name) == target.as_ref())
        {
            domain.aliases.push(alias);
        }
    }

    fn mailbox(&mut self, row: &Row, options: &Options<'_>) {
        let text = column(row, "username");
        let what = format!("mailbox {}", shown(text));
        let address = match Address::parse(text) {
            Ok(address) => address,
            Err(error) => return self.leave("mailbox", what, error.to_string()),
        };
        if self.backups.contains(address.domain().as_str()) {
            return self.leave("mailbox", what, "its domain is a backup MX");
        }
        let key = address.key();
        let mut account = ForeignAccount::new(address, Origin::whole("mailbox"));
        column(row, "name").trim().clone_into(&mut account.name);
        account.password = password(column(row, "password"), options.scheme);
        account.status = status(says_yes(row, "active", true));
        let maildir = column(row, "maildir");
        if !maildir.is_empty() {
            account.maildir = Some(options.mail_base.join(maildir.trim_start_matches('/')));
        }
        match column(row, "quota").parse::<i64>() {
            Ok(octets @ 1..) => {
                account.set([("quota.enabled", true.into()), ("quota.octets", octets.into())]);
            }
            Ok(_) => {}
            Err(_) if column(row, "quota").is_empty() => {}
            Err(_) => self.leave(
                "mailbox",
                format!("quota {} of {what}", shown(column(row, "quota"))),
                "it is no number",
            ),
        }
        for name in ["phone", "email_other"] {
            let value = column(row, name);
            if !value.is_empty() {
                self.leave("mailbox", format!("{name} {} of {what}", shown(value)), "it has no counterpart");
            }
        }
        if !says_yes(row, "smtp_active", true) {
            self.leave(
                "mailbox",
                format!("smtp_active of {what}"),
                "who may send is the mail server's to decide",
            );
        }
        self.people.entry(key).or_insert(self.foreign.accounts.len());
        self.foreign.accounts.push(account);
    }

    fn alias(&mut self, row: &Row) {
        let text = column(row, "address");
        let what = format!("alias {}", shown(text));
        let is_active = says_yes(row, "active", true);
        if text.contains('*') {
            return self.leave("alias", what, "a * in an address means any text here");
        }
        let full = if text.starts_with('@') { format!("*{text}") } else { text.to_owned() };
        let pattern: AliasPattern = match full.parse() {
            Ok(pattern) => pattern,
            Err(error) => return self.leave("alias", what, error),
        };
        if self.backups.contains(pattern.domain.as_str()) {
            return self.leave("alias", what, "its domain is a backup MX");
        }
        let key = format!("{}@{}", pattern.local, pattern.domain);
        let targets = self.targets(column(row, "goto"), &key, &what);
        let Some(at) = self.people.get(&key).copied() else {
            if targets.is_empty() {
                return self.leave("alias", what, "it has no target that can be carried over");
            }
            let (status, origin) = (status(is_active), Origin::whole("alias"));
            return self.foreign.aliases.push(ForeignAlias { pattern, targets, status, origin });
        };
        let (own, others): (Vec<Address>, Vec<Address>) =
            targets.into_iter().partition(|target| target.key() == key);
        if let Some(account) = self.foreign.accounts.get_mut(at).filter(|_| !others.is_empty()) {
            account.forward(&others, !own.is_empty());
            if !is_active {
                account.set([("forward.enabled", false.into())]);
            }
        }
    }

    fn targets(&mut self, list: &str, key: &str, what: &str) -> Vec<Address> {
        let mut targets: Vec<Address> = Vec::new();
        for text in list.split([',', '\n', '\r']).map(str::trim).filter(|text| !text.is_empty()) {
            if vacation::is_vacation(text, key) {
                continue;
            }
            if text.starts_with('@') {
                let why = "the same name in another domain is no target here: make it a domain alias if that is what is meant";
                self.leave("alias", format!("target {} of {what}", shown(text)), why);
                continue;
            }
            match Address::parse(text) {
                Ok(target) if targets.iter().any(|known| known.key() == target.key()) => {}
                Ok(target) => targets.push(target),
                Err(error) => {
                    self.leave("alias", format!("target {} of {what}", shown(text)), error.to_string());
                }
            }
        }
        targets
    }

    fn vacation(&mut self, row: &Row) {
        let text = column(row, "email");
        let at = Address::parse(text).ok().and_then(|address| self.people.get(&address.key()).copied());
        match at.and_then(|at| self.foreign.accounts.get_mut(at)) {
            Some(account) => vacation::take(row, account, &mut self.foreign.left),
            None => {
                self.leave("vacation", format!("vacation of {}", shown(text)), "there is no such mailbox");
            }
        }
    }

    fn rest(&mut self, tables: &Tables) {
        if !tables.notifications.is_empty() {
            let what = format!("{} remembered answers", tables.notifications.len());
            self.leave("vacation_notification", what, "who got an answer already may get one more");
        }
        for row in &tables.admins {
            let (name, domain) = (column(row, "username"), column(row, "domain"));
            let (what, over) = match domain {
                "ALL" => (format!("administrator {} of everything", shown(name)), "--system".to_owned()),
                _ => (
                    format!("administrator {} of {}", shown(name), shown(domain)),
                    format!("--domain {}", shown(domain)),
                ),
            };
            // An administrator's name can be a mailbox's without being the same person with the same password.
            self.leave(
                "domain_admins",
                what,
                format!("give the right to an account: pigeon grant add ADDRESS {over}"),
            );
        }
        for row in &tables.fetchmail {
            let what = format!(
                "fetching mail for {} from {}",
                shown(column(row, "mailbox")),
                shown(column(row, "src_server"))
            );
            self.leave(
                "fetchmail",
                what,
                "mail is not fetched here: go on with fetchmail, which hands it to the mail server",
            );
        }
    }
}

/// A password column: with its scheme, a crypt string, or the hexadecimal MD5 of `$CONF['encrypt'] = 'md5'`.
fn password(text: &str, scheme: Option<&str>) -> Option<String> {
    let is_md5 = text.len() == 32 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
    match text {
        "" => None,
        _ if is_md5 && scheme.is_none() => Some(format!("{{PLAIN-MD5}}{text}")),
        _ => Some(with_scheme(text, scheme)),
    }
}
