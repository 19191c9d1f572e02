//! Adds, replaces and removes header fields, before anyone decides by them.
//!
//! Source: RFC 5322 §2.2 (fields). Fields that say where a message has been, who signed it or how its body is
//! written are protected, as RFC 5293 §6 asks of header editing.

use std::fmt;
use std::str::FromStr;

use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::service::{Contradiction, NoConfig, Service, Stage, Tools};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::compose;

/// How many fields each list may have.
const MAX_FIELDS: usize = 50;
/// Longest name of a field and longest value, in octets.
const MAX_NAME_OCTETS: usize = 70;
const MAX_VALUE_OCTETS: usize = 2000;

/// Fields that nobody may touch, in lower case.
const PROTECTED: &[&str] = &[
    "auto-submitted",
    "date",
    "delivered-to",
    "dkim-signature",
    "from",
    "message-id",
    "mime-version",
    "received",
    "return-path",
    "x-original-to",
];
/// Beginnings of such fields: the body's own description, and the chain of ARC seals (RFC 8617 §4).
const PROTECTED_BEGINNINGS: &[&str] = &["arc-", "content-", "resent-"];

/// The name of a header field that may be touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldName(String);

impl FromStr for FieldName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // RFC 5322 §3.6.8: printable US-ASCII without the colon.
        let is_name = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if text.is_empty() || text.len() > MAX_NAME_OCTETS || !text.bytes().all(is_name) {
            return Err(format!("{text:?} is not the name of a header field: write one like X-Department"));
        }
        let lower = text.to_ascii_lowercase();
        let is_protected = PROTECTED.contains(&&*lower)
            || PROTECTED_BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning));
        if is_protected {
            return Err(format!(
                "{text} is protected: {}, and what begins with {} cannot be edited",
                PROTECTED.join(", "),
                PROTECTED_BEGINNINGS.join(", ")
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A header field as it is written in settings: `Name: value`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldLine {
    name: FieldName,
    value: String,
}

impl FromStr for FieldLine {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':');
        let (name, value) =
            parts.ok_or_else(|| format!("{text:?} is not a header field: write Name: value"))?;
        let (name, value) = (name.trim().parse::<FieldName>()?, value.trim());
        if value.is_empty() || value.len() > MAX_VALUE_OCTETS || value.chars().any(char::is_control) {
            return Err(format!(
                "the value of {} must be one line of 1 to {MAX_VALUE_OCTETS} octets without control characters",
                name.0
            ));
        }
        Ok(Self { name, value: value.to_owned() })
    }
}

impl fmt::Display for FieldLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name.0, self.value)
    }
}

macro_rules! text_type {
    ($type:ty, $format:literal, $value:ident => $shown:expr) => {
        impl TryFrom<String> for $type {
            type Error = String;
            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from($value: $type) -> Self {
                $shown
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    };
}
text_type!(FieldName, "field-name", name => name.0);
text_type!(FieldLine, "field-line", line => line.to_string());

/// Edits the header of every message for this recipient alone: other recipients of the same message see
/// theirs as it came.
///
/// First fields are removed, then replaced, then added. Trace, signature and identity fields (Received,
/// DKIM-Signature, From, Content-Type and the like) are protected.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Fields to take out, by name in any case: `["X-Priority"]`. All fields of that name go. Empty by default. A field
    /// in `replace` as well is refused; where other layers bring both about, it is replaced.
    pub remove: Vec<FieldName>,
    /// Fields to put in the place of all that have the same name, or to add where there is none:
    /// `["Reply-To: team@example.org"]`. Empty by default. Values may hold `{recipient}`, `{account}` and `{sender}`.
    pub replace: Vec<FieldLine>,
    /// Fields to add at the end of the header, whatever is there: `["X-Department: {account}"]`. Empty by default.
    /// `{recipient}` stands for the address the mail server named, `{account}` for the account's address,
    /// `{sender}` for the envelope sender (nothing for the null sender).
    pub add: Vec<FieldLine>,
}

/// The service.
#[derive(Debug)]
pub struct Headers;

impl Service for Headers {
    const NAME: &'static str = "headers";
    const STAGE: Stage = Stage::Inspect;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    fn check(settings: &Settings) -> Result<(), String> {
        let longest = settings.remove.len().max(settings.replace.len()).max(settings.add.len());
        if longest > MAX_FIELDS {
            return Err(format!("each list may have at most {MAX_FIELDS} fields"));
        }
        Ok(())
    }

    fn contradictions(settings: &Settings) -> Vec<Contradiction> {
        let is_removed =
            |line: &&FieldLine| settings.remove.iter().any(|name| name.0.eq_ignore_ascii_case(&line.name.0));
        let both = settings.replace.iter().find(is_removed);
        let allowed = |line: &FieldLine| format!("{} is either removed or replaced", line.name.0);
        both.map(|line| Contradiction { keys: ["remove", "replace"], allowed: allowed(line) })
            .into_iter()
            .collect()
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        for name in &settings.remove {
            // Only what is there: a header that is not edited is shared with the other recipients.
            if delivery.message().field(&name.0).is_some() {
                delivery.reason(format!("removed {}", name.0));
                delivery.decided_by("remove");
                delivery.header().remove(&name.0);
            }
        }
        for line in &settings.replace {
            let value = filled(line, delivery);
            delivery.reason(format!("set {}", line.name.0));
            delivery.decided_by("replace");
            delivery.header().replace(&line.name.0, &value);
        }
        for line in &settings.add {
            let value = filled(line, delivery);
            delivery.reason(format!("added {}", line.name.0));
            delivery.decided_by("add");
            delivery.header().append(&line.name.0, &value);
        }
        if settings.add.is_empty() && settings.replace.is_empty() && settings.remove.is_empty() {
            delivery.reason("nothing to edit is set");
        }
        Ok(Next::Continue)
    }
}

/// The value with its variables filled in, encoded and folded for the wire.
fn filled(line: &FieldLine, delivery: &Delivery) -> String {
    let mut value = String::new();
    let mut rest = line.value.as_str();
    // In one pass, so that nothing that a sender wrote is taken for a variable.
    while let Some((before, after)) = rest.split_once('{') {
        value.push_str(before);
        let named = after.split_once('}').and_then(|(name, rest)| Some((variable(name, delivery)?, rest)));
        match named {
            Some((text, behind)) => {
                value.push_str(&text);
                rest = behind;
            }
            None => {
                value.push('{');
                rest = after;
            }
        }
    }
    value.push_str(rest);
    compose::fold(&line.name.0, &compose::text_tokens(&value))
}

fn variable(name: &str, delivery: &Delivery) -> Option<String> {
    match name {
        "recipient" => Some(delivery.recipient().to_string()),
        "account" => Some(delivery.account_address().to_string()),
        "sender" => Some(delivery.sender().to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use pigeon_testkit::memory::{World, reason_of};
    use proptest::prelude::*;

    use super::*;
    use crate::catalogue::SERVICES;

    const MAIL: &str =
        "From: bob@example.net\nX-Priority: 1\nx-priority: 2\nReply-To: bob@example.net\n\nhello\n";

    fn world() -> World {
        let world = World::new(SERVICES);
        world
            .account("ann@example.org")
            .account("bob@example.org")
            .set("system", "mailbox.enabled", true)
            .set("ann@example.org", "headers.enabled", true);
        world
    }

    /// The header lines of ann's last mail behind the trace fields.
    fn lines(world: &World) -> Vec<String> {
        let mails = world.mails("ann@example.org");
        let head = mails.last().unwrap().text.split_once("\n\n").unwrap().0;
        head.lines().skip_while(|line| !line.starts_with("From:")).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn fields_are_removed_replaced_and_added() {
        let world = world();
        world
            .set("ann@example.org", "headers.remove", vec!["X-PRIORITY", "X-Missing"])
            .set("ann@example.org", "headers.replace", vec!["reply-to: team@example.org"])
            .set(
                "ann@example.org",
                "headers.add",
                vec!["X-For: {account} via {recipient} {x} {", "X-From: {sender}"],
            );
        let receipt = world.mail("bob@example.net", "ann+x@example.org", MAIL).await;
        assert_eq!(
            lines(&world),
            [
                "From: bob@example.net",
                "reply-to: team@example.org",
                "X-For: ann@example.org via ann+x@example.org {x} {",
                "X-From: bob@example.net",
            ]
        );
        assert_eq!(
            reason_of(&receipt, "headers"),
            "removed X-PRIORITY; set reply-to; added X-For; added X-From"
        );
    }

    #[tokio::test]
    async fn other_recipients_see_the_header_as_it_came() {
        let world = world();
        world.set("ann@example.org", "headers.add", vec!["X-For: {account}"]);
        world.deliver("bob@example.net", &["ann@example.org", "bob@example.org"], MAIL).await;
        assert!(world.mails("ann@example.org")[0].text.contains("X-For: ann@example.org\n"));
        assert!(!world.mails("bob@example.org")[0].text.contains("X-For"));
    }

    #[tokio::test]
    async fn what_is_not_ascii_is_encoded() {
        let world = world();
        world.set("ann@example.org", "headers.add", vec!["X-Tag: Grüße"]);
        world.mail("bob@example.net", "ann@example.org", MAIL).await;
        assert_eq!(lines(&world).last().unwrap(), "X-Tag: =?UTF-8?B?R3LDvMOfZQ==?=");
    }

    #[tokio::test]
    async fn what_is_removed_and_replaced_is_replaced() {
        let world = world();
        // Refused on write; other layers may bring it about.
        world.set("example.org", "headers.remove", vec!["X-Priority"]).set(
            "ann@example.org",
            "headers.replace",
            vec!["X-Priority: 3"],
        );
        let mail = format!("X-Priority: 1\n{MAIL}");
        let receipt = world.mail("bob@example.net", "ann@example.org", &mail).await;
        assert_eq!(receipt.outcome.word(), "delivered");
        let priorities: Vec<String> =
            lines(&world).into_iter().filter(|line| line.starts_with("X-Priority")).collect();
        assert_eq!(priorities, ["X-Priority: 3"]);
    }

    #[test]
    fn protected_and_broken_fields_are_refused() {
        let check = |text: &str, expect: &str| {
            let error = text.parse::<FieldLine>().unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
        };
        check("Received: x", "protected");
        check("return-path: <a@example.org>", "protected");
        check("DKIM-Signature: x", "protected");
        check("ARC-Seal: x", "protected");
        check("Content-Type: text/html", "protected");
        check("no colon", "write Name: value");
        check("Bad Name: x", "X-Department");
        check("X-Empty: ", "one line");
        check("X-Break: a\nBcc: x", "one line");
        assert!("Received".parse::<FieldName>().is_err());
        let line: FieldLine = "X-Ok : with: colons ".parse().unwrap();
        assert_eq!(line.to_string(), "X-Ok: with: colons");
    }

    proptest! {
        #[test]
        fn what_is_accepted_survives_a_round_trip(text in "[!-~]{0,20}:[ -~ä]{0,30}") {
            if let Ok(line) = text.parse::<FieldLine>() {
                prop_assert_eq!(line.to_string().parse::<FieldLine>(), Ok(line));
            }
        }
    }
}
