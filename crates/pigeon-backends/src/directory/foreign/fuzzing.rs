//! What must hold for any file of another mail system: the entry functions of the fuzz targets.

use std::io;
use std::path::Path;

use pigeon_core::address::DomainName;
use pigeon_core::directory::Entry as DirectoryEntry;

use super::plan::{Known, Plan, Terms, plan};
use super::{Foreign, passwd_file, unix};
use crate::directory::mailbox;
use crate::passwords;

/// A fuzz target's name and its entry function.
pub type Entry = (&'static str, fn(&[u8]));

/// The entry functions of this module.
pub const ENTRIES: &[Entry] =
    &[("passwd_file", passwd_file), ("unix_aliases", unix_aliases), ("unix_forward", unix_forward)];

/// A passwd-file: what comes of it is fit for the directory, and nothing is lost without a word.
pub fn passwd_file(octets: &[u8]) {
    let domain = DomainName::parse("example.org").ok();
    let domain = domain.as_ref();
    let source = passwd_file::Source {
        file: "users",
        octets,
        domain,
        scheme: None,
        location: Some("maildir:~/Maildir"),
    };
    let foreign = passwd_file::read(&source);
    let text = super::text(octets);
    let people = text.lines().filter(|line| !line.is_empty() && !line.starts_with([':', '#'])).count();
    let said = foreign.left.len() + foreign.accounts.len();
    assert!(said >= people, "{people} lines, {said} accounts and remarks");
    check(foreign);
}

/// An aliases file, with a file that includes itself.
pub fn unix_aliases(octets: &[u8]) {
    let passwd = "bob:x:1000:1000:Bob &,,:/home/bob:/bin/sh\n";
    let read = |_: &Path| Ok(b":include:/again\n ann, bob".to_vec());
    from_unix(passwd, Some(octets), &read);
}

/// A `~/.forward`, which is also the text of the vacation.
pub fn unix_forward(octets: &[u8]) {
    let passwd = "bob:x:1000:1000::/home/bob:/bin/sh\nann:x:1001:1001::/home/ann:/bin/sh\n";
    from_unix(passwd, None, &|_| Ok(octets.to_vec()));
}

fn from_unix(passwd: &str, aliases: Option<&[u8]>, read: &dyn Fn(&Path) -> io::Result<Vec<u8>>) {
    let Ok(domain) = DomainName::parse("example.org") else { return };
    let source = unix::Source {
        passwd: unix::File { name: "passwd", octets: passwd.as_bytes() },
        shadow: None,
        aliases: aliases.map(|octets| unix::File { name: "aliases", octets }),
        domain: &domain,
        uids: 1000..=60_000,
        location: None,
        read,
    };
    let foreign = unix::read(&source);
    assert_eq!(foreign.accounts.len(), passwd.lines().count(), "every user is an account");
    check(foreign);
}

/// What a plan holds can be imported: names once, mailboxes once, targets for every alias.
fn check(foreign: Foreign) {
    let terms = Terms {
        mail_root: Path::new("/var/mail"),
        keeps_mailboxes: true,
        is_there: &|_| false,
        check: &|setting, _| Ok(setting),
    };
    let Plan { groups, .. } = plan(foreign, Known::default(), &terms);
    let mut names = std::collections::HashSet::new();
    let mut mailboxes = std::collections::HashSet::new();
    for entry in groups.iter().flatten() {
        match entry {
            DirectoryEntry::Domain(domain) => assert!(names.insert(domain.name.clone()), "{domain:?}"),
            DirectoryEntry::Account(account) => {
                assert!(names.insert(account.address.key()), "{account:?}");
                assert!(mailboxes.insert(account.mailbox.0.clone()), "{account:?}");
                assert!(mailbox::is_safe(&account.mailbox.0), "{account:?}");
                let is_fit = |hash: &String| passwords::check_form(hash).is_ok();
                assert!(account.password.as_ref().is_none_or(is_fit), "{account:?}");
            }
            DirectoryEntry::Alias(alias) => {
                assert!(
                    names.insert(format!("{}@{}", alias.pattern.local, alias.pattern.domain)),
                    "{alias:?}"
                );
                let own = |target: &pigeon_core::address::Address| {
                    target.local().to_lowercase() == alias.pattern.local
                        && *target.domain() == alias.pattern.domain
                };
                assert!(!alias.targets.is_empty() && !alias.targets.iter().any(own), "{alias:?}");
            }
            DirectoryEntry::Setting { owner, .. } => assert!(owner.is_some(), "{entry:?}"),
            DirectoryEntry::Grant(_) => {
                assert!(matches!(entry, DirectoryEntry::Setting { .. }), "no reader gives rights");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_their_beginnings_keep_the_rules() {
        pigeon_testkit::seeds::replay(ENTRIES);
    }
}
