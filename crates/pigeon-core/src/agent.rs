//! The walk of a message: recipients are admitted, services walk, effects are committed, receipts go out.
//!
//! ```text
//! admit ──▶ walk (each recipient's steps) ──▶ commit (all that are ready, together) ──▶ settle ──▶ notify
//! ```
//! [`settle`] is the only place where an [`Outcome`] is made.

mod archive;
mod commit;
mod elsewhere;
mod notice;
mod settle;
mod trace;
mod twins;
mod walk;

use std::sync::Arc;

use futures_util::StreamExt as _;

use crate::address::Address;
use crate::delivery::Ports;
use crate::directory::Status;
use crate::envelope::{Envelope, Named, Transaction};
use crate::fault::Reply;
use crate::journal;
use crate::message::Message;
use crate::outcome::Outcome;
use crate::plan::{Branch, BranchTarget, Planned, Recipient};
use crate::planner::Planner;
use crate::ports::directory::DirectoryError;
use crate::receipt::Receipt;
use crate::service::{Stage, Tools};
use walk::Walked;

/// How many branches of one message walk at the same time.
const CONCURRENT_WALKS: usize = 16;

/// Takes messages from front-ends and delivers them.
pub struct Agent {
    planner: Planner,
    ports: Ports,
}

/// Everything that belongs to one message while it is delivered.
struct Job<'a> {
    transaction: &'a Arc<Transaction>,
    message: &'a Arc<Message>,
    /// All of its recipients; none while they are still being named.
    recipients: Arc<[Address]>,
    /// Whether several copies are made, which then had better be alike.
    has_several: bool,
    is_dry_run: bool,
}

impl Agent {
    /// An agent over a directory's planner and the other ports.
    #[must_use]
    pub fn new(planner: Planner, ports: Ports) -> Self {
        Self { planner, ports }
    }

    /// The planner, for commands that explain.
    #[must_use]
    pub fn planner(&self) -> &Planner {
        &self.planner
    }

    fn tools(&self) -> &Tools {
        self.planner.catalogue().tools()
    }

    /// Looks a recipient up, builds its plan and asks the services of the Admit stage.
    ///
    /// # Errors
    /// The reply for `RCPT TO`: 550 when nobody has the address, 451 when nothing is known because the
    /// directory is down, or whatever an Admit service says.
    pub async fn admit(&self, named: Named, transaction: &Arc<Transaction>) -> Result<Recipient, Reply> {
        let recipient = self.plan(named, transaction).await?;
        self.ask_admission(&recipient, transaction).await?;
        Ok(recipient)
    }

    /// Looks a recipient up and builds its plan, without asking the Admit services: for front-ends that have
    /// the whole message already. The walk asks them then.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), but for what an Admit service says.
    pub async fn plan(&self, named: Named, transaction: &Transaction) -> Result<Recipient, Reply> {
        let branches = self.branches(&named, transaction).await?;
        let announced_size = transaction.parameters.size;
        Ok(Recipient { address: named.address, original: named.original, branches, announced_size })
    }

    async fn branches(&self, named: &Named, transaction: &Transaction) -> Result<Arc<[Branch]>, Reply> {
        match self.planner.plan(&named.address).await {
            Ok(Planned::Found(branches)) => Ok(branches),
            Ok(Planned::Broken(why)) => {
                tracing::error!("{}: the alias {} is broken: {why}", transaction.id, named.address);
                // A mail is never lost by configuration: it waits until the alias is mended.
                Err(Reply::new(
                    451,
                    (4, 3, 5),
                    "The recipient's configuration is being mended, try again later",
                ))
            }
            Ok(Planned::Nobody { .. }) => Err(Reply::no_such_recipient()),
            Err(error @ DirectoryError::Unavailable { .. }) => {
                tracing::error!("{}: nothing is known about {}: {error}", transaction.id, named.address);
                Err(Reply::new(451, (4, 4, 3), "Directory lookup failed, try again later"))
            }
            Err(error) => {
                tracing::error!("{}: looking up {}: {error}", transaction.id, named.address);
                Err(Reply::local_error("Local error in processing, try again later"))
            }
        }
    }

    async fn ask_admission(
        &self,
        recipient: &Recipient,
        transaction: &Arc<Transaction>,
    ) -> Result<(), Reply> {
        let announced = Arc::new(Message::announced(recipient.announced_size.unwrap_or(0)));
        let recipients = Arc::default();
        let job = Job { transaction, message: &announced, recipients, has_several: false, is_dry_run: false };
        let mut refused = None;
        for branch in recipient.branches.iter() {
            let reply = match &branch.to {
                BranchTarget::Account(account, _) if account.status == Status::Suspended => {
                    // RFC 3463 §3.3: X.2.1, the mailbox exists but takes no messages at present.
                    Err(Reply::new(450, (4, 2, 1), "The mailbox is suspended, try again later"))
                }
                // The node that keeps the mailbox judges what it is handed.
                BranchTarget::Account(..) if self.elsewhere(&branch.plan).is_some() => Ok(()),
                BranchTarget::Account(..) if branch.plan.stage(Stage::Admit).next().is_some() => {
                    self.admission(&job, recipient, branch).await
                }
                _ => Ok(()),
            };
            match reply {
                // One target that takes it is enough: the others are branches of their own at delivery.
                Ok(()) => return Ok(()),
                Err(reply) => refused = refused.or(Some(reply)),
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// Delivers a message to the recipients of its envelope; one receipt for each, in their order.
    ///
    /// When this returns, everything that a receipt calls delivered is durable.
    pub async fn deliver(&self, envelope: &Envelope, message: Arc<Message>) -> Vec<Arc<Receipt>> {
        let receipts = self.run(envelope, &message, false).await;
        for receipt in &receipts {
            journal::write(receipt);
        }
        self.ports.state.record(&receipts);
        receipts
    }

    /// What [`deliver`](Self::deliver) would do, without doing it: nothing is stored, sent or remembered.
    pub async fn rehearse(&self, envelope: &Envelope, message: Arc<Message>) -> Vec<Arc<Receipt>> {
        self.run(envelope, &message, true).await
    }

    async fn run(&self, envelope: &Envelope, message: &Arc<Message>, is_dry_run: bool) -> Vec<Arc<Receipt>> {
        let began = self.ports.clock.elapsed();
        let at = self.ports.clock.now();
        let branches = envelope.recipients.iter().map(|recipient| recipient.branches.len()).sum::<usize>();
        let recipients = envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect();
        let (transaction, has_several) = (&envelope.transaction, branches > 1);
        let job = Job { transaction, message, recipients, has_several, is_dry_run };
        let finished = self.finished_branches(&job, envelope).await;
        let mut walks = Vec::with_capacity(branches);
        for recipient in &envelope.recipients {
            walks.extend(
                recipient.branches.iter().map(|branch| self.walk(&job, recipient, branch, &finished)),
            );
        }
        let mut walked: Vec<Walked> =
            futures_util::stream::iter(walks).buffered(CONCURRENT_WALKS).collect().await;
        self.send_elsewhere(&job, &mut walked).await;
        self.commit(&job, &mut walked).await;
        self.remember_finished(&job, envelope, &mut walked).await;
        self.tell_owners(&job, envelope, &mut walked).await;
        self.notify(&job, &mut walked).await;

        let age = self.planner.snapshot_age(at);
        let snapshot_age_ms = age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        let mut walked = walked.into_iter();
        let mut receipts = Vec::with_capacity(envelope.recipients.len());
        for recipient in &envelope.recipients {
            let branches: Vec<_> =
                walked.by_ref().take(recipient.branches.len()).map(Walked::into_record).collect();
            receipts.push(Arc::new(Receipt {
                id: envelope.transaction.id.clone(),
                at,
                is_dry_run,
                sender: envelope.transaction.sender.to_string(),
                recipient: recipient.address.to_string(),
                message_id: message.message_id(),
                size: message.size(),
                outcome: settle::combine(&branches),
                branches,
                duration_us: micros(self.ports.clock.elapsed().saturating_sub(began)),
                snapshot_age_ms,
            }));
        }
        receipts
    }

    /// The reply for a receipt: what the MTA is told for this recipient.
    #[must_use]
    pub fn reply(receipt: &Receipt) -> Reply {
        let reply = receipt.outcome.reply();
        match &receipt.outcome {
            Outcome::Delivered { .. } | Outcome::Discarded { .. } => {
                Reply::new(reply.code, reply.status, format!("{} {}", receipt.id, reply.text))
            }
            Outcome::Rejected { .. } | Outcome::Deferred { .. } => reply,
        }
    }
}

fn micros(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
