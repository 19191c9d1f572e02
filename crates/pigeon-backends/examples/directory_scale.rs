//! What a look-up costs with 1,000, 100,000 and 1,000,000 accounts.
//!
//! `cargo run --release -p pigeon-backends --example directory_scale [ACCOUNTS…]` makes each directory in a
//! temporary folder and prints medians, and their ratio to the smallest:
//! - *start*: open the directory, look one address up, close it, as a one-shot delivery does;
//! - *cold*: look an address up that was not looked up before, on a directory that is open;
//! - *warm*: look a hundred addresses up again and again.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement prints, and stops where it cannot go on"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use pigeon_backends::blocking::Blocking;
use pigeon_backends::directory::sqlite::SqliteDirectory;
use pigeon_core::address::Address;
use pigeon_core::clock::Clock;
use pigeon_core::directory::{Account, Domain, Entry, Id, Lookup, Status};
use pigeon_core::ports::directory::{Administration, Directory};
use pigeon_core::ports::mailstore::MailboxPath;
use pigeon_core::rights::Actor;
use pigeon_core::service::{Catalogue, Tools};
use pigeon_core::setting::{Content, Layer, Pin, Setting};
use pigeon_core::timestamp::Timestamp;

/// As long as every account's.
const PASSWORD: &str = "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$9/v1pjft6fTSgbbXm2t73w$\
                        jWpGaD/Rxk0R9dafu75AQyS0Q4hgZeK5nvt87Wm18UE";
const PER_DOMAIN: usize = 1000;
const BATCH: usize = 20_000;
const ROUNDS: usize = 20;
const SAMPLES: usize = 1000;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(1_795_435_200)
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

fn open(path: &Path) -> SqliteDirectory {
    let tools = Tools {
        clock: Arc::new(Still),
        hostname: "mx.example.org".into(),
        spool: Arc::new(pigeon_core::ports::spool::NoSpool),
    };
    let catalogue = Arc::new(Catalogue::new(&[], tools));
    SqliteDirectory::open(path, catalogue, Blocking::Inline).expect("the directory opens")
}

fn address(number: usize) -> Address {
    let text = format!("user{}@d{}.example.org", number % PER_DOMAIN, number / PER_DOMAIN);
    text.parse().expect("an address")
}

fn setting(layer: Layer, key: &str, value: impl Into<serde_json::Value>) -> Setting {
    Setting {
        layer,
        name: key.parse().expect("the name of a setting"),
        content: Content::Value(value.into()),
        pin: Pin::None,
        until: None,
        reason: None,
        by: "root".to_owned(),
    }
}

/// The domain's entries and its accounts: each has a setting at every layer.
fn domain_entries(number: usize) -> Vec<Entry> {
    let id = Id::generate();
    let name = format!("d{number}.example.org");
    let domain = Domain { id: id.clone(), name, aliases: Vec::new(), status: Status::Active };
    let mut entries = vec![Entry::Domain(domain)];
    let hops = setting(Layer::Domain, "trace.max_hops", 40);
    entries.push(Entry::Setting { owner: Some(id.clone()), setting: hops });
    for count in 0..PER_DOMAIN {
        let address = address(number * PER_DOMAIN + count);
        let mailbox = MailboxPath(format!("{}/{}", address.domain(), address.local()));
        let account = Account {
            id: Id::generate(),
            domain: id.clone(),
            address,
            name: "A. User".to_owned(),
            mailbox,
            password: Some(PASSWORD.to_owned()),
            status: Status::Active,
        };
        let own = setting(Layer::Account, "trace.delivered_to", "always");
        let own = Entry::Setting { owner: Some(account.id.clone()), setting: own };
        entries.extend([Entry::Account(account), own]);
    }
    entries
}

async fn fill(path: &Path, accounts: usize) {
    SqliteDirectory::create(path).expect("a new directory");
    let directory = open(path);
    let root = Actor::System("root".to_owned());
    let hops = setting(Layer::System, "trace.max_hops", 50);
    let mut batch = vec![Entry::Setting { owner: None, setting: hops }];
    for number in 0..accounts.div_ceil(PER_DOMAIN) {
        batch.extend(domain_entries(number));
        if batch.len() >= BATCH {
            directory.import(&root, std::mem::take(&mut batch)).await.expect("an import");
        }
    }
    directory.import(&root, batch).await.expect("an import");
}

/// Numbers below `limit`, each once, in no order: a step that shares no factor with `limit`.
fn scattered(limit: usize) -> impl Iterator<Item = usize> {
    const STEP: usize = 618_033;
    (0..limit).map(move |count| count * STEP % limit)
}

async fn timed(directory: &SqliteDirectory, address: &Address) -> Duration {
    let start = Instant::now();
    let lookup = directory.lookup(address).await.expect("an answer");
    let span = start.elapsed();
    assert!(matches!(lookup, Lookup::Found(_)), "{address} was not found");
    span
}

/// What was measured of one directory: start, cold, warm.
#[derive(Default)]
struct Spans([Vec<Duration>; 3]);

impl Spans {
    async fn measure(&mut self, path: &Path, accounts: usize, round: usize) {
        let Self([starts, cold, warm]) = self;
        let samples = SAMPLES.min(accounts);
        let keeper = open(path);
        timed(&keeper, &address(0)).await;
        for number in scattered(accounts).skip(round * samples % accounts).take(samples / 10) {
            let start = Instant::now();
            let directory = open(path);
            timed(&directory, &address(number)).await;
            drop(directory);
            starts.push(start.elapsed());
        }
        for number in scattered(accounts).skip(round * samples % accounts).take(samples) {
            cold.push(timed(&keeper, &address(number)).await);
        }
        for number in (0..100).cycle().take(SAMPLES) {
            warm.push(timed(&keeper, &address(number)).await);
        }
    }

    fn medians(self) -> [f64; 3] {
        self.0.map(median)
    }
}

fn median(mut spans: Vec<Duration>) -> f64 {
    spans.sort();
    spans.get(spans.len() / 2).expect("samples").as_nanos() as f64 / 1000.0
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let asked: Vec<usize> = std::env::args().skip(1).map(|text| text.parse().expect("a number")).collect();
    let sizes = if asked.is_empty() { vec![1_000, 100_000, 1_000_000] } else { asked };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut sites = Vec::new();
    for (at, accounts) in sizes.into_iter().enumerate() {
        let path = folder.path().join(format!("directory-{at}.sqlite"));
        let start = Instant::now();
        fill(&path, accounts).await;
        println!("{accounts} accounts imported in {:.1} s", start.elapsed().as_secs_f64());
        sites.push((path, accounts, Spans::default()));
    }
    // In turns, so that whatever else the machine does meets all alike.
    for round in 0..ROUNDS {
        for (path, accounts, spans) in &mut sites {
            spans.measure(path, *accounts, round).await;
        }
    }
    println!("{:>9} {:>15} {:>15} {:>15}  (median µs, ratio)", "accounts", "start", "cold", "warm");
    let mut first: Option<[f64; 3]> = None;
    for (_, accounts, spans) in sites {
        let medians = spans.medians();
        let base = *first.get_or_insert(medians);
        let shown: Vec<String> = medians
            .iter()
            .zip(base)
            .map(|(span, base)| format!("{span:>8.1} ×{:>4.2}", span / base))
            .collect();
        println!("{accounts:>9} {}", shown.join("  "));
    }
}
