//! A whole agent in memory whose recipients end in every possible way, and what was handed to it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::clock::Clock as _;
use pigeon_core::delivery::Delivery;
use pigeon_core::directory::Status;
use pigeon_core::effect::Flags;
use pigeon_core::envelope::{Envelope, Named, Transaction};
use pigeon_core::fault::{Fault, Reply};
use pigeon_core::folder::Folder;
use pigeon_core::message::Message;
use pigeon_core::outcome::Next;
use pigeon_core::plan::Recipient;
use pigeon_core::ports::spool::Spool;
use pigeon_core::receipt::Receipt;
use pigeon_core::service::{Descriptor, NoConfig, Service, Stage, Tools};
use pigeon_frontends::lmtp::{Deliver, LmtpLimits, Reception};
use pigeon_testkit::memory::{MailboxFailure, World};

/// Decides by the name of the account.
struct ByName;

impl Service for ByName {
    const NAME: &'static str = "byname";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = NoConfig;

    fn open(_: NoConfig, _: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    async fn handle(&self, _: &NoConfig, delivery: &mut Delivery) -> Result<Next, Fault> {
        match delivery.account_address().local() {
            "refuse" => Ok(Next::Reject(Reply::new(554, (5, 7, 1), "Not wanted"))),
            "lost" => Ok(Next::Discard("not wanted".to_owned())),
            "fault" => Err(Fault::temporary("the service is broken")),
            "panic" => panic!("the service has a bug"),
            _ => {
                delivery.store(Folder::inbox(), Flags::default());
                Ok(Next::Continue)
            }
        }
    }
}

/// What reached the core.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The envelope in one line.
    pub(crate) envelope: String,
    /// The message's octets.
    pub(crate) octets: Vec<u8>,
}

/// The core's part, with a look at what it is given.
pub(crate) struct PostOffice {
    pub(crate) world: World,
    pub(crate) seen: Mutex<Vec<Seen>>,
    /// How long each delivery takes.
    pub(crate) delay: Duration,
}

impl PostOffice {
    pub(crate) fn new() -> Self {
        let world = World::new(&[Descriptor::of::<ByName>()]);
        for name in ["ann", "bob", "full", "refuse", "lost", "fault", "panic", "suspended", "jürgen", "a b"]
        {
            let address = pigeon_core::address::Address::from_parts(name, "example.org".parse().unwrap());
            world.account(&address.unwrap().to_string());
        }
        world.account("postmaster@mx.example.org").set("system", "byname.enabled", true);
        world.status("suspended@example.org", Status::Suspended);
        world.failure("full@example.org", Some(MailboxFailure::Full));
        Self { world, seen: Mutex::default(), delay: Duration::ZERO }
    }

    pub(crate) fn last(&self) -> Option<Seen> {
        self.seen.lock().unwrap().last().cloned()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// A reception over this post office.
pub(crate) fn reception(
    office: &Arc<PostOffice>,
    spool: Arc<dyn Spool>,
    limits: LmtpLimits,
) -> Arc<Reception> {
    let clock = Arc::clone(&office.world.clock) as _;
    Arc::new(Reception::new(Arc::clone(office) as _, spool, clock, "mx.example.org".into(), limits))
}

#[async_trait]
impl Deliver for PostOffice {
    async fn admit(&self, named: Named, transaction: &Arc<Transaction>) -> Result<Recipient, Reply> {
        self.world.agent.admit(named, transaction).await
    }

    async fn deliver(&self, envelope: &Envelope, message: Arc<Message>) -> Vec<Arc<Receipt>> {
        let seen = Seen { envelope: describe(envelope, &message), octets: octets(&message) };
        self.seen.lock().unwrap().push(seen);
        if !self.delay.is_zero() {
            self.world.clock.sleep(self.delay).await;
        }
        self.world.agent.deliver(envelope, message).await
    }
}

fn octets(message: &Message) -> Vec<u8> {
    let mut all = message.head().to_vec();
    let mut buffer = vec![0; 65536];
    let mut offset = 0;
    loop {
        let count = message.read_body(offset, &mut buffer).unwrap();
        if count == 0 {
            assert_eq!(all.len() as u64, message.size());
            return all;
        }
        all.extend_from_slice(&buffer[..count]);
        offset += count as u64;
    }
}

fn describe(envelope: &Envelope, message: &Message) -> String {
    let Transaction { sender, origin, parameters, .. } = &*envelope.transaction;
    let recipients: Vec<String> = envelope
        .recipients
        .iter()
        .map(|recipient| match &recipient.original {
            Some(original) => format!("{}({original})", recipient.address),
            None => recipient.address.to_string(),
        })
        .collect();
    let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let address = |address: Option<IpAddr>| address.map_or_else(|| "-".to_owned(), |known| known.to_string());
    let mut words = vec![format!(
        "from=<{sender}> to=<{}> helo={} name={} address={}{} ident={} with={}",
        recipients.join(","),
        shown(&origin.helo),
        shown(&origin.client_name),
        address(origin.client_address),
        origin.peer_address.map_or_else(String::new, |known| format!(" peer={known}")),
        shown(&origin.queue_id),
        origin.protocol.unwrap_or("-"),
    )];
    if parameters.envelope_id.is_some() || parameters.ret.is_some() {
        words.push(format!("envid={} ret={}", shown(&parameters.envelope_id), shown(&parameters.ret)));
    }
    words.extend(parameters.size.map(|size| format!("size={size}")));
    words.extend(message.is_binary().then(|| "binary".to_owned()));
    words.join(" ")
}
