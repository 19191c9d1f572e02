//! Tells somebody that mail has come: a server over HTTP, or an address by a short mail.
//!
//! It stands behind the store: what it says is what is proposed by then. Both ways lead through the outbox, so that what
//! is told is durable with the mail, told once, and only when the mail was stored. How a post is signed and where it may
//! go is asked when it is sent: [`send`].

use std::time::Duration;

use bytes::Bytes;
use pigeon_core::address::{Address, DomainName};
use pigeon_core::delivery::Delivery;
use pigeon_core::effect::{Effect, Flags, Store};
use pigeon_core::fault::Fault;
use pigeon_core::folder::Folder;
use pigeon_core::outcome::Next;
use pigeon_core::service::{Contradiction, Service, Stage, Tools};
use pigeon_core::timestamp::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::compose::{self, Draft};
use crate::mailbox::StoreFlag;
use crate::personal;
use crate::shown;
use crate::web::{Network, Post, SIGNATURE, Trouble, Web, check_url, signature};

/// The format of what is posted.
const VERSION: u32 = 1;
/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Entries of each list of rules.
const MAX_RULES: usize = 50;
/// How much of a subject is repeated, in characters.
const SUBJECT_LETTERS: usize = 200;

/// Tells somebody when mail is stored: a server over HTTP (a signed webhook), or an address by a short mail.
///
/// Nobody is told of spam, of mail for the folders in `notify.not_in`, and of mail that is not kept. Webhooks are tried again for
/// five days while a server fails. docs/admin/notify.md says what is posted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The server that is told, like `https://hooks.example.net/mail`. It must have a public address, unless `notify.networks`
    /// allows others. It stands in the log and in `pigeon outbox`: put no secret into it. Empty (the default): none.
    pub url: String,
    /// The secret that webhooks are signed with. Empty (the default): they are not signed.
    #[schemars(extend("x-secret" = true))]
    pub secret: String,
    /// The address that gets a short mail with sender and subject. Empty (the default): none. It is sent for mail from people,
    /// not for lists, bounces and what programs sent.
    pub mailto: Option<Address>,
    /// How many such mails are sent within `notify.window_s` at most, 1 to 100: one by default.
    #[schemars(range(min = 1, max = 100))]
    pub at_most: u32,
    /// The window for `notify.at_most`, in seconds, 1 to 86400: 300 by default.
    #[schemars(range(min = 1, max = 86_400))]
    pub window_s: u32,
    /// Only mail for these folders is told of, like `["INBOX", "Orders"]`. Empty (the default): for all but those in
    /// `notify.not_in`.
    pub folders: Vec<Folder>,
    /// Mail for these folders is not told of: `["Junk", "Spam", "Trash", "Quarantine"]` by default.
    pub not_in: Vec<Folder>,
    /// Only mail from these senders is told of: addresses, and `@example.net` for everybody of a domain. Empty (the default):
    /// from all.
    pub senders: Vec<String>,
    /// Only mail that is stored with one of these flags is told of, like `["\\Flagged", "work"]`. Empty (the default): with any
    /// or none.
    pub flags: Vec<StoreFlag>,
    /// Whether spam is told of, too. Off by default.
    pub spam: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let folder = |name: &str| Folder::parse(name).unwrap_or_default();
        Self {
            url: String::new(),
            secret: String::new(),
            mailto: None,
            at_most: 1,
            window_s: 300,
            folders: Vec::new(),
            not_in: ["Junk", "Spam", "Trash", "Quarantine"].map(folder).to_vec(),
            senders: Vec::new(),
            flags: Vec::new(),
            spam: false,
        }
    }
}

/// Which servers may be told.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Networks that may be told though they are not public, like `["10.1.2.0/24", "::1"]`. Empty (the default): none, so that
    /// nobody reaches servers inside the site by naming them here.
    pub networks: Vec<Network>,
}

/// The service.
#[derive(Debug)]
pub struct Notify {
    hostname: std::sync::Arc<str>,
}

impl Service for Notify {
    const NAME: &'static str = "notify";
    const STAGE: Stage = Stage::Decide;
    type Config = Config;
    type Settings = Settings;

    fn open(_config: Config, tools: &Tools) -> Result<Self, Fault> {
        Ok(Self { hostname: std::sync::Arc::clone(&tools.hostname) })
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if !settings.url.is_empty() {
            check_url(&settings.url)?;
        }
        if !(1..=100).contains(&settings.at_most) || !(1..=86_400).contains(&settings.window_s) {
            return Err("at_most must be 1 to 100, window_s 1 to 86400".to_owned());
        }
        let lists =
            [settings.folders.len(), settings.not_in.len(), settings.senders.len(), settings.flags.len()];
        if lists.into_iter().any(|count| count > MAX_RULES) {
            return Err(format!("each list may have {MAX_RULES} entries at most"));
        }
        match settings.senders.iter().find(|sender| rule_of(sender).is_none()) {
            Some(sender) => Err(format!("{sender:?} is no sender: write ann@example.net or @example.net")),
            None => Ok(()),
        }
    }

    fn contradictions(settings: &Settings) -> Vec<Contradiction> {
        let both = settings.folders.iter().find(|folder| settings.not_in.contains(folder));
        let allowed = |folder: &Folder| format!("{folder} is either told of or not");
        let contradiction = |folder| Contradiction { keys: ["folders", "not_in"], allowed: allowed(folder) };
        both.map(contradiction).into_iter().collect()
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        if settings.url.is_empty() && settings.mailto.is_none() {
            delivery.reason("there is nobody to tell");
            return Ok(Next::Continue);
        }
        let stores = match settings.judge(delivery) {
            Ok(stores) => stores,
            Err((why, key)) => {
                delivery.reason(why);
                key.into_iter().for_each(|key| delivery.decided_by(key));
                return Ok(Next::Continue);
            }
        };
        if !settings.url.is_empty() {
            delivery.decided_by("url");
            let body = announcement(delivery, &stores).to_string();
            delivery.post(&settings.url, "notify", body);
            delivery.reason("the server is told");
        }
        if let Some(to) = &settings.mailto {
            delivery.decided_by("mailto");
            self.mail(settings, delivery, (to, &stores)).await?;
        }
        Ok(Next::Continue)
    }
}

/// Whom mail must be from.
enum Rule {
    Address(Address),
    Domain(DomainName),
}

impl Rule {
    fn is(&self, sender: &Address) -> bool {
        match self {
            Self::Address(address) => address.key() == sender.key(),
            Self::Domain(domain) => domain == sender.domain(),
        }
    }
}

/// Reads `ann@example.net` or `@example.net`.
fn rule_of(text: &str) -> Option<Rule> {
    match text.trim().strip_prefix('@') {
        Some(domain) => DomainName::parse(domain).ok().map(Rule::Domain),
        None => Address::parse(text.trim()).ok().map(Rule::Address),
    }
}

type Silence = (String, Option<&'static str>);

impl Settings {
    /// What is stored that is to be told of; or why nobody is told, and which setting says so.
    fn judge(&self, delivery: &Delivery) -> Result<Vec<Store>, Silence> {
        if delivery.fact("spam.is_spam") == Some(&Value::Bool(true)) && !self.spam {
            return Err(("nobody is told of spam".to_owned(), Some("spam")));
        }
        let sender = delivery.sender().address();
        let is_sender =
            |rule: &String| sender.zip(rule_of(rule)).is_some_and(|(sender, rule)| rule.is(sender));
        if !self.senders.is_empty() && !self.senders.iter().any(is_sender) {
            return Err(("nobody is told of this sender".to_owned(), Some("senders")));
        }
        let stores: Vec<Store> = delivery.effects().list().iter().filter_map(store_of).collect();
        if stores.is_empty() {
            return Err(("nothing new is stored".to_owned(), None));
        }
        let is_folder = |store: &Store| {
            (self.folders.is_empty() || self.folders.contains(&store.folder))
                && !self.not_in.contains(&store.folder)
        };
        let key = if self.folders.is_empty() { "not_in" } else { "folders" };
        let stores: Vec<Store> = stores.into_iter().filter(is_folder).collect();
        if stores.is_empty() {
            return Err(("nobody is told of its folder".to_owned(), Some(key)));
        }
        let is_flagged = |store: &Store| {
            let words = flag_words(&store.flags);
            self.flags
                .iter()
                .any(|flag| words.iter().any(|word| word.eq_ignore_ascii_case(&flag.to_string())))
        };
        if !self.flags.is_empty() && !stores.iter().any(is_flagged) {
            return Err(("it has none of the flags".to_owned(), Some("flags")));
        }
        Ok(stores)
    }
}

fn store_of(effect: &Effect) -> Option<Store> {
    match effect {
        Effect::Store(store) => Some(store.clone()),
        Effect::Redirect(_) | Effect::Answer(_) | Effect::Post(_) | Effect::Archive(_) => None,
    }
}

fn flag_words(flags: &Flags) -> Vec<String> {
    let system = [
        (flags.is_seen, "\\Seen"),
        (flags.is_flagged, "\\Flagged"),
        (flags.is_answered, "\\Answered"),
        (flags.is_draft, "\\Draft"),
        (flags.is_deleted, "\\Deleted"),
    ];
    let system = system.into_iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word.to_owned());
    system.chain(flags.keywords.iter().cloned()).collect()
}

/// What a server is told.
fn announcement(delivery: &Delivery, stores: &[Store]) -> Value {
    let message = delivery.message();
    let stored: Vec<Value> = stores
        .iter()
        .map(|store| json!({ "folder": store.folder.to_string(), "flags": flag_words(&store.flags) }))
        .collect();
    json!({
        "version": VERSION,
        "kind": "stored",
        "id": delivery.transaction().id,
        "time": delivery.now().to_rfc3339(),
        "account": delivery.account_address().to_string(),
        "recipient": delivery.recipient().to_string(),
        "sender": delivery.sender().to_string(),
        "from": value_of(delivery, "From"),
        "subject": value_of(delivery, "Subject"),
        "message_id": message.message_id(),
        "size": message.size(),
        "stored": stored,
    })
}

fn value_of(delivery: &Delivery, name: &str) -> String {
    shown::value(delivery.message(), name, SUBJECT_LETTERS)
}

impl Notify {
    async fn mail(
        &self,
        settings: &Settings,
        delivery: &mut Delivery,
        (to, stores): (&Address, &[Store]),
    ) -> Result<(), Fault> {
        let own = [delivery.account_address().key(), delivery.recipient().key()];
        if own.contains(&to.key()) {
            delivery.reason("no mail about it: it would come here");
            return Ok(());
        }
        // RFC 3834 §2, and a notice of a notice would make another one.
        if let Err(why) = personal::answerable_sender(delivery) {
            delivery.reason(format!("no mail about it: {why}"));
            return Ok(());
        }
        if let Some(why) = personal::automatic(delivery.message()) {
            delivery.reason(format!("no mail about it: {why}"));
            return Ok(());
        }
        let key = format!("mailto:{}", to.key());
        let now = delivery.now();
        let window = Duration::from_secs(settings.window_s.into());
        let (count, since) = counted(delivery.recall(&key).await?.as_deref(), now);
        if count >= settings.at_most {
            delivery.decided_by("at_most");
            delivery.reason(format!("no mail about it: {to} got {count} since {since}"));
            return Ok(());
        }
        let rest = since.plus(window).since(now).max(Duration::from_secs(1));
        delivery.remember(key, format!("{} {}", count + 1, since.seconds()), rest);
        let draft = self.compose(delivery, (to, stores));
        delivery.answer(to.clone(), "notify", draft);
        delivery.reason(format!("{to} is told by mail"));
        Ok(())
    }

    fn compose(&self, delivery: &Delivery, (to, stores): (&Address, &[Store])) -> String {
        let now = delivery.now();
        let account = delivery.account_address();
        let folders: Vec<String> = stores.iter().map(|store| store.folder.to_string()).collect();
        let (from, subject) = (value_of(delivery, "From"), value_of(delivery, "Subject"));
        let text = format!(
            "New mail for {account}\n\nFrom: {from}\nSubject: {subject}\nFolder: {}\n",
            folders.join(", ")
        );
        let parts = [delivery.transaction().id.as_str(), &account.key(), &to.key()];
        Draft {
            from_name: "",
            from: account,
            to,
            subject: compose::text_tokens(&format!("New mail: {subject}")),
            date: now,
            message_id: compose::message_id("notify", now, &parts, &self.hostname),
            // RFC 3834 §5.1
            auto_submitted: "auto-generated",
            thread: None,
            text: &text,
        }
        .write()
    }
}

/// How many mails were sent in the present window, and since when it lasts.
fn counted(remembered: Option<&str>, now: Timestamp) -> (u32, Timestamp) {
    let read = remembered.and_then(|text| {
        let (count, since) = text.split_once(' ')?;
        Some((count.parse().ok()?, Timestamp::from_seconds(since.parse().ok()?)))
    });
    read.unwrap_or((0, now))
}

/// Something that the outbox sends to a server.
#[derive(Debug)]
pub struct Announcement<'a> {
    /// Where to.
    pub url: &'a str,
    /// Names it for ever, also across attempts.
    pub id: &'a str,
    /// JSON.
    pub body: Vec<u8>,
    /// When it is sent.
    pub now: Timestamp,
}

/// The client for the networks that a site's configuration allows; `values` are what holds for `notify`.
#[must_use]
pub fn allowed_networks(values: &Map<String, Value>) -> Vec<Network> {
    let config = serde_json::from_value::<Config>(Value::Object(values.clone()));
    config.map(|config| config.networks).unwrap_or_default()
}

/// Sends what was proposed earlier: signed with the secret that holds for the account now.
///
/// # Errors
/// A [`Trouble`]; temporary ones are worth another attempt.
pub async fn send(
    web: &Web,
    values: &Map<String, Value>,
    announcement: Announcement<'_>,
) -> Result<(), Trouble> {
    let settings = serde_json::from_value::<Settings>(Value::Object(values.clone()));
    let settings =
        settings.map_err(|error| Trouble::Temporary(format!("notify's settings are broken: {error}")))?;
    let body = Bytes::from(announcement.body);
    let mut fields = vec![("X-Pigeon-Event", announcement.id.to_owned())];
    if !settings.secret.is_empty() {
        fields.push((SIGNATURE, signature(&settings.secret, announcement.now, &body)));
    }
    let post = Post { url: announcement.url, body, fields: &fields, patience: PATIENCE, limit: 0 };
    web.post(post).await.map(drop)
}

#[cfg(test)]
mod tests;
