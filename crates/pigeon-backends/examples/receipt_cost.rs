//! Measures what keeping receipts costs: `cargo run --release -p pigeon-backends --example receipt_cost`.
//!
//! Prints the CPU time of the whole process for each receipt, first without keeping them (making them costs
//! something, too), then with, at 5,000 receipts per second over 100,000 recipients.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use pigeon_backends::state::StateOptions;
use pigeon_backends::state::sqlite::SqliteState;
use pigeon_core::clock::Clock;
use pigeon_core::outcome::Outcome;
use pigeon_core::ports::state::State as _;
use pigeon_core::receipt::{BranchRecord, Receipt, StepRecord};
use pigeon_core::timestamp::Timestamp;

const PER_SECOND: u64 = 5_000;
const RECIPIENTS: u64 = 100_000;
const SECONDS: u64 = 10;

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

fn receipt(n: u64, at: Timestamp) -> Receipt {
    let outcome = Outcome::Delivered { what: "stored in INBOX".to_owned() };
    // A fixed walk over the recipients that visits all of them in no order.
    let recipient = format!("user{}@example.org", n.wrapping_mul(7_919) % RECIPIENTS);
    let step = |service: &str| StepRecord {
        service: service.to_owned(),
        decision: "continue".to_owned(),
        reason: "nothing to do".to_owned(),
        because: vec![format!("{service}.enabled=true (system)")],
        duration_us: 12,
    };
    Receipt {
        id: format!("0193{n:012x}"),
        at,
        is_dry_run: false,
        sender: "sender@example.net".to_owned(),
        recipient: recipient.clone(),
        message_id: format!("{:016x}.{n}@mail.example.net", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        size: 4096,
        outcome: outcome.clone(),
        branches: vec![BranchRecord {
            target: recipient,
            outcome,
            steps: ["quota", "subaddress", "vacation", "mailbox", "commit"].map(step).to_vec(),
        }],
        duration_us: 1234,
        snapshot_age_ms: None,
    }
}

/// CPU seconds of this process so far, user and system: fields 14 and 15 of proc(5) stat, in 1/100 s.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u32 =
        behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    f64::from(ticks) / 100.0
}

/// Microseconds of CPU for each receipt.
fn run(clock: &dyn Clock, state: Option<&SqliteState>, first: u64) -> f64 {
    let (began, before) = (Instant::now(), cpu_seconds());
    for tick in 0..SECONDS * 100 {
        for n in 0..PER_SECOND / 100 {
            let made = Arc::new(receipt(first + tick * PER_SECOND / 100 + n, clock.now()));
            if let Some(state) = state {
                state.record(&[made]);
            }
        }
        let due = Duration::from_millis(10 * (tick + 1));
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
    if let Some(state) = state {
        state.close();
    }
    (cpu_seconds() - before) * 1e6 / (SECONDS * PER_SECOND) as f64
}

fn octets(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[expect(clippy::print_stdout, reason = "a measurement is for reading")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir_in(".")?;
    let clock = Arc::new(RealClock(Instant::now()));
    let making = run(&*clock, None, 0);
    println!("making receipts:            {making:6.1} µs of CPU each");
    for round in 0..5 {
        let state = SqliteState::open(StateOptions::new(directory.path(), Arc::clone(&clock) as _))?;
        let keeping = run(&*clock, Some(&state), (round + 1) * SECONDS * PER_SECOND);
        let file = octets(&directory.path().join("receipts.sqlite"));
        println!(
            "keeping them, round {round}:      {:6.1} µs of CPU each; the file has {} octets for each",
            keeping - making,
            file / ((round + 1) * SECONDS * PER_SECOND)
        );
    }
    Ok(())
}
