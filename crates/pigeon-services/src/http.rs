//! Asks a server over HTTP what to do with a message.
//!
//! Sets facts below `http.`, those that the server names. `decision.rs` is what it answers; `web.rs` of this crate keeps
//! requests away from the site's own networks.

mod decision;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::message::{CHUNK_OCTETS, Message};
use pigeon_core::outcome::Next;
use pigeon_core::service::{Service, Stage, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::octets::Octets;
use crate::web::{Network, Post, SIGNATURE, Trouble, Web, check_url, signature};
use decision::Decision;

/// Before the second attempt; doubled with each.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The format of what is posted.
const VERSION: u32 = 1;

/// Asks a server over HTTP what to do with every message: it gets the envelope and the header as JSON, and answers with a
/// decision.
///
/// The server may let the message go on, name a folder, add header fields, discard, refuse or defer it. docs/admin/http.md
/// says what is posted and answered. When the server cannot be reached, `http.on_fault` says what happens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Where to post, like `https://hooks.example.net/mail`. It must have a public address, unless `http.networks` allows
    /// others. Empty (the default): nobody is asked.
    pub url: String,
    /// The secret that requests are signed with, so that the server knows who asks. Empty (the default): they are not signed.
    #[schemars(extend("x-secret" = true))]
    pub secret: String,
    /// What is posted besides the envelope: `header` (the default), the fields of the header; or `message`, the whole message,
    /// too, in base64.
    pub send: Send,
    /// Messages larger than this are posted without their content even where `http.send` is `message`: 1M by default.
    pub message_limit: Octets,
    /// How often a server that fails is asked, 1 to 10: 3 by default.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// How long all attempts may take together, in seconds, 1 to 60: 10 by default.
    #[schemars(range(min = 1, max = 60))]
    pub seconds: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            secret: String::new(),
            send: Send::Header,
            message_limit: Octets(1 << 20),
            attempts: 3,
            seconds: 10,
        }
    }
}

/// What is posted besides the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Send {
    /// The fields of the header.
    #[default]
    Header,
    /// The whole message, too.
    Message,
}

/// Which servers may be asked.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Config {
    /// Networks that may be asked though they are not public, like `["10.1.2.0/24", "::1"]`. Empty (the default): none, so that
    /// nobody reaches servers inside the site by naming them here.
    pub networks: Vec<Network>,
    /// The largest answer that is taken: 64K by default.
    pub answer_limit: Octets,
}

impl Default for Config {
    fn default() -> Self {
        Self { networks: Vec::new(), answer_limit: Octets(64 << 10) }
    }
}

/// The service.
#[derive(Debug)]
pub struct Http {
    web: Web,
    answer_limit: usize,
}

impl Service for Http {
    const NAME: &'static str = "http";
    const STAGE: Stage = Stage::Inspect;
    type Config = Config;
    type Settings = Settings;

    fn open(config: Config, _tools: &Tools) -> Result<Self, Fault> {
        let answer_limit = usize::try_from(config.answer_limit.0).unwrap_or(usize::MAX);
        Ok(Self { web: Web::new(&config.networks), answer_limit })
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if !settings.url.is_empty() {
            check_url(&settings.url)?;
        }
        if !(1..=10).contains(&settings.attempts) {
            return Err("attempts must be 1 to 10".to_owned());
        }
        if !(1..=60).contains(&settings.seconds) {
            return Err("seconds must be 1 to 60".to_owned());
        }
        Ok(())
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        delivery.decided_by("url");
        if settings.url.is_empty() {
            delivery.reason("there is nobody to ask");
            return Ok(Next::Continue);
        }
        let body = Bytes::from(question(settings, delivery).await?.to_string());
        let patience = Duration::from_secs(settings.seconds.into());
        let ask = self.ask(settings, delivery, body);
        let answer = tokio::time::timeout(patience, ask).await;
        let took_too_long = || Fault::temporary(format!("no answer within {} s", settings.seconds));
        let answer = answer.map_err(|_| took_too_long())?;
        let answer = answer.map_err(|trouble| Fault::temporary(trouble.to_string()))?;
        Decision::read(&answer)
            .and_then(|decision| decision.carry_out(delivery))
            .map_err(|why| Fault::temporary(format!("the answer makes no sense: {why}")))
    }
}

impl Http {
    async fn ask(&self, settings: &Settings, delivery: &Delivery, body: Bytes) -> Result<Bytes, Trouble> {
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            let mut fields = vec![("X-Pigeon-Attempt", attempt.to_string())];
            if !settings.secret.is_empty() {
                fields.push((SIGNATURE, signature(&settings.secret, delivery.now(), &body)));
            }
            let post = Post {
                url: &settings.url,
                body: body.clone(),
                fields: &fields,
                patience: Duration::from_secs(settings.seconds.into()),
                limit: self.answer_limit,
            };
            match self.web.post(post).await {
                Err(Trouble::Temporary(_)) if attempt < settings.attempts => {
                    tokio::time::sleep(wait).await;
                    (wait, attempt) = (wait * 2, attempt + 1);
                }
                answer => return answer,
            }
        }
    }
}

/// What the server is told.
async fn question(settings: &Settings, delivery: &mut Delivery) -> Result<Value, Fault> {
    let message = std::sync::Arc::clone(delivery.message());
    let fields: Vec<[String; 2]> =
        message.fields().map(|field| [field.name.to_owned(), field.value()]).collect();
    let mut question = json!({
        "version": VERSION,
        "kind": "message",
        "id": delivery.transaction().id,
        "time": delivery.now().to_rfc3339(),
        "sender": delivery.sender().to_string(),
        "recipient": delivery.recipient().to_string(),
        "account": delivery.account_address().to_string(),
        "detail": delivery.detail(),
        "size": message.size(),
        "message_id": message.message_id(),
        "header": fields,
        "facts": delivery.facts(),
    });
    if settings.send == Send::Message
        && message.size() <= settings.message_limit.0
        && let Some(question) = question.as_object_mut()
    {
        let whole = tokio::task::spawn_blocking(move || whole(&message)).await;
        let whole = whole.map_err(|error| Fault::temporary(error.to_string()))?;
        let whole = whole.map_err(|error| Fault::temporary("the message cannot be read").caused_by(error))?;
        question.insert("message".to_owned(), Value::from(STANDARD.encode(whole)));
    }
    Ok(question)
}

fn whole(message: &Message) -> std::io::Result<Vec<u8>> {
    let mut all = message.head().to_vec();
    let mut buffer = vec![0; CHUNK_OCTETS];
    let mut offset = 0;
    loop {
        let count = message.read_body(offset, &mut buffer)?;
        if count == 0 {
            return Ok(all);
        }
        all.extend_from_slice(buffer.get(..count).unwrap_or_default());
        offset += count as u64;
    }
}

#[cfg(test)]
mod tests;
