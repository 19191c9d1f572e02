//! What the outbox posts to servers: signed as the account's settings say, and where the site allows it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use pigeon_backends::outbox::{PostWeb, Posting, Refusal};
use pigeon_core::address::Address;
use pigeon_core::agent::Agent;
use pigeon_core::clock::Clock;
use pigeon_core::plan::{Branch, BranchTarget, Plan, Planned};
use pigeon_services::notify::{self, Announcement};
use pigeon_services::web::{Network, Trouble, Web};
use sha2::{Digest as _, Sha256};

/// Posts for the outbox.
pub struct Posts {
    agent: Arc<Agent>,
    clock: Arc<dyn Clock>,
    /// The client for the networks that were allowed last.
    web: Mutex<Option<(Vec<Network>, Arc<Web>)>>,
}

impl Posts {
    /// One that asks this agent's planner for the settings of accounts.
    #[must_use]
    pub fn new(agent: Arc<Agent>, clock: Arc<dyn Clock>) -> Self {
        Self { agent, clock, web: Mutex::default() }
    }

    /// What holds for an account now.
    async fn plan(&self, account: &str) -> Result<Arc<Plan>, Refusal> {
        let gone = || Refusal::Permanent { status: "5.1.1".into(), text: format!("{account} is no account") };
        let address = Address::parse(account).map_err(|_| gone())?;
        let planned = self.agent.planner().plan(&address).await;
        let Planned::Found(branches) = planned.map_err(|error| Refusal::Temporary(error.to_string()))? else {
            return Err(gone());
        };
        let is_it = |branch: &&Branch| matches!(&branch.to, BranchTarget::Account(found, _) if found.address == address);
        branches.iter().find(is_it).map(|branch| Arc::clone(&branch.plan)).ok_or_else(gone)
    }

    fn web(&self, networks: Vec<Network>) -> Arc<Web> {
        let mut held = self.web.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some((known, web)) if *known == networks => Arc::clone(web),
            _ => {
                let web = Arc::new(Web::new(&networks));
                *held = Some((networks, Arc::clone(&web)));
                web
            }
        }
    }
}

#[async_trait]
impl PostWeb for Posts {
    async fn post(&self, posting: Posting) -> Result<String, Refusal> {
        let plan = self.plan(&posting.on_behalf_of).await?;
        let values = plan.effective(self.agent.planner().catalogue()).of("notify");
        let web = self.web(notify::allowed_networks(&values));
        let id = HEXLOWER.encode(Sha256::digest(&posting.key).get(..16).unwrap_or_default());
        let announcement =
            Announcement { url: &posting.url, id: &id, body: posting.body, now: self.clock.now() };
        let sent = notify::send(&web, &values, announcement).await;
        sent.map(|()| "taken".to_owned()).map_err(|trouble| match trouble {
            Trouble::Temporary(what) => Refusal::Temporary(what),
            Trouble::Permanent(text) => Refusal::Permanent { status: "5.0.0".into(), text },
        })
    }
}
