//! The rules for everything that leaves on behalf of a recipient: forwards, external aliases, redirecting scripts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::{Address, DomainName, ReversePath};
use crate::srs;
use crate::timestamp::Timestamp;

/// Whether and how mail may be sent on, whoever proposes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RedirectPolicy {
    /// Whether mail may be sent on to other addresses at all.
    pub allowed: bool,
    /// To how many addresses one message may be sent on for one recipient.
    pub max_targets: u32,
    /// The domain for rewritten senders (SRS), so that SPF checks of the next server pass. Empty: senders are not rewritten. Its bounces must come back here.
    pub srs_domain: String,
    /// The secrets that sign rewritten senders; the first signs, all verify. Keep them, or bounces are lost.
    #[schemars(extend("x-secret" = true))]
    pub srs_secrets: Vec<String>,
}

impl Default for RedirectPolicy {
    fn default() -> Self {
        Self { allowed: true, max_targets: 20, srs_domain: String::new(), srs_secrets: Vec::new() }
    }
}

impl RedirectPolicy {
    /// The reverse-path that a redirected message is sent with.
    ///
    /// # Errors
    /// When the policy's own domain is not one.
    pub fn sender(&self, sender: &ReversePath, now: Timestamp) -> Result<ReversePath, String> {
        let (ReversePath::Address(address), Some(secret)) = (sender, self.srs_secrets.first()) else {
            return Ok(sender.clone());
        };
        if self.srs_domain.is_empty() {
            return Ok(sender.clone());
        }
        let domain = DomainName::parse(&self.srs_domain)
            .map_err(|error| format!("redirect.srs_domain {:?}: {error}", self.srs_domain))?;
        if *address.domain() == domain {
            return Ok(sender.clone());
        }
        srs::rewrite(address, &domain, secret, now)
            .map(ReversePath::Address)
            .map_err(|error| format!("the sender {address} cannot be rewritten: {error}"))
    }

    /// The original sender behind a rewritten one of ours, for bounces that come back.
    #[must_use]
    pub fn original_sender(&self, address: &Address, now: Timestamp) -> Option<Address> {
        let is_ours = address.domain().as_str().eq_ignore_ascii_case(&self.srs_domain);
        if is_ours { srs::restore(address, &self.srs_secrets, now).ok() } else { None }
    }
}
