//! Tells senders that the recipient is away: once in some days, and never to machines.
//!
//! Source: RFC 3834 (automatic responses) and RFC 5230 (the Sieve vacation extension).

use std::sync::Arc;
use std::time::Duration;

use pigeon_core::address::{Address, DomainName};
use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::service::{Contradiction, NoConfig, Service, Stage, Tools};
use pigeon_core::timestamp::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::compose::{self, Draft};
use crate::personal;

const MAX_DAYS: u16 = 365;
const MAX_TEXT_OCTETS: usize = 50_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// What senders outside of the own domain get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum External {
    /// The answer.
    #[default]
    Answer,
    /// Nothing.
    Ignore,
}

/// A day or a moment, as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment {
    text: String,
    first: Timestamp,
}

impl Moment {
    /// The first instant that it means.
    #[must_use]
    pub fn first(&self) -> Timestamp {
        self.first
    }

    /// The instant behind it: a bare day lasts until the next one begins.
    #[must_use]
    pub fn behind(&self) -> Timestamp {
        let is_day = self.text.len() == 10;
        if is_day { self.first.plus(Duration::from_secs(SECONDS_PER_DAY)) } else { self.first }
    }
}

impl TryFrom<String> for Moment {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let text = text.trim().to_owned();
        Timestamp::parse(&text).map(|first| Self { text, first })
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.text
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-or-date-time" })
    }
}

/// Answers mail while the recipient is away: each sender once in some days, only mail that is addressed to
/// the recipient in person, never mailing lists, bulk mail, other automatic messages or bounces.
///
/// The mail itself is kept as always.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The subject of the answer. Empty (the default): `Auto: ` and the subject of the mail that is answered.
    pub subject: String,
    /// The text of the answer, in plain text of any language.
    pub text: String,
    /// Another text for colleagues: senders of the same domain and of `internal_domains`. Empty (the default):
    /// the same text for all.
    pub internal_text: String,
    /// Other domains whose senders are colleagues, like `["example.net"]`. Empty by default.
    pub internal_domains: Vec<String>,
    /// Whether other senders get an answer: `answer` (the default) or `ignore`.
    pub external: External,
    /// For how many days a sender gets no second answer, 0 to 365 (7 by default). 0: every mail is answered.
    pub days: u16,
    /// The first day, like `2026-12-24`, or a moment like `2026-12-24T12:00:00+01:00`. Not set (the default): at
    /// once. A bare day begins at midnight UTC.
    pub start: Option<Moment>,
    /// The last day (still answered), or a moment. Not set (the default): until the service is switched off. An end
    /// before the start is refused; where other layers bring one about, nobody is answered.
    pub end: Option<Moment>,
    /// Further addresses of the recipient, like aliases: mail to them is personal, too. Empty by default.
    pub addresses: Vec<Address>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            subject: String::new(),
            text: "I am away and will read your message when I am back.\n".to_owned(),
            internal_text: String::new(),
            internal_domains: Vec::new(),
            external: External::Answer,
            days: 7,
            start: None,
            end: None,
            addresses: Vec::new(),
        }
    }
}

/// The service.
#[derive(Debug)]
pub struct Vacation {
    hostname: Arc<str>,
}

impl Service for Vacation {
    const NAME: &'static str = "vacation";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, tools: &Tools) -> Result<Self, Fault> {
        Ok(Self { hostname: Arc::clone(&tools.hostname) })
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if settings.days > MAX_DAYS {
            return Err(format!("days must be 0 to {MAX_DAYS}"));
        }
        if settings.text.len().max(settings.internal_text.len()) > MAX_TEXT_OCTETS {
            return Err(format!("a text may have {MAX_TEXT_OCTETS} octets"));
        }
        if settings.subject.len() > 500 || settings.subject.chars().any(char::is_control) {
            return Err("subject must be one line of at most 500 octets".to_owned());
        }
        for domain in &settings.internal_domains {
            DomainName::parse(domain).map_err(|error| format!("internal_domains: {domain:?}: {error}"))?;
        }
        Ok(())
    }

    fn contradictions(settings: &Settings) -> Vec<Contradiction> {
        match (&settings.start, &settings.end) {
            (Some(start), Some(end)) if start.first >= end.behind() => {
                let allowed = "the end must not lie before the start".to_owned();
                vec![Contradiction { keys: ["start", "end"], allowed }]
            }
            _ => Vec::new(),
        }
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        let answered = match settings.judge(delivery) {
            Ok(answered) => answered,
            Err((why, key)) => {
                delivery.reason(format!("no answer: {why}"));
                if let Some(key) = key {
                    delivery.decided_by(key);
                }
                return Ok(Next::Continue);
            }
        };
        let (to, text) = answered;
        // RFC 5230 §4.2: another text is another answer, which even those may get who got the former one.
        let key = format!("{}:{}", compose::fingerprint(&[&settings.subject, text]), to.key());
        let days = settings.days.min(MAX_DAYS);
        delivery.decided_by("days");
        // RFC 5230 §4.1: each sender gets one answer in so many days.
        if days > 0
            && let Some(last) = delivery.recall(&key).await?
        {
            delivery.reason(format!("no answer: {to} got one at {last}"));
            return Ok(Next::Continue);
        }
        if days > 0 {
            let span = Duration::from_secs(u64::from(days) * SECONDS_PER_DAY);
            delivery.remember(key, delivery.now().to_string(), span);
        }
        delivery.reason(format!("answered to {to}"));
        let answer = self.compose(settings, delivery, &to, text);
        // RFC 3834 §4: the answer goes to the sender of the envelope, and §3.3: with the null sender.
        delivery.answer(to, "vacation", answer);
        Ok(Next::Continue)
    }
}

type Silence = (String, Option<&'static str>);

impl Settings {
    /// Who is to be answered with which text; or why nobody is, and which setting says so.
    fn judge(&self, delivery: &Delivery) -> Result<(Address, &str), Silence> {
        let now = delivery.now();
        if let Some(start) = self.start.as_ref().filter(|start| now < start.first()) {
            return Err((format!("it begins on {}", start.text), Some("start")));
        }
        if let Some(end) = self.end.as_ref().filter(|end| now >= end.behind()) {
            return Err((format!("it ended on {}", end.text), Some("end")));
        }
        if delivery.fact("virus.status").is_some_and(|status| status == "infected") {
            return Err(("the message is infected".to_owned(), None));
        }
        // RFC 3834 §2: no response to the null sender, to lists, to other responses.
        let sender = personal::answerable_sender(delivery).map_err(|why| (why, None))?;
        let own = self.own_addresses(delivery);
        if own.contains(&sender.key()) {
            return Err(("the mail is from the recipient".to_owned(), None));
        }
        if let Some(why) = personal::automatic(delivery.message()) {
            return Err((why, None));
        }
        if !personal::is_addressed_to(delivery.message(), &own) {
            return Err((
                "none of the recipient's addresses is in To, Cc or Bcc".to_owned(),
                Some("addresses"),
            ));
        }
        let is_internal = self.is_internal(sender.domain(), delivery.account_address().domain());
        if !is_internal && self.external == External::Ignore {
            return Err((format!("{} is not a colleague", sender.domain()), Some("external")));
        }
        let text =
            if is_internal && !self.internal_text.is_empty() { &self.internal_text } else { &self.text };
        Ok((sender, text))
    }

    fn own_addresses(&self, delivery: &Delivery) -> Vec<String> {
        let own = [delivery.account_address(), delivery.recipient()];
        own.into_iter().chain(&self.addresses).map(Address::key).collect()
    }

    fn is_internal(&self, sender: &DomainName, own: &DomainName) -> bool {
        let listed = self.internal_domains.iter().filter_map(|domain| DomainName::parse(domain).ok());
        sender == own || listed.into_iter().any(|domain| domain == *sender)
    }
}

impl Vacation {
    fn compose(&self, settings: &Settings, delivery: &Delivery, to: &Address, text: &str) -> String {
        let message = delivery.message();
        let value = |name: &str| message.field(name).map(|field| field.value()).unwrap_or_default();
        let subject = if settings.subject.is_empty() {
            // RFC 5230 §5.3, RFC 3834 §3.1.5: "Auto: " and the subject of the mail that is answered.
            let mut words = vec!["Auto:".to_owned()];
            words.extend(compose::wire_tokens(&limited(&value("Subject"))));
            words
        } else {
            compose::text_tokens(&settings.subject)
        };
        let now = delivery.now();
        let parts = [delivery.transaction().id.as_str(), &delivery.account_address().key(), &to.key()];
        Draft {
            // RFC 5230 §5.4: from the recipient.
            from_name: delivery.account_name(),
            from: delivery.account_address(),
            to,
            subject,
            date: now,
            message_id: compose::message_id("vacation", now, &parts, &self.hostname),
            // RFC 3834 §5.1 and RFC 5230 §5.6
            auto_submitted: "auto-replied",
            // RFC 5230 §5.8
            thread: compose::thread(&value("Message-ID"), &value("References")),
            text,
        }
        .write()
    }
}

/// A subject short enough to be repeated: whole words, so that no encoded word is cut.
fn limited(subject: &str) -> String {
    const MAX_OCTETS: usize = 500;
    let mut length = 0;
    let fits = |word: &&str| {
        length += word.len() + 1;
        length <= MAX_OCTETS
    };
    subject.split_whitespace().take_while(fits).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
