//! Mail for mailboxes of other nodes, handed over to them by LMTP over connections that are kept.
//!
//! Source: RFC 2033; the name of this node goes with each message as the attribute `NODE` of XFORWARD, which the
//! other node offers to peers that it trusts. A node that does not trust this one is handed nothing.

mod lmtp;
mod places;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pigeon_core::clock::Clock;
use pigeon_core::fault::Reply;
use pigeon_core::ports::handover::{HandOver, Parcel, unreachable_node};
use tokio::time::Instant;

use self::lmtp::{Connection, Trouble};
use self::places::Places;
use crate::state::nodes::Nodes;

/// How many connections to one node wait for the next message at most.
const KEPT_CONNECTIONS: usize = 16;
/// A connection that waited longer is not used again: the other side may have hung up.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// How long a node that could not be reached is left alone.
const REST: Duration = Duration::from_secs(2);

/// Hands mail over to the nodes in the registry.
pub struct LmtpHandOver {
    here: String,
    hello: String,
    places: Places,
    clock: Arc<dyn Clock>,
    idle: Mutex<HashMap<String, Vec<Idle>>>,
    /// Nodes that could not be reached, and when to try them again.
    resting: Mutex<HashMap<String, Instant>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl LmtpHandOver {
    /// Hands over on behalf of the node `here`, whose host says `hello`; the registry tells where the others are.
    #[must_use]
    pub fn new(here: String, hello: String, nodes: Arc<dyn Nodes>, clock: Arc<dyn Clock>) -> Self {
        let places = Places::new(nodes, hello.clone());
        Self { here, hello, places, clock, idle: Mutex::default(), resting: Mutex::default() }
    }

    /// A connection that was kept, if there is one that is young enough.
    fn kept(&self, node: &str) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.get_mut(node)?;
        connections.retain(|idle| idle.since.elapsed() < KEPT_FOR);
        connections.pop().map(|idle| idle.connection)
    }

    fn keep(&self, node: &str, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let connections = idle.entry(node.to_owned()).or_default();
        if connections.len() < KEPT_CONNECTIONS {
            connections.push(Idle { connection, since: Instant::now() });
        }
    }

    async fn connect(&self, node: &str) -> Result<Connection, Trouble> {
        let now = Instant::now();
        let until = self.resting.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied();
        if until.is_some_and(|until| until > now) {
            return Err(Trouble::Unreachable("it could not be reached a moment ago".to_owned()));
        }
        let connected = match self.places.of(node).await {
            Ok(places) => lmtp::connect(&places, &self.hello).await,
            Err(trouble) => Err(trouble),
        };
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        match &connected {
            Err(Trouble::Unreachable(_)) => resting.insert(node.to_owned(), now + REST),
            _ => resting.remove(node),
        };
        connected
    }

    async fn deliver(&self, node: &str, parcel: &Parcel<'_>) -> Result<Vec<Result<String, Reply>>, Trouble> {
        if let Some(mut connection) = self.kept(node) {
            match connection.deliver(&self.here, parcel, &*self.clock).await {
                // The other side hung up while the connection waited: nothing was said yet.
                Err(Trouble::Stale) => {}
                other => return self.finish(node, connection, other),
            }
        }
        let mut connection = self.connect(node).await?;
        let answers = connection.deliver(&self.here, parcel, &*self.clock).await;
        self.finish(node, connection, answers)
    }

    fn finish<T>(
        &self,
        node: &str,
        connection: Connection,
        answers: Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        if answers.is_ok() {
            self.keep(node, connection);
        }
        answers
    }
}

#[async_trait]
impl HandOver for LmtpHandOver {
    fn here(&self) -> &str {
        &self.here
    }

    async fn hand_over(&self, node: &str, parcel: Parcel<'_>) -> Vec<Result<String, Reply>> {
        let trouble = match self.deliver(node, &parcel).await {
            Ok(answers) => return answers,
            Err(trouble) => trouble,
        };
        tracing::error!("{}: node {node} was not handed the mail: {trouble}", parcel.transaction.id);
        let reply = match trouble {
            Trouble::Refused(reply) => reply,
            Trouble::Unreachable(_) | Trouble::Stale => unreachable_node(),
        };
        parcel.recipients.iter().map(|_| Err(reply.clone())).collect()
    }
}
