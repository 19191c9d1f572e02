//! Dovecot's passwd-file: `user:password:uid:gid:(gecos):home:(shell):extra fields`.
//!
//! Source: the Dovecot manual, "Passwd-file", "Password database extra fields" and "Quota".

use std::collections::BTreeSet;

use pigeon_core::address::{Address, DomainName};
use pigeon_core::directory::Status;

use super::location::{self, Person};
use super::{Foreign, ForeignAccount, Origin, shown, text, with_scheme};

/// A passwd-file and what cannot be read from it.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name, for remarks.
    pub file: &'a str,
    /// What it holds.
    pub octets: &'a [u8],
    /// The domain of users that are named without one.
    pub domain: Option<&'a DomainName>,
    /// The scheme of passwords without `{SCHEME}`, where it is not CRYPT.
    pub scheme: Option<&'a str>,
    /// Dovecot's `mail_location`, for users that have none of their own.
    pub location: Option<&'a str>,
}

/// Reads a passwd-file.
#[must_use]
pub fn read(source: &Source<'_>) -> Foreign {
    let mut foreign = Foreign::default();
    let mut owners = BTreeSet::new();
    let mut domains = BTreeSet::new();
    for (number, line) in text(source.octets).lines().enumerate() {
        let origin = Origin::at(source.file, number + 1);
        // As Dovecot does: a line without a name is none.
        if line.is_empty() || line.starts_with([':', '#']) {
            continue;
        }
        let fields: Vec<&str> = line.splitn(8, ':').collect();
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        let name = field(0);
        let address = match address(name, source.domain) {
            Ok(address) => address,
            Err(why) => {
                foreign.leave(origin, format!("user {}", shown(name)), why);
                continue;
            }
        };
        if !field(2).is_empty() {
            owners.insert((field(2).to_owned(), field(3).to_owned()));
        }
        let mut reader = Reader {
            person: ForeignAccount::new(address, origin),
            home: field(5).to_owned(),
            location: source.location.map(str::to_owned),
            foreign: &mut foreign,
            domains: &mut domains,
        };
        reader.person.name = field(4).trim().to_owned();
        reader.person.password = password(field(1), source.scheme);
        for extra in field(7).split_whitespace() {
            reader.extra(extra);
        }
        reader.end();
    }
    if owners.len() > 1 {
        let what = format!("{} different owners of mail (uid and gid)", owners.len());
        foreign.leave(
            Origin::whole(source.file),
            what,
            "all mail belongs to one user here: change the owner of what is kept",
        );
    }
    foreign
}

fn address(name: &str, domain: Option<&DomainName>) -> Result<Address, String> {
    let parsed = match (name.contains('@'), domain) {
        (false, Some(domain)) => Address::from_parts(name, domain.clone()),
        (false, None) => return Err("it has no domain: name it with --domain".to_owned()),
        (true, _) => Address::parse(name),
    };
    parsed.map_err(|error| error.to_string())
}

/// The hash; `hash[13]` and the like are what libpam-pwdfile writes.
fn password(field: &str, scheme: Option<&str>) -> Option<String> {
    let numbered = field.strip_suffix(']').and_then(|rest| rest.rsplit_once('['));
    match numbered {
        _ if field.is_empty() || field.starts_with('{') => (!field.is_empty()).then(|| field.to_owned()),
        Some((hash, "34")) => Some(format!("{{PLAIN-MD5}}{hash}")),
        Some((hash, "56")) => Some(format!("{{DIGEST-MD5}}{hash}")),
        Some((hash, "13")) => Some(format!("{{CRYPT}}{hash}")),
        _ => Some(with_scheme(field, scheme)),
    }
}

/// One line.
struct Reader<'a> {
    person: ForeignAccount,
    home: String,
    location: Option<String>,
    foreign: &'a mut Foreign,
    /// The domains that were met.
    domains: &'a mut BTreeSet<String>,
}

impl Reader<'_> {
    fn leave(&mut self, what: &str, why: &str) {
        let what = format!("{} of {}", shown(what), self.person.address);
        self.foreign.leave(self.person.origin.clone(), what, why);
    }

    fn extra(&mut self, extra: &str) {
        let (key, value) = extra.split_once('=').unwrap_or((extra, ""));
        match key {
            "nologin" => {
                self.person.status = Status::Suspended;
                self.leave(extra, "the account is suspended: its mail waits at the mail server until it is resumed or removed");
            }
            "userdb_mail" | "userdb_mail_location" | "userdb_mail_path" => {
                self.location = Some(value.to_owned());
            }
            "userdb_home" => self.home = value.to_owned(),
            "userdb_quota_storage_size" => self.limit(extra, "quota.octets", octets(value, 1)),
            "userdb_quota_message_count" => self.limit(extra, "quota.messages", value.parse().ok()),
            _ if key.starts_with("userdb_quota_rule") => self.quota_rule(extra, value),
            "userdb_uid" | "userdb_gid" => self.leave(extra, "all mail belongs to one user here"),
            "allow_nets" => {
                self.leave(extra, "logins are not limited to networks here: limit them in the IMAP server");
            }
            "nopassword" => {
                self.person.password = None;
                self.leave(extra, "nobody can log in without a password here: set one");
            }
            _ if key.starts_with("userdb_sieve") => self.leave(extra, "Sieve scripts are not read here"),
            _ => self.leave(extra, "it has no counterpart"),
        }
    }

    fn limit(&mut self, extra: &str, name: &'static str, value: Option<u64>) {
        match value {
            // No limit, which is also what holds without a setting.
            Some(0) => {}
            Some(value) => self.person.set([("quota.enabled", true.into()), (name, value.into())]),
            None => self.leave(extra, "this is not a limit that is known here"),
        }
    }

    /// `*:storage=1G:messages=1000`
    fn quota_rule(&mut self, extra: &str, rule: &str) {
        let (folder, limits) = rule.split_once(':').unwrap_or((rule, ""));
        if folder != "*" {
            return self.leave(extra, "limits are for the whole mailbox here, not for one folder");
        }
        for limit in limits.split(':').filter(|limit| !limit.is_empty()) {
            match limit.split_once('=') {
                // Dovecot counts storage in kilobytes where no unit is said.
                Some(("storage", size)) => self.limit(extra, "quota.octets", octets(size, 1024)),
                Some(("bytes", size)) => self.limit(extra, "quota.octets", octets(size, 1)),
                Some(("messages", number)) => self.limit(extra, "quota.messages", number.parse().ok()),
                _ if limit == "ignore" => {}
                _ => self.leave(extra, "this is not a limit that is known here"),
            }
        }
    }

    fn end(mut self) {
        if let Some(location) = self.location.take().filter(|location| !location.is_empty()) {
            let person = Person { address: &self.person.address, home: &self.home };
            match location::maildir(&location, &person) {
                Ok(maildir) => self.person.maildir = Some(maildir),
                Err(why) => self.leave(&format!("mail location {location}"), &why),
            }
        }
        let Self { person, foreign, domains, .. } = self;
        if domains.insert(person.address.domain().as_str().to_owned()) {
            foreign.need_domain(person.address.domain(), &person.origin);
        }
        foreign.accounts.push(person);
    }
}

/// A size in Dovecot's units, powers of 1024.
fn octets(text: &str, usual: u64) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)?.to_ascii_uppercase().as_str() {
        "" => usual,
        "B" => 1,
        "K" | "KB" => 1 << 10,
        "M" | "MB" => 1 << 20,
        "G" | "GB" => 1 << 30,
        "T" | "TB" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}
