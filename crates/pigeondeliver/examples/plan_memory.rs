//! What kept plans take and cost, without a database: recipients with five settings of their own, of which no two
//! have the same values.
//!
//! `cargo run --release -p pigeondeliver --example plan_memory [RECIPIENTS]`
//!
//! Printed: octets for each recipient, as the process grows by them, and the time of a plan made anew and of a kept one.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement prints, and stops where it cannot go on"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use pigeon_core::address::Address;
use pigeon_core::clock::Clock;
use pigeon_core::directory::{Account, Id, Lookup, Nobody, Resolution, Scope, Status, Target, TargetKind};
use pigeon_core::plan::Planned;
use pigeon_core::planner::{KEPT_ADDRESSES, Planner};
use pigeon_core::ports::directory::{Directory, DirectoryError, Feed};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::ports::spool::NoSpool;
use pigeon_core::service::{Catalogue, Tools};
use pigeon_core::setting::{Content, Layer, Pin, Setting};
use pigeon_core::timestamp::Timestamp;
use pigeon_services::catalogue::SERVICES;
use serde_json::{Value, json};

const PER_DOMAIN: usize = 100;
const WARM_ROUNDS: usize = 5;

struct RealClock(Instant);

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_435_200).plus(self.elapsed())
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}

/// Answers that were made beforehand; each is given once.
#[derive(Default)]
struct Answers(Mutex<HashMap<String, Resolution>>);

#[async_trait]
impl Directory for Answers {
    async fn lookup(&self, address: &Address) -> Result<Lookup, DirectoryError> {
        let answer = self.0.lock().expect("no panic").remove(&address.key());
        Ok(answer.map_or_else(|| Lookup::None(Nobody::default()), Lookup::Found))
    }

    async fn feed(&self, since: u64) -> Result<Feed, DirectoryError> {
        Ok(Feed { seq: since, scopes: Vec::new() })
    }
}

fn setting(layer: Layer, name: &str, value: Value) -> Setting {
    let name = name.parse().expect("a name");
    let by = "postmaster@example.org".to_owned();
    Setting { layer, name, content: Content::Value(value), pin: Pin::None, until: None, reason: None, by }
}

/// As many settings as `fill.sql` of `directory_scale_postgres` writes, with the same values.
fn settings(number: usize) -> Vec<Setting> {
    let (domain, mailbox) = (number / PER_DOMAIN, format!("{}/user{number}", number / PER_DOMAIN));
    let away = format!("I am away until Monday and read your message then. Yours, {mailbox}");
    vec![
        setting(Layer::System, "trace.max_hops", json!(60)),
        setting(Layer::System, "quota.messages", json!(0)),
        setting(Layer::System, "vacation.enabled", json!(true)),
        setting(Layer::System, "mailbox.enabled", json!(true)),
        setting(Layer::Domain, "trace.max_hops", json!(40)),
        setting(Layer::Domain, "quota.warn_at", json!([80, 95])),
        setting(Layer::Domain, "subaddress.create", json!(true)),
        setting(Layer::Domain, "vacation.days", json!(7)),
        setting(Layer::Domain, "headers.add", json!([format!("X-Site: d{domain}.example.org")])),
        setting(Layer::Account, "quota.octets", json!(1_073_741_824 + number)),
        setting(Layer::Account, "forward.keep", json!(true)),
        setting(Layer::Account, "subaddress.max_depth", json!(3)),
        setting(Layer::Account, "vacation.subject", json!(format!("Away: {mailbox}"))),
        setting(Layer::Account, "vacation.text", json!(away)),
    ]
}

fn address(number: usize) -> Address {
    format!("user{number}@d{}.example.org", number / PER_DOMAIN).parse().expect("an address")
}

fn resolution(number: usize) -> Resolution {
    let address = address(number);
    let id = |kind: &str, number: usize| Id(format!("0192f0c1-7{kind}-7000-8000-{number:012}"));
    let (account, domain) = (id("a0", number), id("d0", number / PER_DOMAIN));
    let hash = "jWpGaD/Rxk0R9dafu75AQyS0Q4hgZeK5nvt87Wm18UE";
    let scopes = vec![
        Scope::System,
        Scope::Domain(domain.clone()),
        Scope::DomainName(address.domain().as_str().to_owned()),
        Scope::Account(account.clone()),
        Scope::Address(address.key()),
    ];
    let account = Account {
        id: account,
        domain,
        name: "A. User".to_owned(),
        mailbox: MailboxPath(format!("{}/user{number}", number / PER_DOMAIN)),
        password: Some(format!("{{ARGON2ID}}$argon2id$v=19$m=65536,t=3,p=1$9/v1pjft6fTSgbbXm2t73w${hash}")),
        status: Status::Active,
        address,
    };
    let target = Target {
        to: TargetKind::Account(account, None),
        via: Vec::new(),
        settings: settings(number),
        alias_settings: Vec::new(),
    };
    Resolution { branches: vec![target], broken: None, scopes, seq: 1 }
}

/// What this process holds, in octets.
fn memory() -> i64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("smaps_rollup");
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<i64>().ok());
    kib.expect("a number of KiB") * 1024
}

async fn plan(planner: &Planner, address: &Address) -> Duration {
    let start = Instant::now();
    let planned = planner.plan(address).await.expect("an answer");
    let span = start.elapsed();
    let Planned::Found(branches) = planned else { panic!("{address} was not found") };
    drop(branches);
    span
}

fn quantiles(what: &str, mut spans: Vec<Duration>) {
    spans.sort();
    let at = |part: usize| spans.get(spans.len() * part / 100).expect("samples").as_nanos() as f64 / 1000.0;
    println!("{what}: p50 {:.2} µs, p99 {:.2} µs", at(50), at(99));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let given = std::env::args().nth(1).map(|text| text.parse().expect("a number of recipients"));
    let recipients: usize = given.unwrap_or(KEPT_ADDRESSES);
    let tools = Tools {
        clock: Arc::new(RealClock(Instant::now())),
        hostname: "mx.example.org".into(),
        spool: Arc::new(NoSpool),
    };
    let catalogue = Arc::new(Catalogue::new(SERVICES, tools));
    let answers = Arc::new(Answers::default());
    let planner = Planner::with_capacity(Arc::clone(&answers) as _, catalogue, recipients * 5 / 4);
    let addresses: Vec<Address> = (0..recipients).map(address).collect();
    let mut cold = Vec::with_capacity(recipients);
    let before = memory();
    for (number, address) in addresses.iter().enumerate() {
        answers.0.lock().expect("no panic").insert(address.key(), resolution(number));
        cold.push(plan(&planner, address).await);
    }
    let each = (memory() - before) / i64::try_from(recipients).expect("a small number");
    println!("{recipients} recipients kept: {each} octets each");
    quantiles("made anew", cold);
    let mut warm = Vec::with_capacity(recipients * WARM_ROUNDS);
    for _ in 0..WARM_ROUNDS {
        for address in &addresses {
            warm.push(plan(&planner, address).await);
        }
    }
    quantiles("kept", warm);
}
