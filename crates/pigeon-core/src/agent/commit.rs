//! The commit: the only place with effects. Stage the outbox, store, release: in this order, each durable
//! before the next, for all branches of a message that are ready together.

use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::archive::{Shared, is_archived};
use super::settle::{Ending, settle, store_failure};
use super::trace::{self, Trace};
use super::twins::Twins;
use super::walk::Walked;
use super::{Agent, Job, micros};
use crate::address::ReversePath;
use crate::effect::{Content, Effect, Effects, Store};
use crate::envelope::Envelope;
use crate::fault::Reply;
use crate::headers::{HeaderEdits, RenderedHead};
use crate::message::Message;
use crate::outcome::Outcome;
use crate::plan::{DeliveredTo, Recipient};
use crate::ports::mailstore::{Copy, StoreError, Stored};
use crate::ports::state::{Destination, OutboxContent, OutboxEntry, StateChanges};

/// What the sender is told when the State cannot keep what must be kept.
pub(super) fn state_failure() -> Reply {
    Reply::local_error("Local error in processing, try again later")
}

impl Agent {
    /// Makes the effects of all branches durable; a branch that fails is deferred, the others are not touched.
    pub(super) async fn commit(&self, job: &Job<'_>, walked: &mut [Walked]) {
        if job.is_dry_run {
            return;
        }
        let began = self.ports.clock.elapsed();
        self.stage_outbox(job, walked).await;
        let archives = self.stage_archives(job, walked).await;
        self.store_copies(job, walked, &archives).await;
        self.release(walked, &archives).await;
        let span = micros(self.ports.clock.elapsed().saturating_sub(began));
        for walked in walked.iter_mut().filter(|walked| walked.is_to_commit()) {
            walked.note("commit", "continue", String::new(), span);
        }
    }

    async fn stage_outbox(&self, job: &Job<'_>, walked: &mut [Walked]) {
        for walked in walked.iter_mut().filter(|walked| leaves(walked)) {
            let staged = match self.outbox_entries(job, walked) {
                Err(what) => Err(what),
                Ok(entries) => {
                    let now = self.ports.clock.now();
                    self.ports.state.stage(entries, now).await.map_err(|error| error.to_string())
                }
            };
            if let Err(what) = staged {
                self.fail(walked, &what, state_failure());
            }
        }
    }

    async fn store_copies(&self, job: &Job<'_>, walked: &mut [Walked], archives: &[Shared]) {
        let mut batches: Vec<Batch> = Vec::new();
        let mut twins = Twins::default();
        for (index, walked) in
            walked.iter().enumerate().filter(|(_, walked)| matches!(walked.ending, Ending::Commit))
        {
            let mut head = None;
            for store in stores(walked) {
                if twins.is_one(index, walked, store) {
                    continue;
                }
                let head = match &store.content {
                    None => head.get_or_insert_with(|| self.final_head(job, walked, None)).clone(),
                    Some(content) => self.final_head(job, walked, Some(&content.0)),
                };
                let (mailbox, quota) = (walked.delivery.account.mailbox.clone(), walked.delivery.quota);
                let copy = Copy { mailbox, store: store.clone(), head, quota };
                put_copy(&mut batches, carried(walked, store.content.as_ref()), vec![index], copy);
            }
        }
        for archive in archives {
            if let Some(copy) = self.archive_copy(job, archive) {
                put_copy(&mut batches, job.message, archive.owners.clone(), copy);
            }
        }
        for Batch { message, owners, copies } in batches {
            let results = self.ports.mailstore.store(&message, copies).await;
            for (owners, result) in owners.into_iter().zip(results) {
                let Err(error) = result as Result<Stored, StoreError> else { continue };
                for owner in owners {
                    if let Some(walked) = walked.get_mut(owner) {
                        self.fail(walked, &error.to_string(), store_failure(&error));
                    }
                }
            }
        }
        self.follow_twins(twins, walked);
    }

    async fn release(&self, walked: &mut [Walked], archives: &[Shared]) {
        let mut changes = StateChanges::default();
        for walked in walked.iter_mut().filter(|walked| walked.is_to_commit()) {
            changes.memories.append(&mut walked.delivery.memories);
            changes.released.extend(outgoing(walked).map(|effect| outbox_key(walked, effect)));
        }
        for archive in archives.iter().filter(|archive| archive.is_wanted(walked)) {
            archive.put_into(&mut changes);
        }
        if changes.is_empty() {
            return;
        }
        if let Err(error) = self.ports.state.commit(changes, self.ports.clock.now()).await {
            // Staged entries stay held: the MTA's retry finds and releases them.
            for walked in walked.iter_mut().filter(|walked| leaves(walked) || is_archived(walked)) {
                self.fail(walked, &error.to_string(), state_failure());
            }
        }
    }

    pub(super) fn fail(&self, walked: &mut Walked, what: &str, reply: Reply) {
        let (id, target) = (&walked.delivery.transaction.id, &walked.target);
        tracing::error!("{id}: the delivery to <{target}> waits: {what}");
        walked.note("commit", "defer", what.to_owned(), 0);
        walked.ending = Ending::Failed(reply);
    }

    /// The head of a stored copy: of the delivery's message with its edits, or of `own` as it is.
    fn final_head(&self, job: &Job<'_>, walked: &Walked, own: Option<&Message>) -> RenderedHead {
        let is_named = match walked.plan.trace.delivered_to {
            DeliveredTo::Always => true,
            DeliveredTo::Never => false,
            DeliveredTo::Auto => !job.has_several,
        };
        let address = &walked.delivery.account.address;
        let named = walked.delivery.recipient.to_string();
        let original =
            walked.original.as_deref().or((named != address.to_string()).then_some(named.as_str()));
        let trace = Trace {
            delivered_to: is_named.then_some(address),
            original_to: original.filter(|_| is_named),
            is_final: true,
            now: self.ports.clock.now(),
            hostname: &self.tools().hostname,
        };
        trace::head(job, view(walked, own), &trace)
    }

    fn outbox_entries(&self, job: &Job<'_>, walked: &mut Walked) -> Result<Vec<OutboxEntry>, String> {
        let now = self.ports.clock.now();
        let account = Arc::clone(&walked.delivery.account);
        let trace = Trace {
            delivered_to: Some(&account.address),
            original_to: None,
            is_final: false,
            now,
            hostname: &self.tools().hostname,
        };
        let sender = walked.plan.redirect.sender(&job.transaction.sender, now)?;
        if walked.branch_key.is_empty() {
            walked.branch_key = branch_key(job, &walked.delivery.recipient.key(), &walked.target)?;
        }
        let mut entries = Vec::new();
        for effect in outgoing(walked) {
            let key = outbox_key(walked, effect);
            let (recipient, sender, content) = match effect {
                Effect::Redirect(redirect) => {
                    let content = redirect.content.as_ref();
                    let head = trace::head(job, view(walked, content.map(|content| &*content.0)), &trace);
                    let message = Arc::clone(carried(walked, content));
                    (redirect.to.clone().into(), sender.clone(), OutboxContent::Message { head, message })
                }
                // RFC 3834 §3.3: answers leave with the null sender.
                Effect::Answer(answer) => {
                    (answer.to.clone().into(), ReversePath::Null, OutboxContent::Own(answer.message.clone()))
                }
                Effect::Post(post) => {
                    let to = Destination::Web(post.url.clone());
                    (to, ReversePath::Null, OutboxContent::Own(post.body.clone()))
                }
                Effect::Store(_) | Effect::Archive(_) => continue,
            };
            let on_behalf_of = account.address.to_string();
            entries.push(OutboxEntry { key, on_behalf_of, sender, recipient, content });
        }
        Ok(entries)
    }

    /// Which branches an earlier attempt ended, for recipients with several.
    pub(super) async fn finished_branches(&self, job: &Job<'_>, envelope: &Envelope) -> Vec<String> {
        let keys: Vec<String> = envelope
            .recipients
            .iter()
            .filter(|recipient| recipient.branches.len() > 1)
            .flat_map(|recipient| keys_of(job, recipient))
            .collect();
        if keys.is_empty() || job.is_dry_run {
            return Vec::new();
        }
        match self.ports.state.finished(&keys).await {
            Ok(finished) => finished,
            Err(error) => {
                tracing::error!("{}: {error}; finished branches may be repeated", job.transaction.id);
                Vec::new()
            }
        }
    }

    /// Remembers the branches that ended where others of the same recipient must be tried again.
    pub(super) async fn remember_finished(&self, job: &Job<'_>, envelope: &Envelope, walked: &mut [Walked]) {
        let mut finished = Vec::new();
        let mut rest = &mut *walked;
        for recipient in &envelope.recipients {
            let (mine, others) = rest.split_at_mut(recipient.branches.len().min(rest.len()));
            rest = others;
            let outcome = |walked: &Walked| settle(&walked.ending, &Effects::default(), false);
            let is_pending = |walked: &Walked| matches!(outcome(walked), Outcome::Deferred { .. });
            if mine.len() < 2 || !mine.iter().any(is_pending) {
                continue;
            }
            // A branch that is refused has done nothing that a retry could do twice: it is refused again.
            let ended = mine.iter().filter(|walked| outcome(walked).is_success());
            finished.extend(
                ended.filter_map(|walked| branch_key(job, &recipient.address.key(), &walked.target).ok()),
            );
        }
        if finished.is_empty() || job.is_dry_run {
            return;
        }
        let changes = StateChanges { finished, ..StateChanges::default() };
        if let Err(error) = self.ports.state.commit(changes, self.ports.clock.now()).await {
            tracing::error!("{}: {error}; finished branches may be repeated", job.transaction.id);
        }
    }
}

/// Copies of one message, stored together.
struct Batch {
    message: Arc<Message>,
    /// Whose copy each is; several share the one of an archive.
    owners: Vec<Vec<usize>>,
    copies: Vec<Copy>,
}

fn put_copy(batches: &mut Vec<Batch>, message: &Arc<Message>, owners: Vec<usize>, copy: Copy) {
    match batches.iter_mut().find(|batch| Arc::ptr_eq(&batch.message, message)) {
        Some(batch) => {
            batch.owners.push(owners);
            batch.copies.push(copy);
        }
        None => {
            batches.push(Batch { message: Arc::clone(message), owners: vec![owners], copies: vec![copy] });
        }
    }
}

/// The message that an effect carries.
fn carried<'a>(walked: &'a Walked, content: Option<&'a Content>) -> &'a Arc<Message> {
    content.map_or(&walked.delivery.message, |content| &content.0)
}

/// A message with the edits that are made to its header: none to one that a service made for this effect.
fn view<'a>(walked: &'a Walked, own: Option<&'a Message>) -> (&'a Message, &'a HeaderEdits) {
    const UNEDITED: &HeaderEdits = &HeaderEdits::new();
    own.map_or((&walked.delivery.message, &walked.delivery.header), |message| (message, UNEDITED))
}

fn keys_of(job: &Job<'_>, recipient: &Recipient) -> Vec<String> {
    let own = recipient.address.key();
    recipient
        .branches
        .iter()
        .filter_map(|branch| branch_key(job, &own, &branch.address().to_string()).ok())
        .collect()
}

/// Names a branch of this very message for ever: the MTA's retry comes to the same name.
pub(super) fn branch_key(job: &Job<'_>, recipient: &str, target: &str) -> Result<String, String> {
    let digest = job.message.digest().map_err(|error| error.to_string())?;
    Ok(format!("{}:{recipient}:{target}", HEXLOWER.encode(&digest)))
}

fn outbox_key(walked: &Walked, effect: &Effect) -> String {
    match effect {
        Effect::Answer(answer) => format!("{}:answer:{}:{}", walked.branch_key, answer.kind, answer.to.key()),
        Effect::Redirect(redirect) => format!("{}:redirect:{}", walked.branch_key, redirect.to.key()),
        Effect::Store(store) => format!("{}:store:{}", walked.branch_key, store.folder),
        Effect::Post(post) => format!("{}:post:{}:{}", walked.branch_key, post.kind, post.url),
        Effect::Archive(archive) => format!("{}:archive:{}", walked.branch_key, archive.place),
    }
}

fn stores(walked: &Walked) -> impl Iterator<Item = &Store> {
    walked.delivery.effects.list().iter().filter_map(|effect| match effect {
        Effect::Store(store) => Some(store),
        Effect::Redirect(_) | Effect::Answer(_) | Effect::Post(_) | Effect::Archive(_) => None,
    })
}

fn outgoing(walked: &Walked) -> impl Iterator<Item = &Effect> {
    let leaves =
        |effect: &&Effect| matches!(effect, Effect::Redirect(_) | Effect::Answer(_) | Effect::Post(_));
    walked.delivery.effects.list().iter().filter(leaves)
}

fn leaves(walked: &Walked) -> bool {
    walked.is_to_commit() && outgoing(walked).next().is_some()
}
