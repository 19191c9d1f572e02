//! Has messages scanned for viruses by `ClamAV`'s clamd, once for all recipients, and does for each of them what their
//! settings say.
//!
//! The message is streamed (`INSTREAM`) over connections that are kept: no scanner needs to see our files, and no
//! message is ever whole in memory for it. Only clamd's own word makes a message clean: whatever else happens, it is
//! *unscanned*.
//!
//! Later services read three facts: `virus.status` (`clean`, `infected`, `unscanned`), `virus.name` (what was found,
//! where something was) and `virus.level`, the number that Sieve's `virustest` compares (RFC 5235 §3.2): 0 not
//! scanned, 1 nothing found, 4 suspected, 5 infected. The values 2 and 3 (replaced, cured) do not occur.

mod address;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod notice;
mod reply;
mod scanner;
mod session;

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use pigeon_core::delivery::Delivery;
use pigeon_core::fault::{Fault, Reply};
use pigeon_core::folder::Folder;
use pigeon_core::outcome::Next;
use pigeon_core::service::{Service, Stage, Tools};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::compose;
use crate::octets::Octets;
pub use address::ServerAddress;
use scanner::{Scanner, Verdict};

/// The field that says what was found.
pub const FIELD: &str = "X-Virus-Status";
const MAX_TAG_LETTERS: usize = 40;
const MAX_TEXT_OCTETS: usize = 10_000;

/// How the site's virus scanners are reached.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Where clamd listens: `unix:/run/clamav/clamd.ctl` (the default, as Debian's package has it) or
    /// `tcp://scanner.example.org:3310`. Several are tried in turn: the next one only where one gives no answer.
    pub servers: Vec<ServerAddress>,
    /// How long making a connection may take, in milliseconds, 1 to 600000 (3000 by default).
    #[schemars(range(min = 1, max = 600_000))]
    #[serde(deserialize_with = "milliseconds")]
    pub connect_timeout_ms: u64,
    /// How long one server may take for one message, the connection included, in milliseconds, 1 to 600000 (20000 by
    /// default); a message waits as long for a free connection before. `antivirus.timeout_ms` (30000) should be longer than
    /// this for all servers together: when that runs out, `on_fault` decides, not `when_down`.
    #[schemars(range(min = 1, max = 600_000))]
    #[serde(deserialize_with = "milliseconds")]
    pub answer_timeout_ms: u64,
    /// The largest message that is scanned: octets, or a number with K, M or G (25M by default, which is `StreamMaxLength`
    /// of Debian's clamd; 0: all). Raise `StreamMaxLength`, `MaxFileSize` and `MaxScanSize` of clamd.conf with it.
    pub max_octets: Octets,
    /// How many connections there are to each server at most, 1 to 1000 (8 by default; clamd scans `MaxThreads` at once,
    /// 12 in Debian). Further messages wait for one, at most for `answer_timeout_ms`. Connections are kept for the next
    /// message.
    #[schemars(range(min = 1, max = 1000))]
    #[serde(deserialize_with = "connections")]
    pub connections: u16,
    /// After so many failures in a row a server is left alone for a while (5 by default). 0: never.
    pub failures: u32,
    /// How long it is left alone, in seconds (30 by default). Then one message is tried there; until that has its answer,
    /// the others go to the next server, or as `when_down` says.
    pub rest_s: u32,
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let value = u64::deserialize(deserializer)?;
    if (1..=600_000).contains(&value) { Ok(value) } else { Err(D::Error::custom("must be 1 to 600000")) }
}

fn connections<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let value = u16::deserialize(deserializer)?;
    if (1..=1000).contains(&value) { Ok(value) } else { Err(D::Error::custom("must be 1 to 1000")) }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: vec![ServerAddress::Unix("/run/clamav/clamd.ctl".into())],
            connect_timeout_ms: 3_000,
            answer_timeout_ms: 20_000,
            max_octets: Octets(25 << 20),
            connections: 8,
            failures: 5,
            rest_s: 30,
        }
    }
}

/// What happens to an infected message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is refused.
    Reject,
    /// It is thrown away.
    Discard,
    /// It is kept in a folder of its own.
    #[default]
    Folder,
    /// It goes its way with a mark.
    Tag,
}

/// What happens to a message that is too large to be scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TooLarge {
    /// It goes its way with a mark.
    #[default]
    Pass,
    /// It is kept in the folder of infected mail.
    Folder,
    /// It waits at the mail server.
    Defer,
    /// It is refused.
    Reject,
}

/// What happens while no scanner answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenDown {
    /// The message waits at the mail server.
    #[default]
    Defer,
    /// It goes its way with a mark.
    Pass,
}

/// Has every message scanned for viruses by `ClamAV` (clamd), once for all its recipients.
///
/// Infected mail is kept in a folder of its own, marked, refused or thrown away, as the recipient's settings say, and
/// people can be told. A header field X-Virus-Status says what was found; one that came with the mail is taken away, so
/// that nobody can forge it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own, which may be pinned alone")]
pub struct Settings {
    /// What happens to infected mail: `folder` (the default) keeps it in `folder`; `tag` delivers it with a mark;
    /// `discard` throws it away; `reject` refuses it, whereupon the mail server tells the sender, who is mostly forged:
    /// that is for servers that ask before they accept mail.
    pub action: Action,
    /// The folder for infected mail (`Quarantine` by default).
    pub folder: Folder,
    /// What stands before the subject of infected mail that is kept, at most 40 characters, like `[VIRUS]`. Empty (the
    /// default): the subject stays as it is.
    pub subject_tag: String,
    /// Whether clean mail gets the field X-Virus-Status as well. Off by default: infected and unscanned mail only.
    pub mark_clean: bool,
    /// What happens to mail that is larger than the site has scanned (`max_octets`), or that clamd refuses to take whole:
    /// `pass` (the default) delivers it with the mark `Unscanned`; `folder` keeps it in `folder`; `defer` leaves it at the
    /// mail server until the limit is raised; `reject` refuses it.
    pub too_large: TooLarge,
    /// What happens while no scanner answers: `defer` (the default) leaves mail at the mail server, which tries again;
    /// `pass` delivers it with the mark `Unscanned`. (`on_fault=skip` would deliver it without a mark.)
    pub when_down: WhenDown,
    /// Whether the recipient is told by mail of an infected message. Off by default.
    pub notify_recipient: bool,
    /// Whether postmaster at the recipient's domain is told, once for each message. Off by default.
    pub notify_postmaster: bool,
    /// Whether the sender is told, once a day at most. Off by default, and better so: senders of viruses are mostly
    /// forged. Never where the mail was refused or only marked, and never lists, bulk mail, programs and bounces
    /// (RFC 3834).
    pub notify_sender: bool,
    /// The subject of what the recipient and postmaster are told. It may hold the same variables as the text.
    pub notice_subject: String,
    /// The text of it: `{account}` stands for the recipient's address, `{virus}` for what was found, `{done}` for what
    /// was done with the message, `{sender}`, `{from}`, `{subject}`, `{date}` and `{id}` for the message's sender and
    /// header fields. Postmaster reads below it whom else the message came for.
    pub notice_text: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            action: Action::Folder,
            folder: Folder::parse("Quarantine").unwrap_or_default(),
            subject_tag: String::new(),
            mark_clean: false,
            too_large: TooLarge::Pass,
            when_down: WhenDown::Defer,
            notify_recipient: false,
            notify_postmaster: false,
            notify_sender: false,
            notice_subject: "Virus found: {virus}".to_owned(),
            notice_text: "A message for {account} contains a virus. {done}\n\n\
                          Virus:   {virus}\n\
                          Sender:  {sender}\n\
                          From:    {from}\n\
                          Subject: {subject}\n\
                          Date:    {date}\n\
                          Message: {id}\n\n\
                          The sender's address is mostly forged: please do not complain there.\n"
                .to_owned(),
        }
    }
}

/// The service.
pub struct Antivirus {
    scanner: Arc<Scanner>,
    hostname: Arc<str>,
}

impl Service for Antivirus {
    const NAME: &'static str = "antivirus";
    const STAGE: Stage = Stage::Inspect;
    type Config = Config;
    type Settings = Settings;

    fn open(config: Config, tools: &Tools) -> Result<Self, Fault> {
        let scanner = Arc::new(Scanner::new(&config, &tools.clock));
        Ok(Self { scanner, hostname: Arc::clone(&tools.hostname) })
    }

    fn check(settings: &Settings) -> Result<(), String> {
        let (tag, subject) = (&settings.subject_tag, &settings.notice_subject);
        if tag.chars().count() > MAX_TAG_LETTERS || tag.chars().any(char::is_control) {
            return Err(format!("subject_tag must be one line of at most {MAX_TAG_LETTERS} characters"));
        }
        if settings.notice_text.len() > MAX_TEXT_OCTETS || subject.len() > 200 {
            return Err("notice_text may have 10000 octets, notice_subject 200".to_owned());
        }
        Ok(())
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        let verdict = self.scan(delivery).await;
        if delivery.message().field(FIELD).is_some() {
            delivery.header().remove(FIELD);
            delivery.reason(format!("the sender's {FIELD} is taken away"));
        }
        match verdict {
            Verdict::Clean(server) => {
                set_facts(delivery, "clean", 1);
                delivery.reason(format!("clean ({server})"));
                if settings.mark_clean {
                    delivery.decided_by("mark_clean");
                    mark(delivery, "Clean");
                }
                Ok(Next::Continue)
            }
            Verdict::Infected(name, server) => {
                delivery.reason(match settings.action {
                    // What is thrown away gets a reason of its own.
                    Action::Discard => format!("found by {server}"),
                    _ => format!("infected: {name} ({server})"),
                });
                self.infected(settings, delivery, &name).await
            }
            Verdict::TooLarge(why) => Ok(too_large(settings, delivery, &why)),
            Verdict::Unavailable(why) => unavailable(settings, delivery, why),
        }
    }

    async fn probe(&self) -> Result<Option<String>, Fault> {
        self.scanner.probe().await.map(Some).map_err(Fault::temporary)
    }
}

/// A scan that was begun.
struct Pending(Shared<BoxFuture<'static, Verdict>>);

impl Antivirus {
    /// What the scanner says: asked once for all recipients, in a task of its own, so that a recipient with little time
    /// takes nothing from the others.
    async fn scan(&self, delivery: &Delivery) -> Verdict {
        let message = delivery.message();
        let start = || async {
            let (scanner, scanned) = (Arc::clone(&self.scanner), Arc::clone(message));
            let task = tokio::spawn(async move { scanner.scan(&scanned).await });
            let verdict =
                task.map(|ended| ended.unwrap_or_else(|error| Verdict::Unavailable(error.to_string())));
            Pending(verdict.boxed().shared())
        };
        message.once("antivirus", start).await.0.clone().await
    }

    /// Does with an infected message what the recipient's settings say, and tells people.
    async fn infected(
        &self,
        settings: &Settings,
        delivery: &mut Delivery,
        name: &str,
    ) -> Result<Next, Fault> {
        set_facts(delivery, "infected", reply::level(name));
        delivery.set_fact("virus.name", Value::from(name));
        delivery.decided_by("action");
        let next = match settings.action {
            // RFC 3463 §3.8: X.7.1, refused by policy. The name of what was found is nobody's business outside.
            Action::Reject => Next::Reject(Reply::new(554, (5, 7, 1), "The message contains a virus")),
            Action::Discard => Next::Discard(format!("infected: {name}")),
            Action::Folder => {
                delivery.decided_by("folder");
                delivery.reason(format!("kept in {}", settings.folder));
                delivery.keep_in(settings.folder.clone());
                Next::Continue
            }
            Action::Tag => Next::Continue,
        };
        if next == Next::Continue {
            mark(delivery, &format!("Infected ({name})"));
            tag_subject(settings, delivery);
        }
        notice::tell(settings, delivery, name, &self.hostname).await?;
        Ok(next)
    }
}

fn set_facts(delivery: &mut Delivery, status: &'static str, level: u8) {
    delivery.set_fact("virus.status", Value::from(status));
    delivery.set_fact("virus.level", Value::from(level));
}

/// Writes the field that says what was found.
fn mark(delivery: &mut Delivery, text: &str) {
    delivery.header().replace(FIELD, &compose::fold(FIELD, &compose::text_tokens(text)));
}

fn tag_subject(settings: &Settings, delivery: &mut Delivery) {
    let tag = compose::text_tokens(&settings.subject_tag);
    if tag.is_empty() {
        return;
    }
    let subject = delivery.message().field("Subject").map(|field| field.value()).unwrap_or_default();
    let value = compose::fold("Subject", &[tag, compose::wire_tokens(&subject)].concat());
    delivery.header().replace("Subject", &value);
    delivery.decided_by("subject_tag");
}

fn too_large(settings: &Settings, delivery: &mut Delivery, why: &str) -> Next {
    set_facts(delivery, "unscanned", 0);
    delivery.reason(format!("not scanned: {why}"));
    delivery.decided_by("too_large");
    match settings.too_large {
        TooLarge::Pass => {}
        TooLarge::Folder => {
            delivery.decided_by("folder");
            delivery.reason(format!("kept in {}", settings.folder));
            delivery.keep_in(settings.folder.clone());
        }
        // RFC 3463 §3.4: X.3.4, too big for the system.
        TooLarge::Defer => {
            return Next::Reject(Reply::new(452, (4, 3, 4), "The message is too large now, try again later"));
        }
        TooLarge::Reject => {
            return Next::Reject(Reply::new(552, (5, 3, 4), "The message is too large to be accepted here"));
        }
    }
    mark(delivery, "Unscanned (too large)");
    Next::Continue
}

fn unavailable(settings: &Settings, delivery: &mut Delivery, why: String) -> Result<Next, Fault> {
    set_facts(delivery, "unscanned", 0);
    delivery.decided_by("when_down");
    match settings.when_down {
        WhenDown::Defer => {
            // RFC 3463 §3.8: X.7.1, a matter of policy; the sender need not know of our scanners.
            let reply = Reply::new(451, (4, 7, 1), "The message cannot be checked now, try again later");
            Err(Fault::temporary(why).replying(reply))
        }
        WhenDown::Pass => {
            let (id, account) = (&delivery.transaction().id, delivery.account_address());
            tracing::warn!("{id}: mail for <{account}> passes unscanned: {why}");
            delivery.reason(format!("passed on unscanned: {why}"));
            mark(delivery, "Unscanned (the scanner is not available)");
            Ok(Next::Continue)
        }
    }
}

#[cfg(test)]
mod tests;
