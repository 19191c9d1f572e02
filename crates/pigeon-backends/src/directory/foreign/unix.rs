//! Unix users and aliases: `/etc/passwd`, `/etc/shadow`, `/etc/aliases`, `~/.forward`.
//!
//! Source: passwd(5), shadow(5), aliases(5) of Sendmail and Postfix, forward(5).

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use pigeon_core::address::{Address, DomainName};

use super::location::{self, Person};
use super::{Foreign, ForeignAccount, Origin, shown, text, with_scheme};

mod aliases;
mod forward;

/// A file that was read.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    /// Its name, for remarks.
    pub name: &'a str,
    /// What it holds.
    pub octets: &'a [u8],
}

/// Reads a file; one that is not there is an error like any other.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// A Unix system.
pub struct Source<'a> {
    /// The users.
    pub passwd: File<'a>,
    /// Their passwords; none where they cannot be read.
    pub shadow: Option<File<'a>>,
    /// The aliases.
    pub aliases: Option<File<'a>>,
    /// The domain that users and aliases belong to.
    pub domain: &'a DomainName,
    /// The users that are people.
    pub uids: RangeInclusive<u32>,
    /// Where the mail is, in Dovecot's words, like `maildir:~/Maildir`.
    pub location: Option<&'a str>,
    /// Reads `~/.forward`, `~/.vacation.msg` and included files.
    pub read: ReadFile<'a>,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Source({})", self.passwd.name)
    }
}

/// A user's line.
struct User {
    name: String,
    password: String,
    uid: u32,
    /// The whole field; the name of the person is its first part.
    gecos: String,
    home: String,
    origin: Origin,
}

/// Reads a Unix system.
#[must_use]
pub fn read(source: &Source<'_>) -> Foreign {
    let mut foreign = Foreign::default();
    foreign.need_domain(source.domain, &Origin::whole(source.passwd.name));
    let users = users(source, &mut foreign);
    let shadow = shadow(source, &users, &mut foreign);
    let mut homes = BTreeMap::new();
    for user in users.iter().filter(|user| source.uids.contains(&user.uid)) {
        let address = match Address::from_parts(&user.name, source.domain.clone()) {
            Ok(address) => address,
            Err(error) => {
                foreign.leave(user.origin.clone(), format!("user {}", shown(&user.name)), error.to_string());
                continue;
            }
        };
        let mut account = ForeignAccount::new(address, user.origin.clone());
        account.name = full_name(user);
        account.password = password(user, &shadow, &mut foreign);
        if let Some(location) = source.location {
            let person = Person { address: &account.address, home: &user.home };
            match location::maildir(location, &person) {
                Ok(maildir) => account.maildir = Some(maildir),
                Err(why) => {
                    foreign.leave(user.origin.clone(), format!("mail location of {}", account.address), why);
                }
            }
        }
        homes.insert(account.address.key(), user.home.clone());
        foreign.accounts.push(account);
    }
    for at in 0..foreign.accounts.len() {
        forward::read(source, &homes, &mut foreign, at);
    }
    if let Some(file) = source.aliases {
        aliases::read(source, file, &mut foreign);
    }
    foreign
}

fn users(source: &Source<'_>, foreign: &mut Foreign) -> Vec<User> {
    let mut users = Vec::new();
    for (number, line) in text(source.passwd.octets).lines().enumerate() {
        let origin = Origin::at(source.passwd.name, number + 1);
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with(['+', '-']) {
            foreign.leave(
                origin,
                format!("`{}`", shown(line)),
                "users of a name service are not read: add them by hand",
            );
            continue;
        }
        let fields: Vec<&str> = line.split(':').collect();
        let uid = fields.get(2).and_then(|uid| uid.parse().ok());
        let (Some(uid), [name, password, _, _, gecos, home, ..]) = (uid, &*fields) else {
            foreign.leave(origin, format!("`{}`", shown(line)), "this is not a line of passwd(5)");
            continue;
        };
        let owned = |text: &&str| (*text).to_owned();
        let (name, password) = (owned(name), owned(password));
        users.push(User { name, password, uid, gecos: owned(gecos), home: owned(home), origin });
    }
    users
}

/// The passwords of shadow(5), by user.
fn shadow(source: &Source<'_>, users: &[User], foreign: &mut Foreign) -> BTreeMap<String, String> {
    let Some(file) = source.shadow else {
        let is_needed = |user: &&User| user.password == "x" && source.uids.contains(&user.uid);
        let count = users.iter().filter(is_needed).count();
        if count > 0 {
            let what = format!("the passwords of {count} users");
            foreign.leave(
                Origin::whole(source.passwd.name),
                what,
                "they are in the shadow file, which was not read",
            );
        }
        return BTreeMap::new();
    };
    let mut passwords = BTreeMap::new();
    for (number, line) in text(file.octets).lines().enumerate() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, password, ..] = &*fields else { continue };
        passwords.insert((*name).to_owned(), (*password).to_owned());
        let is_person = |user: &User| user.name == *name && source.uids.contains(&user.uid);
        let expires = fields.get(7).filter(|day| !day.is_empty());
        if let Some(day) = expires.filter(|_| users.iter().any(is_person)) {
            let what = format!("the expiry of {name} on day {}", shown(day));
            foreign.leave(
                Origin::at(file.name, number + 1),
                what,
                "accounts do not expire here: suspend it when the day has come",
            );
        }
    }
    passwords
}

fn password(user: &User, shadow: &BTreeMap<String, String>, foreign: &mut Foreign) -> Option<String> {
    let field = if user.password == "x" { shadow.get(&user.name)? } else { &user.password };
    // shadow(5): `*` and `!` can be no hash; `!` before one locks it.
    if let Some(hash) = field.strip_prefix('!').map(|rest| rest.trim_start_matches('!')) {
        if hash.starts_with('$') {
            foreign.leave(
                user.origin.clone(),
                format!("the password of {}", user.name),
                "it is locked: the account got none",
            );
        }
        return None;
    }
    (!field.is_empty() && !field.starts_with('*')).then(|| with_scheme(field, None))
}

/// The person's name; `&` is the user's, with a capital letter.
fn full_name(user: &User) -> String {
    let name = user.gecos.split(',').next().unwrap_or_default().trim();
    let mut letters = user.name.chars();
    let capital: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    name.replace('&', &capital)
}
