//! What the site and its people can say about spam.

use std::fmt;
use std::path::PathBuf;

use pigeon_core::folder::Folder;
use pigeon_core::service::Contradiction;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::octets::Octets;

/// Thresholds are looked for in this range.
const SCORES: std::ops::RangeInclusive<f64> = 0.1..=1000.0;
/// How long the words before a subject may be, in letters.
const MAX_PREFIX: usize = 40;
/// How many folders `learn_ignore` may list.
const MAX_FOLDERS: usize = 50;

/// The program that judges messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// rspamd, asked over HTTP (`/checkv2`).
    #[default]
    Rspamd,
    /// `SpamAssassin`: its spamd is asked over its own protocol (SPAMC/1.5).
    SpamAssassin,
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServerAddress {
    /// A Unix socket: `unix:/run/spamd.sock`.
    Unix(PathBuf),
    /// A host and a port: `127.0.0.1:783`.
    Tcp(String),
    /// A URL, for rspamd: `https://scan.example.org:11333`.
    Url(String),
}

impl TryFrom<String> for ServerAddress {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no server: write host:port, unix:/path/of/the/socket, or http://host:port")
        };
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            let is_url = reqwest::Url::parse(text).is_ok_and(|url| url.has_host());
            return if is_url { Ok(Self::Url(text.trim_end_matches('/').to_owned())) } else { Err(wrong()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let is_host =
            !host.is_empty() && !host.contains(|letter: char| letter.is_whitespace() || letter == '/');
        // An IPv6 address stands in brackets, or its last group would be taken for a port.
        let is_clear = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        match port.parse::<u16>() {
            Ok(1..) if is_host && is_clear => Ok(Self::Tcp(text.to_owned())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Tcp(text) | Self::Url(text) => formatter.write_str(text),
        }
    }
}

impl From<ServerAddress> for String {
    fn from(address: ServerAddress) -> Self {
        address.to_string()
    }
}

impl JsonSchema for ServerAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ServerAddress".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "server-address" })
    }
}

/// How the site reaches its scanner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// The program that judges messages: `rspamd` (the default) or `spamassassin`.
    pub engine: EngineName,
    /// Where it listens: `host:port`, `unix:/path/of/the/socket`, for rspamd also a URL; like `["127.0.0.1:11333"]`.
    /// Empty (the default): 127.0.0.1 and the program's own port, 11333 or 783. Scans take turns among several; one
    /// that fails is left alone for a while, and the next one is asked.
    pub servers: Vec<ServerAddress>,
    /// Where rspamd learns: its controllers, like `["127.0.0.1:11334"]`. Empty (the default): 127.0.0.1:11334. spamd
    /// learns where it scans.
    pub learn_servers: Vec<ServerAddress>,
    /// The password of rspamd's controller, which it asks for unless the client's address is one of its `secure_ip`.
    /// Empty by default.
    #[schemars(extend("x-secret" = true))]
    pub learn_password: String,
    /// How long making a connection may take, in milliseconds (1 to 600000; 2000 by default).
    #[schemars(range(min = 1, max = 600_000))]
    pub connect_timeout_ms: u64,
    /// How long a scan may take with all attempts, in milliseconds (1 to 600000; 20000 by default). Less than
    /// `timeout_ms`, which ends the whole step: otherwise `when_down` has no say.
    #[schemars(range(min = 1, max = 600_000))]
    pub scan_timeout_ms: u64,
    /// The largest message that is scanned, like `2M` (the default). Larger ones pass without a scan. 0: no limit.
    pub largest: Octets,
    /// After how many failures in a row a server is left alone (3 by default). 0: it is always tried.
    pub failures: u32,
    /// For how long it is left alone, in milliseconds (1 to 600000; 10000 by default). Then one scan tries it.
    #[schemars(range(min = 1, max = 600_000))]
    pub rest_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: EngineName::Rspamd,
            servers: Vec::new(),
            learn_servers: Vec::new(),
            learn_password: String::new(),
            connect_timeout_ms: 2_000,
            scan_timeout_ms: 20_000,
            largest: Octets(2 << 20),
            failures: 3,
            rest_ms: 10_000,
        }
    }
}

impl Config {
    /// Which values contradict each other.
    #[must_use]
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let is_url = |address: &ServerAddress| matches!(address, ServerAddress::Url(_));
        if self.engine == EngineName::SpamAssassin && self.servers.iter().any(is_url) {
            let allowed = "spamd speaks no HTTP: write host:port or unix:/path".to_owned();
            return vec![Contradiction { keys: ["engine", "servers"], allowed }];
        }
        Vec::new()
    }
}

/// What happens to spam.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Only the header fields tell.
    Tag,
    /// It goes into a folder.
    #[default]
    Folder,
    /// It is thrown away.
    Discard,
    /// It is refused.
    Reject,
}

/// What happens while no scanner answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenDown {
    /// Mail passes without a scan.
    #[default]
    Pass,
    /// Mail waits at the mail server.
    Defer,
}

/// Whose mail teaches the scanner for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LearnScope {
    /// All learn together.
    #[default]
    Site,
    /// The people of a domain learn together.
    Domain,
    /// Everybody learns alone.
    User,
}

/// A header field that tells what the scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpamField {
    /// `X-Spam-Flag: YES`, on spam only.
    Flag,
    /// `X-Spam-Score: 7.3`
    Score,
    /// `X-Spam-Level: *******`, a star for each point.
    Level,
    /// `X-Spam-Status: Yes, score=7.3 required=6.0 tests=[A, B]`
    Status,
}

impl SpamField {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Flag, Self::Score, Self::Level, Self::Status];

    /// The field's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flag => "X-Spam-Flag",
            Self::Score => "X-Spam-Score",
            Self::Level => "X-Spam-Level",
            Self::Status => "X-Spam-Status",
        }
    }
}

/// Judges mail by the score that a scanner (rspamd, or spamd of `SpamAssassin`) gives it.
///
/// A message is scanned once for all its recipients; each of them has a threshold of their own, and says what becomes
/// of spam. Senders on a list of the service `lists` are never, or always, treated as spam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The score from which mail is spam (0.1 to 1000): 6 by default, where rspamd marks mail; spamd does at
    /// 5. A lower one finds more spam, and takes more good mail for it.
    #[schemars(range(min = 0.1, max = 1000.0))]
    pub threshold: f64,
    /// The score from which mail is refused, whatever `action` says; not below `threshold`. Not set (the default):
    /// none is. The mail server has taken it already, so its bounce goes to a sender who is mostly forged.
    #[schemars(range(min = 0.1, max = 1000.0))]
    pub reject_above: Option<f64>,
    /// The score from which mail is thrown away, whatever `action` says; not below `threshold`. Not set (the
    /// default): none is. Where `reject_above` is set too, the higher one of the two has the last word.
    #[schemars(range(min = 0.1, max = 1000.0))]
    pub discard_above: Option<f64>,
    /// What happens to spam: `folder` (the default) keeps it in `folder`, `tag` leaves it where it is with header
    /// fields that tell, `discard` throws it away, `reject` refuses it, and the mail server bounces it.
    pub action: Action,
    /// The folder for spam, `Junk` by default; levels are written with `/`. It is made with the first message. A
    /// later service, like a filter, may still put mail elsewhere. Moving mail into it or out of it teaches.
    pub folder: Folder,
    /// Which header fields tell what was found: `flag` (X-Spam-Flag), `score`, `level` and `status`; all by default.
    /// Those that came with the message are always taken out.
    pub fields: Vec<SpamField>,
    /// Whether fields are set and taken out that the scanner asks for (rspamd's `milter_headers`). Yes by default.
    pub scanner_fields: bool,
    /// What stands before the subject of spam, at most 40 letters, like `[SPAM]`. Empty (the default): nothing.
    pub subject_prefix: String,
    /// What happens while no scanner answers: `pass` (the default) lets mail go on without a scan; `defer` leaves it
    /// at the mail server, which tries again for some days.
    pub when_down: WhenDown,
    /// Whether X-Spam-Status says so when mail passed without a scan: no scanner answered, or the message is larger
    /// than `largest`. Yes by default.
    pub mark_unscanned: bool,
    /// Whose mail the scanner learns from: `site` (the default), `domain` or `user`. Mail is scanned once for all who
    /// learn together; rspamd and spamd must be set up for users (`per_user`, `--virtual-config-dir`) to tell them
    /// apart.
    pub learn_scope: LearnScope,
    /// Folders that mail is moved to without saying that it is no spam, with all below them:
    /// `["Trash", "Deleted Items", "Deleted Messages"]` by default.
    pub learn_ignore: Vec<Folder>,
}

impl Default for Settings {
    fn default() -> Self {
        let folder = |name: &str| Folder::parse(name).unwrap_or_default();
        Self {
            threshold: 6.0,
            reject_above: None,
            discard_above: None,
            action: Action::Folder,
            folder: folder("Junk"),
            fields: SpamField::ALL.to_vec(),
            scanner_fields: true,
            subject_prefix: String::new(),
            when_down: WhenDown::Pass,
            mark_unscanned: true,
            learn_scope: LearnScope::Site,
            learn_ignore: ["Trash", "Deleted Items", "Deleted Messages"].map(folder).to_vec(),
        }
    }
}

impl Settings {
    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Which key, and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        let scores = [Some(self.threshold), self.reject_above, self.discard_above];
        if scores.into_iter().flatten().any(|score| !SCORES.contains(&score)) {
            return Err("a score to judge by is 0.1 to 1000".to_owned());
        }
        if self.folder.is_inbox() {
            return Err("folder must be another one than INBOX: action=tag leaves spam there".to_owned());
        }
        let prefix = &self.subject_prefix;
        if prefix.chars().count() > MAX_PREFIX || prefix.chars().any(char::is_control) {
            return Err(format!("subject_prefix must be one line of at most {MAX_PREFIX} letters"));
        }
        if self.learn_ignore.len() > MAX_FOLDERS {
            return Err(format!("learn_ignore may list at most {MAX_FOLDERS} folders"));
        }
        Ok(())
    }

    /// Which scores contradict each other.
    #[must_use]
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let limits = [("reject_above", self.reject_above), ("discard_above", self.discard_above)];
        for (key, limit) in limits {
            if limit.is_some_and(|limit| limit < self.threshold) {
                let allowed = format!("{key} must not be below the score from which mail is spam");
                found.push(Contradiction { keys: ["threshold", key], allowed });
            }
        }
        if let (Some(reject), Some(discard)) = (self.reject_above, self.discard_above)
            && reject.total_cmp(&discard).is_eq()
        {
            let allowed = "from one score on mail is either refused or thrown away".to_owned();
            found.push(Contradiction { keys: ["reject_above", "discard_above"], allowed });
        }
        found
    }
}
