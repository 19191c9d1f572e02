//! What a server answers, and what follows from it.

use std::collections::BTreeMap;

use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Reply;
use pigeon_core::folder::Folder;
use pigeon_core::outcome::Next;
use serde::Deserialize;
use serde_json::Value;

use crate::compose;

/// Header fields and facts that one answer may set.
const MAX_ENTRIES: usize = 50;
/// What the sender may be told, in characters; the same for a reason in the receipt.
const MAX_LETTERS: usize = 200;

/// What is to become of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    Continue,
    Discard,
    Reject,
    Defer,
}

/// An answer. What is not known here is passed over, for servers may know more.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(super) struct Decision {
    action: Action,
    /// Where the copy belongs.
    folder: Option<Folder>,
    add_headers: Vec<(String, String)>,
    facts: BTreeMap<String, Value>,
    /// What the sender is told, where the message is refused or deferred.
    reply: String,
    /// Why, for the receipt.
    reason: String,
}

impl Decision {
    /// Reads an answer; none at all lets the message go on.
    pub(super) fn read(body: &[u8]) -> Result<Self, String> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let decision: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        decision.check().map(|()| decision)
    }

    fn check(&self) -> Result<(), String> {
        let is_letter =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte);
        let is_fact = |name: &String| (1..=50).contains(&name.len()) && name.bytes().all(is_letter);
        if let Some(name) = self.facts.keys().find(|name| !is_fact(name)) {
            return Err(format!("{name:?} is no name of a fact: lower-case letters, digits, _ and dots"));
        }
        // RFC 5322 §2.2
        let is_field = |name: &str| {
            (1..=70).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
        };
        if let Some((name, _)) = self.add_headers.iter().find(|(name, _)| !is_field(name)) {
            return Err(format!("{name:?} is no name of a header field"));
        }
        if self.facts.len() > MAX_ENTRIES || self.add_headers.len() > MAX_ENTRIES {
            return Err(format!("more than {MAX_ENTRIES} facts or header fields"));
        }
        Ok(())
    }

    /// Does what it says.
    pub(super) fn carry_out(self, delivery: &mut Delivery) -> Result<Next, String> {
        for (name, value) in self.facts {
            delivery.set_fact(&format!("http.{name}"), value);
        }
        for (name, value) in &self.add_headers {
            let value = compose::fold(name, &compose::text_tokens(value));
            delivery.header().append(name, &value);
        }
        let reason = one_line(&self.reason);
        delivery.reason(if reason.is_empty() { "the server was asked" } else { &reason });
        if let Some(folder) = self.folder {
            delivery.reason(format!("it names the folder {folder}"));
            delivery.keep_in(folder);
        }
        let text = |default: &str| {
            let reply = one_line(&self.reply);
            if reply.is_empty() { default.to_owned() } else { reply }
        };
        // RFC 3463 §3.8: X.7.1, delivery not authorized, message refused.
        Ok(match self.action {
            Action::Continue => Next::Continue,
            Action::Discard => Next::Discard("the server discards it".to_owned()),
            Action::Reject => Next::Reject(Reply::new(550, (5, 7, 1), text("The message was refused"))),
            Action::Defer => Next::Reject(Reply::new(
                451,
                (4, 7, 1),
                text("The message cannot be taken now, try again later"),
            )),
        })
    }
}

/// A text as replies and receipts can hold it: one line of ASCII.
fn one_line(text: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_graphic() || letter == ' ' { letter } else { '?' };
    text.trim().chars().take(MAX_LETTERS).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let check = |text: &str, expect: Result<Action, &str>| match (Decision::read(text.as_bytes()), expect)
        {
            (Ok(decision), Ok(action)) => assert_eq!(decision.action, action, "{text}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{text}: {error}"),
            (read, _) => panic!("{text}: {read:?}"),
        };
        check("", Ok(Action::Continue));
        check("{}", Ok(Action::Continue));
        check(r#"{"action":"discard","unknown":1}"#, Ok(Action::Discard));
        check(r#"{"action":"reject","reply":"no"}"#, Ok(Action::Reject));
        check(r#"{"action":"defer"}"#, Ok(Action::Defer));
        check(r#"{"action":"explode"}"#, Err("unknown variant"));
        check(r#"{"folder":"../etc"}"#, Err("folder name"));
        check(r#"{"facts":{"Spam Score":1}}"#, Err("no name of a fact"));
        check(r#"{"add_headers":[["X:Y","1"]]}"#, Err("no name of a header field"));
        check("<html>", Err("expected value"));
    }

    #[test]
    fn replies_are_one_line() {
        assert_eq!(one_line("no\r\n250 ok ü\n"), "no??250 ok ?");
        assert_eq!(one_line(&"x".repeat(1000)).len(), MAX_LETTERS);
    }
}
