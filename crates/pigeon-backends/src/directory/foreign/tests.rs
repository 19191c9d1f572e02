//! What is found in the files and tables of other systems, and what a plan makes of it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pigeon_core::directory::{Domain, Entry, Id, Status};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::setting::{Content, Setting};
use proptest::prelude::*;

use super::plan::{Known, Plan, Terms, plan};
use super::postfixadmin::{Options, Row, Tables};
use super::*;

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/import").join(path)
}

fn octets(path: &str) -> Vec<u8> {
    std::fs::read(data(path)).unwrap()
}

fn domain() -> DomainName {
    DomainName::parse("example.org").unwrap()
}

fn planned(foreign: Foreign, known: Known) -> Plan {
    let is_there = |path: &MailboxPath| path.0 == "example.org/eve";
    let check = |setting: Setting, _: &[Setting]| match &setting.content {
        Content::Value(value) if value == "refused" => Err("the catalogue refuses it".to_owned()),
        _ => Ok(setting),
    };
    let mail_root = Path::new("/var/vmail");
    plan(foreign, known, &Terms { mail_root, keeps_mailboxes: true, is_there: &is_there, check: &check })
}

/// A plan as a person reads it, without ids.
fn shown_plan(plan: &Plan) -> String {
    let mut text = String::new();
    for entry in plan.groups.iter().flatten() {
        let line = match entry {
            Entry::Domain(domain) => format!("domain {} {:?} {}", domain.name, domain.aliases, domain.status),
            Entry::Account(account) => format!(
                "account {} {:?} {} {} {}",
                account.address,
                account.name,
                account.mailbox.0,
                account.status,
                account.password.as_deref().unwrap_or("no password")
            ),
            Entry::Alias(alias) => {
                let targets: Vec<String> = alias.targets.iter().map(ToString::to_string).collect();
                format!("alias {} -> {} {}", alias.pattern, targets.join(", "), alias.status)
            }
            Entry::Setting { setting, .. } => match &setting.content {
                Content::Value(value) => format!("  {} = {value}", setting.name),
                Content::Range(_) => panic!("no reader makes ranges"),
            },
            Entry::Grant(_) => panic!("no reader gives rights"),
        };
        writeln!(text, "{line}").unwrap();
    }
    for (title, remarks) in [("SKIPPED", &plan.skipped), ("LEFT", &plan.left)] {
        for remark in remarks {
            writeln!(text, "{title} {remark}").unwrap();
        }
    }
    for moved in &plan.moves {
        writeln!(text, "MOVE {} {} -> {}", moved.account, moved.from.display(), moved.to.display()).unwrap();
    }
    writeln!(text, "{:?}", plan.passwords).unwrap();
    for entry in plan.groups.iter().flatten() {
        if let Entry::Account(account) = entry {
            // The end of a path that was taken is random.
            let suffix = account.id.0.get(account.id.0.len() - 8..).unwrap();
            text = text.replace(&format!("-{suffix}"), "-ID");
        }
    }
    text
}

#[test]
fn a_passwd_file_becomes_accounts() {
    let octets = octets("dovecot/users");
    let source = passwd_file::Source {
        file: "users",
        octets: &octets,
        domain: Some(&domain()),
        scheme: None,
        location: Some("maildir:/var/vmail/%d/%Ln"),
    };
    insta::assert_snapshot!(shown_plan(&planned(passwd_file::read(&source), Known::default())));
}

#[test]
fn a_unix_system_becomes_accounts_and_aliases() {
    let (passwd, shadow, aliases) =
        (octets("unix/etc/passwd"), octets("unix/etc/shadow"), octets("unix/etc/aliases"));
    let file = |name, octets| unix::File { name, octets };
    let read = |path: &Path| std::fs::read(data("unix").join(path.strip_prefix("/").unwrap_or(path)));
    let mut source = unix::Source {
        passwd: file("passwd", &passwd),
        shadow: Some(file("shadow", &shadow)),
        aliases: Some(file("aliases", &aliases)),
        domain: &domain(),
        uids: 1000..=60_000,
        location: Some("maildir:~/Maildir"),
        read: &read,
    };
    insta::assert_snapshot!(shown_plan(&planned(unix::read(&source), Known::default())));
    source.shadow = None;
    let without = planned(unix::read(&source), Known::default());
    assert_eq!((without.passwords.none, without.passwords.fast), (4, 1));
    assert!(without.left.iter().any(|remark| remark.what == "the passwords of 4 users"));
}

/// The rows of `tables.txt`, as the database gives them.
fn tables() -> Tables {
    let text = std::fs::read_to_string(data("postfixadmin/tables.txt")).unwrap();
    let mut tables = Tables::default();
    let (mut table, mut columns) = ("", Vec::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, names)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
            table = name;
            columns = names.split('|').map(|name| name.trim().to_owned()).collect();
            continue;
        }
        let cells = line.split('|').map(|cell| cell.trim().replace("\\n", "\n").replace("\\r", "\r"));
        let row: Row = columns.iter().cloned().zip(cells).collect();
        let rows = match table {
            "domain" => &mut tables.domains,
            "mailbox" => &mut tables.mailboxes,
            "alias" => &mut tables.aliases,
            "alias_domain" => &mut tables.alias_domains,
            "vacation" => &mut tables.vacations,
            "vacation_notification" => &mut tables.notifications,
            "domain_admins" => &mut tables.admins,
            "fetchmail" => &mut tables.fetchmail,
            other => panic!("{other}"),
        };
        rows.push(row);
    }
    tables
}

#[test]
fn tables_of_postfixadmin_become_a_directory() {
    let options = Options { scheme: None, mail_base: Path::new("/var/vmail") };
    insta::assert_snapshot!(shown_plan(&planned(postfixadmin::read(&tables(), &options), Known::default())));
}

/// What a first import made is known to the second one, which then makes nothing.
#[test]
fn an_import_can_be_repeated() {
    let options = Options { scheme: None, mail_base: Path::new("/var/vmail") };
    let foreign = || postfixadmin::read(&tables(), &options);
    let first = planned(foreign(), Known::default());
    let mut known = Known::default();
    first.groups.iter().flatten().for_each(|entry| known.add(entry));
    let second = planned(foreign(), known);
    assert_eq!(second.groups, Vec::<Vec<Entry>>::new());
    let names = |entry: &&Entry| !matches!(entry, Entry::Setting { .. });
    let made = first.groups.iter().flatten().filter(names).count();
    // One more: the other name of a domain is told apart from the domain.
    assert_eq!(second.skipped.len(), made + 1);
    assert!(second.moves.is_empty());
}

#[test]
fn what_is_there_goes_before_what_comes() {
    let mut known = Known::default();
    let there = |name: &str, aliases: &[&str], status| {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Entry::Domain(Domain { id: Id::generate(), name: name.to_owned(), aliases, status })
    };
    known.add(&there("example.org", &["example.net"], Status::Active));
    known.add(&there("removed.example", &[], Status::Removed));
    let mut foreign = Foreign::default();
    for name in ["example.org", "example.net", "removed.example"] {
        let name = DomainName::parse(name).unwrap();
        foreign.need_domain(&name, &Origin::whole("x"));
        let address = Address::from_parts("ann", name).unwrap();
        let mut account = ForeignAccount::new(address, Origin::whole("x"));
        account.set([("forward.enabled", true.into()), ("forward.to", "refused".into())]);
        foreign.accounts.push(account);
    }
    if let Some(domain) = foreign.domains.first_mut() {
        domain.aliases.push(DomainName::parse("example.edu").unwrap());
    }
    let plan = planned(foreign, known);
    let text = shown_plan(&plan);
    assert!(
        text.starts_with(
            "domain example.org [\"example.net\", \"example.edu\"] active\naccount ann@example.org"
        ),
        "{text}"
    );
    assert!(!text.contains("forward.enabled ="), "half of a service's settings: {text}");
    for left in [
        "another name of example.org",
        "marked as removed",
        "account ann@example.net",
        "the catalogue refuses",
    ] {
        assert!(text.contains(left), "{left}: {text}");
    }
}

#[test]
fn schemes_are_told_by_their_form() {
    let check = |hash: &str, usual: Option<&str>, expect: &str| assert_eq!(with_scheme(hash, usual), expect);
    check("$6$a$b", None, "{SHA512-CRYPT}$6$a$b");
    check("$2y$a", Some("CRYPT"), "{BLF-CRYPT}$2y$a");
    check("$y$a", None, "{CRYPT}$y$a");
    check("abJnggxhB/yWI", None, "{CRYPT}abJnggxhB/yWI");
    check("secret", Some("PLAIN"), "{PLAIN}secret");
    check("{SSHA}x", Some("PLAIN"), "{SSHA}x");
}

#[test]
fn mail_locations_are_read() {
    let address = Address::parse("Ann@example.org").unwrap();
    let check = |location: &str, home: &str, expect: Result<&str, &str>| {
        let found = location::maildir(location, &location::Person { address: &address, home });
        match (found, expect) {
            (Ok(path), Ok(expect)) => assert_eq!(path, Path::new(expect), "{location}"),
            (Err(why), Err(expect)) => assert!(why.contains(expect), "{location}: {why}"),
            (found, _) => panic!("{location}: {found:?}"),
        }
    };
    check("maildir:/var/vmail/%d/%n", "", Ok("/var/vmail/example.org/Ann"));
    check("/var/vmail/%Lu", "", Ok("/var/vmail/ann@example.org"));
    check("maildir:~/Maildir:INDEX=/x", "/home/ann", Ok("/home/ann/Maildir"));
    check("maildir:%h/M", "/home/ann", Ok("/home/ann/M"));
    check("maildir:/x/%{user|domain}/%{user|username|lower}", "", Ok("/x/example.org/ann"));
    check("maildir:~/Maildir", "", Err("absolute"));
    check("mdbox:~/mdbox", "/h", Err("doveadm sync"));
    check("maildir:/x:LAYOUT=fs", "", Err("LAYOUT=fs"));
    check("maildir:/x/%1n", "", Err("variable"));
    check("maildir:/x/%", "", Err("ends within"));
    check("maildir:/x/%{user", "", Err("ends within"));
}

proptest! {
    #[test]
    fn readers_never_panic(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        for (_, entry) in fuzzing::ENTRIES {
            entry(&octets);
        }
    }

    #[test]
    fn nor_on_what_looks_like_their_files(text in "([a-z:,@|/\\\\\"# \t\n().*<>{}$%=]|:include:|example.org|bob|ann|\n){0,80}") {
        for (_, entry) in fuzzing::ENTRIES {
            entry(text.as_bytes());
        }
    }
}
