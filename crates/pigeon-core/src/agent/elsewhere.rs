//! Branches whose mailbox another node keeps: their mail is handed over, and walked there.

use std::collections::BTreeMap;

use super::settle::Ending;
use super::trace::{self, Trace};
use super::walk::Walked;
use super::{Agent, Job, micros};
use crate::address::Address;
use crate::fault::Reply;
use crate::headers::HeaderEdits;
use crate::plan::Plan;
use crate::ports::handover::{Handed, Parcel, unreachable_node};

impl Agent {
    /// The node that keeps the mailbox, where it is not this one.
    pub(super) fn elsewhere<'a>(&self, plan: &'a Plan) -> Option<&'a str> {
        let node = plan.storage.node.as_deref()?;
        (node != self.ports.hand_over.here()).then_some(node)
    }

    /// How the walk of such a branch ends: with the hand-over, once.
    pub(super) fn send_home(&self, job: &Job<'_>, walked: &mut Walked, node: &str) -> Ending {
        let because = vec![walked.plan.provenance("storage", "node", self.planner.catalogue())];
        let Some(from) = &job.transaction.origin.handed_over_by else {
            walked.note_because("storage", "continue", format!("{node} keeps the mailbox"), because);
            return Ending::Elsewhere { node: node.to_owned(), answer: None };
        };
        // The mailbox is being moved, and the two nodes do not know the same of it yet.
        let what = format!("{from} handed it over to this node, but {node} keeps the mailbox");
        walked.note_because("storage", "defer", what, because);
        Ending::Failed(Reply::new(451, (4, 4, 6), "The mailbox is being moved, try again later"))
    }

    /// Hands over what belongs elsewhere: one transaction for each node.
    pub(super) async fn send_elsewhere(&self, job: &Job<'_>, walked: &mut [Walked]) {
        let mut by_node: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, walked) in walked.iter().enumerate() {
            if let Ending::Elsewhere { node, .. } = &walked.ending {
                by_node.entry(node.clone()).or_default().push(index);
            }
        }
        if job.is_dry_run {
            return;
        }
        for (node, branches) in by_node {
            let handed: Vec<Handed> =
                branches.iter().filter_map(|index| walked.get(*index).map(handed)).collect();
            let now = self.ports.clock.now();
            let hostname = &self.tools().hostname;
            let trace = Trace { delivered_to: None, original_to: None, is_final: false, now, hostname };
            let head = trace::head(job, (job.message, &HeaderEdits::default()), &trace);
            let began = self.ports.clock.elapsed();
            let port = &self.ports.hand_over;
            let parcel =
                Parcel { transaction: job.transaction, head, message: job.message, recipients: &handed };
            let mut answers = port.hand_over(&node, parcel).await.into_iter();
            let span = micros(self.ports.clock.elapsed().saturating_sub(began));
            for index in branches {
                // A missing answer is none: the MTA tries again.
                let answer = answers.next().unwrap_or_else(|| Err(unreachable_node()));
                let Some(walked) = walked.get_mut(index) else { continue };
                let decision = if answer.is_ok() { "continue" } else { "defer" };
                let said = answer.as_ref().map_or_else(ToString::to_string, Clone::clone);
                walked.note("handover", decision, format!("{node}: {said}"), span);
                walked.ending = match answer {
                    Ok(said) => Ending::Elsewhere { node: node.clone(), answer: Some(said) },
                    Err(reply) => Ending::Reject(reply),
                };
            }
        }
    }
}

fn handed(walked: &Walked) -> Handed {
    let delivery = &walked.delivery;
    let account = &delivery.account.address;
    let named = delivery.recipient.to_string();
    let original = walked.original.clone().or_else(|| (named != account.to_string()).then_some(named));
    Handed { address: with_detail(account, walked), original }
}

/// The account's address as it was used: with the separator that stands before the detail.
fn with_detail(account: &Address, walked: &Walked) -> Address {
    let Some(detail) = &walked.delivery.detail else { return account.clone() };
    let separator = walked.plan.separator();
    let local = format!("{}{separator}{detail}", account.local());
    account.with_local(&local).unwrap_or_else(|_| account.clone())
}
