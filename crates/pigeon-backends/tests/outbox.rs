//! The outbox against an SMTP server inside the test: refusals, retries, notices and leases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails at that spot")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pigeon_backends::outbox::smtp::{Patience, Smtp};
use pigeon_backends::outbox::{
    Flushed, Outbox, OutboxConfig, OutboxRecord, OutboxStatus, OutboxStore as _, Outgoing, Pace, PostWeb,
    Posting, Refusal, Submit, Which,
};
use pigeon_backends::state::sqlite::SqliteState;
use pigeon_backends::state::{Mode, StateOptions};
use pigeon_core::clock::Clock as _;
use pigeon_core::headers::HeaderEdits;
use pigeon_core::message::Message;
use pigeon_core::ports::state::{OutboxContent, OutboxEntry, State as _, StateChanges};
use pigeon_testkit::contracts::state::entry;
use pigeon_testkit::memory::TestClock;
use pigeon_testkit::peers::{SinkStage, SmtpSink};

const SENDER: &str = "sender@example.net";
const AWAY: &str = "away@example.com";
const FLUSHED: Flushed = Flushed { sent: 0, deferred: 0, failed: 0 };

/// A State with an outbox that sends to a sink.
struct Site {
    directory: tempfile::TempDir,
    clock: Arc<TestClock>,
    state: Arc<SqliteState>,
    sink: SmtpSink,
    outbox: Outbox,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::default());
        let options = StateOptions::new(directory.path(), Arc::clone(&clock) as _).with_mode(Mode::OneShot);
        let state = Arc::new(SqliteState::open(options).unwrap());
        let sink = SmtpSink::smtp().unwrap();
        let submit = format!("smtp://127.0.0.1:{}", sink.port());
        let config = OutboxConfig { submit, hello: "mx.example.org".into() };
        let outbox = Outbox::new(Arc::clone(&state) as _, &config).unwrap();
        Self { directory, clock, state, sink, outbox }
    }

    async fn release(&self, entries: Vec<OutboxEntry>) {
        let released = entries.iter().map(|entry| entry.key.clone()).collect();
        self.state.stage(entries, self.clock.now()).await.unwrap();
        let changes = StateChanges { released, ..StateChanges::default() };
        self.state.commit(changes, self.clock.now()).await.unwrap();
    }

    async fn flush(&self) -> Flushed {
        self.outbox.flush_once(Which::Due).await.unwrap()
    }

    async fn list(&self) -> Vec<OutboxRecord> {
        self.state.entries(None, 100).await.unwrap()
    }

    async fn record(&self, key: &str) -> OutboxRecord {
        self.list().await.into_iter().find(|record| record.key == key).unwrap()
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("outbox")).unwrap().count()
    }
}

fn redirect(key: &str, text: &str) -> OutboxEntry {
    let message = Arc::new(Message::from_bytes(text.to_owned()));
    let mut edits = HeaderEdits::default();
    edits.prepend("Delivered-To", "user@example.org");
    let head = edits.render(message.head());
    OutboxEntry { content: OutboxContent::Message { head, message }, ..entry(key, SENDER, AWAY).unwrap() }
}

#[tokio::test]
async fn what_is_released_is_sent_once_and_what_is_held_is_not() {
    let site = Site::new();
    site.state.stage(vec![entry("held", SENDER, AWAY).unwrap()], site.clock.now()).await.unwrap();
    let mail = "Subject: dots\n\n.\n..two\nümlaut\nno end";
    site.release(vec![redirect("k", mail)]).await;
    for _ in 0..2 {
        // The MTA's retry of the same mail.
        site.release(vec![redirect("k", mail)]).await;
        site.flush().await;
    }
    let [taken] = &site.sink.messages()[..] else { panic!("not once: {:?}", site.sink.messages()) };
    assert_eq!(
        taken.text(),
        "Delivered-To: user@example.org\r\nSubject: dots\r\n\r\n.\r\n..two\r\nümlaut\r\nno end\r\n"
    );
    assert_eq!((taken.sender.as_str(), &taken.recipients[..]), (SENDER, &[AWAY.to_owned()][..]));
    assert_eq!(
        taken.parameters,
        format!("SIZE={} BODY=8BITMIME", taken.data.len() - 2),
        "but for the last line end"
    );
    assert_eq!(site.record("k").await.status, OutboxStatus::Sent);
    assert_eq!(site.record("held").await.status, OutboxStatus::Held);
    assert_eq!(site.files(), 1, "the content that was sent is deleted");
}

#[tokio::test]
async fn addresses_outside_ascii_need_smtputf8() {
    let site = Site::new();
    site.release(vec![entry("k", "jürgen@example.org", "grün@example.net").unwrap()]).await;
    assert_eq!(site.flush().await, Flushed { sent: 1, ..FLUSHED });
    let messages = site.sink.messages();
    assert!(messages[0].parameters.ends_with(" SMTPUTF8"), "{}", messages[0].parameters);
    assert_eq!(messages[0].recipients, ["grün@example.net"]);
}

#[tokio::test]
async fn a_large_message_is_streamed_byte_for_byte() {
    let site = Site::new();
    let lines = (0..150_000).map(|n| format!(".{n} {}\n", "x".repeat(n % 60)));
    let text = std::iter::once("Subject: large\n\n".to_owned()).chain(lines).collect::<String>();
    site.release(vec![redirect("k", &text)]).await;
    assert_eq!(site.flush().await, Flushed { sent: 1, ..FLUSHED });
    let expect = format!("Delivered-To: user@example.org\r\n{}", text.replace('\n', "\r\n"));
    assert!(site.sink.messages()[0].data == expect.as_bytes());
}

#[tokio::test]
async fn a_temporary_failure_is_tried_again_later_and_later() {
    let site = Site::new();
    site.release(vec![redirect("k", "Subject: x\n\n")]).await;
    let stages = [SinkStage::Sender, SinkStage::Recipient, SinkStage::End];
    let mut waits = Vec::new();
    for stage in stages {
        site.sink.fail_next(stage, 1, "451 4.3.0 try later");
        assert_eq!(site.flush().await, Flushed { deferred: 1, ..FLUSHED }, "{stage:?}");
        assert_eq!(site.flush().await, FLUSHED, "it is not due yet");
        let record = site.record("k").await;
        assert_eq!(record.last_error, "451 4.3.0 try later");
        let wait = record.next_attempt.since(site.clock.now());
        site.clock.advance(wait);
        waits.push(wait.as_secs());
    }
    for (wait, expect) in waits.iter().zip([30, 60, 120]) {
        assert!((expect * 8 / 10..=expect * 12 / 10).contains(wait), "{waits:?}");
    }
    assert_eq!(site.flush().await, Flushed { sent: 1, ..FLUSHED });
    assert_eq!(site.sink.messages().len(), 1);
    assert_eq!(site.record("k").await.attempts, 4);
}

#[tokio::test]
async fn a_permanent_failure_is_told_to_the_sender() {
    let site = Site::new();
    site.sink.refuse(AWAY, "550 5.1.1 no such user");
    site.release(vec![redirect("k", "Subject: original\nFrom: a@example.net\n\nsecret body\n")]).await;
    assert_eq!(site.flush().await, Flushed { failed: 1, sent: 1, ..FLUSHED });
    let [notice] = &site.sink.messages()[..] else { panic!("{:?}", site.sink.messages()) };
    assert_eq!((notice.sender.as_str(), &notice.recipients[..]), ("", &[SENDER.to_owned()][..]));
    let text = notice.text();
    assert!(
        text.contains("\r\nFinal-Recipient: rfc822; away@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n")
    );
    assert!(text.contains("\r\nSubject: original\r\n") && !text.contains("secret body"));
    assert_eq!(site.record("k").await.last_error, "550 5.1.1 no such user");
    assert_eq!(site.flush().await, FLUSHED, "there is one notice");
}

#[tokio::test]
async fn the_null_sender_gets_no_notice() {
    let site = Site::new();
    site.sink.refuse(AWAY, "550 5.1.1 no such user");
    site.release(vec![entry("k", "", AWAY).unwrap()]).await;
    assert_eq!(site.flush().await, Flushed { failed: 1, ..FLUSHED });
    assert_eq!(site.flush().await, FLUSHED);
    assert!(site.sink.messages().is_empty());
}

#[tokio::test]
async fn after_five_days_an_entry_is_given_up() {
    let site = Site::new();
    site.release(vec![redirect("k", "Subject: x\n\n")]).await;
    let began = site.clock.now();
    let mut attempts = 0;
    loop {
        site.sink.fail_next(SinkStage::Recipient, 1, "450 4.2.0 busy");
        let flushed = site.flush().await;
        attempts += 1;
        if flushed.failed == 1 {
            break;
        }
        assert_eq!(flushed.deferred, 1);
        let wait = site.record("k").await.next_attempt.since(site.clock.now());
        assert!(wait <= Duration::from_secs(4 * 3600 * 12 / 10), "{wait:?}");
        site.clock.advance(wait);
    }
    let days = site.clock.now().since(began).as_secs_f64() / 86_400.0;
    assert!((5.0..5.5).contains(&days) && attempts > 25, "{attempts} attempts in {days} days");
    assert!(site.record("k").await.last_error.contains("450 4.2.0 busy"));
    assert!(site.sink.messages()[0].text().contains("\r\nStatus: 5.4.7\r\n"));
}

#[tokio::test]
async fn administrators_look_retry_and_cancel() {
    let site = Site::new();
    site.sink.refuse(AWAY, "550 5.1.1 no such user");
    let (first, second) = (entry("first", "", AWAY).unwrap(), entry("second", "", "b@example.com").unwrap());
    site.release(vec![first, second.clone()]).await;
    let admin = &site.state;
    let waiting = admin.entries(Some(OutboxStatus::Ready), 10).await.unwrap();
    assert_eq!(waiting.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert!(admin.cancel(waiting[1].id).await.unwrap());
    assert!(!admin.cancel(waiting[1].id).await.unwrap(), "it has ended");
    assert!(!admin.retry(waiting[1].id).await.unwrap(), "its content is gone");
    assert_eq!(site.flush().await, Flushed { failed: 1, ..FLUSHED });
    assert!(admin.retry(waiting[0].id).await.unwrap());
    site.sink.refuse(AWAY, "551 5.1.6 has moved");
    site.release(vec![second]).await;
    assert_eq!(site.flush().await, Flushed { failed: 1, ..FLUSHED });
    let first = site.record("first").await;
    assert_eq!((first.last_error.as_str(), first.attempts), ("551 5.1.6 has moved", 1), "tried anew");
    assert_eq!(site.record("second").await.status, OutboxStatus::Cancelled, "a retry does not bring it back");
    assert!(!admin.cancel(4711).await.unwrap());
}

#[tokio::test]
async fn only_the_asked_keys_are_sent() {
    let site = Site::new();
    site.release(vec![entry("a", "", AWAY).unwrap(), entry("b", "", AWAY).unwrap()]).await;
    let asked = Which::Keys(vec!["b".into(), "unknown".into()]);
    assert_eq!(site.outbox.flush_once(asked.clone()).await.unwrap(), Flushed { sent: 1, ..FLUSHED });
    assert_eq!(site.outbox.flush_once(asked).await.unwrap(), FLUSHED);
    assert!(site.sink.messages()[0].text().starts_with("Subject: b\r\n"));
}

#[tokio::test]
async fn a_connection_lost_behind_the_dot_is_tried_again() {
    let site = Site::new();
    site.release(vec![redirect("k", "Subject: x\n\n")]).await;
    site.sink.drop_next(1);
    assert_eq!(site.flush().await, Flushed { deferred: 1, ..FLUSHED });
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(site.flush().await, Flushed { sent: 1, ..FLUSHED });
    // The server kept it without saying so: SMTP cannot tell, and twice is better than never (RFC 1047).
    assert_eq!(site.sink.messages().len(), 2);
}

#[tokio::test]
async fn a_silent_or_missing_server_is_a_temporary_failure() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let short = Duration::from_millis(50);
    let patience = Patience { connect: short, command: short, data: short, block: short, finish: short };
    let smtp = Smtp::new("127.0.0.1", port, "mx.example.org").with_patience(patience);
    let hello = "mx.example.org".into();
    let outbox = Outbox::with_submit(Arc::clone(&site.state) as _, Arc::new(smtp), hello, Pace::default());
    site.release(vec![redirect("k", "Subject: x\n\n")]).await;
    assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), Flushed { deferred: 1, ..FLUSHED });
    assert!(site.record("k").await.last_error.contains("no answer"));
    drop(listener);
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), Flushed { deferred: 1, ..FLUSHED });
    assert!(site.record("k").await.last_error.contains("cannot be reached"));
}

#[tokio::test]
async fn servers_without_extensions_and_unwilling_ones_are_spoken_to() {
    let site = Site::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let (mut said, mut stream) = (Vec::new(), stream);
        let mut say = |text: &str| stream.write_all(text.as_bytes()).unwrap();
        say("220-old\r\n220 server\r\n");
        for reply in ["502 what\r\n", "250 hi\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n"] {
            said.push(lines.next().unwrap().unwrap());
            say(reply);
        }
        while lines.next().unwrap().unwrap() != "." {}
        say("250 taken\r\n");
        let (stream, _) = listener.accept().unwrap();
        (&stream).write_all(b"554 no mail from you\r\n").unwrap();
        said
    });
    let config = OutboxConfig { submit: format!("smtp://127.0.0.1:{port}"), hello: "mx.example.org".into() };
    let outbox = Outbox::new(Arc::clone(&site.state) as _, &config).unwrap();
    site.release(vec![redirect("k", "Subject: ü\n\n")]).await;
    assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), Flushed { sent: 1, ..FLUSHED });
    site.release(vec![redirect("l", "Subject: x\n\n")]).await;
    assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), Flushed { deferred: 1, ..FLUSHED });
    let said = server.join().unwrap();
    let expect = [
        "EHLO mx.example.org",
        "HELO mx.example.org",
        "MAIL FROM:<sender@example.net>",
        "RCPT TO:<away@example.com>",
        "DATA",
    ];
    assert_eq!(said, expect);
}

#[tokio::test]
async fn the_sendmail_command_gets_the_mail_and_its_exit_code_counts() {
    let site = Site::new();
    let command = site.directory.path().join("sendmail");
    let script = |exit: u32| {
        let text =
            format!("#!/bin/sh\necho \"$@\" > args\ncat > content\necho >&2 some complaint\nexit {exit}\n")
                .replace("args", &site.directory.path().join("args").display().to_string())
                .replace("> content", &format!("> {}", site.directory.path().join("content").display()));
        std::fs::write(&command, text).unwrap();
        std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let config = OutboxConfig { submit: format!("sendmail:{}", command.display()), hello: String::new() };
    let outbox = Outbox::new(Arc::clone(&site.state) as _, &config).unwrap();
    let read = |name: &str| std::fs::read_to_string(site.directory.path().join(name)).unwrap();

    script(75);
    site.release(vec![redirect("k", "Subject: x\n\n.\nend\n")]).await;
    assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), Flushed { deferred: 1, ..FLUSHED });
    assert!(site.record("k").await.last_error.ends_with("some complaint"));
    script(0);
    site.clock.advance(Duration::from_secs(60));
    assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), Flushed { sent: 1, ..FLUSHED });
    assert_eq!(read("args"), "-i -f sender@example.net -- away@example.com\n");
    assert_eq!(read("content"), "Delivered-To: user@example.org\nSubject: x\n\n.\nend\n");
    script(67);
    site.release(vec![entry("null", "", AWAY).unwrap()]).await;
    assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), Flushed { failed: 1, ..FLUSHED });
    assert_eq!(read("args"), "-i -f <> -- away@example.com\n");
    std::fs::remove_file(&command).unwrap();
    site.release(vec![entry("missing", "", AWAY).unwrap()]).await;
    assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), Flushed { deferred: 1, ..FLUSHED });
}

/// A way out that takes its time, for tests of leases.
struct Slow(Duration);

#[async_trait]
impl Submit for Slow {
    async fn submit(&self, _: &Outgoing) -> Result<String, Refusal> {
        tokio::time::sleep(self.0).await;
        Ok("250 taken".into())
    }
}

#[tokio::test]
async fn a_lease_is_renewed_and_one_that_ended_is_taken_over() {
    let site = Site::new();
    site.release(vec![redirect("k", "Subject: x\n\n")]).await;
    let pace = Pace { lease: Duration::from_millis(200), ..Pace::default() };
    let slow = |span| {
        let store = Arc::clone(&site.state) as _;
        Outbox::with_submit(store, Arc::new(Slow(span)), "mx.example.org".into(), pace)
    };
    let sending = slow(Duration::from_millis(500));
    let other = async {
        // The first process would have lost the entry by now if it did not renew its lease.
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            site.clock.advance(Duration::from_millis(100));
            assert_eq!(site.flush().await, FLUSHED);
        }
    };
    let (sent, ()) = tokio::join!(sending.flush_once(Which::Due), other);
    assert_eq!(sent.unwrap(), Flushed { sent: 1, ..FLUSHED });

    site.release(vec![redirect("l", "Subject: x\n\n")]).await;
    let dying = slow(Duration::from_secs(3600));
    let died = tokio::time::timeout(Duration::from_millis(100), dying.flush_once(Which::Due)).await;
    assert!(died.is_err());
    assert_eq!(site.flush().await, FLUSHED, "the lease of the process that died holds for a while");
    site.clock.advance(Duration::from_millis(201));
    assert_eq!(site.flush().await, Flushed { sent: 1, ..FLUSHED });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_sends_at_once_what_it_releases_and_soon_what_others_do() {
    let directory = tempfile::tempdir().unwrap();
    let open = |mode| {
        let options = StateOptions::new(directory.path(), Arc::new(TestClock::default())).with_mode(mode);
        Arc::new(SqliteState::open(options).unwrap())
    };
    let (server, other, sink) = (open(Mode::Server), open(Mode::OneShot), SmtpSink::smtp().unwrap());
    let run = |poll: Duration| {
        let smtp = Arc::new(Smtp::new("127.0.0.1", sink.port(), "mx.example.org"));
        let pace = Pace { poll, ..Pace::default() };
        let outbox = Outbox::with_submit(Arc::clone(&server) as _, smtp, "mx.example.org".into(), pace);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        (stop, tokio::spawn(async move { outbox.run(async { drop(stopped.await) }).await }))
    };
    let release = async |state: &SqliteState, key: &str| {
        let now = TestClock::default().now();
        state.stage(vec![entry(key, SENDER, AWAY).unwrap()], now).await.unwrap();
        let changes = StateChanges { released: vec![key.into()], ..StateChanges::default() };
        state.commit(changes, now).await.unwrap();
    };
    // It does not look by itself within this test: only a release wakes it.
    let (stop, running) = run(Duration::from_secs(3600));
    tokio::time::sleep(Duration::from_millis(100)).await;
    for n in 0..20 {
        release(&server, &format!("own-{n}")).await;
    }
    assert_eq!(sink.wait_for(20, Duration::from_secs(30)).len(), 20);
    stop.send(()).unwrap();
    running.await.unwrap();
    let (stop, running) = run(Duration::from_millis(100));
    tokio::time::sleep(Duration::from_millis(50)).await;
    release(&other, "foreign").await;
    assert_eq!(sink.wait_for(21, Duration::from_secs(30)).len(), 21);
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(sink.messages().len(), 21);
}

/// A server that fails, then takes what it gets.
#[derive(Default)]
struct Server {
    seen: std::sync::Mutex<Vec<Posting>>,
}

#[async_trait]
impl PostWeb for Server {
    async fn post(&self, posting: Posting) -> Result<String, Refusal> {
        let mut seen = self.seen.lock().unwrap();
        seen.push(posting);
        if seen.len() == 1 { Err(Refusal::Temporary("it answered 500".into())) } else { Ok("taken".into()) }
    }
}

#[tokio::test]
async fn what_is_for_a_server_goes_there_and_not_to_the_mta() {
    const URL: &str = "https://hooks.example.net/mail";
    let site = Site::new();
    site.release(vec![entry("web", "", URL).unwrap()]).await;
    assert_eq!(site.flush().await, Flushed { deferred: 1, ..FLUSHED }, "nobody posts in this process");
    let server = Arc::new(Server::default());
    let submit = Arc::new(Smtp::new("127.0.0.1", site.sink.port(), "mx.example.org"));
    let pace = Pace::default();
    let outbox = Outbox::with_submit(Arc::clone(&site.state) as _, submit, "mx.example.org".into(), pace);
    let outbox = outbox.with_web(Arc::clone(&server) as _);
    for expect in [Flushed { deferred: 1, ..FLUSHED }, Flushed { sent: 1, ..FLUSHED }, FLUSHED] {
        site.clock.advance(Duration::from_secs(24 * 3600));
        assert_eq!(outbox.flush_once(Which::Due).await.unwrap(), expect);
    }
    let seen = server.seen.lock().unwrap();
    let [first, second] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((first, first.url.as_str(), first.key.as_str()), (second, URL, "web"));
    assert_eq!(first.body, b"Subject: web\n\nbody of web\n");
    assert!(site.sink.messages().is_empty());
}
