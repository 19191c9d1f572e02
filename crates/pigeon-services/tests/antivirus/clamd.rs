//! What a real clamd finds, drops and survives.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use base64::Engine as _;
use pigeon_core::message::{Message, MessageWriter};
use pigeon_core::ports::spool::{Spool, SpoolFile};
use pigeon_services::catalogue::SERVICES;
use pigeon_testkit::memory::{World, reason_of};
use pigeon_testkit::peers::{Clamd, ClamdOptions, Link, eicar, or_skip};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CARL: &str = "carl@example.org";
const DORA: &str = "dora@example.org";
const SAM: &str = "sam@example.net";
const LATER: &str = "451 4.7.1 The message cannot be checked now, try again later";
const FOUND: &str = "infected: Eicar-Test.UNOFFICIAL (";

fn mail(body: &str) -> String {
    format!("From: Sam <sam@example.net>\nTo: ann@example.org\nSubject: hi\n\n{body}\n")
}

/// The test virus as an attachment.
fn attached() -> String {
    let part = base64::engine::general_purpose::STANDARD.encode(eicar());
    format!(
        "From: Sam <sam@example.net>\nSubject: hi\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nsee there\n--b\nContent-Type: application/octet-stream\n\
         Content-Transfer-Encoding: base64\n\n{part}\n--b--\n"
    )
}

fn world(servers: &[String]) -> World {
    let world = World::new(SERVICES);
    world.account(ANN).set("system", "mailbox.enabled", true).set("system", "antivirus.enabled", true).set(
        "system",
        "antivirus.servers",
        servers.to_vec(),
    );
    world
}

/// Both addresses of a clamd.
fn addresses(clamd: &Clamd) -> [String; 2] {
    [format!("unix:{}", clamd.socket().display()), format!("tcp://127.0.0.1:{}", clamd.port())]
}

#[tokio::test(flavor = "multi_thread")]
async fn viruses_are_found_over_both_kinds_of_connection() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    for address in addresses(&clamd) {
        let world = world(std::slice::from_ref(&address));
        for (text, outcome, reason) in [
            (mail("hello"), "stored in INBOX", "clean ("),
            (mail(&eicar()), "stored in Quarantine", FOUND),
            (attached(), "stored in Quarantine", FOUND),
            (mail("hello again"), "stored in INBOX", "clean ("),
            // Nothing but a body, and nothing at all.
            (format!("\n{}", eicar()), "stored in Quarantine", FOUND),
            ("\n".to_owned(), "stored in INBOX", "clean ("),
        ] {
            let receipt = world.mail(SAM, ANN, &text).await;
            let why = reason_of(&receipt, "antivirus");
            assert_eq!(receipt.outcome.text(), outcome, "{address}: {why}: {text}");
            assert!(why.contains(reason) && why.contains(&address), "{why}");
        }
    }
    assert_eq!(clamd.scans(12), 12, "{}", clamd.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_gets_what_their_settings_say_by_one_scan() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let world = world(&addresses(&clamd));
    world.account(BOB).account(CARL).account(DORA);
    world.set(BOB, "antivirus.action", "tag").set(CARL, "antivirus.action", "reject").set(
        DORA,
        "antivirus.enabled",
        false,
    );
    let many: Vec<String> = (0..50).map(|number| format!("u{number}@example.org")).collect();
    for account in &many {
        world.account(account).set(account, "antivirus.action", "discard");
    }
    let mut recipients = vec![ANN, BOB, CARL, DORA];
    recipients.extend(many.iter().map(String::as_str));
    let receipts = world.deliver(SAM, &recipients, &mail(&eicar())).await;
    let outcomes: Vec<String> = receipts.iter().map(|receipt| receipt.outcome.text()).collect();
    let expect = [
        "stored in Quarantine",
        "stored in INBOX",
        "554 5.7.1 The message contains a virus",
        "stored in INBOX",
    ];
    assert_eq!(outcomes[..4], expect);
    assert!(outcomes[4..].iter().all(|outcome| outcome == "infected: Eicar-Test.UNOFFICIAL"), "{outcomes:?}");
    assert!(world.mails(BOB)[0].text.contains("X-Virus-Status: Infected (Eicar-Test.UNOFFICIAL)\n"));
    assert_eq!(clamd.scans(1), 1, "{}", clamd.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_that_stops_and_comes_back_costs_time_only() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    for address in addresses(&clamd) {
        let world = world(std::slice::from_ref(&address));
        let deliver = async || {
            let receipt = world.mail(SAM, ANN, &mail(&eicar())).await;
            (receipt.outcome.text(), reason_of(&receipt, "antivirus"))
        };
        assert_eq!(deliver().await.0, "stored in Quarantine");
        clamd.stop().unwrap();
        let (outcome, why) = deliver().await;
        assert_eq!(outcome, LATER, "{why}");
        assert!(why.contains(&format!("clamd at {address} cannot be reached: ")), "{why}");
        assert!(why.contains("is it running"), "{why}");
        world.set("system", "antivirus.when_down", "pass");
        assert_eq!(deliver().await.0, "stored in INBOX");
        // The session from before the stop is not used for what comes after.
        or_skip(clamd.restart()).unwrap();
        assert_eq!(deliver().await.0, "stored in Quarantine");
        world.set("system", "antivirus.when_down", "defer");
        // Restarted between two mails, which notice nothing.
        or_skip(clamd.restart()).unwrap();
        assert_eq!(deliver().await.0, "stored in Quarantine");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_that_hangs_is_left_alone_after_a_while() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let world = world(&addresses(&clamd)[..1]);
    world.set("system", "antivirus.answer_timeout_ms", 300).set("system", "antivirus.failures", 2).set(
        "system",
        "antivirus.rest_s",
        30,
    );
    let text = mail("hello");
    let why = async || reason_of(&*world.mail(SAM, ANN, &text).await, "antivirus");
    clamd.pause().unwrap();
    for _ in 0..2 {
        let why = why().await;
        assert!(why.contains("gave no answer within 300 ms: is it overloaded?"), "{why}");
    }
    let began = Instant::now();
    let resting = why().await;
    assert!(resting.contains("is left alone for a while"), "{resting}");
    assert!(began.elapsed() < Duration::from_millis(250), "nobody waits for it");
    clamd.resume().unwrap();
    world.set("system", "antivirus.answer_timeout_ms", 20_000);
    world.clock.advance(Duration::from_secs(31));
    let back = why().await;
    assert!(back.starts_with("clean ("), "{back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_scanner_steps_in() {
    let Some(first) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let Some(second) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let [away, well] = [&first, &second].map(|clamd| addresses(clamd)[0].clone());
    let world = world(&[away.clone(), well.clone()]);
    for is_running in [true, false, true] {
        if is_running {
            or_skip(first.restart()).unwrap();
        } else {
            first.stop().unwrap();
        }
        let receipt = world.mail(SAM, ANN, &mail(&eicar())).await;
        let expect = format!("{FOUND}{})", if is_running { &away } else { &well });
        assert!(reason_of(&receipt, "antivirus").starts_with(&expect), "{receipt:#?}");
    }
}

/// clamd says that a stream is too long, and ends the connection while we still send: often enough to see every way in
/// which the two can meet.
#[tokio::test(flavor = "multi_thread")]
async fn what_clamd_does_not_take_is_never_clean() {
    let options = ClamdOptions { stream_max_length: "2M".to_owned(), ..ClamdOptions::default() };
    let Some(clamd) = or_skip(Clamd::start(&options)) else { return };
    for address in addresses(&clamd) {
        let world = world(&[address]);
        for (number, mebibytes) in [3, 3, 24, 24, 3, 8, 24, 3].into_iter().enumerate() {
            let text = mail(&format!("{}{}", "x".repeat(mebibytes << 20), eicar()));
            let receipt = world.mail(SAM, ANN, &text).await;
            let why = reason_of(&receipt, "antivirus");
            assert!(why.starts_with("not scanned: "), "{number}: {why}");
            assert!(why.contains("StreamMaxLength of clamd"), "{number}: {why}");
            assert!(
                world.mails(ANN).last().unwrap().text.contains("X-Virus-Status: Unscanned (too large)\n")
            );
        }
        let receipt = world.mail(SAM, ANN, &mail(&eicar())).await;
        assert_eq!(receipt.outcome.text(), "stored in Quarantine", "what fits is scanned");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_share_few_connections() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let link = Link::start(clamd.port()).unwrap();
    let world = world(&[format!("tcp://127.0.0.1:{}", link.port())]);
    world.set("system", "antivirus.connections", 3);
    let texts: Vec<String> =
        (0..60).map(|number| mail(&if number % 2 == 0 { eicar() } else { number.to_string() })).collect();
    let receipts = futures_util::future::join_all(texts.iter().map(|text| world.mail(SAM, ANN, text))).await;
    for (number, receipt) in receipts.iter().enumerate() {
        let expect = ["stored in Quarantine", "stored in INBOX"][number % 2];
        assert_eq!(receipt.outcome.text(), expect, "{number}: {}", reason_of(receipt, "antivirus"));
    }
    assert_eq!((clamd.scans(60), link.accepted()), (60, 3));
}

/// A network that is cut in the middle of a message costs time only.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_network_makes_nothing_clean() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let link = Link::start(clamd.port()).unwrap();
    let world = world(&[format!("tcp://127.0.0.1:{}", link.port())]);
    world.set("system", "antivirus.answer_timeout_ms", 1500).set("system", "antivirus.failures", 0);
    let large = mail(&format!("{}{}", "x".repeat(20 << 20), eicar()));
    let deliver = async || reason_of(&*world.mail(SAM, ANN, &large).await, "antivirus");
    link.stall();
    let stalled = deliver().await;
    assert!(stalled.contains("gave no answer within 1500 ms"), "{stalled}");
    link.cut();
    let cut = deliver().await;
    assert!(cut.contains("cannot be reached") || cut.contains("ended the connection"), "{cut}");
    link.heal().unwrap();
    world.set("system", "antivirus.answer_timeout_ms", 20_000);
    let healed = deliver().await;
    assert!(healed.starts_with(FOUND), "{healed}");
}

/// Makes up a large message as it is read: what a spool file would hold. Counts who reads how much at once.
struct Endless {
    octets: u64,
    largest: Arc<AtomicUsize>,
    read: Arc<AtomicU64>,
    runtime: Vec<ThreadId>,
}

struct EndlessSpool(Arc<AtomicUsize>, Arc<AtomicU64>);

impl Spool for EndlessSpool {
    fn threshold(&self) -> u64 {
        1024
    }
    fn create(&self) -> io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(Endless {
            octets: 0,
            largest: Arc::clone(&self.0),
            read: Arc::clone(&self.1),
            runtime: vec![std::thread::current().id()],
        }))
    }
}

impl SpoolFile for Endless {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.octets += bytes.len() as u64;
        Ok(())
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(!self.runtime.contains(&std::thread::current().id()), "read on the runtime's own thread");
        let count = buffer.len().min(usize::try_from(self.octets - offset).unwrap());
        buffer[..count].fill(b'x');
        self.largest.fetch_max(count, Ordering::SeqCst);
        self.read.fetch_add(count as u64, Ordering::SeqCst);
        // The test virus stands at the very end.
        if offset + count as u64 == self.octets && count > 68 {
            buffer[count - 68..count].copy_from_slice(eicar().as_bytes());
        }
        Ok(count)
    }
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// On one thread: the one that reads the spool must be another.
#[tokio::test]
async fn a_spooled_message_is_streamed_in_pieces() {
    let Some(clamd) = or_skip(Clamd::start(&ClamdOptions::default())) else { return };
    let world = world(&addresses(&clamd)[..1]);
    world.set("system", "antivirus.max_octets", "40M").set("system", "antivirus.action", "discard");
    let (largest, read) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let spool = EndlessSpool(Arc::clone(&largest), Arc::clone(&read));
    let mut writer = MessageWriter::new(Arc::new(spool), u64::MAX, false);
    writer.write(b"Subject: large\n\n").unwrap();
    for _ in 0..30 {
        writer.write(&vec![b'x'; 1 << 20]).unwrap();
    }
    let message: Message = writer.finish();
    assert_eq!(message.body_size(), 30 << 20);
    let envelope = world.envelope(SAM, &[ANN]).await;
    let receipt = world.agent.deliver(&envelope, Arc::new(message)).await.remove(0);
    assert_eq!(receipt.outcome.text(), "infected: Eicar-Test.UNOFFICIAL", "{receipt:#?}");
    assert!(largest.load(Ordering::SeqCst) <= 256 * 1024, "in pieces");
    assert_eq!(read.load(Ordering::SeqCst), 30 << 20, "once");
}
