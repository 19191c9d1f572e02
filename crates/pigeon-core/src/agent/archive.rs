//! Archives: one copy of a message, shared by its recipients who have the archive in common.
//!
//! A copy is of the message as it was received. It is staged and released with the outbox, or stored with the
//! mailboxes: a recipient whose copy cannot be archived is deferred. What an earlier attempt archived is not archived
//! again: a copy at an address by its key in the outbox, one in a Maildir by a key among the finished ones.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::commit::state_failure;
use super::trace::{self, Trace};
use super::walk::Walked;
use super::{Agent, Job};
use crate::compose;
use crate::effect::{Archive, ArchivePlace, Effect, Flags, Store};
use crate::folder::Folder;
use crate::headers::{HeaderEdits, RenderedHead};
use crate::ports::mailstore::Copy;
use crate::ports::state::{OutboxContent, OutboxEntry, StateChanges};

/// The copy of one archive.
pub(super) struct Shared {
    archive: Archive,
    key: String,
    /// Which branches share it.
    pub(super) owners: Vec<usize>,
    /// The recipients of these branches, as the MTA named them.
    recipients: Vec<String>,
    /// The account that it is sent on behalf of.
    on_behalf_of: String,
}

impl Shared {
    /// Whether a branch that shares it ends well.
    pub(super) fn is_wanted(&self, walked: &[Walked]) -> bool {
        self.owners.iter().filter_map(|owner| walked.get(*owner)).any(Walked::is_to_commit)
    }

    /// What the State is to keep of it.
    pub(super) fn put_into(&self, changes: &mut StateChanges) {
        match &self.archive.place {
            ArchivePlace::Address(_) => changes.released.push(self.key.clone()),
            ArchivePlace::Mailbox { .. } => changes.finished.push(self.key.clone()),
        }
    }
}

/// Whether a branch that is to be committed has an archive.
pub(super) fn is_archived(walked: &Walked) -> bool {
    walked.is_to_commit() && archives_of(walked).next().is_some()
}

fn archives_of(walked: &Walked) -> impl Iterator<Item = &Archive> {
    walked.delivery.effects.list().iter().filter_map(|effect| match effect {
        Effect::Archive(archive) => Some(archive),
        Effect::Store(_) | Effect::Redirect(_) | Effect::Answer(_) | Effect::Post(_) => None,
    })
}

impl Agent {
    /// Finds the copies that are to be made and makes those durable, held back, that go to addresses.
    pub(super) async fn stage_archives(&self, job: &Job<'_>, walked: &mut [Walked]) -> Vec<Shared> {
        if !walked.iter().any(is_archived) {
            return Vec::new();
        }
        let shared = match self.shared(job, walked).await {
            Ok(shared) => shared,
            Err(what) => {
                for walked in walked.iter_mut().filter(|walked| is_archived(walked)) {
                    self.fail(walked, &what, state_failure());
                }
                return Vec::new();
            }
        };
        let entries: Vec<OutboxEntry> =
            shared.iter().filter_map(|shared| self.archive_entry(job, shared)).collect();
        if entries.is_empty() {
            return shared;
        }
        if let Err(error) = self.ports.state.stage(entries, self.ports.clock.now()).await {
            let is_sent = |shared: &&Shared| matches!(shared.archive.place, ArchivePlace::Address(_));
            for owner in shared.iter().filter(is_sent).flat_map(|shared| &shared.owners) {
                if let Some(walked) = walked.get_mut(*owner) {
                    self.fail(walked, &error.to_string(), state_failure());
                }
            }
        }
        shared
    }

    /// The copies to make, less those in Maildirs that an earlier attempt made.
    async fn shared(&self, job: &Job<'_>, walked: &[Walked]) -> Result<Vec<Shared>, String> {
        let digest = HEXLOWER.encode(&job.message.digest().map_err(|error| error.to_string())?);
        let mut all = group(walked);
        for shared in &mut all {
            shared.key = key(&digest, shared);
        }
        let is_kept = |shared: &Shared| matches!(shared.archive.place, ArchivePlace::Mailbox { .. });
        let keys: Vec<String> =
            all.iter().filter(|shared| is_kept(shared)).map(|shared| shared.key.clone()).collect();
        if !keys.is_empty() {
            let made = self.ports.state.finished(&keys).await.map_err(|error| error.to_string())?;
            all.retain(|shared| !made.contains(&shared.key));
        }
        Ok(all)
    }

    fn archive_entry(&self, job: &Job<'_>, shared: &Shared) -> Option<OutboxEntry> {
        let ArchivePlace::Address(address) = &shared.archive.place else { return None };
        let content =
            OutboxContent::Message { head: self.archive_head(job, shared), message: Arc::clone(job.message) };
        Some(OutboxEntry {
            key: shared.key.clone(),
            on_behalf_of: shared.on_behalf_of.clone(),
            sender: shared.archive.sender.clone(),
            recipient: address.clone().into(),
            content,
        })
    }

    /// The copy for the mail store, where the archive is a Maildir.
    pub(super) fn archive_copy(&self, job: &Job<'_>, shared: &Shared) -> Option<Copy> {
        let ArchivePlace::Mailbox { path, .. } = &shared.archive.place else { return None };
        let store = Store { folder: Folder::inbox(), flags: Flags::default(), content: None };
        Some(Copy { mailbox: path.clone(), store, head: self.archive_head(job, shared), quota: None })
    }

    fn archive_head(&self, job: &Job<'_>, shared: &Shared) -> RenderedHead {
        let is_kept = matches!(shared.archive.place, ArchivePlace::Mailbox { .. });
        let (now, hostname) = (self.ports.clock.now(), &*self.tools().hostname);
        let is_final = is_kept && !shared.archive.is_wrapped;
        let trace = Trace { delivered_to: None, original_to: None, is_final, now, hostname };
        let message = job.message;
        let mut head = trace::head(job, (message, &HeaderEdits::new()), &trace);
        if shared.archive.is_wrapped {
            let outer = self.outer_header(job, shared);
            let outer = if message.is_binary() { outer.replace('\n', "\r\n") } else { outer };
            head.prefix = [outer.as_bytes(), &head.prefix].concat().into();
        }
        head
    }

    /// The header of the message that another one is put into (RFC 2046 §5.2.1). It names the envelope, and repeats the
    /// Received fields, so that two archives that feed each other are seen as a loop.
    fn outer_header(&self, job: &Job<'_>, shared: &Shared) -> String {
        let (now, hostname) = (self.ports.clock.now(), &*self.tools().hostname);
        let message = job.message;
        let to = match &shared.archive.place {
            ArchivePlace::Address(address) => address.to_string(),
            ArchivePlace::Mailbox { .. } => "undisclosed-recipients:;".to_owned(),
        };
        let subject = message.field("Subject").map(|field| field.value()).unwrap_or_default();
        let subject: Vec<String> =
            std::iter::once("Archived:".to_owned()).chain(compose::wire_tokens(&subject)).collect();
        let id = compose::message_id("archive", now, &[&job.transaction.id, &shared.key], hostname);
        let mut out = String::new();
        for field in message.fields().filter(|field| field.name.eq_ignore_ascii_case("Received")) {
            out.push_str(&String::from_utf8_lossy(field.raw).replace("\r\n", "\n"));
        }
        let encoding = if message.is_binary() { "binary" } else { "8bit" };
        let mut fields: Vec<(&str, Vec<String>)> = vec![
            ("Date", vec![now.to_rfc5322()]),
            ("From", vec!["Archive".to_owned(), format!("<MAILER-DAEMON@{hostname}>")]),
            ("To", vec![to]),
            ("Subject", subject),
            ("Message-ID", vec![id]),
            ("Auto-Submitted", vec!["auto-generated".to_owned()]),
            ("X-Archived-Id", vec![job.transaction.id.clone()]),
            ("X-Archived-From", vec![format!("<{}>", job.transaction.sender)]),
        ];
        fields.extend(shared.recipients.iter().map(|to| ("X-Archived-To", vec![format!("<{to}>")])));
        fields.extend([
            ("MIME-Version", vec!["1.0".to_owned()]),
            ("Content-Type", vec!["message/rfc822".to_owned()]),
            ("Content-Transfer-Encoding", vec![encoding.to_owned()]),
        ]);
        for (name, tokens) in fields {
            out.extend([name, ": ", &compose::fold(name, &tokens), "\n"]);
        }
        out.push('\n');
        out
    }
}

/// The archives of the branches that are to be committed, each once.
fn group(walked: &[Walked]) -> Vec<Shared> {
    let mut all: Vec<Shared> = Vec::new();
    for (index, walked) in walked.iter().enumerate().filter(|(_, walked)| walked.is_to_commit()) {
        let recipient = walked.delivery.recipient.to_string();
        for archive in archives_of(walked) {
            match all.iter_mut().find(|shared| shared.archive == *archive) {
                Some(shared) => {
                    shared.owners.push(index);
                    if !shared.recipients.contains(&recipient) {
                        shared.recipients.push(recipient.clone());
                    }
                }
                None => all.push(Shared {
                    archive: archive.clone(),
                    key: String::new(),
                    owners: vec![index],
                    recipients: vec![recipient.clone()],
                    on_behalf_of: walked.delivery.account.address.to_string(),
                }),
            }
        }
    }
    all
}

/// Names the copy for ever. One that names its recipients is another one for other recipients: those that had to be
/// tried again are in a copy of their own.
fn key(digest: &str, shared: &Shared) -> String {
    let place = match &shared.archive.place {
        ArchivePlace::Address(address) => address.key(),
        ArchivePlace::Mailbox { name, .. } => name.clone(),
    };
    if !shared.archive.is_wrapped {
        return format!("{digest}:archive:{place}");
    }
    let mut recipients: Vec<&str> = shared.recipients.iter().map(String::as_str).collect();
    recipients.sort_unstable();
    let named = HEXLOWER.encode(&Sha256::digest(recipients.join("\n")));
    format!("{digest}:archive:{place}:{named}")
}
