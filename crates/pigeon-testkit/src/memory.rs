//! The ports in memory, and [`World`]: a whole agent over them in a few lines.
//!
//! ```
//! # use pigeon_core::service::Descriptor;
//! use pigeon_testkit::memory::World;
//! # async fn example(services: &'static [Descriptor]) {
//! let world = World::new(services);
//! world.account("ann@example.org").set("system", "mailbox.enabled", true);
//! let receipt = world.mail("bob@example.net", "ann@example.org", "Subject: hi\n\nhello\n").await;
//! assert_eq!(receipt.outcome.text(), "stored in INBOX");
//! assert_eq!(world.mails("ann@example.org").len(), 1);
//! # }
//! ```

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test whose world cannot be made, or that names what is not there, fails at that spot"
)]

mod clock;
mod directory;
mod mailstore;
mod nodes;
mod state;

use std::fmt::Display;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pigeon_core::address::{Address, DomainName, ReversePath};
use pigeon_core::agent::Agent;
use pigeon_core::delivery::Ports;
use pigeon_core::directory::{AliasPattern, Place, Status};
use pigeon_core::envelope::{Envelope, MailParameters, Named, Origin, Transaction};
use pigeon_core::fault::Reply;
use pigeon_core::folder::Folder;
use pigeon_core::headers::RenderedHead;
use pigeon_core::message::Message;
use pigeon_core::plan::Recipient;
use pigeon_core::planner::Planner;
use pigeon_core::ports::mailstore::{MailboxPath, Usage};
use pigeon_core::ports::spool::NoSpool;
use pigeon_core::receipt::Receipt;
use pigeon_core::service::{Catalogue, Descriptor, Tools};
use pigeon_core::setting::{Content, Pin, Range};
use pigeon_core::timestamp::Timestamp;
use serde_json::Value;

pub use clock::TestClock;
pub use directory::{MemoryDirectory, setting};
pub use mailstore::{MailboxFailure, MemoryMailStore, StoredMail};
pub use nodes::MemoryNodes;
pub use state::{MemoryState, Outgoing, StatePart};

/// The host name that a [`World`]'s agent has.
pub const HOSTNAME: &str = "mx.example.org";

/// An agent over ports in memory, with short ways to fill them and to look at them.
///
/// Places are written as text: `system`, a domain's name, or an account's address.
pub struct World {
    /// Domains, accounts, aliases, settings.
    pub directory: Arc<MemoryDirectory>,
    /// Service memory, outbox, receipts.
    pub state: Arc<MemoryState>,
    /// Mailboxes.
    pub mailstore: Arc<MemoryMailStore>,
    /// The other nodes; this one is called `here`.
    pub nodes: Arc<MemoryNodes>,
    /// The time.
    pub clock: Arc<TestClock>,
    /// The agent.
    pub agent: Arc<Agent>,
    transactions: AtomicU64,
}

impl World {
    /// An empty world whose agent knows these services, in this order.
    #[must_use]
    pub fn new(services: &[Descriptor]) -> Self {
        let directory = Arc::new(MemoryDirectory::default());
        let state = Arc::new(MemoryState::default());
        let mailstore = Arc::new(MemoryMailStore::default());
        let nodes = Arc::new(MemoryNodes::default());
        let clock = Arc::new(TestClock::default());
        let tools =
            Tools { clock: Arc::clone(&clock) as _, hostname: HOSTNAME.into(), spool: Arc::new(NoSpool) };
        let catalogue = Arc::new(Catalogue::new(services, tools));
        let planner = Planner::new(Arc::clone(&directory) as _, catalogue);
        let ports = Ports {
            state: Arc::clone(&state) as _,
            mailstore: Arc::clone(&mailstore) as _,
            hand_over: Arc::clone(&nodes) as _,
            clock: Arc::clone(&clock) as _,
        };
        let agent = Arc::new(Agent::new(planner, ports));
        Self { directory, state, mailstore, nodes, clock, agent, transactions: AtomicU64::new(0) }
    }

    /// An account without a person's name; its domain is made with the first one in it.
    pub fn account(&self, address: &str) -> &Self {
        self.person(address, "")
    }

    /// An account of a person with a name.
    pub fn person(&self, address: &str, name: &str) -> &Self {
        self.directory.add_account(&read(address), name);
        self.forget()
    }

    /// An alias: `sales@example.org`, `sales-*@example.org` or the catch-all `*@example.org`.
    pub fn alias(&self, pattern: &str, targets: &[&str]) -> &Self {
        let targets = targets.iter().map(|target| read(target)).collect();
        self.directory.add_alias(read::<AliasPattern>(pattern), targets);
        self.forget()
    }

    /// Suspends, resumes or removes an account.
    pub fn status(&self, address: &str, status: Status) -> &Self {
        self.directory.set_status(&read(address), status);
        self.forget()
    }

    /// Writes a setting (`service.key`); it must be one that the catalogue accepts there.
    pub fn set(&self, place: &str, name: &str, value: impl Into<Value>) -> &Self {
        self.write(place, name, &Content::Value(value.into()), (Pin::None, None)).forget()
    }

    /// Writes a setting with the pin of its layer: a domain's for a domain, the system's elsewhere.
    pub fn pin(&self, place: &str, name: &str, value: impl Into<Value>) -> &Self {
        self.write(place, name, &Content::Value(value.into()), (pin_of(place), None)).forget()
    }

    /// The same with a pin that lapses.
    pub fn pin_until(&self, place: &str, name: &str, value: impl Into<Value>, until: Timestamp) -> &Self {
        self.write(place, name, &Content::Value(value.into()), (pin_of(place), Some(until))).forget()
    }

    /// Writes a range with the pin of its layer.
    pub fn range(&self, place: &str, name: &str, range: Range) -> &Self {
        self.write(place, name, &Content::Range(range), (pin_of(place), None)).forget()
    }

    /// Writes a setting as another process would: the agent has to find out through the change feed.
    pub fn set_elsewhere(&self, place: &str, name: &str, value: impl Into<Value>) -> &Self {
        self.write(place, name, &Content::Value(value.into()), (Pin::None, None))
    }

    fn write(&self, place: &str, name: &str, content: &Content, pin: (Pin, Option<Timestamp>)) -> &Self {
        let place = place_of(place);
        let name = read(name);
        let refused = self.agent.planner().catalogue().validate(place.layer(), &name, content);
        if let Err(why) = refused {
            panic!("the catalogue refuses it: {why}");
        }
        let content = self.agent.planner().catalogue().normalised(&name, content);
        let mut setting = setting(&place, name, content, pin.0);
        setting.until = pin.1;
        if let Err(why) = self.directory.set(&place, setting) {
            panic!("{why}");
        }
        self
    }

    /// Says what is in an account's mailbox already.
    pub fn usage(&self, address: &str, octets: u64, messages: u64) -> &Self {
        self.mailstore.set_usage(&mailbox(address), Usage { octets, messages });
        self
    }

    /// Makes a folder in an account's mailbox.
    pub fn folder(&self, address: &str, folder: &str) -> &Self {
        let folder = Folder::parse(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
        self.mailstore.add_folder(&mailbox(address), folder);
        self
    }

    /// Makes an account's mailbox fail, or (with none) work again.
    pub fn failure(&self, address: &str, failure: Option<MailboxFailure>) -> &Self {
        self.mailstore.set_failure(&mailbox(address), failure);
        self
    }

    fn forget(&self) -> &Self {
        self.agent.planner().forget();
        self
    }

    /// A transaction with an id of its own, as if it came by LMTP.
    #[must_use]
    pub fn transaction(&self, sender: &str, announced_size: Option<u64>) -> Arc<Transaction> {
        let number = self.transactions.fetch_add(1, Ordering::SeqCst) + 1;
        Arc::new(Transaction {
            id: format!("test-{number}"),
            sender: ReversePath::parse(sender).unwrap_or_else(|error| panic!("{sender}: {error}")),
            origin: Origin { helo: Some("client".to_owned()), protocol: Some("LMTP"), ..Origin::default() },
            parameters: MailParameters { size: announced_size, ..MailParameters::default() },
        })
    }

    /// What `RCPT TO` gets.
    ///
    /// # Errors
    /// The reply that refuses the recipient.
    pub async fn admit(&self, recipient: &str, transaction: &Arc<Transaction>) -> Result<Recipient, Reply> {
        self.agent.admit(Named { address: read(recipient), original: None }, transaction).await
    }

    /// An envelope whose recipients were all admitted.
    pub async fn envelope(&self, sender: &str, recipients: &[&str]) -> Envelope {
        let transaction = self.transaction(sender, None);
        let mut admitted = Vec::new();
        for recipient in recipients {
            let reply = self.admit(recipient, &transaction).await;
            admitted.push(reply.unwrap_or_else(|reply| panic!("{recipient} is not admitted: {reply}")));
        }
        Envelope { transaction, recipients: admitted }
    }

    /// Delivers a message (lines ended by LF) to several recipients; all must be admitted.
    pub async fn deliver(&self, sender: &str, recipients: &[&str], message: &str) -> Vec<Arc<Receipt>> {
        let envelope = self.envelope(sender, recipients).await;
        self.agent.deliver(&envelope, Arc::new(Message::from_bytes(message.to_owned()))).await
    }

    /// Delivers a message to one recipient.
    pub async fn mail(&self, sender: &str, recipient: &str, message: &str) -> Arc<Receipt> {
        self.deliver(sender, &[recipient], message).await.pop().expect("one recipient makes one receipt")
    }

    /// A dry run for one recipient.
    pub async fn rehearse(&self, sender: &str, recipient: &str, message: &str) -> Arc<Receipt> {
        let envelope = self.envelope(sender, &[recipient]).await;
        let message = Arc::new(Message::from_bytes(message.to_owned()));
        self.agent.rehearse(&envelope, message).await.pop().expect("one recipient makes one receipt")
    }

    /// What lies in an account's mailbox.
    #[must_use]
    pub fn mails(&self, address: &str) -> Vec<StoredMail> {
        self.mailstore.mails(&mailbox(address))
    }

    /// The folders of the messages in an account's mailbox, in the order in which they came.
    #[must_use]
    pub fn folders(&self, address: &str) -> Vec<String> {
        self.mails(address).iter().map(|mail| mail.folder.to_string()).collect()
    }

    /// What went out.
    #[must_use]
    pub fn sent(&self) -> Vec<Outgoing> {
        self.state.sent()
    }
}

/// The reason that a service gave in a receipt's first branch; empty when it did not run.
#[must_use]
pub fn reason_of(receipt: &Receipt, service: &str) -> String {
    let steps = receipt.branches.first().map(|branch| branch.steps.as_slice()).unwrap_or_default();
    steps.iter().find(|step| step.service == service).map(|step| step.reason.clone()).unwrap_or_default()
}

/// The settings that decided a step of a receipt's first branch: `mailbox.folder=INBOX (system)`.
#[must_use]
pub fn because_of(receipt: &Receipt, service: &str) -> Vec<String> {
    let steps = receipt.branches.first().map(|branch| branch.steps.as_slice()).unwrap_or_default();
    steps.iter().find(|step| step.service == service).map(|step| step.because.clone()).unwrap_or_default()
}

fn read<T>(text: &str) -> T
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn mailbox(address: &str) -> MailboxPath {
    directory::mailbox_of(&read::<Address>(address))
}

fn place_of(text: &str) -> Place {
    match text {
        "system" => Place::System,
        _ if text.contains('@') => Place::Account(read(text)),
        name => Place::Domain(name.to_owned()),
    }
}

fn pin_of(place: &str) -> Pin {
    match place_of(place) {
        Place::Domain(_) => Pin::Domain,
        Place::System | Place::Account(_) => Pin::System,
    }
}

fn example_domain() -> DomainName {
    read("example.org")
}

/// A whole message as text: its head and everything behind it.
fn text_of(head: &RenderedHead, message: &Message) -> String {
    let mut all = [head.prefix.as_ref(), head.head.as_ref()].concat();
    let mut buffer = vec![0; 64 * 1024];
    let mut offset = 0;
    loop {
        let count = message.read_body(offset, &mut buffer).expect("the message is in memory");
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else { break };
        all.extend_from_slice(piece);
        offset += count as u64;
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
