//! Keeps a copy of every message for an archive: a journal that no user can avoid.
//!
//! The copy is made by the core of the message as it was received, when the message is committed; see
//! `Effect::Archive`. It does not matter where in its stage the service stands: the core runs it, too, when an earlier
//! step has discarded the message. A message that is refused or deferred was not accepted and is not archived.

mod pattern;

use pigeon_core::address::{Address, ReversePath};
use pigeon_core::delivery::Delivery;
use pigeon_core::effect::{Archive as Copy, ArchivePlace};
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::service::{Service, Stage, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use pattern::Pattern;

/// Above the Maildirs of archives: no mailbox has a path that begins with a dot.
const TOP: &str = ".archive";
/// How many addresses may get a copy.
const MAX_ADDRESSES: usize = 10;

/// Keeps a copy of every message that is accepted, at an address or in a Maildir of its own.
///
/// The copy is the message as it was received: what other services change does not show in it, and it is made when they
/// discard the message, too. Recipients of one message who have the archive in common share one copy, and a message
/// that the mail server sends again is not archived again. What is sent to an archive is not subject to `redirect.allowed`. If the copy
/// cannot be made, the message waits at the mail server. Only administrators may write these settings: users cannot
/// switch their archive off.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The addresses that get a copy, like `["journal@example.org"]`, ten at most; empty (the default): none. Mail to one of
    /// these addresses is not archived itself.
    pub to: Vec<Address>,
    /// Whether a copy is kept in a Maildir of the archive's own, `.archive/example.org/2026/12/24` below the mail root; off by
    /// default. `archive.pattern` says how these are named.
    pub maildir: bool,
    /// `plain` (the default) keeps the message as it is. `wrapped` puts it into another message whose header names the envelope
    /// (`X-Archived-From`, and `X-Archived-To` for each recipient), so that recipients in Bcc can be found, too; recipients whose
    /// delivery had to be tried again are then in a copy of their own.
    pub form: Form,
    /// Who is told when a copy does not reach its address: an address of the administrators. Empty (the default): nobody but
    /// the log and `pigeon outbox`.
    pub failures_to: Option<Address>,
}

/// The form of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The message itself.
    #[default]
    Plain,
    /// The message within another one that names the envelope.
    Wrapped,
}

/// How the site names the Maildirs of archives.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// The path of the Maildir below `.archive` in the mail root: `{domain}` stands for the account's domain, `%Y`, `%m` and
    /// `%d` for the day in UTC on which the message came, `%H` for the hour. By default `{domain}/%Y/%m/%d`; without
    /// `{domain}` all domains share one archive.
    pub pattern: Pattern,
}

/// The service.
#[derive(Debug)]
pub struct Archive {
    pattern: Pattern,
}

impl Service for Archive {
    const NAME: &'static str = "archive";
    const STAGE: Stage = Stage::Decide;
    const SEES_DISCARDED: bool = true;
    const IS_FOR_USERS: bool = false;
    type Config = Config;
    type Settings = Settings;

    fn open(config: Config, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self { pattern: config.pattern })
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if settings.to.len() > MAX_ADDRESSES {
            return Err(format!("to may list at most {MAX_ADDRESSES} addresses"));
        }
        Ok(())
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        let own = [delivery.account_address().key(), delivery.recipient().key()];
        if settings.to.iter().any(|to| own.contains(&to.key())) {
            delivery.reason("this is the archive itself");
            delivery.decided_by("to");
            return Ok(Next::Continue);
        }
        let mut places: Vec<ArchivePlace> = settings.to.iter().cloned().map(ArchivePlace::Address).collect();
        if settings.maildir {
            places.push(self.maildir(delivery).await);
        }
        delivery.decided_by("to");
        delivery.decided_by("maildir");
        if places.is_empty() {
            delivery.reason("there is neither an address nor a Maildir to archive to");
            return Ok(Next::Continue);
        }
        let shown: Vec<String> = places.iter().map(ToString::to_string).collect();
        delivery.reason(format!("archived {}", shown.join(", ")));
        let sender = settings.failures_to.clone().map_or(ReversePath::Null, ReversePath::Address);
        for place in places {
            let sender = match &place {
                ArchivePlace::Address(_) => sender.clone(),
                ArchivePlace::Mailbox { .. } => ReversePath::Null,
            };
            delivery.archive(Copy { place, is_wrapped: settings.form == Form::Wrapped, sender });
        }
        Ok(Next::Continue)
    }
}

impl Archive {
    async fn maildir(&self, delivery: &Delivery) -> ArchivePlace {
        let domain = delivery.account_address().domain().as_str();
        let now = delivery.now();
        // One moment for all recipients, or midnight might come between them.
        let moment = delivery.message().once("archive.moment", || async move { now }).await;
        let below = |part: String| format!("{TOP}/{part}");
        ArchivePlace::Mailbox {
            path: MailboxPath(below(self.pattern.path(domain, *moment))),
            name: below(self.pattern.name(domain)),
        }
    }
}

#[cfg(test)]
mod tests;
