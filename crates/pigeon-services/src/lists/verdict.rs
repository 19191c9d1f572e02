//! Which entry of which list decides.

use std::net::IpAddr;

use pigeon_core::address::Address;
use pigeon_core::delivery::Delivery;
use serde_json::Value;

use super::entries::{Found, Specificity};
use super::{AllowNeeds, Entries, Precedence, Settings};
use crate::address_list;

/// How many addresses of the From field are compared.
const MAX_FROM_ADDRESSES: usize = 100;

/// What a list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Block,
    Allow,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Allow => "allow",
        }
    }
}

/// One of the lists.
pub(super) struct List<'a> {
    pub(super) key: &'static str,
    pub(super) entries: &'a Entries,
    verdict: Verdict,
    layer: &'static str,
    /// The larger, the further out.
    distance: u8,
}

/// An entry that matches.
pub(super) struct Hit<'a> {
    pub(super) verdict: Verdict,
    pub(super) entry: &'a str,
    pub(super) layer: &'static str,
    pub(super) key: &'static str,
    /// What it matches, in words.
    pub(super) what: String,
    specificity: Specificity,
    distance: u8,
}

/// The verdict, and which allow entries did not hold because nothing proves the sender.
pub(super) struct Judgement<'a> {
    pub(super) hit: Option<Hit<'a>>,
    pub(super) unproven: Vec<String>,
}

/// What a mail says of its sender.
enum Sender {
    Null,
    Envelope(Address),
    From(Address),
    Client(IpAddr),
    Anyone,
}

impl Sender {
    fn find<'a>(&self, entries: &'a Entries) -> Option<Found<'a>> {
        match self {
            Self::Null => entries.find_null_sender(),
            Self::Envelope(address) | Self::From(address) => entries.find_address(address),
            Self::Client(client) => entries.find_client(*client),
            Self::Anyone => entries.find_everyone(),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Null => "the null sender".to_owned(),
            Self::Envelope(address) => format!("the sender {address}"),
            Self::From(address) => format!("the From address {address}"),
            Self::Client(client) => format!("the client {client}"),
            Self::Anyone => "everyone".to_owned(),
        }
    }
}

/// What `authentication` found out about the senders that a mail names.
struct Proof<'a> {
    needs: AllowNeeds,
    spf: Option<&'a str>,
    is_from_verified: bool,
    is_from_alone: bool,
}

impl Proof<'_> {
    fn holds(&self, sender: &Sender) -> bool {
        match (sender, self.needs) {
            (Sender::Client(_) | Sender::Anyone, _) | (_, AllowNeeds::Nothing) => true,
            // RFC 7489 §6.6.1: of several From addresses none can be told to be the author.
            (Sender::From(_), _) => self.is_from_verified && self.is_from_alone,
            (Sender::Null | Sender::Envelope(_), AllowNeeds::Pass) => self.spf == Some("pass"),
            (Sender::Null | Sender::Envelope(_), AllowNeeds::NoFail) => {
                !matches!(self.spf, Some("fail" | "softfail"))
            }
        }
    }
}

impl Settings {
    /// All lists, the innermost first.
    pub(super) fn lists(&self) -> [List<'_>; 6] {
        let list = |key, entries, verdict, layer, distance| List { key, entries, verdict, layer, distance };
        [
            list("allow", &self.allow, Verdict::Allow, "account", 0),
            list("block", &self.block, Verdict::Block, "account", 0),
            list("domain_allow", &self.domain_allow, Verdict::Allow, "domain", 1),
            list("domain_block", &self.domain_block, Verdict::Block, "domain", 1),
            list("system_allow", &self.system_allow, Verdict::Allow, "system", 2),
            list("system_block", &self.system_block, Verdict::Block, "system", 2),
        ]
    }
}

/// Holds a mail against all lists.
pub(super) fn judge<'a>(settings: &'a Settings, delivery: &Delivery) -> Judgement<'a> {
    let (mut hits, mut unproven) = (Vec::new(), Vec::new());
    let senders = senders(settings, delivery);
    let from_count = senders.iter().filter(|sender| matches!(sender, Sender::From(_))).count();
    let proof = Proof {
        needs: settings.allow_needs,
        spf: delivery.fact("auth.spf").and_then(Value::as_str),
        is_from_verified: delivery.fact("auth.from_verified") == Some(&Value::Bool(true)),
        is_from_alone: from_count == 1,
    };
    for list in settings.lists().into_iter().filter(|list| !list.entries.is_empty()) {
        for sender in &senders {
            let Some((entry, specificity)) = sender.find(list.entries) else { continue };
            if list.verdict == Verdict::Allow && !proof.holds(sender) {
                unproven.push(format!("{entry} allows {}, but nothing proves it", sender.name()));
                continue;
            }
            let List { key, verdict, layer, distance, .. } = list;
            hits.push(Hit { verdict, entry, layer, key, what: sender.name(), specificity, distance });
        }
    }
    Judgement { hit: choose(settings.precedence, hits), unproven }
}

/// The hit that counts. Of equal ones it is the user's, then the domain's: the receipt names the nearest.
fn choose(precedence: Precedence, hits: Vec<Hit<'_>>) -> Option<Hit<'_>> {
    hits.into_iter().rev().max_by_key(|hit| {
        let imposed = match precedence {
            Precedence::Specific => 0,
            Precedence::Outer => hit.distance,
        };
        (imposed, hit.specificity, hit.verdict, u8::MAX - hit.distance)
    })
}

fn senders(settings: &Settings, delivery: &Delivery) -> Vec<Sender> {
    let envelope = delivery.sender().address().cloned();
    let mut senders = vec![envelope.map_or(Sender::Null, Sender::Envelope)];
    if settings.header_from {
        let fields = delivery.message().fields().filter(|field| field.name.eq_ignore_ascii_case("From"));
        let addresses = fields.flat_map(|field| address_list::addresses(&field.value()));
        senders.extend(addresses.take(MAX_FROM_ADDRESSES).map(Sender::From));
    }
    senders.extend(client_of(delivery).map(Sender::Client));
    senders.push(Sender::Anyone);
    senders
}

/// The client, as `authentication` found it, also behind relays of the site's own, or as the MTA passed it on.
fn client_of(delivery: &Delivery) -> Option<IpAddr> {
    let told = delivery.fact("auth.client").and_then(Value::as_str).and_then(|text| text.parse().ok());
    told.or(delivery.transaction().origin.client_address)
}
