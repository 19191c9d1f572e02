//! Keeps the message: the last service, which stores what nobody has stored before.
//!
//! Source: RFC 9051 §2.3.2 and §9 (flags and keywords).

use std::fmt;
use std::str::FromStr;

use pigeon_core::delivery::Delivery;
use pigeon_core::effect::{Effect, Flags};
use pigeon_core::fault::Fault;
use pigeon_core::folder::Folder;
use pigeon_core::outcome::Next;
use pigeon_core::service::{NoConfig, Service, Stage, Tools};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many flags a mail may be stored with, and how long a keyword may be, in octets.
const MAX_FLAGS: usize = 10;
const MAX_KEYWORD_OCTETS: usize = 50;

/// A service that files copies of its own asks for the default copy, too, by this fact: a list of flags that the copy
/// gets besides those set here.
const KEEP_TOO: &str = "mailbox.keep_too";

/// A flag that mail may be stored with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StoreFlag {
    /// `\Seen`
    Seen,
    /// `\Flagged`
    Flagged,
    /// `\Answered`
    Answered,
    /// A keyword, as it was written.
    Keyword(String),
}

impl FromStr for StoreFlag {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // RFC 9051 §2.3.2: flags and keywords mean the same in any case.
        match text.to_ascii_lowercase().as_str() {
            "\\seen" => return Ok(Self::Seen),
            "\\flagged" => return Ok(Self::Flagged),
            "\\answered" => return Ok(Self::Answered),
            "\\deleted" => {
                return Err(
                    "\\Deleted is not for delivered mail: the next mail reader would remove it".to_owned()
                );
            }
            "\\draft" => return Err("\\Draft is for mail that is still being written".to_owned()),
            "\\recent" => return Err("\\Recent is set by the IMAP server alone".to_owned()),
            other if other.starts_with('\\') => {
                return Err(format!(
                    "there is no flag {text}: \\Seen, \\Flagged, \\Answered, or a keyword like $Junk"
                ));
            }
            _ => {}
        }
        // RFC 9051 §9: a keyword is an atom.
        let is_atom = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
        if text.is_empty() || text.len() > MAX_KEYWORD_OCTETS || !text.bytes().all(is_atom) {
            return Err(format!(
                "{text:?} is not a keyword: write 1 to {MAX_KEYWORD_OCTETS} ASCII letters, digits and signs like $, - \
                 or _, without blanks, like $Junk"
            ));
        }
        Ok(Self::Keyword(text.to_owned()))
    }
}

impl fmt::Display for StoreFlag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Seen => "\\Seen",
            Self::Flagged => "\\Flagged",
            Self::Answered => "\\Answered",
            Self::Keyword(word) => word,
        })
    }
}

impl TryFrom<String> for StoreFlag {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.trim().parse()
    }
}

impl From<StoreFlag> for String {
    fn from(flag: StoreFlag) -> Self {
        flag.to_string()
    }
}

impl JsonSchema for StoreFlag {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StoreFlag".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "imap-flag" })
    }
}

/// Keeps every message in the recipient's mailbox, unless an earlier service has stored it already or said
/// that no copy is to be kept.
///
/// Enable it for everyone: a message that no service takes waits at the mail server.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The folder for messages that no other service has put somewhere or named a folder for: `INBOX` (the default), or a name like
    /// `Archive/2026` with `/` between its levels. It is made with the first message.
    pub folder: Folder,
    /// The IMAP flags that this service stores mail with: `\Seen`, `\Flagged`, `\Answered`, and keywords like
    /// `["$Junk", "work"]`, ten at most. Mail readers show and change them. Empty by default: mail is new and unread.
    /// Courier shows no keywords that it has not set itself.
    pub flags: Vec<StoreFlag>,
}

impl Settings {
    fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        for flag in &self.flags {
            match flag {
                StoreFlag::Seen => flags.is_seen = true,
                StoreFlag::Flagged => flags.is_flagged = true,
                StoreFlag::Answered => flags.is_answered = true,
                StoreFlag::Keyword(word) => flags.keywords.push(word.clone()),
            }
        }
        flags
    }

    fn has_keyword(&self, wanted: &str) -> bool {
        self.flags
            .iter()
            .any(|flag| matches!(flag, StoreFlag::Keyword(word) if word.eq_ignore_ascii_case(wanted)))
    }
}

/// The service.
#[derive(Debug)]
pub struct Mailbox;

impl Service for Mailbox {
    const NAME: &'static str = "mailbox";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if settings.flags.len() > MAX_FLAGS {
            return Err(format!("flags may list at most {MAX_FLAGS}"));
        }
        // RFC 9051 §2.3.2: the two exclude each other.
        if settings.has_keyword("$Junk") && settings.has_keyword("$NotJunk") {
            return Err("flags may list $Junk or $NotJunk, not both".to_owned());
        }
        Ok(())
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        if delivery.effects().is_keep_cancelled() {
            delivery.reason("no copy is kept: an earlier service said so");
        } else if delivery.effects().has_store() && delivery.fact(KEEP_TOO).is_none() {
            let folders: Vec<String> = delivery.effects().list().iter().filter_map(folder_of).collect();
            delivery.reason(format!("an earlier service stores it in {}", folders.join(", ")));
        } else {
            let named = delivery.keep_folder().cloned();
            let mut reason = match &named {
                Some(folder) => format!("stored in {folder}: an earlier service said so"),
                None => format!("stored in {}", settings.folder),
            };
            if named.is_none() {
                delivery.decided_by("folder");
            }
            if !settings.flags.is_empty() {
                let flags: Vec<String> = settings.flags.iter().map(ToString::to_string).collect();
                reason.extend([" with ", &flags.join(", ")]);
                delivery.decided_by("flags");
            }
            delivery.reason(reason);
            let flags = with_asked(settings.flags(), delivery.fact(KEEP_TOO));
            delivery.store(named.unwrap_or_else(|| settings.folder.clone()), flags);
        }
        Ok(Next::Continue)
    }
}

/// The flags, and those that a service asks for.
fn with_asked(mut flags: Flags, asked: Option<&Value>) -> Flags {
    for name in asked.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        match name.to_ascii_lowercase().as_str() {
            "\\seen" => flags.is_seen = true,
            "\\flagged" => flags.is_flagged = true,
            "\\answered" => flags.is_answered = true,
            "\\deleted" => flags.is_deleted = true,
            "\\draft" => flags.is_draft = true,
            _ if !name.starts_with('\\') && !flags.keywords.iter().any(|known| known == name) => {
                flags.keywords.push(name.to_owned());
            }
            _ => {}
        }
    }
    flags
}

fn folder_of(effect: &Effect) -> Option<String> {
    match effect {
        Effect::Store(store) => Some(store.folder.to_string()),
        Effect::Redirect(_) | Effect::Answer(_) | Effect::Post(_) | Effect::Archive(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use pigeon_core::service::Descriptor;
    use pigeon_testkit::memory::{World, because_of, reason_of};
    use serde_json::json;

    use super::*;
    use crate::catalogue::SERVICES;

    const MAIL: &str = "Subject: hi\n\nhello\n";

    fn world() -> World {
        let world = World::new(SERVICES);
        world.account("ann@example.org").set("system", "mailbox.enabled", true);
        world
    }

    #[tokio::test]
    async fn mail_is_stored_in_the_inbox_by_default() {
        let world = world();
        let receipt = world.mail("bob@example.net", "ann@example.org", MAIL).await;
        assert_eq!(receipt.outcome.text(), "stored in INBOX");
        assert_eq!(because_of(&receipt, "mailbox"), ["mailbox.folder=INBOX (default)"]);
        let mails = world.mails("ann@example.org");
        assert!(mails[0].text.starts_with("Return-Path: <bob@example.net>\nDelivered-To: ann@example.org\n"));
        assert!(mails[0].text.ends_with(MAIL));
    }

    #[tokio::test]
    async fn the_folder_is_a_setting() {
        let world = world();
        world.set("ann@example.org", "mailbox.folder", "Archive/2026");
        let receipt = world.mail("bob@example.net", "ann@example.org", MAIL).await;
        assert_eq!(world.folders("ann@example.org"), ["Archive/2026"]);
        assert_eq!(because_of(&receipt, "mailbox"), ["mailbox.folder=Archive/2026 (account)"]);
    }

    #[tokio::test]
    async fn flags_are_a_setting() {
        let world = world();
        world.set("ann@example.org", "mailbox.flags", vec!["\\seen", "$Junk", "\\ANSWERED", "work"]);
        let receipt = world.mail("bob@example.net", "ann@example.org", MAIL).await;
        let keywords = vec!["$Junk".to_owned(), "work".to_owned()];
        let flags = Flags { is_seen: true, is_answered: true, keywords, ..Flags::default() };
        assert_eq!(world.mails("ann@example.org")[0].flags, flags);
        let reason = "stored in INBOX with \\Seen, $Junk, \\Answered, work";
        assert_eq!(reason_of(&receipt, "mailbox"), reason);
        let because = because_of(&receipt, "mailbox");
        assert_eq!(because[0], "mailbox.folder=INBOX (default)");
        assert!(
            because[1].starts_with("mailbox.flags=[") && because[1].ends_with(" (account)"),
            "{because:?}"
        );
        // What another service files is that service's.
        world.set("system", "subaddress.enabled", true).set("system", "subaddress.create", true);
        world.mail("bob@example.net", "ann+shop@example.org", MAIL).await;
        assert_eq!(world.mails("ann@example.org")[1].flags, Flags::default());
    }

    #[test]
    fn flags_that_do_harm_are_refused() {
        let check = |flags: Value, expect: &str| {
            let settings = serde_json::from_value::<Settings>(json!({ "flags": flags }));
            let checked =
                settings.map_err(|error| error.to_string()).and_then(|settings| Mailbox::check(&settings));
            let error = checked.err().unwrap_or_default();
            assert!(
                if expect.is_empty() { error.is_empty() } else { error.contains(expect) },
                "{flags}: {error}"
            );
        };
        check(json!([]), "");
        check(json!(["\\Flagged", "$NotJunk", "to-do_2"]), "");
        check(json!(["\\Deleted"]), "would remove it");
        check(json!(["\\draft"]), "still being written");
        check(json!(["\\Recent"]), "the IMAP server alone");
        check(json!(["\\Spam"]), "there is no flag \\Spam: \\Seen, \\Flagged");
        for word in ["two words", "", "a(b", "wörk", "100%", "a\nb", &"x".repeat(51)] {
            check(json!([word]), "is not a keyword");
        }
        check(json!(["$junk", "$NotJunk"]), "not both");
        let many: Vec<String> = (0..11).map(|number| format!("k{number}")).collect();
        check(json!(many), "at most 10");
    }

    #[tokio::test]
    async fn an_earlier_service_may_name_the_folder() {
        let world = World::new(&[Descriptor::of::<Junk>(), Descriptor::of::<Mailbox>()]);
        world.account("ann@example.org").set("system", "junk.enabled", true);
        world.set("system", "mailbox.enabled", true).set("system", "mailbox.folder", "In");
        let receipt = world.mail("bob@example.net", "ann@example.org", MAIL).await;
        assert_eq!(receipt.outcome.text(), "stored in Junk");
        assert_eq!(reason_of(&receipt, "mailbox"), "stored in Junk: an earlier service said so");
        assert_eq!(because_of(&receipt, "mailbox"), Vec::<String>::new());
    }

    struct Junk;

    impl Service for Junk {
        const NAME: &'static str = "junk";
        const STAGE: Stage = Stage::Inspect;
        type Config = NoConfig;
        type Settings = NoConfig;
        fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
            Ok(Self)
        }
        async fn handle(&self, _settings: &NoConfig, delivery: &mut Delivery) -> Result<Next, Fault> {
            delivery.keep_in(Folder::parse("Junk").map_err(|error| Fault::temporary(error.to_string()))?);
            Ok(Next::Continue)
        }
    }

    #[tokio::test]
    async fn what_an_earlier_service_stored_is_not_stored_again() {
        let world = world();
        world.set("system", "subaddress.enabled", true).set("system", "subaddress.create", true);
        let receipt = world.mail("bob@example.net", "ann+shop@example.org", MAIL).await;
        assert_eq!(world.folders("ann@example.org"), ["shop"]);
        assert_eq!(reason_of(&receipt, "mailbox"), "an earlier service stores it in shop");
    }

    #[tokio::test]
    async fn a_cancelled_copy_stays_cancelled() {
        let world = world();
        world
            .set("ann@example.org", "forward.enabled", true)
            .set("ann@example.org", "forward.keep", false)
            .set("ann@example.org", "forward.to", vec!["ann@example.net"]);
        let receipt = world.mail("bob@example.net", "ann@example.org", MAIL).await;
        assert_eq!(receipt.outcome.text(), "redirected to ann@example.net");
        assert_eq!(reason_of(&receipt, "mailbox"), "no copy is kept: an earlier service said so");
        assert!(world.mails("ann@example.org").is_empty());
    }
}
