//! Judges mail by the score of a scanner: one scan for all recipients, a threshold and an action for each.
//!
//! Sets the facts `spam.score` (number), `spam.threshold` (number), `spam.is_spam`, `spam.level` (0 untested, 1 to 10,
//! RFC 5235 §2.2) and `spam.percent` (0 to 100); score and percent only where something was scanned or listed. Reads
//! `lists.verdict` (`allow`, `block`) and `lists.entry`.
//!
//! Start reading at [`judge`](self), what a score means for one recipient; `engine.rs` is what the scanners
//! `rspamd.rs` and `spamd.rs` have in common; `record.rs` says how mail that people move teaches the scanner.

mod engine;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod judge;
mod mark;
pub mod record;
mod rspamd;
pub mod settings;
mod spamd;
pub mod teach;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use pigeon_core::delivery::Delivery;
use pigeon_core::fault::{Fault, Reply};
use pigeon_core::message::Message;
use pigeon_core::outcome::Next;
use pigeon_core::service::{Contradiction, Service, Stage, Tools};
use serde_json::{Value, json};

use crate::octets::Octets;
use engine::{Client, Engine, Job, Patience, Servers};
use judge::{Fate, Finding, Judgement, Listed};
use rspamd::Rspamd;
use settings::{Config, EngineName, LearnScope, ServerAddress, Settings, WhenDown};
use spamd::Spamd;

pub use engine::{Class, Learned};

/// The longest time to wait, in milliseconds.
const MAX_MILLIS: u64 = 600_000;

/// The service.
#[derive(Debug)]
pub struct Antispam {
    scanners: Arc<Servers>,
    teachers: Servers,
    /// The largest message that is scanned, in octets.
    largest: Option<u64>,
    hostname: Arc<str>,
}

impl Service for Antispam {
    const NAME: &'static str = "antispam";
    const STAGE: Stage = Stage::Inspect;
    type Config = Config;
    type Settings = Settings;

    fn open(config: Config, tools: &Tools) -> Result<Self, Fault> {
        let span = |millis: u64| Duration::from_millis(millis.clamp(1, MAX_MILLIS));
        let patience = Patience {
            limit: span(config.scan_timeout_ms),
            failures: config.failures,
            rest: span(config.rest_ms),
        };
        let connecting = span(config.connect_timeout_ms);
        let engine = |address: &ServerAddress| -> Box<dyn Engine> {
            match config.engine {
                EngineName::Rspamd => Box::new(Rspamd::new(address, connecting, &config.learn_password)),
                EngineName::SpamAssassin => Box::new(Spamd::new(address, connecting)),
            }
        };
        let at = |addresses: &[ServerAddress], port: u16| match addresses {
            [] => vec![ServerAddress::Tcp(format!("127.0.0.1:{port}"))],
            addresses => addresses.to_vec(),
        };
        let (scanners, teachers) = match config.engine {
            EngineName::Rspamd => {
                (at(&config.servers, rspamd::PORT), at(&config.learn_servers, rspamd::CONTROLLER_PORT))
            }
            EngineName::SpamAssassin => {
                let scanners = at(&config.servers, spamd::PORT);
                (scanners.clone(), scanners)
            }
        };
        Ok(Self {
            scanners: Arc::new(Servers::new(scanners, patience, &tools.clock, engine)),
            teachers: Servers::new(teachers, patience, &tools.clock, engine),
            largest: config.largest.limit(),
            hostname: Arc::clone(&tools.hostname),
        })
    }

    fn check(settings: &Settings) -> Result<(), String> {
        settings.check()
    }

    fn contradictions(settings: &Settings) -> Vec<Contradiction> {
        settings.contradictions()
    }

    fn config_contradictions(config: &Config) -> Vec<Contradiction> {
        config.contradictions()
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        let finding = self.find(settings.learn_scope, delivery).await;
        let listed = listed(delivery);
        if let Finding::Down(why) = &*finding
            && settings.when_down == WhenDown::Defer
            && listed.is_none()
        {
            delivery.decided_by("when_down");
            let reply = Reply::new(451, (4, 7, 1), "The message cannot be checked now, try again later");
            return Err(Fault::temporary(format!("no scanner answers: {why}")).replying(reply));
        }
        let judged = judge::judge(settings, &finding, listed.as_ref());
        set_facts(delivery, settings, &finding, &judged);
        delivery.reason(&judged.reason);
        for key in &judged.keys {
            delivery.decided_by(key);
        }
        mark::write(delivery, settings, &finding, &judged);
        Ok(match judged.fate {
            Fate::Pass | Fate::Tag => Next::Continue,
            Fate::File => {
                delivery.keep_in(settings.folder.clone());
                Next::Continue
            }
            Fate::Discard => Next::Discard("it is spam".to_owned()),
            // RFC 3463 §3.8: X.7.1 is "delivery not authorized, message refused".
            Fate::Reject => {
                Next::Reject(Reply::new(550, (5, 7, 1), "The message is refused: it looks like spam"))
            }
        })
    }
}

impl Antispam {
    /// What the scan came to: one for all who learn together, whoever of them asks first. It runs in a task of its own, so
    /// that a recipient with little time takes nothing from the others, and is no failure of the scanner's.
    async fn find(&self, scope: LearnScope, delivery: &Delivery) -> Arc<Finding> {
        let message = Arc::clone(delivery.message());
        let learner = learner(scope, delivery);
        let key = format!("antispam.scan:{}", learner.as_deref().unwrap_or_default());
        let start = || async {
            let job = self.job(learner, scope, delivery);
            let task = tokio::spawn(scan(Arc::clone(&self.scanners), self.largest, job));
            let found = task.map(|ended| ended.unwrap_or_else(|error| Finding::Down(error.to_string())));
            Pending(found.map(Arc::new).boxed().shared())
        };
        message.once(&key, start).await.0.clone().await
    }

    fn job(&self, learner: Option<String>, scope: LearnScope, delivery: &Delivery) -> Job {
        let transaction = delivery.transaction();
        let own = delivery.account_address().domain();
        let recipients = match scope {
            LearnScope::Site => delivery.recipients().iter().map(ToString::to_string).collect(),
            LearnScope::Domain => {
                let is_own = |address: &&pigeon_core::address::Address| address.domain() == own;
                delivery.recipients().iter().filter(is_own).map(ToString::to_string).collect()
            }
            LearnScope::User => vec![delivery.recipient().to_string()],
        };
        let origin = &transaction.origin;
        // Without the address, the rest is about the mail server that hands the mail over, not about the client.
        let client = origin.client_address.map(|address: IpAddr| Client {
            address,
            helo: origin.helo.clone(),
            name: origin.client_name.clone(),
        });
        Job {
            message: Arc::clone(delivery.message()),
            sender: delivery.sender().to_string(),
            recipients,
            learner,
            client,
            queue_id: origin.queue_id.clone().or_else(|| Some(transaction.id.clone())),
            hostname: Arc::clone(&self.hostname),
        }
    }

    /// Has the scanner learn a message; `learner` is the account or domain that it learns for, none for everybody.
    ///
    /// # Errors
    /// Why no server took it; a permanent fault if it is too large.
    pub async fn learn(
        &self,
        class: Class,
        learner: Option<String>,
        message: Arc<Message>,
    ) -> Result<Learned, Fault> {
        if let Some(limit) = self.largest.filter(|limit| message.size() > *limit) {
            return Err(Fault::permanent(format!("it is larger than antispam.largest, {}", Octets(limit))));
        }
        let sender = message.field("Return-Path").map(|field| field.value()).unwrap_or_default();
        let recipients = learner.iter().filter(|name| name.contains('@')).cloned().collect();
        let job = Job {
            message,
            sender: sender.trim_matches(['<', '>']).to_owned(),
            recipients,
            learner,
            client: None,
            queue_id: None,
            hostname: Arc::clone(&self.hostname),
        };
        self.teachers
            .learn(&job, class)
            .await
            .map_err(|problem| Fault::temporary(format!("the scanner does not learn it: {problem}")))
    }
}

/// A scan that was begun.
struct Pending(Shared<BoxFuture<'static, Arc<Finding>>>);

async fn scan(scanners: Arc<Servers>, largest: Option<u64>, job: Job) -> Finding {
    if let Some(limit) = largest.filter(|limit| job.message.size() > *limit) {
        return Finding::TooLarge(limit);
    }
    match scanners.scan(&job).await {
        Ok(report) => Finding::Scanned(report),
        Err(problem) => {
            tracing::warn!("{}: not scanned for spam: {problem}", job.queue_id.as_deref().unwrap_or("-"));
            Finding::Down(problem.what)
        }
    }
}

impl LearnScope {
    /// For whom the mail of an account is learned and scanned; none is everybody.
    #[must_use]
    pub fn learner(self, account: &pigeon_core::address::Address) -> Option<String> {
        match self {
            Self::Site => None,
            Self::Domain => Some(account.domain().to_string()),
            Self::User => Some(account.key()),
        }
    }
}

fn learner(scope: LearnScope, delivery: &Delivery) -> Option<String> {
    scope.learner(delivery.account_address())
}

fn listed(delivery: &Delivery) -> Option<Listed> {
    let entry = delivery.fact("lists.entry").and_then(Value::as_str).unwrap_or("on a list").to_owned();
    match delivery.fact("lists.verdict").and_then(Value::as_str) {
        Some("allow") => Some(Listed::Allowed(entry)),
        Some("block") => Some(Listed::Blocked(entry)),
        _ => None,
    }
}

fn set_facts(delivery: &mut Delivery, settings: &Settings, finding: &Finding, judged: &Judgement) {
    if let Finding::Scanned(report) = finding {
        delivery.set_fact("spam.score", json!(report.score));
    }
    if let Some(percent) = judged.percent {
        delivery.set_fact("spam.percent", json!(percent));
    }
    delivery.set_fact("spam.threshold", json!(settings.threshold));
    delivery.set_fact("spam.is_spam", json!(judged.is_spam()));
    delivery.set_fact("spam.level", json!(judged.level()));
}
