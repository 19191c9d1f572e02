//! What plans cost on a PostgreSQL directory of a million accounts, and what a node's kept plans take.
//!
//! `bench/directory.sh` starts a PostgreSQL with its default settings and runs this. By hand:
//!
//! `cargo run --release -p pigeondeliver --example directory_scale_postgres [--fill] URL...`
//!
//! Each URL is `postgres://…/NAME_ACCOUNTS`, a database of that name that exists. `--fill` makes the directory in it
//! with `psql`, by `fill.sql`: a domain for each hundred accounts, five settings at each account and at each domain.
//! Printed for each database:
//! - *cold*: `Planner::plan` of an address that is not kept, one after the other: the look-up and the plan;
//! - *warm*: the same of one that is kept;
//! - *at once*: cold plans a second, 32 asked for at a time, over eight connections;
//! - how the process grows by the plans of up to 100,000 recipients.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement prints, and stops where it cannot go on"
)]

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use pigeon_backends::directory::sql::{SqlDirectory, SqlOptions};
use pigeon_backends::sql::SqlUrl;
use pigeon_core::address::Address;
use pigeon_core::clock::Clock;
use pigeon_core::plan::Planned;
use pigeon_core::planner::Planner;
use pigeon_core::service::{Catalogue, Tools};
use pigeon_core::timestamp::Timestamp;
use pigeon_services::catalogue::SERVICES;

const PER_DOMAIN: usize = 100;
/// In so many rounds the databases take turns, so that whatever else the machine does meets all alike.
const ROUNDS: usize = 10;
/// Cold plans of one round.
const SAMPLES: usize = 1000;
const WARM_SAMPLES: usize = 200_000;
const AT_ONCE: usize = 32;
/// As many as a server keeps.
const KEPT: usize = pigeon_core::planner::KEPT_ADDRESSES;

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

/// A database, and what was measured of it.
struct Site {
    url: String,
    accounts: usize,
    cold: Vec<Duration>,
}

impl Site {
    fn new(url: String) -> Self {
        let number = url.rsplit_once('_').and_then(|(_, number)| number.parse().ok());
        let accounts = number.expect("a URL whose database ends in _ACCOUNTS");
        Self { url, accounts, cold: Vec::with_capacity(ROUNDS * SAMPLES) }
    }

    fn domains(&self) -> usize {
        self.accounts.div_ceil(PER_DOMAIN)
    }

    /// The address of the account with that number, as `fill.sql` names it.
    fn address(&self, number: usize) -> Address {
        let text = format!("user{}@d{}.example.org", number / self.domains(), number % self.domains());
        text.parse().expect("an address")
    }

    /// Addresses in no order, the `from`th to the `to`th of them; each comes once before any comes again.
    fn scattered(&self, from: usize, to: usize) -> Vec<Address> {
        const STEP: usize = 618_033;
        (from..to).map(|count| self.address(count * STEP % self.accounts)).collect()
    }

    fn planner(&self) -> Planner {
        let tools = Tools {
            clock: Arc::new(RealClock(Instant::now())),
            hostname: "mx.example.org".into(),
            spool: Arc::new(pigeon_core::ports::spool::NoSpool),
        };
        let catalogue = Arc::new(Catalogue::new(SERVICES, tools));
        let url: SqlUrl = self.url.parse().expect("a postgres:// URL");
        let directory = SqlDirectory::open(url, Arc::clone(&catalogue), SqlOptions::default());
        // More than a server keeps: of exactly as many as there is room for, one in a hundred falls out again.
        Planner::with_capacity(Arc::new(directory.expect("a directory")), catalogue, KEPT * 5 / 4)
    }

    async fn fill(&self) {
        let start = Instant::now();
        let url: SqlUrl = self.url.parse().expect("a postgres:// URL");
        SqlDirectory::create(&url).await.expect("a schema");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/directory_scale_postgres/fill.sql");
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--output=/dev/null", "--file", script, "--dbname", &self.url]);
        psql.args(["--set".to_owned(), format!("accounts={}", self.accounts)]);
        psql.args(["--set".to_owned(), format!("domains={}", self.domains())]);
        assert!(psql.status().expect("psql runs").success(), "psql failed");
        println!("{} accounts filled in {:.0} s", self.accounts, start.elapsed().as_secs_f64());
    }

    /// One round of cold plans, over a connection that is open and warm.
    async fn measure_cold(&mut self, round: usize) {
        let planner = self.planner();
        for address in self.scattered(self.accounts - 20, self.accounts) {
            timed(&planner, &address).await;
        }
        planner.forget();
        for address in self.scattered(round * SAMPLES, (round + 1) * SAMPLES) {
            let span = timed(&planner, &address).await;
            self.cold.push(span);
        }
    }

    /// Fills a planner, measures how it grows, and what it answers warm.
    async fn measure_kept(&self) {
        let kept = KEPT.min(self.accounts);
        let planner = Arc::new(self.planner());
        timed(&planner, &self.address(0)).await;
        let mut warm = vec![Duration::ZERO; WARM_SAMPLES];
        let before = memory();
        let start = Instant::now();
        let shares = (0..AT_ONCE).map(|share| {
            let asked: Vec<Address> =
                self.scattered(0, kept).into_iter().skip(share).step_by(AT_ONCE).collect();
            let planner = Arc::clone(&planner);
            tokio::spawn(async move {
                for address in asked {
                    timed(&planner, &address).await;
                }
            })
        });
        for share in join_all(shares.collect::<Vec<_>>()).await {
            share.expect("plans");
        }
        let rate = kept as f64 / start.elapsed().as_secs_f64();
        let grown = memory().map(|(what, kib)| {
            (what, kib - before.iter().find(|(other, _)| *other == what).map_or(0, |(_, kib)| *kib))
        });
        for (span, address) in warm.iter_mut().zip(self.scattered(0, kept).iter().cycle().step_by(7)) {
            *span = timed(&planner, address).await;
        }
        let [median, late] = quantiles(&mut warm);
        println!("  warm     p50 {median:8.2} µs  p99 {late:8.2} µs");
        println!("  at once  {rate:.0} cold plans/s");
        let octets = |kib: i64| kib * 1024 / i64::try_from(kept).expect("a small number");
        let grown =
            grown.map(|(what, kib)| format!("{what} {} MiB, {} octets each", kib / 1024, octets(kib)));
        println!("  {kept} kept: {}", grown.join("; "));
    }

    fn print(&mut self) {
        let [median, late] = quantiles(&mut self.cold);
        println!("{} accounts in {} domains", self.accounts, self.domains());
        println!("  cold     p50 {median:8.1} µs  p99 {late:8.1} µs");
    }
}

async fn timed(planner: &Planner, address: &Address) -> Duration {
    let start = Instant::now();
    let planned = planner.plan(address).await.expect("an answer");
    let span = start.elapsed();
    let Planned::Found(branches) = planned else { panic!("{address} was not found") };
    let steps = branches.iter().flat_map(|branch| branch.plan.steps());
    assert_eq!(steps.filter_map(|step| step.problem()).next(), None, "a step of {address} cannot run");
    span
}

/// What this process holds, in KiB.
fn memory() -> [(&'static str, i64); 2] {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("smaps_rollup");
    ["Rss", "Pss"].map(|what| {
        let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        (what, kib.expect("a number of KiB"))
    })
}

/// The median and the 99th of a hundred, in microseconds.
fn quantiles(spans: &mut [Duration]) -> [f64; 2] {
    spans.sort();
    [spans.len() / 2, spans.len() * 99 / 100]
        .map(|at| spans.get(at).expect("samples").as_nanos() as f64 / 1000.0)
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_filling = arguments.iter().any(|argument| argument == "--fill");
    let is_keeping = arguments.iter().any(|argument| argument == "--kept");
    arguments.retain(|argument| !argument.starts_with("--"));
    let mut sites: Vec<Site> = arguments.into_iter().map(Site::new).collect();
    assert!(!sites.is_empty(), "give the URLs of databases, such as postgres://root@localhost/scale_1000");
    if is_keeping {
        for site in &sites {
            site.measure_kept().await;
        }
        return;
    }
    if is_filling {
        for site in &sites {
            site.fill().await;
        }
    }
    for round in 0..ROUNDS {
        for site in &mut sites {
            site.measure_cold(round).await;
        }
    }
    for site in &mut sites {
        site.print();
        // In a process of its own: the memory that this one has freed would hide what the plans take.
        let program = std::env::current_exe().expect("the program's own path");
        let status = Command::new(program).args(["--kept", &site.url]).status();
        assert!(status.expect("it runs again").success(), "the measurement of kept plans failed");
    }
}
