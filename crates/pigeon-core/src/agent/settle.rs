//! The only place where an outcome is made.

use crate::effect::{Effect, Effects};
use crate::fault::{Fault, Reply};
use crate::outcome::Outcome;
use crate::ports::handover::unreachable_node;
use crate::ports::mailstore::StoreError;
use crate::receipt::BranchRecord;

/// How the walk of one branch ended, before anything is committed.
#[derive(Debug)]
pub(super) enum Ending {
    /// Effects are to be committed.
    Commit,
    /// A service threw the message away.
    Discard(String),
    /// A service refused the message.
    Reject(Reply),
    /// A service failed and its settings say to wait.
    Fault(Fault),
    /// No service said anything.
    Nothing,
    /// An earlier attempt ended this branch already.
    Finished,
    /// Another node keeps the mailbox; with its answer once it took the message.
    Elsewhere {
        /// The node.
        node: String,
        /// What it said; none before the hand-over, and in a dry run.
        answer: Option<String>,
    },
    /// A commit went wrong: what the sender is told.
    Failed(Reply),
}

/// The outcome of one branch.
pub(super) fn settle(ending: &Ending, effects: &Effects, is_dry_run: bool) -> Outcome {
    match ending {
        Ending::Commit => Outcome::Delivered { what: describe(effects, is_dry_run) },
        Ending::Discard(reason) => Outcome::Discarded { reason: reason.clone() },
        Ending::Reject(reply) if reply.is_temporary() => Outcome::Deferred { reply: reply.clone() },
        Ending::Reject(reply) => Outcome::Rejected { reply: reply.clone() },
        Ending::Finished => Outcome::Delivered { what: "done by an earlier attempt".to_owned() },
        Ending::Failed(reply) => Outcome::Deferred { reply: reply.clone() },
        Ending::Elsewhere { node, answer: Some(said) } => {
            Outcome::Delivered { what: format!("handed over to {node}: {said}") }
        }
        Ending::Elsewhere { node, answer: None } if is_dry_run => {
            Outcome::Delivered { what: format!("would be handed over to {node}") }
        }
        Ending::Elsewhere { answer: None, .. } => Outcome::Deferred { reply: unreachable_node() },
        // Nothing enabled, nothing done: a mail is never lost by configuration.
        Ending::Nothing => Outcome::Deferred {
            reply: Reply::new(451, (4, 3, 5), "No delivery is set up for this recipient, try again later"),
        },
        Ending::Fault(fault) => match &fault.public {
            Some(reply) if !reply.is_temporary() && fault.is_permanent => {
                Outcome::Rejected { reply: reply.clone() }
            }
            Some(reply) if reply.is_temporary() => Outcome::Deferred { reply: reply.clone() },
            _ if fault.is_permanent => Outcome::Rejected {
                reply: Reply::new(554, (5, 3, 0), "The message cannot be delivered here"),
            },
            _ => {
                Outcome::Deferred { reply: Reply::local_error("Local error in processing, try again later") }
            }
        },
    }
}

/// The one outcome for a recipient with several branches.
///
/// When a branch must be tried again, so must the recipient (the others are remembered); when some end well
/// and others are refused there is no bounce, only the receipt.
pub(super) fn combine(branches: &[BranchRecord]) -> Outcome {
    let outcomes = || branches.iter().map(|branch| &branch.outcome);
    if let [only] = branches {
        return only.outcome.clone();
    }
    if let Some(deferred) = outcomes().find(|outcome| matches!(outcome, Outcome::Deferred { .. })) {
        return deferred.clone();
    }
    let done: Vec<String> =
        branches.iter().map(|branch| format!("{}: {}", branch.target, branch.outcome.text())).collect();
    if outcomes().any(|outcome| matches!(outcome, Outcome::Delivered { .. })) {
        return Outcome::Delivered { what: done.join("; ") };
    }
    if outcomes().any(|outcome| matches!(outcome, Outcome::Discarded { .. })) {
        return Outcome::Discarded { reason: done.join("; ") };
    }
    outcomes().next().cloned().unwrap_or(Outcome::Deferred {
        reply: Reply::local_error("Local error in processing, try again later"),
    })
}

fn describe(effects: &Effects, is_dry_run: bool) -> String {
    let would = if is_dry_run { "would be " } else { "" };
    let kept = effects.withdrawn().iter().map(|store| format!("already stored in {}", store.folder));
    let each: Vec<String> = effects
        .list()
        .iter()
        .map(|effect| match effect {
            Effect::Store(store) => format!("{would}stored in {}", store.folder),
            Effect::Redirect(redirect) => format!("{would}redirected to {}", redirect.to),
            Effect::Answer(answer) => format!("{would}answered to {} ({})", answer.to, answer.kind),
            Effect::Post(post) => format!("{would}announced to {}", post.server()),
            Effect::Archive(archive) => format!("{would}archived {}", archive.place),
        })
        .chain(kept)
        .collect();
    each.join("; ")
}

/// What the sender is told when the mail store failed.
pub(super) fn store_failure(error: &StoreError) -> Reply {
    match error {
        // RFC 3463 §3.4: X.3.1 is "mail system full".
        StoreError::Full { .. } => Reply::new(452, (4, 3, 1), "Insufficient system storage, try again later"),
        StoreError::Unwritable { .. } => {
            Reply::new(451, (4, 2, 0), "The mailbox cannot be written, try again later")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome) -> BranchRecord {
        BranchRecord { target: "a@example.org".into(), outcome, steps: vec![] }
    }

    #[test]
    fn branches_make_one_outcome() {
        let delivered = || Outcome::Delivered { what: "stored in INBOX".into() };
        let rejected = || Outcome::Rejected { reply: Reply::no_such_recipient() };
        let deferred = || Outcome::Deferred { reply: Reply::local_error("later") };
        let check = |outcomes: Vec<Outcome>, expect: &str| {
            let records: Vec<_> = outcomes.into_iter().map(record).collect();
            assert_eq!(combine(&records).word(), expect);
        };
        check(vec![delivered(), delivered()], "delivered");
        check(vec![delivered(), rejected()], "delivered");
        check(vec![rejected(), rejected()], "rejected");
        check(vec![delivered(), deferred(), rejected()], "deferred");
        check(vec![], "deferred");
    }

    #[test]
    fn nothing_enabled_defers() {
        assert_eq!(settle(&Ending::Nothing, &Effects::default(), false).word(), "deferred");
        let permanent = Ending::Fault(Fault::permanent("broken"));
        assert_eq!(settle(&permanent, &Effects::default(), false).word(), "rejected");
        assert_eq!(
            settle(&Ending::Fault(Fault::temporary("x")), &Effects::default(), false).word(),
            "deferred"
        );
    }
}
