//! Allow and block lists: whose mail is welcome whatever else is found, and whose is not.
//!
//! Later services read the verdict as facts: `lists.verdict` (`allow` or `block`), `lists.entry` (the entry as it
//! was written) and `lists.layer` (`account`, `domain` or `system`: whose list it is). Where no entry matches there
//! are no such facts. What `authentication` found out is read from its facts `auth.spf` and `auth.from_verified`.
//!
//! The rule of settings picks one value for each key. So that lists of three layers hold together, each layer has
//! keys of its own.

mod entries;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod verdict;

use pigeon_core::delivery::Delivery;
use pigeon_core::fault::{Fault, Reply};
use pigeon_core::folder::Folder;
use pigeon_core::outcome::Next;
use pigeon_core::service::{NoConfig, Service, Stage, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use entries::{Entries, EntryError};
use verdict::{Hit, Judgement, Verdict};

/// How many entries one list may have.
pub const MAX_ENTRIES: usize = 10_000;
/// The field that `tag` writes.
const FIELD: &str = "X-Pigeon-Lists";

/// Which entry counts where several match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precedence {
    /// The most specific one, in whichever list it stands.
    #[default]
    Specific,
    /// The outermost list that has one.
    Outer,
}

/// What must be known of a sender before an allow entry holds for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AllowNeeds {
    /// The envelope sender passed SPF; the From address is verified.
    Pass,
    /// The envelope sender did not fail SPF; the From address is verified.
    #[default]
    NoFail,
    /// Nothing.
    Nothing,
}

/// What happens to blocked mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BlockAction {
    /// Nothing here: later services see the verdict.
    None,
    /// A header field names the entry.
    Tag,
    /// It is kept in `block_folder`.
    #[default]
    Folder,
    /// It is thrown away.
    Discard,
    /// It is refused.
    Reject,
}

/// Allows or blocks mail by its sender: lists of addresses, domains and client addresses, of the user, the domain and the
/// whole system.
///
/// An entry is an address (`ann@example.org`), a pattern of addresses (`news-*@example.org`, `*@*.example.org`), a
/// domain (`example.org`), a domain with all below it (`.example.org`), the client's IP address or network
/// (`192.0.2.7`, `2001:db8::/32`), `<>` for notifications, or `*` for everyone. Where several match, the most
/// specific one counts, and at the same one allow beats block. Each layer has keys of its own, so that all hold together:
/// the user's `allow` and `block`, and the `domain_` and `system_` keys. For each key the usual rule holds: a user may
/// set `domain_block` to a list of their own, and a domain `system_block`, unless it is pinned. Nobody writes the `allow`
/// list of a layer further out than their own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Senders whose mail is welcome, like `["ann@example.org", "example.net"]`: the user's own list. Empty by default.
    pub allow: Entries,
    /// Senders whose mail is not wanted, like `["shop.example", "news-*@example.net"]`: the user's own list. Empty by
    /// default.
    pub block: Entries,
    /// Senders whose mail is welcome in the whole domain: written at the domain's layer. Empty by default.
    #[schemars(extend("x-innermost" = "domain"))]
    pub domain_allow: Entries,
    /// Senders whose mail is not wanted in the whole domain: written at the domain's layer. Empty by default.
    pub domain_block: Entries,
    /// Senders whose mail is welcome everywhere: written at the system's layer. Empty by default.
    #[schemars(extend("x-innermost" = "system"))]
    pub system_allow: Entries,
    /// Senders whose mail is not wanted anywhere: written at the system's layer. Empty by default.
    #[schemars(extend("x-innermost" = "domain"))]
    pub system_block: Entries,
    /// Which entry counts where several match: `specific` (the default) takes the most specific one, whoever wrote it,
    /// and at the same one allow beats block; `outer` takes the system's lists before the domain's and these before the
    /// user's, so that nobody below can undo them.
    pub precedence: Precedence,
    /// Whether the address in the From field is compared, too (the default), or the envelope's sender alone. People see
    /// the From field.
    pub header_from: bool,
    /// What an `allow` entry demands of an address, so that nobody passes under another's name. `no_fail` (the
    /// default): the envelope's sender has not failed SPF, the From field is verified by DKIM or SPF; `pass`: the
    /// envelope's sender has passed SPF as well; `nothing`: what the mail says of itself is believed. The service
    /// `authentication` finds that out; without it no From address is verified. Entries with IP addresses demand nothing.
    pub allow_needs: AllowNeeds,
    /// What happens to blocked mail: `folder` (the default) keeps it in `block_folder`, `tag` adds a header field
    /// `X-Pigeon-Lists`, `discard` throws it away, `reject` refuses it (many mail servers then send the sender a
    /// notification), `none` leaves it to later services such as antispam or sieve.
    pub block_action: BlockAction,
    /// The folder for blocked mail: `Junk` by default. It is made with the first message.
    pub block_folder: Folder,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: Entries::default(),
            block: Entries::default(),
            domain_allow: Entries::default(),
            domain_block: Entries::default(),
            system_allow: Entries::default(),
            system_block: Entries::default(),
            precedence: Precedence::Specific,
            header_from: true,
            allow_needs: AllowNeeds::NoFail,
            block_action: BlockAction::Folder,
            block_folder: Folder::parse("Junk").unwrap_or_default(),
        }
    }
}

/// The service.
#[derive(Debug)]
pub struct Lists;

impl Service for Lists {
    const NAME: &'static str = "lists";
    const STAGE: Stage = Stage::Inspect;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    fn check(settings: &Settings) -> Result<(), String> {
        match settings.lists().iter().find(|list| list.entries.len() > MAX_ENTRIES) {
            Some(list) => Err(format!("{} may have at most {MAX_ENTRIES} entries", list.key)),
            None => Ok(()),
        }
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        if delivery.message().field(FIELD).is_some() {
            // A sender must not speak for us.
            delivery.header().remove(FIELD);
        }
        let Judgement { hit, unproven } = verdict::judge(settings, delivery);
        for why in unproven {
            delivery.reason(why);
            delivery.decided_by("allow_needs");
        }
        let Some(hit) = hit else {
            delivery.reason("no entry matches");
            return Ok(Next::Continue);
        };
        delivery.set_fact("lists.verdict", Value::from(hit.verdict.word()));
        delivery.set_fact("lists.entry", Value::from(hit.entry));
        delivery.set_fact("lists.layer", Value::from(hit.layer));
        delivery.decided_by(hit.key);
        match hit.verdict {
            Verdict::Allow => {
                delivery
                    .reason(format!("{} is allowed by the {}'s entry {}", hit.what, hit.layer, hit.entry));
                Ok(Next::Continue)
            }
            Verdict::Block => Ok(settings.block(&hit, delivery)),
        }
    }
}

impl Settings {
    /// Does what is to be done with blocked mail.
    fn block(&self, hit: &Hit<'_>, delivery: &mut Delivery) -> Next {
        let why = format!("{} is blocked by the {}'s entry {}", hit.what, hit.layer, hit.entry);
        delivery.decided_by("block_action");
        match self.block_action {
            BlockAction::None => delivery.reason(why),
            BlockAction::Tag => {
                delivery.reason(why);
                delivery.header().append(FIELD, &format!("block (the {}'s list)", hit.layer));
            }
            BlockAction::Folder => {
                delivery.reason(format!("{why}: kept in {}", self.block_folder));
                delivery.decided_by("block_folder");
                delivery.keep_in(self.block_folder.clone());
            }
            BlockAction::Discard => return Next::Discard(why),
            BlockAction::Reject => {
                delivery.reason(why);
                // RFC 3463 §3.8: X.7.1, delivery not authorised.
                return Next::Reject(Reply::new(
                    550,
                    (5, 7, 1),
                    "The recipient does not accept mail from this sender",
                ));
            }
        }
        Next::Continue
    }
}

#[cfg(test)]
mod tests;
