//! Concurrent load over LMTP by clients that behave as an MTA does: what is not acknowledged is sent again.
//!
//! Every message carries its name, its length and a checksum, so that a file in a Maildir says by itself whether it is
//! complete; the ledger says how often each should be there.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pigeon_testkit::peers::{MailClient, Reply};

use crate::node::{Node, Stored, body_of, stored_in};

/// How many messages one group of commands holds (RFC 2920).
const PIPELINED: usize = 3;
/// How many messages a client sends before it connects anew.
const PER_CONNECTION: usize = 12;
/// How long clients go on after the stop to get the rest through.
const DRAIN: Duration = Duration::from_secs(30);

/// Pseudo-random numbers (xorshift64*): a test prints its seed, nothing more is asked of them.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// Starts from somewhere, and says where.
    pub(crate) fn any() -> Self {
        let seed = RandomState::new().hash_one(0);
        println!("seed {seed}");
        Self::new(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    /// A number from `low` up to, not including, `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }
}

/// FNV-1a, 64 bits.
fn checksum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A message that can tell whether it is complete; lines end in LF.
pub(crate) fn checked_message(id: &str, size: u64, random: &mut Random) -> String {
    let mut body = String::new();
    while (body.len() as u64) < size {
        // Lines of every length, some empty, some starting with a dot, some not ASCII.
        let start = ["", ".", "From ", "é"][usize::try_from(random.between(0, 4)).unwrap()];
        let length = usize::try_from(random.between(0, 76)).unwrap();
        writeln!(body, "{start}{:.length$}", format!("{:x}", random.next()).repeat(6)).unwrap();
    }
    format!(
        "From: Load <load@example.net>\nSubject: load\nMessage-ID: <{id}@load.example.net>\n\
         X-Load: {id} {} {:016x}\n\n{body}",
        body.len(),
        checksum(body.as_bytes())
    )
}

/// The name of a message made by [`checked_message`], if it is complete; else what is wrong with it.
pub(crate) fn check_message(bytes: &[u8]) -> Result<String, String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len() - body_of(bytes).len()]).into_owned();
    let line = head.lines().find_map(|line| line.strip_prefix("X-Load: "));
    let line = line.ok_or_else(|| format!("{} octets without X-Load", bytes.len()))?;
    let mut words = line.split(' ').map(str::to_owned);
    let (id, size, sum) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let body = body_of(bytes);
    if body.len().to_string() != size {
        return Err(format!("{id} has {} of {size} octets", body.len()));
    }
    if format!("{:016x}", checksum(body)) != sum {
        return Err(format!("{id} has a wrong checksum"));
    }
    Ok(id)
}

/// What clients know about one message for one recipient.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fate {
    /// Whether it was acknowledged.
    pub(crate) is_acknowledged: bool,
    /// How often its data was sent without a reply that came back.
    pub(crate) unanswered: u32,
    /// How often it was put off with a 4xx.
    pub(crate) deferred: u32,
}

/// Message and recipient.
pub(crate) type Key = (String, String);

/// What clients know about everything that they sent.
pub(crate) type Ledger = BTreeMap<Key, Fate>;

/// Running clients.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    sockets: Vec<PathBuf>,
    recipients: Vec<String>,
    largest: u64,
    is_stopping: AtomicBool,
    is_abandoned: AtomicBool,
    count: AtomicU64,
    ledger: Mutex<Ledger>,
    /// Replies that no client should ever get.
    wrong: Mutex<Vec<String>>,
    /// Greetings and replies with 421.
    closings: AtomicU64,
}

/// One message on its way to the recipients that it still needs.
#[derive(Debug, Clone)]
struct Item {
    id: String,
    message: String,
    recipients: Vec<String>,
}

impl Load {
    /// Starts so many clients of one server.
    pub(crate) fn start(socket: &Path, recipients: &[String], clients: u64, largest: u64) -> Self {
        Self::start_on(&[socket.to_owned()], recipients, clients, largest)
    }

    /// Starts so many clients of several servers; each takes the next one for its next connection, and when one fails.
    pub(crate) fn start_on(sockets: &[PathBuf], recipients: &[String], clients: u64, largest: u64) -> Self {
        let shared = Arc::new(Shared {
            sockets: sockets.to_vec(),
            recipients: recipients.to_vec(),
            largest,
            is_stopping: AtomicBool::new(false),
            is_abandoned: AtomicBool::new(false),
            count: AtomicU64::new(0),
            ledger: Mutex::default(),
            wrong: Mutex::default(),
            closings: AtomicU64::new(0),
        });
        let threads = (0..clients)
            .map(|client| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || Client::new(&shared, client).run())
            })
            .collect();
        Self { shared, threads }
    }

    /// How many copies are acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.shared.ledger.lock().unwrap().values().filter(|fate| fate.is_acknowledged).count()
    }

    /// How often a connection was closed with 421.
    pub(crate) fn closings(&self) -> u64 {
        self.shared.closings.load(Ordering::Relaxed)
    }

    /// No new messages: clients send what is not acknowledged until it is, and end.
    pub(crate) fn finish(self) -> Ledger {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        self.end()
    }

    /// Clients end as they are; what is not acknowledged stays so.
    pub(crate) fn abandon(self) -> Ledger {
        self.shared.is_abandoned.store(true, Ordering::Relaxed);
        self.end()
    }

    fn end(self) -> Ledger {
        for thread in self.threads {
            thread.join().unwrap();
        }
        let wrong = self.shared.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
        self.shared.ledger.lock().unwrap().clone()
    }
}

struct Client<'a> {
    shared: &'a Shared,
    random: Random,
    next_socket: usize,
    connection: Option<(MailClient, usize)>,
    backlog: VecDeque<Item>,
}

impl<'a> Client<'a> {
    fn new(shared: &'a Shared, number: u64) -> Self {
        let random = Random::new(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let next_socket = usize::try_from(number).unwrap();
        Self { shared, random, next_socket, connection: None, backlog: VecDeque::new() }
    }

    fn run(mut self) {
        let mut stopping_since = None;
        loop {
            let is_stopping = self.shared.is_stopping.load(Ordering::Relaxed);
            let is_drained = is_stopping
                && (self.backlog.is_empty()
                    || stopping_since.get_or_insert_with(Instant::now).elapsed() > DRAIN);
            if is_drained || self.shared.is_abandoned.load(Ordering::Relaxed) {
                return;
            }
            if !self.connect() {
                std::thread::sleep(Duration::from_millis(3));
                continue;
            }
            while !is_stopping && self.backlog.len() < PIPELINED {
                let item = self.invent();
                self.backlog.push_back(item);
            }
            let count = usize::try_from(self.random.between(1, PIPELINED as u64 + 1)).unwrap();
            let group: Vec<Item> = self.backlog.drain(..count.min(self.backlog.len())).collect();
            self.send(group);
        }
    }

    fn invent(&mut self) -> Item {
        let id = format!("m{}", self.shared.count.fetch_add(1, Ordering::Relaxed));
        let largest = self.shared.largest;
        // Mostly small, sometimes as large as they come.
        let size = match self.random.between(0, 8) {
            0 => self.random.between(1024, largest),
            _ => self.random.between(1024, largest.min(12 * 1024)),
        };
        let message = checked_message(&id, size, &mut self.random);
        let all = self.shared.recipients.len() as u64;
        let (first, count) = (self.random.between(0, all), self.random.between(1, 4).min(all));
        let at = |step: u64| self.shared.recipients[usize::try_from((first + step) % all).unwrap()].clone();
        Item { id, message, recipients: (0..count).map(at).collect() }
    }

    fn connect(&mut self) -> bool {
        if self.connection.as_ref().is_some_and(|(_, sent)| *sent < PER_CONNECTION) {
            return true;
        }
        self.connection = None;
        let socket = &self.shared.sockets[self.next_socket % self.shared.sockets.len()];
        self.next_socket += 1;
        let Ok(mut client) = MailClient::lmtp_unix(socket) else { return false };
        self.count_closing(client.greeting());
        if client.greeting().code != 220 || client.hello().is_err() {
            return false;
        }
        self.connection = Some((client, 0));
        true
    }

    /// Sends a group of messages, each one's envelope behind the data of the one before (RFC 2920 §3.1).
    fn send(&mut self, group: Vec<Item>) {
        let Some((mut client, sent)) = self.connection.take() else { return };
        let mut waiting: Option<(Item, Vec<String>)> = None;
        let mut items = group.into_iter();
        let is_alive = loop {
            let next = items.next();
            let mut bytes = Vec::new();
            if let Some((item, _)) = &waiting {
                bytes.extend(on_the_wire(&item.message));
            }
            if let Some(item) = &next {
                bytes.extend(envelope(item).into_bytes());
            }
            let is_written = client.write(&bytes).is_ok();
            if let Some((item, accepted)) = waiting.take()
                && !self.read_outcomes(&mut client, item, &accepted)
            {
                self.backlog.extend(next);
                break false;
            }
            let Some(item) = next else { break is_written };
            match self.read_envelope(&mut client, &item) {
                Some(accepted) if accepted.is_empty() => self.backlog.push_back(item),
                Some(accepted) => waiting = Some((item, accepted)),
                None => {
                    self.backlog.push_back(item);
                    break false;
                }
            }
        };
        self.backlog.extend(items);
        if is_alive {
            self.connection = Some((client, sent + PIPELINED));
        }
    }

    /// The recipients that were accepted; none if the connection is gone. Without any, DATA was refused.
    fn read_envelope(&self, client: &mut MailClient, item: &Item) -> Option<Vec<String>> {
        let mut accepted = Vec::new();
        self.read(client).filter(Reply::is_positive)?;
        for recipient in &item.recipients {
            let reply = self.read(client)?;
            if reply.is_positive() {
                accepted.push(recipient.clone());
            } else {
                self.note_refusal(item, recipient, &reply);
            }
        }
        let go_ahead = self.read(client)?;
        (go_ahead.code == 354 || accepted.is_empty()).then_some(accepted)
    }

    /// Reads a reply for each recipient and remembers what to send again; false if the connection is gone.
    fn read_outcomes(&mut self, client: &mut MailClient, item: Item, accepted: &[String]) -> bool {
        let mut again: Vec<String> =
            item.recipients.iter().filter(|recipient| !accepted.contains(recipient)).cloned().collect();
        let mut is_alive = true;
        for recipient in accepted {
            let reply = if is_alive { self.read(client) } else { None };
            let mut ledger = self.shared.ledger.lock().unwrap();
            let fate = ledger.entry((item.id.clone(), recipient.clone())).or_default();
            match &reply {
                Some(reply) if reply.is_positive() => fate.is_acknowledged = true,
                Some(reply) if reply.code != 421 => {
                    drop(ledger);
                    self.note_refusal(&item, recipient, reply);
                    again.push(recipient.clone());
                }
                _ => {
                    is_alive = false;
                    fate.unanswered += 1;
                    again.push(recipient.clone());
                }
            }
        }
        if !again.is_empty() {
            self.backlog.push_back(Item { recipients: again, ..item });
        }
        is_alive
    }

    fn note_refusal(&self, item: &Item, recipient: &str, reply: &Reply) {
        if !reply.is_temporary() {
            self.shared.wrong.lock().unwrap().push(format!("{} for {recipient}: {reply}", item.id));
        }
        let mut ledger = self.shared.ledger.lock().unwrap();
        ledger.entry((item.id.clone(), recipient.to_owned())).or_default().deferred += 1;
    }

    fn read(&self, client: &mut MailClient) -> Option<Reply> {
        let reply = client.reply().ok()?;
        self.count_closing(&reply);
        Some(reply)
    }

    fn count_closing(&self, reply: &Reply) {
        if reply.code == 421 {
            self.shared.closings.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn envelope(item: &Item) -> String {
    let mut text = format!("MAIL FROM:<load@example.net> BODY=8BITMIME SIZE={}\r\n", item.message.len());
    for recipient in &item.recipients {
        write!(text, "RCPT TO:<{recipient}>\r\n").unwrap();
    }
    text + "DATA\r\n"
}

/// Lines ending in CRLF, dots doubled (RFC 5321 §4.5.2), the final dot.
fn on_the_wire(message: &str) -> Vec<u8> {
    let mut wire = String::with_capacity(message.len() * 102 / 100 + 8);
    for line in message.lines() {
        if line.starts_with('.') {
            wire.push('.');
        }
        wire.push_str(line);
        wire.push_str("\r\n");
    }
    wire.push_str(".\r\n");
    wire.into_bytes()
}

/// How often each message lies in each account's INBOX. Panics if a file in `new/` or `cur/` is not complete.
pub(crate) fn count_copies(node: &Node, accounts: &[String]) -> BTreeMap<Key, u32> {
    let mut copies = BTreeMap::new();
    for account in accounts {
        for stored in stored_in(&node.maildir(account)) {
            let id = check_message(&stored.bytes)
                .unwrap_or_else(|what| panic!("{what}: {}", stored.path.display()));
            check_name(&stored);
            *copies.entry((id, account.clone())).or_insert(0) += 1;
        }
    }
    copies
}

/// The size in a Maildir++ file name is the file's own.
fn check_name(stored: &Stored) {
    let name = stored.path.file_name().unwrap().to_string_lossy().into_owned();
    let size = name.split([',', ':']).find_map(|part| part.strip_prefix("S="));
    assert_eq!(size, Some(stored.bytes.len().to_string().as_str()), "{name}");
}

/// Holds the Maildirs against what the clients know, and prints the counts.
///
/// # Panics
///
/// If an acknowledged message is missing, one is there more often than it was sent without an answer, or one is there
/// that nobody sent.
pub(crate) fn reconcile(ledger: &Ledger, copies: &BTreeMap<Key, u32>) {
    let mut lost = Vec::new();
    let mut superfluous = Vec::new();
    for (key, fate) in ledger {
        let count = copies.get(key).copied().unwrap_or(0);
        if fate.is_acknowledged && count == 0 {
            lost.push(key);
        }
        if count > u32::from(fate.is_acknowledged) + fate.unanswered {
            superfluous.push((key, fate, count));
        }
    }
    let strangers: Vec<_> = copies.keys().filter(|key| !ledger.contains_key(*key)).collect();
    let all: u32 = copies.values().sum();
    println!(
        "{} copies sent, {} acknowledged, {} attempts without an answer, {} deferrals; {all} stored, {} of them again",
        ledger.len(),
        ledger.values().filter(|fate| fate.is_acknowledged).count(),
        ledger.values().map(|fate| fate.unanswered).sum::<u32>(),
        ledger.values().map(|fate| fate.deferred).sum::<u32>(),
        copies.values().filter(|count| **count > 1).map(|count| count - 1).sum::<u32>(),
    );
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(superfluous.is_empty(), "there more often than explained: {superfluous:?}");
    assert!(strangers.is_empty(), "never sent: {strangers:?}");
}
