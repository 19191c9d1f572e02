//! Notices to the owners of aliases: one target refused a mail that others took, and its sender is not told.
//!
//! Source: RFC 3834 §2 (what is answered by no program), §3 (the form of what a program sends), §5 (Auto-Submitted).

use std::time::Duration;

use super::commit::branch_key;
use super::settle::settle;
use super::walk::Walked;
use super::{Agent, Job};
use crate::address::{Address, ReversePath};
use crate::compose::{self, Draft};
use crate::directory::AliasPattern;
use crate::effect::Effects;
use crate::envelope::Envelope;
use crate::fault::Reply;
use crate::message::Message;
use crate::outcome::Outcome;
use crate::plan::{Branch, Plan, Recipient};
use crate::ports::state::{Memory, OutboxContent, OutboxEntry, StateChanges};
use crate::receipt::StepRecord;

/// The group of settings, and the name under which the State remembers.
const GROUP: &str = "alias";
/// Of a field of the refused mail so many letters are repeated at most.
const MAX_SHOWN_LETTERS: usize = 300;

/// What is to be said about one branch that was refused.
struct Notice {
    /// The branch, among all of the message.
    at: usize,
    /// The alias that names the target, and the target.
    about: (String, String),
    step: StepRecord,
    /// What goes out; none where it is only said why nothing does.
    entry: Option<(OutboxEntry, Option<Memory>)>,
}

/// A branch that was refused while others of the same recipient ended well.
struct Refused<'a> {
    recipient: &'a Recipient,
    target: &'a Address,
    /// The aliases that lead there, and the last of them.
    via: &'a [AliasPattern],
    named_by: &'a AliasPattern,
    /// What holds where that one is.
    plan: &'a Plan,
    owner: &'a Address,
    reply: &'a Reply,
}

impl Agent {
    /// Tells the owners of aliases about targets that refused the message for good while others took it.
    ///
    /// Comes when the outcomes are known and before the reply. A State that fails costs the notice, not the mail: the
    /// others have it already, and would get it a second time.
    pub(super) async fn tell_owners(&self, job: &Job<'_>, envelope: &Envelope, walked: &mut [Walked]) {
        let mut notices: Vec<Notice> = Vec::new();
        let mut next = 0;
        for recipient in &envelope.recipients {
            let own = next..next + recipient.branches.len();
            next = own.end;
            let Some(mine) = walked.get(own.clone()).filter(|mine| ended_apart(mine)) else { continue };
            for (at, (branch, walked)) in own.zip(recipient.branches.iter().zip(mine)) {
                if let Outcome::Rejected { reply } = outcome(walked) {
                    notices.extend(self.notice(job, recipient, (branch, &reply, at), &notices).await);
                }
            }
        }
        if notices.is_empty() {
            return;
        }
        if let Err(error) = self.hand_over(job, &mut notices).await {
            tracing::error!("{}: {error}; nobody is told about the targets that refused", job.transaction.id);
            for notice in &mut notices {
                notice.step.decision = "skip".to_owned();
                notice.step.reason = format!("no notice: {error}");
            }
        }
        for notice in notices {
            if let Some(walked) = walked.get_mut(notice.at) {
                walked.steps.push(notice.step);
            }
        }
    }

    async fn hand_over(&self, job: &Job<'_>, notices: &mut [Notice]) -> Result<(), String> {
        let mut changes = StateChanges::default();
        let mut entries = Vec::new();
        for (entry, memory) in notices.iter_mut().filter_map(|notice| notice.entry.take()) {
            changes.released.push(entry.key.clone());
            changes.memories.extend(memory);
            entries.push(entry);
        }
        if entries.is_empty() || job.is_dry_run {
            return Ok(());
        }
        let (state, now) = (&self.ports.state, self.ports.clock.now());
        // Held between the two, a crash sends nothing; the MTA's retry comes to the same key and releases it.
        state.stage(entries, now).await.map_err(|error| error.to_string())?;
        state.commit(changes, now).await.map_err(|error| error.to_string())
    }

    /// What is to be said about a refused branch, where anybody wants to be told.
    async fn notice(
        &self,
        job: &Job<'_>,
        recipient: &Recipient,
        (branch, reply, at): (&Branch, &Reply, usize),
        said: &[Notice],
    ) -> Option<Notice> {
        let plan = branch.alias.as_deref()?;
        let (owner, named_by) = (plan.alias.notice_to.as_ref()?, branch.via.last()?);
        let (target, via) = (branch.address(), branch.via.as_slice());
        let refused = Refused { recipient, target, via, named_by, plan, owner, reply };
        let about = (named_by.to_string(), target.key());
        let why = match said.iter().any(|notice| notice.about == about) {
            true => Some((format!("{owner} is told already"), None)),
            false => self.silence(job, &refused, &about).await,
        };
        let (reason, key, entry) = match why {
            Some((why, key)) => (format!("no notice: {why}"), key, None),
            None if job.is_dry_run => (format!("{owner} would be told"), None, None),
            None => match self.entry(job, &refused, &about) {
                Ok(entry) => (format!("{owner} is told"), None, Some(entry)),
                Err(error) => (format!("no notice: {error}"), None, None),
            },
        };
        let keys = ["notice_to"].into_iter().chain(key);
        let because = keys.map(|key| plan.provenance(GROUP, key, self.planner.catalogue())).collect();
        let decision = "continue".to_owned();
        let step = StepRecord { service: GROUP.to_owned(), decision, reason, because, duration_us: 0 };
        Some(Notice { at, about, step, entry })
    }

    /// Why the owner is not told, and which setting says so besides the address.
    async fn silence(
        &self,
        job: &Job<'_>,
        refused: &Refused<'_>,
        about: &(String, String),
    ) -> Option<(String, Option<&'static str>)> {
        // RFC 3834 §2: nothing is sent because of what a program sent; so no notice makes another one.
        if job.transaction.sender == ReversePath::Null {
            return Some(("the mail is a notification itself".to_owned(), None));
        }
        if is_automatic(job.message) {
            return Some(("the mail was sent by a program".to_owned(), None));
        }
        if refused.owner.key() == refused.target.key() {
            return Some((format!("{} is the target that refused it", refused.owner), None));
        }
        if refused.plan.alias.notice_every_s == 0 {
            return None;
        }
        let now = self.ports.clock.now();
        match self.ports.state.recall(&about.0, GROUP, &about.1, now).await {
            Ok(last) => Some((format!("there was one at {}", last?), Some("notice_every_s"))),
            Err(error) => {
                tracing::error!("{}: {error}; a notice may be one too many", job.transaction.id);
                None
            }
        }
    }

    fn entry(
        &self,
        job: &Job<'_>,
        refused: &Refused<'_>,
        about: &(String, String),
    ) -> Result<(OutboxEntry, Option<Memory>), String> {
        let Refused { recipient, target, owner, plan, .. } = refused;
        let branch = branch_key(job, &recipient.address.key(), &target.to_string())?;
        let entry = OutboxEntry {
            key: format!("{branch}:notice:{}", owner.key()),
            on_behalf_of: recipient.address.to_string(),
            // RFC 3834 §3.3
            sender: ReversePath::Null,
            recipient: (*owner).clone().into(),
            content: OutboxContent::Own(self.compose(job, refused)?.into()),
        };
        let now = self.ports.clock.now();
        let span = Duration::from_secs(plan.alias.notice_every_s.into());
        let memory = (!span.is_zero()).then(|| Memory {
            account: about.0.clone(),
            service: GROUP.to_owned(),
            key: about.1.clone(),
            value: now.to_string(),
            expires: now.plus(span),
        });
        Ok((entry, memory))
    }

    fn compose(&self, job: &Job<'_>, refused: &Refused<'_>) -> Result<String, String> {
        let (named_by, owner, now) = (refused.named_by, refused.owner, self.ports.clock.now());
        let from = Address::from_parts("postmaster", named_by.domain.clone());
        let from = from.map_err(|error| format!("there is no postmaster of {}: {error}", named_by.domain))?;
        let parts = [job.transaction.id.as_str(), &refused.recipient.address.key(), &refused.target.key()];
        let draft = Draft {
            from_name: "Mail Delivery System",
            from: &from,
            to: owner,
            subject: compose::text_tokens(&format!("{} refused mail for {named_by}", refused.target)),
            date: now,
            message_id: compose::message_id("alias", now, &parts, &self.tools().hostname),
            // RFC 3834 §5.1: no one's message is answered, so it is generated, not replied.
            auto_submitted: "auto-generated",
            thread: None,
            text: &text(job, refused),
        };
        Ok(draft.write())
    }
}

/// What the notice says.
fn text(job: &Job<'_>, refused: &Refused<'_>) -> String {
    let Refused { recipient, target, via, named_by, plan, reply, .. } = refused;
    let to = &recipient.address;
    let value = |name| job.message.field(name).map_or_else(|| "(none)".to_owned(), |field| field.value());
    let way: Vec<String> = via.iter().map(ToString::to_string).chain([target.to_string()]).collect();
    let rows = [
        ("Recipient", to.to_string()),
        ("Way", way.join(" -> ")),
        ("Refusal", reply.to_string()),
        ("Sender", format!("<{}>", job.transaction.sender)),
        ("Message-ID", value("Message-ID")),
        ("Subject", value("Subject")),
        ("Transaction", job.transaction.id.clone()),
    ];
    let rows: String = rows.iter().map(|(name, value)| row(name, value)).collect();
    let every = match plan.alias.notice_every_s {
        0 => "You get a notice for every mail".to_owned(),
        seconds => format!("You get one notice about this target in {}", span(seconds)),
    };
    format!(
        "The alias {named_by} names {target}, where a mail was refused. Other targets of\n\
         {to} took it, so its sender was not told.\n\n\
         {rows}\n\
         What to do: if {target} is not to get mail for {named_by} any more, take it out of\n\
         the alias' targets. Otherwise look up why it refused the mail: the receipt shows each step\n\
         (pigeon receipts {to}).\n\n\
         {every} (alias.notice_every_s).\n"
    )
}

fn row(name: &str, value: &str) -> String {
    let clean = value.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    format!("{:<13}{}\n", format!("{name}:"), clean.take(MAX_SHOWN_LETTERS).collect::<String>())
}

/// A number of seconds in the largest unit that fits.
fn span(seconds: u32) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let fitting = units.into_iter().find(|(size, _)| seconds.is_multiple_of(*size));
    let (count, unit) = fitting.map_or((seconds, "second"), |(size, unit)| (seconds / size, unit));
    if count == 1 { format!("one {unit}") } else { format!("{count} {unit}s") }
}

/// Whether a program sent the message: RFC 3834 §5, any Auto-Submitted but `no`; parameters may follow.
fn is_automatic(message: &Message) -> bool {
    message.field("Auto-Submitted").is_some_and(|field| {
        let value = field.value().to_ascii_lowercase();
        let word = value.split([';', ' ', '\t', '(']).find(|word| !word.is_empty());
        word != Some("no")
    })
}

/// Whether some branches ended well and others were refused, with nothing left to be tried again.
fn ended_apart(mine: &[Walked]) -> bool {
    let count = |is: fn(&Outcome) -> bool| mine.iter().filter(|walked| is(&outcome(walked))).count();
    mine.len() > 1
        && count(|outcome| matches!(outcome, Outcome::Deferred { .. })) == 0
        && count(Outcome::is_success) > 0
        && count(|outcome| matches!(outcome, Outcome::Rejected { .. })) > 0
}

fn outcome(walked: &Walked) -> Outcome {
    settle(&walked.ending, &Effects::default(), false)
}
