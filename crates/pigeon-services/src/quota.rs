//! Keeps mailboxes within their limits, and warns their owners before they are full.
//!
//! Source: RFC 3463 §3.3 (X.2.2, mailbox full), RFC 5321 §4.2.3 (452, 552), RFC 1870 §6.1 (the announced size).
//! At `RCPT TO` the announced size is checked, after the data the real one. The limits are handed to the mail
//! store, which writes them where other programs look (`maildirsize`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pigeon_core::delivery::Delivery;
use pigeon_core::fault::{Fault, Reply};
use pigeon_core::outcome::Next;
use pigeon_core::ports::mailstore::{Quota as Limits, Usage};
use pigeon_core::service::{NoConfig, Service, Stage, Tools};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::compose::{self, Draft};
use crate::octets::Octets;

/// The memory that tells that a threshold was warned of.
const WARNED: &str = "warned";
/// How long that is remembered: a mailbox that swings around a threshold is warned of once a day.
const WARNED_FOR: Duration = Duration::from_secs(86_400);
const MAX_TEXT_OCTETS: usize = 10_000;

/// What happens to a message that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// The mail server keeps it and tries again for some days (452).
    #[default]
    Defer,
    /// It is refused, and its sender told so (552).
    Reject,
}

/// By how much the last message may go over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "serde_json::Value")]
pub enum Grace {
    /// Octets.
    Octets(Octets),
    /// Hundredths of the limit, 0 to 100.
    Percent(u8),
}

impl Grace {
    fn of(self, limit: u64) -> u64 {
        match self {
            Self::Octets(octets) => octets.0,
            Self::Percent(percent) => share(limit, percent),
        }
    }
}

impl TryFrom<serde_json::Value> for Grace {
    type Error = String;
    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        let Some(percent) = value.as_str().and_then(|text| text.trim().strip_suffix('%')) else {
            return serde_json::from_value(value).map(Self::Octets).map_err(|error| error.to_string());
        };
        match percent.trim().parse() {
            Ok(percent) if percent <= 100 => Ok(Self::Percent(percent)),
            _ => Err(format!("{value} is not a grace: write 0% to 100%, or a size like 10M")),
        }
    }
}

impl From<Grace> for serde_json::Value {
    fn from(grace: Grace) -> Self {
        match grace {
            Grace::Octets(octets) => octets.0.into(),
            Grace::Percent(percent) => format!("{percent}%").into(),
        }
    }
}

impl JsonSchema for Grace {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Grace".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "format": "octets-or-percent", "minimum": 0 })
    }
}

/// Limits how much a mailbox may hold, in octets and in messages.
///
/// A message that does not fit waits at the mail server or is refused; the owner is warned by mail when a
/// message carries the mailbox over a threshold, for each threshold once a day at most. Without a limit (the default) nothing
/// is checked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// How many octets the mailbox may hold: a number, or one with K, M, G or T (powers of 1024) like `500M`,
    /// `2G` or `1.5 GiB`. 0 (the default) is no limit.
    pub octets: Octets,
    /// How many messages the mailbox may hold. 0 (the default) is no limit.
    pub messages: u64,
    /// What happens to a message that does not fit: `defer` (the default, 452) leaves it at the mail server, which
    /// tries again for some days; `reject` (552) refuses it, and the mail server tells the sender.
    pub over: Over,
    /// By how much one last message may go over `octets`: hundredths of the limit like `10%` (the default), or a
    /// size like `20M`. A mailbox that has reached the limit takes nothing more. `0%`: no grace.
    pub grace: Grace,
    /// At which fullness the owner is warned, in hundredths of the limit (1 to 100), like `[80, 95]` (the default).
    /// Empty: never.
    #[schemars(inner(range(min = 1, max = 100)))]
    pub warn_at: Vec<u8>,
    /// The subject of the warning. It may hold the same variables as the text.
    pub warning_subject: String,
    /// The text of the warning: `{percent}` stands for the fullness, `{used}` and `{limit}` for sizes or numbers
    /// of messages, `{account}` for the address.
    pub warning_text: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            octets: Octets(0),
            messages: 0,
            over: Over::Defer,
            grace: Grace::Percent(10),
            warn_at: vec![80, 95],
            warning_subject: "Your mailbox is {percent}% full".to_owned(),
            warning_text: "The mailbox {account} is {percent}% full: {used} of {limit}.\n\n\
                           When it is full, mail for you is not accepted any more. Please delete messages\n\
                           that you do not need, and empty the trash.\n"
                .to_owned(),
        }
    }
}

/// The service.
#[derive(Debug)]
pub struct Quota {
    hostname: Arc<str>,
}

impl Service for Quota {
    const NAME: &'static str = "quota";
    const STAGE: Stage = Stage::Admit;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, tools: &Tools) -> Result<Self, Fault> {
        Ok(Self { hostname: Arc::clone(&tools.hostname) })
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if !settings.warn_at.iter().all(|percent| (1..=100).contains(percent)) {
            return Err("warn_at lists hundredths of the limit, each 1 to 100, like [80, 95]".to_owned());
        }
        if settings.warning_text.len() > MAX_TEXT_OCTETS || settings.warning_subject.len() > 200 {
            return Err("warning_text may have 10000 octets, warning_subject 200".to_owned());
        }
        Ok(())
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        let messages = (settings.messages > 0).then_some(settings.messages);
        let limits = Limits { octets: settings.octets.limit(), messages };
        if limits == Limits::default() {
            delivery.reason("no limit is set");
            return Ok(Next::Continue);
        }
        let usage = delivery.usage(limits).await?;
        // At RCPT TO there is no message yet, only a size, and perhaps not even that: it has one octet at least.
        let is_announced = delivery.message().head().is_empty();
        let size = delivery.message().size().max(1);
        let levels = levels(limits, usage, size);
        let full = levels.iter().find(|level| !level.fits(settings.grace));
        if let Some(full) = full {
            delivery.reason(format!("the mailbox is full: {full}"));
            delivery.decided_by(full.key);
            delivery.decided_by("over");
            return Ok(Next::Reject(refusal(settings.over)));
        }
        for level in &levels {
            delivery.reason(level.to_string());
            delivery.decided_by(level.key);
        }
        if !is_announced {
            self.warn(settings, &levels, delivery).await?;
        }
        Ok(Next::Continue)
    }
}

fn refusal(over: Over) -> Reply {
    match over {
        // RFC 3463 §3.3: X.2.2, mailbox full; RFC 5321 §4.2.3: 452 and 552, insufficient or exceeded storage.
        Over::Defer => Reply::new(452, (4, 2, 2), "The mailbox is full, try again later"),
        Over::Reject => Reply::new(552, (5, 2, 2), "The mailbox is full"),
    }
}

/// How full a mailbox is in one of the two measures.
#[derive(Debug, Clone, Copy)]
struct Level {
    key: &'static str,
    before: u64,
    after: u64,
    limit: u64,
}

/// One level for each limit that there is.
fn levels(limits: Limits, usage: Usage, size: u64) -> Vec<Level> {
    let level = |key, before: u64, more, limit: Option<u64>| {
        limit.map(|limit| Level { key, before, after: before.saturating_add(more), limit })
    };
    let octets = level("octets", usage.octets, size, limits.octets);
    let messages = level("messages", usage.messages, 1, limits.messages);
    octets.into_iter().chain(messages).collect()
}

impl Level {
    /// Whether the message fits: inside the limit, or inside the grace while the limit is not reached yet.
    fn fits(&self, grace: Grace) -> bool {
        let grace = if self.key == "octets" { grace.of(self.limit) } else { 0 };
        self.after <= self.limit
            || (self.before < self.limit && self.after <= self.limit.saturating_add(grace))
    }

    fn percent(&self) -> u64 {
        self.percent_of(self.after)
    }

    fn percent_of(&self, count: u64) -> u64 {
        let percent = u128::from(count) * 100 / u128::from(self.limit.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }

    fn show(&self, count: u64) -> String {
        if self.key == "octets" { Octets(count).to_string() } else { format!("{count} messages") }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (after, limit) = (self.show(self.after), self.show(self.limit));
        write!(formatter, "{after} of {limit} with this message ({}%)", self.percent())
    }
}

fn share(limit: u64, percent: u8) -> u64 {
    u64::try_from(u128::from(limit) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

impl Quota {
    /// Warns when this message carries the mailbox over a threshold. Memory is asked only then, so that all
    /// other mail costs nothing for it.
    async fn warn(
        &self,
        settings: &Settings,
        levels: &[Level],
        delivery: &mut Delivery,
    ) -> Result<(), Fault> {
        let Some(fullest) = levels.iter().max_by_key(|level| level.percent()) else { return Ok(()) };
        let before = fullest.percent_of(fullest.before);
        let is_crossed = |percent: &u64| before < *percent && *percent <= fullest.percent();
        let crossed = settings.warn_at.iter().map(|percent| u64::from(*percent)).filter(is_crossed).max();
        let Some(threshold) = crossed else { return Ok(()) };
        let key = format!("{WARNED}-{threshold}");
        if delivery.recall(&key).await?.is_some() {
            return Ok(());
        }
        delivery.remember(key, delivery.now().to_string(), WARNED_FOR);
        delivery.reason(format!("the owner is warned at {threshold}%"));
        delivery.decided_by("warn_at");
        self.send_warning(settings, fullest, delivery);
        Ok(())
    }

    fn send_warning(&self, settings: &Settings, level: &Level, delivery: &mut Delivery) {
        let account = delivery.account_address().clone();
        let Ok(postmaster) = account.with_local("postmaster") else { return };
        let fill = |text: &str| {
            text.replace("{percent}", &level.percent().to_string())
                .replace("{used}", &level.show(level.after))
                .replace("{limit}", &level.show(level.limit))
                .replace("{account}", &account.to_string())
        };
        let now = delivery.now();
        let id = &delivery.transaction().id;
        let draft = Draft {
            from_name: "",
            from: &postmaster,
            to: &account,
            subject: compose::text_tokens(&fill(&settings.warning_subject)),
            date: now,
            message_id: compose::message_id("quota", now, &[id, &account.key()], &self.hostname),
            // RFC 3834 §5.1: no one's message is answered, so it is generated, not replied.
            auto_submitted: "auto-generated",
            thread: None,
            text: &fill(&settings.warning_text),
        };
        let text = draft.write();
        delivery.answer(account, "quota-warning", text);
    }
}

#[cfg(test)]
mod tests;
