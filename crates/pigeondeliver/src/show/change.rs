//! Changes of the directory in words: for the answer to a command and for the change log.

use pigeon_core::directory::{Change, Place, Status, Subject};
use pigeon_core::setting::{Content, ContentKind, Pin, SettingName};
use pigeon_core::timestamp::Timestamp;
use serde_json::Value;

use super::{count, moment, short, value};

/// What a change does, in the past tense, without a final dot: `added the domain example.org`.
#[must_use]
pub fn describe_change(change: &Change) -> String {
    match change {
        Change::AddDomain { name } => format!("added the domain {name}"),
        Change::AddDomainAlias { domain, alias } => format!("added {alias} as another name of {domain}"),
        Change::RemoveDomainAlias { alias } => format!("took away the domain name {alias}"),
        Change::AddAccount { address, .. } => format!("added the account {address}"),
        Change::EditAccount { address, name, password } => {
            edited(address, name.as_deref(), password.is_some())
        }
        Change::AddAlias { pattern, targets } => format!("added the alias {pattern} → {}", join(targets)),
        Change::EditAlias { pattern, targets } => format!("changed the alias {pattern} → {}", join(targets)),
        Change::Rename { subject, to } => format!("renamed {subject} to {to}"),
        Change::SetStatus { subject, status } => with_status(subject, *status),
        Change::Purge { subject } => format!("purged {subject}"),
        Change::AddGrant { account, domain } => {
            format!("made {account} an administrator of {}", reach(domain.as_deref()))
        }
        Change::RemoveGrant { account, domain } => {
            format!("{account} is no longer an administrator of {}", reach(domain.as_deref()))
        }
        Change::Set { place, name, content, pin, until, reason } => {
            let imposed = pinned(*pin, *until, reason.as_deref());
            format!("set {}{imposed} at {place}", written(name, content))
        }
        Change::SetPin { place, name, kind, pin: Pin::None, .. } => {
            format!("unpinned {name}{} at {place}", range_word(*kind))
        }
        Change::SetPin { place, name, kind, pin, until, reason } => {
            let imposed = pinned(*pin, *until, reason.as_deref());
            format!("pinned {name}{}{imposed} at {place}", range_word(*kind))
        }
        Change::Unset { place, name, kind } => unset(place, name, *kind),
        Change::IfWritten { then, .. } => describe_change(then),
    }
}

/// What a row of the change log says, in words; one that a newer node made is shown as it was written.
#[must_use]
pub fn describe_logged(change: &Value) -> String {
    if let Ok(known) = serde_json::from_value::<Change>(change.clone()) {
        return describe_change(&known);
    }
    let name = change.get("change").and_then(Value::as_str);
    match (name, change.get("entries").and_then(Value::as_u64)) {
        // Many entries at once are one row.
        (Some("import"), Some(entries)) => format!("imported {}", count(entries, "entry")),
        _ => change.to_string(),
    }
}

fn edited(address: &pigeon_core::address::Address, name: Option<&str>, has_password: bool) -> String {
    match (name, has_password) {
        (Some(name), false) => format!("changed the name of {address} to {name:?}"),
        (Some(name), true) => format!("changed the password of {address} and its name to {name:?}"),
        (None, _) => format!("changed the password of {address}"),
    }
}

fn with_status(subject: &Subject, status: Status) -> String {
    match status {
        Status::Active => format!("{subject} is active again"),
        Status::Suspended => format!("suspended {subject}"),
        Status::Removed => format!("removed {subject}"),
    }
}

fn unset(place: &Place, name: &SettingName, kind: ContentKind) -> String {
    format!("unset {name}{} at {place}", range_word(kind))
}

const fn range_word(kind: ContentKind) -> &'static str {
    match kind {
        ContentKind::Value => "",
        ContentKind::Range => " (range)",
    }
}

fn written(name: &SettingName, content: &Content) -> String {
    match content {
        Content::Value(held) => format!("{name}={}", short(&value(held))),
        Content::Range(range) => format!("{name} to {range}"),
    }
}

fn pinned(pin: Pin, until: Option<Timestamp>, reason: Option<&str>) -> String {
    if pin == Pin::None {
        return String::new();
    }
    let mut text = format!(", pinned with the authority of the {pin}");
    if let Some(until) = until {
        text.push_str(" until ");
        text.push_str(&moment(until));
    }
    if let Some(reason) = reason {
        text.push_str(" (");
        text.push_str(reason);
        text.push(')');
    }
    text
}

fn reach(domain: Option<&str>) -> String {
    domain.map_or_else(|| "the system".to_owned(), |domain| format!("the domain {domain}"))
}

fn join(targets: &[pigeon_core::address::Address]) -> String {
    targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use pigeon_core::address::Address;
    use pigeon_core::setting::Range;
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_read_as_sentences() {
        let ann = || Address::parse("ann@example.org").unwrap();
        let name = || "mailbox.folder".parse::<SettingName>().unwrap();
        let check = |change: &Change, expect: &str| assert_eq!(describe_change(change), expect);
        check(&Change::AddDomain { name: "example.org".into() }, "added the domain example.org");
        check(
            &Change::SetStatus { subject: Subject::Account(ann()), status: Status::Removed },
            "removed the account ann@example.org",
        );
        check(
            &Change::Set {
                place: Place::Domain("example.org".into()),
                name: name(),
                content: Content::Value(json!("Archive")),
                pin: Pin::Domain,
                until: Timestamp::parse("2026-12-31").ok(),
                reason: Some("tidy".into()),
            },
            "set mailbox.folder=Archive, pinned with the authority of the domain until 2026-12-31 00:00:00 (tidy) \
             at the domain example.org",
        );
        check(
            &Change::Set {
                place: Place::System,
                name: name(),
                content: Content::Range(Range::Between { min: Some(4.into()), max: Some(8.into()) }),
                pin: Pin::None,
                until: None,
                reason: None,
            },
            "set mailbox.folder to 4 to 8 at the system",
        );
        check(
            &Change::AddGrant { account: ann(), domain: None },
            "made ann@example.org an administrator of the system",
        );
    }

    #[test]
    fn logged_changes_read_as_sentences() {
        let check = |change: Value, expect: &str| assert_eq!(describe_logged(&change), expect);
        check(json!({ "change": "add-domain", "name": "example.org" }), "added the domain example.org");
        check(json!({ "change": "import", "entries": 1000 }), "imported 1000 entries");
        check(json!({ "change": "import", "entries": 1 }), "imported 1 entry");
        check(json!({ "change": "fly", "to": "Rome" }), r#"{"change":"fly","to":"Rome"}"#);
    }
}
