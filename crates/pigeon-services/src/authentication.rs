//! Finds out who a message is from: SPF, DKIM, DMARC and ARC, once for all its recipients.
//!
//! The site's own mail server may have done it (Authentication-Results fields of names that are trusted); otherwise it
//! is done here. Later services read the facts `auth.spf`, `auth.dkim`, `auth.dmarc`, `auth.arc` (the words of RFC 8601
//! §2.7), `auth.policy` (`none`, `quarantine`, `reject`), `auth.from_domain`, `auth.from_verified` (whether something
//! vouches for the From address), `auth.dkim_domains` (whose signatures hold) and `auth.client`.
//!
//! Source: RFC 8601 (the field), RFC 7208, 6376, 9989, 8617 (the methods).

mod client;
mod findings;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod trusted;
mod verify;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use pigeon_core::clock::Clock;
use pigeon_core::delivery::Delivery;
use pigeon_core::fault::{Fault, Reply};
use pigeon_core::folder::Folder;
use pigeon_core::message::{CHUNK_OCTETS, Message};
use pigeon_core::outcome::Next;
use pigeon_core::service::{Service, Stage, Tools};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::breaker::Breaker;
use crate::octets::Octets;
use client::Client;
use findings::{Findings, Policy, Verdict};
use verify::{Question, Verifier, unavailable};

const DNS_PORT: u16 = 53;
/// How long a resolver that gave no sign of life is not asked.
const REST: Duration = Duration::from_secs(30);
/// From this size on a message is verified on a thread of its own, and only so many at a time: hashing takes a while.
const LARGE_OCTETS: usize = 1024 * 1024;
const LARGE_AT_A_TIME: usize = 4;

/// Addresses of name servers, written as `127.0.0.1:5353, ::1`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NameServers(Vec<SocketAddr>);

impl TryFrom<String> for NameServers {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let parse = |word: &str| {
            let with_port = word.parse().ok();
            with_port.or_else(|| Some(SocketAddr::new(word.parse().ok()?, DNS_PORT))).ok_or_else(|| {
                format!("{word:?} is no name server: write IP addresses, with a port where it is not 53, like 127.0.0.1:5353")
            })
        };
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        words.map(parse).collect::<Result<_, _>>().map(Self)
    }
}

impl From<NameServers> for String {
    fn from(servers: NameServers) -> Self {
        servers.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl JsonSchema for NameServers {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NameServers".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "name-servers" })
    }
}

/// How the site knows where mail comes from, and whom it asks.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// The name that this site signs its results with (authserv-id, RFC 8601 §2.5). Empty (the default): the name of the host. Fields of
    /// that name that came with a mail are removed.
    pub authserv_id: String,
    /// The names whose Authentication-Results fields are believed, like `["mx.example.org"]`. Name those of your own mail server
    /// only, and only if it removes such fields from mail that comes in, as milters for DKIM and DMARC do. Empty by default.
    pub trusted: Vec<String>,
    /// Whether mail without a trusted field is verified here (the default).
    pub verify: bool,
    /// The name servers to ask, like `127.0.0.1` or `127.0.0.1:5353, ::1`. Empty (the default): those of the system.
    pub resolver: NameServers,
    /// How long all questions about one mail may take, in milliseconds, 100 to 20000 (8000 by default). What is not answered by then
    /// counts as `temperror`, and the mail goes on.
    #[schemars(range(min = 100, max = 20_000))]
    pub dns_limit_ms: u64,
    /// The names of your own mail servers as they write them into Received fields behind `by`, like `["mx.example.org"]`. The
    /// client's address is read from the topmost of these fields where the mail server does not pass it on (XFORWARD, XCLIENT). Empty by default:
    /// Received fields are not read.
    pub received_by: Vec<String>,
    /// The addresses of your own mail servers that hand mail on to each other, like `["192.0.2.1"]`: the client is behind them. Those of
    /// this host need not be listed. Empty by default.
    pub relays: Vec<IpAddr>,
    /// Signatures of larger mails are not verified, like `50M` (the default): a mail is in memory while it is verified.
    pub max_octets: Octets,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            authserv_id: String::new(),
            trusted: Vec::new(),
            verify: true,
            resolver: NameServers::default(),
            dns_limit_ms: 8000,
            received_by: Vec::new(),
            relays: Vec::new(),
            max_octets: Octets(50 << 20),
        }
    }
}

/// What happens to mail that fails DMARC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFail {
    /// Nothing here: later services see the result.
    #[default]
    None,
    /// It is kept in `folder` if the domain asks for quarantine or rejection.
    Folder,
    /// It is refused if the domain asks for rejection, and kept in `folder` if it asks for quarantine.
    Reject,
}

/// Finds out whether mail comes from whom it says: SPF, DKIM, DMARC and ARC, from the mail server's own results or
/// verified here, once for all recipients of a mail.
///
/// The results are written into the header (Authentication-Results), and other services use them: `lists` for allowed
/// senders, `sieve`, `antispam`. A name server that is away delays and refuses nothing: the results are `temperror` then.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// What happens to mail that fails DMARC where the sender's domain asks for quarantine or rejection: `none` (the default) leaves it to later
    /// services, `folder` keeps it in `folder`, `reject` refuses what the domain wants rejected and keeps the rest in
    /// `folder`. Mailing lists make genuine mail fail.
    pub on_fail: OnFail,
    /// The folder for mail that fails: `Junk` by default. It is made with the first message.
    pub folder: Folder,
    /// Whether results that were found out here are written into the header (the default).
    pub add_results: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let folder = Folder::parse("Junk").unwrap_or_default();
        Self { on_fail: OnFail::None, folder, add_results: true }
    }
}

/// The service.
pub struct Authentication {
    config: Config,
    authserv_id: String,
    hostname: Arc<str>,
    clock: Arc<dyn Clock>,
    breaker: Breaker,
    verifier: Arc<Verifier>,
    large: Semaphore,
}

impl fmt::Debug for Authentication {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Authentication").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Service for Authentication {
    const NAME: &'static str = "authentication";
    const STAGE: Stage = Stage::Inspect;
    type Config = Config;
    type Settings = Settings;

    fn open(config: Config, tools: &Tools) -> Result<Self, Fault> {
        let id = config.authserv_id.trim();
        let authserv_id = if id.is_empty() { tools.hostname.to_string() } else { id.to_owned() };
        Ok(Self {
            authserv_id,
            hostname: Arc::clone(&tools.hostname),
            clock: Arc::clone(&tools.clock),
            breaker: Breaker::new(1, REST, Arc::clone(&tools.clock)),
            verifier: Arc::new(Verifier::new(config.resolver.0.clone())),
            large: Semaphore::new(LARGE_AT_A_TIME),
            config,
        })
    }

    fn check_config(config: &Config) -> Result<(), String> {
        let id = config.authserv_id.trim();
        let is_token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte);
        if id.bytes().all(is_token) {
            return Ok(());
        }
        Err(format!("authserv_id {id:?} is no name: write one like mx.example.org"))
    }

    async fn probe(&self) -> Result<Option<String>, Fault> {
        if !self.config.verify {
            return Ok(None);
        }
        match self.verifier.sign_of_life(self.clock.now().micros()).await {
            Ok(()) => Ok(Some("the name server answers".to_owned())),
            Err(what) => {
                Err(Fault::temporary(format!("{what}; set authentication.resolver to one that does")))
            }
        }
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        let message = Arc::clone(delivery.message());
        let findings = message.once("authentication", || self.find_out(delivery)).await;
        findings.tell(delivery);
        delivery.reason(findings.summary());
        self.remove_forged(&message, delivery);
        if findings.told_by.is_none() && self.config.verify && settings.add_results {
            delivery.header().prepend(trusted::FIELD, &findings.field(&self.authserv_id));
        }
        Ok(settings.act(&findings, delivery))
    }
}

impl Settings {
    /// Does with failed mail what is to be done.
    fn act(&self, findings: &Findings, delivery: &mut Delivery) -> Next {
        if findings.dmarc != Verdict::Fail || findings.policy == Policy::None {
            return Next::Continue;
        }
        delivery.decided_by("on_fail");
        let domain = &findings.from_domain;
        match (self.on_fail, findings.policy) {
            (OnFail::None, _) => {}
            (OnFail::Reject, Policy::Reject) => {
                // RFC 7372 §3.2 knows codes for SPF and DKIM; DMARC is policy (X.7.1).
                let text = format!("The mail is not from {domain}, whose DMARC policy asks to reject it");
                return Next::Reject(Reply::new(550, (5, 7, 1), text));
            }
            (OnFail::Folder | OnFail::Reject, _) => {
                delivery.reason(format!(
                    "{domain} asks for {}: kept in {}",
                    findings.policy.word(),
                    self.folder
                ));
                delivery.decided_by("folder");
                delivery.keep_in(self.folder.clone());
            }
        }
        Next::Continue
    }
}

impl Authentication {
    /// Takes out what claims to be ours and is not (RFC 8601 §5).
    fn remove_forged(&self, message: &Message, delivery: &mut Delivery) {
        let is_trusted = self.config.trusted.iter().any(|name| name.eq_ignore_ascii_case(&self.authserv_id));
        if is_trusted {
            return;
        }
        let mut removed = 0;
        for field in message.fields().filter(|field| field.name.eq_ignore_ascii_case(trusted::FIELD)) {
            let results = trusted::parse(&field.value());
            // Whose a field is that names nobody, a reader may see in another way than we do.
            if results.is_none_or(|results| results.authserv_id.eq_ignore_ascii_case(&self.authserv_id)) {
                delivery.header().remove_field(field.raw);
                removed += 1;
            }
        }
        match removed {
            0 => {}
            1 => delivery.reason(format!("a forged field of {} was removed", self.authserv_id)),
            _ => delivery.reason(format!("{removed} forged fields of {} were removed", self.authserv_id)),
        }
    }

    async fn find_out(&self, delivery: &Delivery) -> Findings {
        let message = delivery.message();
        let origin = &delivery.transaction().origin;
        let client = client::find(origin, message, &self.config.received_by, &self.config.relays);
        let known = trusted::read(message, &self.config.trusted);
        let mut findings = match known {
            Some(mut known) => {
                known.is_from_verified = known.dmarc == Verdict::Pass;
                known
            }
            None if client.is_own => {
                Findings { trouble: "it was sent from here".to_owned(), ..Findings::default() }
            }
            None if !self.config.verify => {
                Findings { trouble: "nothing is verified here".to_owned(), ..Findings::default() }
            }
            None => self.verify(&client, delivery).await,
        };
        findings.client = client.address;
        findings
    }

    /// Verifies the message, unless the name server is known to be away.
    async fn verify(&self, client: &Client, delivery: &Delivery) -> Findings {
        if self.breaker.is_resting() {
            return unavailable("the name server gives no answer; it is asked again in a while".to_owned());
        }
        let message = delivery.message();
        let sender = delivery.sender().to_string();
        let limit = Duration::from_millis(self.config.dns_limit_ms.clamp(100, 20_000));
        let question = Question::new(client, sender, &self.hostname, limit);
        let is_too_large = message.size() > self.config.max_octets.limit().unwrap_or(u64::MAX);
        let raw = wire_form(message, is_too_large);
        let mut findings = match raw {
            Ok(raw) => self.verify_guarded(question, raw).await,
            Err(error) => unavailable(format!("the spooled message cannot be read: {error}")),
        };
        if is_too_large {
            findings.doubt("the mail is too large for its signatures to be verified");
        } else if client.address.is_none() {
            findings.doubt("the client is not known: SPF cannot be verified");
        }
        let all = [findings.spf, findings.dkim(), findings.dmarc, findings.arc];
        // A sender's own name servers may be away, too: that is no reason to leave ours alone.
        let is_there = !all.contains(&Verdict::TempError)
            || self.verifier.sign_of_life(self.clock.now().micros()).await.is_ok();
        let attempt = self.breaker.attempt();
        if !is_there {
            // Dropped, the attempt counts as a failure.
            drop(attempt);
            findings.trouble = "the name server gives no answer".to_owned();
        } else if let Some(attempt) = attempt {
            attempt.succeeded();
        }
        findings
    }

    /// What a strange message may do to the verification stays in it.
    async fn verify_guarded(&self, question: Question, raw: Vec<u8>) -> Findings {
        let broken = || {
            tracing::error!("the verification of a message's senders panicked: please report it");
            Findings { trouble: "the message cannot be verified".to_owned(), ..Findings::default() }
        };
        if raw.len() < LARGE_OCTETS {
            let verified = AssertUnwindSafe(self.verifier.verify(&question, &raw)).catch_unwind().await;
            return verified.unwrap_or_else(|_| broken());
        }
        let _turn = self.large.acquire().await;
        let (verifier, runtime) = (Arc::clone(&self.verifier), tokio::runtime::Handle::current());
        let verified =
            tokio::task::spawn_blocking(move || runtime.block_on(verifier.verify(&question, &raw))).await;
        verified.unwrap_or_else(|_| broken())
    }
}

/// The message as it was on the wire, with CRLF; of one that is too large only the fields that need no signature.
fn wire_form(message: &Message, is_too_large: bool) -> std::io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    if is_too_large {
        for field in message.fields().filter(|field| field.name.eq_ignore_ascii_case("From")) {
            append(&mut raw, field.raw);
        }
        raw.extend_from_slice(b"\r\n");
        return Ok(raw);
    }
    raw.reserve(usize::try_from(message.size() + message.lines()).unwrap_or_default());
    append(&mut raw, message.head());
    let mut buffer = vec![0; CHUNK_OCTETS];
    let mut offset = 0;
    loop {
        let count = message.read_body(offset, &mut buffer)?;
        if count == 0 {
            return Ok(raw);
        }
        append(&mut raw, buffer.get(..count).unwrap_or_default());
        offset += count as u64;
    }
}

fn append(raw: &mut Vec<u8>, bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) if !(text.ends_with(b"\r") || text.is_empty() && raw.ends_with(b"\r")) => {
                raw.extend_from_slice(text);
                raw.extend_from_slice(b"\r\n");
            }
            _ => raw.extend_from_slice(line),
        }
    }
}

#[cfg(test)]
mod tests;
