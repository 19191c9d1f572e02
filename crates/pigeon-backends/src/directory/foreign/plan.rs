//! From what a reader found to entries of this directory: with ids and mailboxes, and without what leads nowhere.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Alias, Domain, Entry, Id, Status};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::{Content, Layer, Pin, Setting, SettingName};
use serde::Serialize;

use super::{Foreign, ForeignAccount, ForeignAlias, ForeignDomain, Origin, Remark, shown};
use crate::directory::mailbox;
use crate::passwords::{self, Protection};

mod reach;

/// What the directory has already.
#[derive(Debug, Default)]
pub struct Known {
    /// Domains, by each of their names.
    domains: HashMap<String, Domain>,
    /// The keys of accounts.
    accounts: HashSet<String>,
    /// Aliases, by their patterns.
    aliases: HashSet<String>,
    mailboxes: HashSet<String>,
}

impl Known {
    /// Takes note of an entry; grants and settings do not matter.
    pub fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Domain(domain) => {
                for name in std::iter::once(&domain.name).chain(&domain.aliases) {
                    self.domains.insert(name.clone(), domain.clone());
                }
            }
            Entry::Account(account) => {
                self.accounts.insert(account.address.key());
                self.mailboxes.insert(account.mailbox.0.clone());
            }
            Entry::Alias(alias) => {
                self.aliases.insert(key_of(&alias.pattern.local, alias.pattern.domain.as_str()));
            }
            Entry::Grant(_) | Entry::Setting { .. } => {}
        }
    }
}

fn key_of(local: &str, domain: &str) -> String {
    format!("{}@{domain}", local.to_lowercase())
}

/// Checks a setting together with those that were taken for the same account, and brings it into its normal form.
pub type CheckSetting<'a> = &'a dyn Fn(Setting, &[Setting]) -> Result<Setting, String>;

/// How entries are made.
pub struct Terms<'a> {
    /// The directory that holds all mailboxes.
    pub mail_root: &'a Path,
    /// Whether accounts keep the Maildirs that they have, where these lie below the root in the form `domain/person`.
    pub keeps_mailboxes: bool,
    /// Whether there is something at a path below the root.
    pub is_there: &'a dyn Fn(&MailboxPath) -> bool,
    /// Checks each setting.
    pub check: CheckSetting<'a>,
}

impl std::fmt::Debug for Terms<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Terms({})", self.mail_root.display())
    }
}

/// A Maildir that is to be moved to where the account's mailbox is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Whose it is.
    pub account: Address,
    /// Where it is now.
    pub from: PathBuf,
    /// Where it belongs.
    pub to: PathBuf,
}

/// How many passwords are kept how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Passwords {
    /// By a slow hash.
    pub slow: u64,
    /// By a quick digest.
    pub fast: u64,
    /// As plain text.
    pub plain: u64,
    /// Not at all: these accounts cannot log in.
    pub none: u64,
}

/// What is to be imported.
#[derive(Debug, Default)]
pub struct Plan {
    /// The entries, in groups that belong together; each behind what it refers to.
    pub groups: Vec<Vec<Entry>>,
    /// What the directory has already: it stays as it is.
    pub skipped: Vec<Remark>,
    /// What was not carried over, or not as it was.
    pub left: Vec<Remark>,
    /// Mail that is to be moved.
    pub moves: Vec<Move>,
    /// How the passwords are kept.
    pub passwords: Passwords,
}

/// Makes a plan of what was found.
#[must_use]
pub fn plan(foreign: Foreign, known: Known, terms: &Terms<'_>) -> Plan {
    let Foreign { domains, accounts, aliases, left } = foreign;
    let plan = Plan { left, ..Plan::default() };
    let mut planner = Planner { known, terms, plan, ids: HashMap::new(), seen: HashSet::new() };
    for domain in domains {
        planner.domain(domain);
    }
    for account in accounts {
        planner.account(account);
    }
    let aliases = planner.new_aliases(aliases);
    let aliases = reach::follow(aliases, &planner.known, &mut planner.plan.left);
    for alias in aliases {
        planner.alias(alias);
    }
    planner.plan
}

struct Planner<'a> {
    known: Known,
    terms: &'a Terms<'a>,
    plan: Plan,
    /// The ids of the domains that may be imported into, by their names.
    ids: HashMap<String, Id>,
    /// The keys of the accounts that were found.
    seen: HashSet<String>,
}

impl Planner<'_> {
    fn leave(&mut self, origin: Origin, what: String, why: impl Into<String>) {
        self.plan.left.push(Remark { origin, what, why: why.into() });
    }

    fn skip(&mut self, origin: Origin, what: String) {
        self.plan.skipped.push(Remark {
            origin,
            what,
            why: "it exists already and stays as it is".to_owned(),
        });
    }

    fn domain(&mut self, foreign: ForeignDomain) {
        let name = foreign.name.as_str().to_owned();
        let what = format!("domain {name}");
        let mut domain = match self.known.domains.get(&name).cloned() {
            None => {
                let id = Id::generate();
                Domain { id, name: name.clone(), aliases: Vec::new(), status: foreign.status }
            }
            Some(domain) if domain.name != name => {
                let why = format!("it is another name of {} here: nothing in it is taken", domain.name);
                return self.leave(foreign.origin, what, why);
            }
            Some(domain) if domain.status == Status::Removed => {
                return self.leave(
                    foreign.origin,
                    what,
                    "it is marked as removed here: restore or purge it first",
                );
            }
            Some(domain) => {
                self.skip(foreign.origin.clone(), what);
                domain
            }
        };
        let is_new = !self.known.domains.contains_key(&name);
        let before = domain.aliases.len();
        for alias in foreign.aliases {
            let alias = alias.as_str().to_owned();
            match self.known.domains.get(&alias) {
                None if !domain.aliases.contains(&alias) && alias != name => domain.aliases.push(alias),
                None => {}
                Some(known) if known.id == domain.id => {
                    self.skip(foreign.origin.clone(), format!("{alias} as another name of {name}"));
                }
                Some(known) => {
                    let why = format!("it is a name of {} here", known.name);
                    self.leave(foreign.origin.clone(), format!("{alias} as another name of {name}"), why);
                }
            }
        }
        self.ids.insert(name, domain.id.clone());
        let is_changed = domain.aliases.len() > before;
        let entry = Entry::Domain(domain);
        self.known.add(&entry);
        if is_new || is_changed {
            self.plan.groups.push(vec![entry]);
        }
    }

    fn account(&mut self, foreign: ForeignAccount) {
        let key = foreign.address.key();
        let what = format!("account {}", foreign.address);
        let Some(domain) = self.ids.get(foreign.address.domain().as_str()).cloned() else {
            return self.leave(foreign.origin, what, "its domain is not imported");
        };
        if !self.seen.insert(key.clone()) {
            return self.leave(foreign.origin, what, "it stands there already: the first one counts");
        }
        if self.known.accounts.contains(&key) {
            return self.skip(foreign.origin, what);
        }
        if self.known.aliases.contains(&key) {
            return self.leave(
                foreign.origin,
                what,
                "there is an alias of that name: remove it, then import again",
            );
        }
        let id = Id::generate();
        let mailbox = self.mailbox(&foreign, &id);
        let password = self.password(&foreign);
        let settings = self.settings(&foreign);
        let ForeignAccount { address, name, status, .. } = foreign;
        let name = shown(&name);
        let entry =
            Entry::Account(Account { id: id.clone(), domain, address, name, mailbox, password, status });
        self.known.add(&entry);
        let mut group = vec![entry];
        group.extend(settings.into_iter().map(|setting| Entry::Setting { owner: Some(id.clone()), setting }));
        self.plan.groups.push(group);
    }

    /// The mailbox that the account has already, or a new one.
    fn mailbox(&mut self, foreign: &ForeignAccount, id: &Id) -> MailboxPath {
        let below =
            foreign.maildir.as_ref().and_then(|maildir| maildir.strip_prefix(self.terms.mail_root).ok());
        let present = below
            .and_then(Path::to_str)
            .map(|path| path.trim_end_matches('/').to_owned())
            .filter(|path| mailbox::is_safe(path) && !self.known.mailboxes.contains(path));
        if let Some(path) = present.filter(|_| self.terms.keeps_mailboxes) {
            return MailboxPath(path);
        }
        let (domain, local) = (foreign.address.domain().as_str(), foreign.address.local());
        let candidates = mailbox::candidates(domain, local, &id.0);
        let is_new = |path: &&MailboxPath| !self.known.mailboxes.contains(&path.0);
        let is_free = |path: &&MailboxPath| is_new(path) && !(self.terms.is_there)(path);
        let first = candidates.iter().find(is_new);
        let chosen = candidates.iter().find(is_free).or(first).or(candidates.last());
        let chosen = chosen.cloned().unwrap_or_else(|| MailboxPath(format!("{domain}/{id}")));
        if let Some(first) = first.filter(|first| **first != chosen) {
            let why = format!(
                "there is something at {} below the mail root, and nothing says whose it is: the mailbox is {}",
                first.0, chosen.0
            );
            self.leave(foreign.origin.clone(), format!("mailbox of {}", foreign.address), why);
        }
        if let Some(maildir) = &foreign.maildir {
            let to = self.terms.mail_root.join(&chosen.0);
            self.plan.moves.push(Move { account: foreign.address.clone(), from: maildir.clone(), to });
        }
        chosen
    }

    fn password(&mut self, foreign: &ForeignAccount) -> Option<String> {
        let counts = &mut self.plan.passwords;
        let (counter, kept) = match foreign.password.as_deref().map(passwords::protection) {
            None => (&mut counts.none, None),
            Some(Ok(protection)) => {
                let counter = match protection {
                    Protection::Slow => &mut counts.slow,
                    Protection::Fast => &mut counts.fast,
                    Protection::None => &mut counts.plain,
                };
                (counter, foreign.password.clone())
            }
            Some(Err(error)) => {
                counts.none += 1;
                let what = format!("password of {}", foreign.address);
                self.leave(foreign.origin.clone(), what, error.to_string());
                return None;
            }
        };
        *counter += 1;
        kept
    }

    fn settings(&mut self, foreign: &ForeignAccount) -> Vec<Setting> {
        let mut settings: Vec<Setting> = Vec::new();
        let mut refused = BTreeMap::new();
        for (name, value) in &foreign.settings {
            let Some((service, key)) = name.split_once('.') else { continue };
            let name = SettingName { service: service.to_owned(), key: key.to_owned() };
            let content = Content::Value(value.clone());
            let (pin, by) = (Pin::None, "import".to_owned());
            let setting =
                Setting { layer: Layer::Account, name, content, pin, until: None, reason: None, by };
            match (self.terms.check)(setting, &settings) {
                Ok(setting) => settings.push(setting),
                Err(why) => {
                    refused.insert(service, why);
                }
            }
        }
        // Half of a service's settings could mean something else.
        settings.retain(|setting| !refused.contains_key(setting.name.service.as_str()));
        for (service, why) in refused {
            self.leave(foreign.origin.clone(), format!("{service} of {}", foreign.address), why);
        }
        settings
    }

    /// The aliases that the directory does not have, each name once.
    fn new_aliases(&mut self, aliases: Vec<ForeignAlias>) -> Vec<ForeignAlias> {
        let mut seen = HashSet::new();
        let mut new = Vec::new();
        for alias in aliases {
            let what = format!("alias {}", alias.pattern);
            let domain = alias.pattern.domain.as_str();
            let key = key_of(&alias.pattern.local, domain);
            if !self.ids.contains_key(domain) {
                self.leave(alias.origin, what, "its domain is not imported");
            } else if self.known.aliases.contains(&key) {
                self.skip(alias.origin, what);
            } else if self.known.accounts.contains(&key) {
                self.leave(
                    alias.origin,
                    what,
                    "there is an account of that name: set forward.to of the account",
                );
            } else if seen.insert(key) {
                new.push(alias);
            } else {
                self.leave(alias.origin, what, "it stands there already: the first one counts");
            }
        }
        new
    }

    fn alias(&mut self, foreign: ForeignAlias) {
        let Some(domain) = self.ids.get(foreign.pattern.domain.as_str()).cloned() else { return };
        let ForeignAlias { pattern, targets, status, .. } = foreign;
        let alias = Alias { id: Id::generate(), domain, pattern, targets, status };
        self.plan.groups.push(vec![Entry::Alias(alias)]);
    }
}
