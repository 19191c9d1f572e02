//! A process that sends outgoing mail is killed again and again: nothing is lost, and only what the server had
//! taken at the moment of a kill is sent twice.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at that spot")]

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pigeon_backends::outbox::smtp::Smtp;
use pigeon_backends::outbox::{Outbox, OutboxStatus, OutboxStore as _, Pace};
use pigeon_backends::state::sqlite::SqliteState;
use pigeon_backends::state::{Mode, StateOptions};
use pigeon_core::clock::Clock;
use pigeon_core::ports::state::{State as _, StateChanges};
use pigeon_core::timestamp::Timestamp;
use pigeon_testkit::contracts::state::entry;
use pigeon_testkit::peers::SmtpSink;

/// Starts this test binary again as another process, in `directory`, to run one of its ignored tests.
fn start(test: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The time of day, as another process sees it too.
struct RealClock(Instant);

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "two processes need the same time")]
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap())
    }
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
    fn sleep(&self, span: Duration) -> futures_util::future::BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(span))
    }
}

const CHILD_PACE: Pace = Pace {
    poll: Duration::from_millis(50),
    lease: Duration::from_millis(800),
    first_wait: Duration::from_millis(100),
    longest_wait: Duration::from_secs(1),
    give_up: Duration::from_secs(3600),
    at_once: 5,
    grace: Duration::from_secs(1),
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs until it is killed: started by the test of kills"]
async fn child_that_sends_until_it_is_killed() {
    let clock = Arc::new(RealClock(Instant::now()));
    let state = SqliteState::open(StateOptions::new(std::env::current_dir().unwrap(), clock)).unwrap();
    let port = std::fs::read_to_string("port").unwrap_or_default().parse().unwrap_or(0);
    let smtp = Arc::new(Smtp::new("127.0.0.1", port, "mx.example.org"));
    // Ends by itself when the test that started it is gone.
    std::thread::spawn(|| {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        std::process::exit(0);
    });
    let outbox = Outbox::with_submit(Arc::new(state), smtp, "mx.example.org".into(), CHILD_PACE);
    outbox.run(std::future::pending()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_is_killed_again_and_again_loses_nothing() {
    const ENTRIES: usize = 200;
    let directory = tempfile::tempdir().unwrap();
    let sink = SmtpSink::smtp().unwrap();
    std::fs::write(directory.path().join("port"), sink.port().to_string()).unwrap();
    let clock = Arc::new(RealClock(Instant::now()));
    let options = StateOptions::new(directory.path(), Arc::clone(&clock) as _);
    let state = SqliteState::open(options.with_mode(Mode::OneShot)).unwrap();
    let staged = (0..ENTRIES)
        .map(|n| entry(&format!("key-{n}"), "sender@example.net", "away@example.com").unwrap())
        .collect();
    state.stage(staged, clock.now()).await.unwrap();
    let released = (0..ENTRIES).map(|n| format!("key-{n}")).collect();
    state.commit(StateChanges { released, ..StateChanges::default() }, clock.now()).await.unwrap();

    let mut kills = 0_u64;
    let began = Instant::now();
    while kills < 15 && sink.messages().len() < ENTRIES {
        let mut child = start("child_that_sends_until_it_is_killed", directory.path());
        let before = sink.messages().len();
        let wanted = before + 5;
        drop(sink.wait_for(wanted, Duration::from_secs(5)));
        std::thread::sleep(Duration::from_micros(kills * 650));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let mut child = start("child_that_sends_until_it_is_killed", directory.path());
    let count_sent = async || state.entries(Some(OutboxStatus::Sent), u32::MAX).await.unwrap().len();
    while count_sent().await < ENTRIES {
        assert!(began.elapsed() < Duration::from_secs(60), "{} of {ENTRIES} are sent", count_sent().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let mut times: HashMap<String, usize> = HashMap::new();
    for message in sink.messages() {
        *times.entry(message.text().lines().next().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(times.len(), ENTRIES, "every entry arrived");
    // Sent again at most: what the server had taken at the moment of a kill and was not noted yet.
    let again: usize = times.values().map(|count| count - 1).sum();
    assert!(again <= usize::try_from(kills).unwrap() * CHILD_PACE.at_once, "{again} in {kills} kills");
    assert!(kills >= 5, "the test killed {kills} times");
}
