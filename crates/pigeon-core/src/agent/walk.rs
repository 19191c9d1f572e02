//! One branch walks through its steps.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::commit::branch_key;
use super::settle::{Ending, settle};
use super::{Agent, Job, micros, trace};
use crate::clock::with_limit;
use crate::delivery::Delivery;
use crate::directory::{Account, Status};
use crate::effect::{Effect, Effects};
use crate::fault::{Fault, Reply};
use crate::headers::HeaderEdits;
use crate::outcome::Next;
use crate::plan::{Branch, BranchTarget, Plan, Recipient, Step};
use crate::ports::mailstore::MailboxPath;
use crate::receipt::{BranchRecord, StepRecord};
use crate::service::{OnFault, Stage};

/// A branch after its walk.
pub(super) struct Walked {
    pub(super) delivery: Delivery,
    pub(super) plan: Arc<Plan>,
    pub(super) target: String,
    /// Names the branch across attempts.
    pub(super) branch_key: String,
    pub(super) original: Option<String>,
    pub(super) ending: Ending,
    pub(super) steps: Vec<StepRecord>,
}

impl Walked {
    /// Whether it has something to be made durable: effects, or what is left of them where the message was thrown away.
    pub(super) fn is_to_commit(&self) -> bool {
        match self.ending {
            Ending::Commit => true,
            Ending::Discard(_) | Ending::Reject(_) => !self.delivery.effects.list().is_empty(),
            _ => false,
        }
    }

    pub(super) fn into_record(self) -> BranchRecord {
        let outcome = settle(&self.ending, &self.delivery.effects, self.delivery.is_dry_run);
        BranchRecord { target: self.target, outcome, steps: self.steps }
    }

    pub(super) fn note(&mut self, part: &str, decision: &str, reason: String, duration_us: u64) {
        let (service, decision) = (part.to_owned(), decision.to_owned());
        self.steps.push(StepRecord { service, decision, reason, because: Vec::new(), duration_us });
    }

    pub(super) fn note_because(&mut self, part: &str, decision: &str, reason: String, because: Vec<String>) {
        let (service, decision) = (part.to_owned(), decision.to_owned());
        self.steps.push(StepRecord { service, decision, reason, because, duration_us: 0 });
    }
}

impl Agent {
    /// Runs the steps before the commit.
    pub(super) async fn walk(
        &self,
        job: &Job<'_>,
        recipient: &Recipient,
        branch: &Branch,
        finished: &[String],
    ) -> Walked {
        let mut walked = self.begin(job, recipient, branch);
        if !finished.is_empty() && finished.contains(&walked.branch_key) {
            walked.ending = Ending::Finished;
            return walked;
        }
        if let Some(ending) = self.gate(job, &mut walked, branch) {
            walked.ending = ending;
            return walked;
        }
        for stage in [Stage::Admit, Stage::Inspect, Stage::Decide] {
            if let Some(ending) = self.run_stage(&mut walked, stage).await {
                walked.ending = self.stopped(&mut walked, ending).await;
                return walked;
            }
        }
        walked.ending =
            if walked.delivery.effects.is_enough() { self.ready(&mut walked) } else { Ending::Nothing };
        walked
    }

    /// What a stop before the end becomes. Archives see what was accepted, whoever threw it away.
    async fn stopped(&self, walked: &mut Walked, ending: Ending) -> Ending {
        if !matches!(ending, Ending::Discard(_)) {
            return ending;
        }
        let plan = Arc::clone(&walked.plan);
        let is_left = |step: &&Step, walked: &Walked| {
            step.sees_discarded && !walked.steps.iter().any(|done| done.service == step.name)
        };
        for step in plan.steps().filter(|step| step.stage < Stage::Commit) {
            if is_left(&step, walked)
                && let Some(fault @ Ending::Fault(_)) = self.take_step(walked, step).await
            {
                return fault;
            }
        }
        ending
    }

    /// Holds what is proposed against the policy; then it is ready to be committed.
    fn ready(&self, walked: &mut Walked) -> Ending {
        let Some(fault) = check_redirects(&walked.delivery, &walked.plan) else { return Ending::Commit };
        let key = if walked.plan.redirect.allowed { "max_targets" } else { "allowed" };
        let because = vec![walked.plan.provenance("redirect", key, self.planner.catalogue())];
        walked.note_because("redirect", "defer", fault.explain(), because);
        Ending::Fault(fault)
    }

    /// Asks the Admit services about a message that is only announced.
    pub(super) async fn admission(
        &self,
        job: &Job<'_>,
        recipient: &Recipient,
        branch: &Branch,
    ) -> Result<(), Reply> {
        let mut walked = self.begin(job, recipient, branch);
        match self.run_stage(&mut walked, Stage::Admit).await {
            Some(Ending::Reject(reply)) => Err(reply),
            Some(ending @ Ending::Fault(_)) => Err(settle(&ending, &Effects::default(), false).reply()),
            _ => Ok(()),
        }
    }

    /// Runs the services that come after the commit: they can fail nothing.
    pub(super) async fn notify(&self, job: &Job<'_>, walked: &mut [Walked]) {
        for walked in
            walked.iter_mut().filter(|walked| matches!(walked.ending, Ending::Commit) && !job.is_dry_run)
        {
            if walked.plan.stage(Stage::Notify).next().is_some() {
                // Whatever they say, the outcome stands; faults are in the trail.
                drop(self.run_stage(walked, Stage::Notify).await);
            }
        }
    }

    fn begin(&self, job: &Job<'_>, recipient: &Recipient, branch: &Branch) -> Walked {
        let (account, detail) = match &branch.to {
            BranchTarget::Account(account, detail) => (Arc::clone(account), detail.clone()),
            BranchTarget::External(..) => (Arc::new(stand_in(branch, recipient)), None),
        };
        let delivery = Delivery {
            ports: self.ports.clone(),
            transaction: Arc::clone(job.transaction),
            message: Arc::clone(job.message),
            recipient: recipient.address.clone(),
            recipients: Arc::clone(&job.recipients),
            account,
            detail,
            service: "",
            is_dry_run: job.is_dry_run,
            header: HeaderEdits::default(),
            facts: BTreeMap::new(),
            effects: Effects::default(),
            keep_folder: None,
            memories: Vec::new(),
            quota: None,
            reason: String::new(),
            decided_by: Vec::new(),
            held: Vec::new(),
        };
        let target = branch.address().to_string();
        let has_siblings = recipient.branches.len() > 1;
        let branch_key =
            has_siblings.then(|| branch_key(job, &recipient.address.key(), &target).ok()).flatten();
        Walked {
            delivery,
            plan: Arc::clone(&branch.plan),
            branch_key: branch_key.unwrap_or_default(),
            target,
            original: recipient.original.clone(),
            ending: Ending::Nothing,
            steps: Vec::new(),
        }
    }

    /// What stops a branch before its first step: loops, suspension; and what an address elsewhere does instead of steps.
    fn gate(&self, job: &Job<'_>, walked: &mut Walked, branch: &Branch) -> Option<Ending> {
        if let Some(why) =
            trace::find_loop(&walked.delivery.message, &walked.delivery.account.address, &walked.plan.trace)
        {
            walked.note("loop", "reject", why, 0);
            // RFC 3463 §3.5: X.4.6 is "routing loop detected".
            return Some(Ending::Reject(Reply::new(554, (5, 4, 6), "Mail forwarding loop detected")));
        }
        match &branch.to {
            BranchTarget::Account(account, _) if account.status == Status::Suspended => {
                walked.note("account", "defer", "the account is suspended".to_owned(), 0);
                Some(Ending::Reject(Reply::new(450, (4, 2, 1), "The mailbox is suspended, try again later")))
            }
            BranchTarget::Account(..) => {
                self.elsewhere(&branch.plan).map(|node| self.send_home(job, walked, node))
            }
            BranchTarget::External(address, _) => {
                walked.delivery.redirect(address.clone());
                let via: Vec<String> = branch.via.iter().map(ToString::to_string).collect();
                walked.note("alias", "continue", format!("{} names {address}", via.join(" → ")), 0);
                Some(self.ready(walked))
            }
        }
    }

    /// Runs the steps of one stage; says how the walk ends if it does here.
    async fn run_stage(&self, walked: &mut Walked, stage: Stage) -> Option<Ending> {
        let plan = Arc::clone(&walked.plan);
        for step in plan.stage(stage) {
            let ending = self.take_step(walked, step).await;
            if ending.is_some() {
                return ending;
            }
        }
        None
    }

    /// Runs one step and puts it into the trail; says how the walk ends if it does here.
    async fn take_step(&self, walked: &mut Walked, step: &Step) -> Option<Ending> {
        let began = self.ports.clock.elapsed();
        let before = (step.handling.on_fault == OnFault::Skip).then(|| walked.delivery.proposals());
        let (answers, memories) = (walked.delivery.effects.answers(), walked.delivery.memories.len());
        let result = self.run_step(step, &mut walked.delivery).await;
        if let (Some(before), Err(_)) = (before, &result) {
            // A service that is skipped leaves nothing behind but a mark in the receipt.
            walked.delivery.restore(before);
        }
        let span = micros(self.ports.clock.elapsed().saturating_sub(began));
        let (decision, ending) = judge(step, result, &mut walked.delivery);
        let because = std::mem::take(&mut walked.delivery.decided_by);
        let catalogue = self.planner.catalogue();
        walked.steps.push(StepRecord {
            service: step.name.to_owned(),
            decision: decision.to_owned(),
            reason: std::mem::take(&mut walked.delivery.reason),
            because: because.iter().map(|key| walked.plan.provenance(step.name, key, catalogue)).collect(),
            duration_us: span,
        });
        if let Some(stop @ (Ending::Discard(_) | Ending::Reject(_))) = &ending
            && step.stage < Stage::Commit
        {
            // What earlier steps wanted is void; who ends the walk may tell somebody about it.
            walked.delivery.effects.keep_answers_behind(answers, matches!(stop, Ending::Discard(_)));
            walked.delivery.memories.drain(..memories.min(walked.delivery.memories.len()));
        }
        ending
    }

    async fn run_step(&self, step: &Step, delivery: &mut Delivery) -> Result<Next, Fault> {
        let (runner, settings) = match &step.ready {
            Ok((runner, settings)) => (runner, settings),
            Err(problem) => return Err(Fault::temporary(problem.to_string())),
        };
        delivery.service = step.name;
        let limit = Duration::from_millis(step.handling.timeout_ms);
        // One panic costs one recipient, not the process.
        let work = AssertUnwindSafe(runner.run(&**settings, delivery)).catch_unwind();
        match with_limit(&*self.ports.clock, limit, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => {
                Err(Fault::temporary(format!("{} panicked: {}", step.name, panic_text(&*panic))))
            }
            Err(_) => Err(Fault::temporary(format!(
                "{} took longer than {} ms",
                step.name, step.handling.timeout_ms
            ))),
        }
    }
}

fn judge(
    step: &Step,
    result: Result<Next, Fault>,
    delivery: &mut Delivery,
) -> (&'static str, Option<Ending>) {
    match result {
        Ok(Next::Continue) => ("continue", None),
        Ok(Next::Discard(reason)) => {
            delivery.reason(&reason);
            ("discard", Some(Ending::Discard(reason)))
        }
        Ok(Next::Reject(reply)) => {
            delivery.reason(reply.to_string());
            ("reject", Some(Ending::Reject(reply)))
        }
        Err(fault) => {
            let explained = fault.explain();
            delivery.reason(&explained);
            let (id, account) = (&delivery.transaction.id, &delivery.account.address);
            tracing::error!("{id}: {} failed for <{account}>: {explained}", step.name);
            match step.handling.on_fault {
                OnFault::Skip => ("skip", None),
                OnFault::Defer => ("defer", Some(Ending::Fault(fault))),
            }
        }
    }
}

/// Holds redirects against the policy, whoever proposed them.
fn check_redirects(delivery: &Delivery, plan: &Plan) -> Option<Fault> {
    let count = delivery.effects.list().iter().filter(|effect| matches!(effect, Effect::Redirect(_))).count();
    if count > 0 && !plan.redirect.allowed {
        let reply = Reply::new(451, (4, 7, 1), "Sending mail on is not allowed for this recipient");
        return Some(Fault::temporary("redirect.allowed is off for this recipient").replying(reply));
    }
    if count > plan.redirect.max_targets as usize {
        return Some(Fault::temporary(format!(
            "{count} redirects are more than redirect.max_targets={}",
            plan.redirect.max_targets
        )));
    }
    None
}

/// An account's place for a branch that leads elsewhere: it has no mailbox, and its services do not run.
fn stand_in(branch: &Branch, recipient: &Recipient) -> Account {
    let domain = match &branch.to {
        BranchTarget::External(_, domain) => domain.clone(),
        BranchTarget::Account(account, _) => account.domain.clone(),
    };
    Account {
        id: domain.clone(),
        domain,
        address: recipient.address.clone(),
        name: String::new(),
        mailbox: MailboxPath(String::new()),
        password: None,
        status: Status::Active,
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
