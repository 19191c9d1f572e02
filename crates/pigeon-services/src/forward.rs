//! Sends mail on to other addresses.
//!
//! Source: RFC 5321 §3.9.1. A forwarded message is the same message: the sender stays (but for SRS, which is the
//! core's `redirect` policy), nothing is added to the header but trace fields. It gets no Auto-Submitted field,
//! because it is no automatic response (RFC 3834 §5 has that field for messages a program wrote), and no Resent
//! fields, because no person has sent it again (RFC 5322 §3.6.6). The Delivered-To field that the core writes
//! stops loops over several sites.

use pigeon_core::address::Address;
use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::service::{NoConfig, Service, Stage, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many addresses one account may list; `redirect.max_targets` may allow fewer.
const MAX_ADDRESSES: usize = 100;

/// Sends every message on to other addresses.
///
/// Whether that is allowed, to how many addresses, and whether the sender is rewritten (SRS) say the
/// settings `redirect.allowed`, `redirect.max_targets` and `redirect.srs_domain`. Infected mail is not sent on.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The addresses to send to, like `["ann@example.net"]`. The account's own address is passed over. While the
    /// list is empty (the default), mail is only kept.
    pub to: Vec<Address>,
    /// Whether a copy is kept in the mailbox (the default). When it is off and there is an address to send to,
    /// no other service can keep one either.
    pub keep: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { to: Vec::new(), keep: true }
    }
}

/// The service.
#[derive(Debug)]
pub struct Forward;

impl Service for Forward {
    const NAME: &'static str = "forward";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if settings.to.len() > MAX_ADDRESSES {
            return Err(format!("to may list at most {MAX_ADDRESSES} addresses"));
        }
        Ok(())
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        let (own, others): (Vec<&Address>, Vec<&Address>) =
            settings.to.iter().partition(|to| is_own(to, delivery));
        for to in own {
            delivery.reason(format!("{to} is the account itself: mail is not sent there"));
        }
        if others.is_empty() {
            delivery.reason("there is no address to send to: the mail is kept");
            delivery.decided_by("to");
            return Ok(Next::Continue);
        }
        if delivery.fact("virus.status").is_some_and(|status| status == "infected") {
            delivery.reason("not sent on: the message is infected");
            return Ok(Next::Continue);
        }
        let list: Vec<String> = others.iter().map(ToString::to_string).collect();
        delivery.reason(format!("sent on to {}", list.join(", ")));
        delivery.decided_by("to");
        for to in others {
            delivery.redirect(to.clone());
        }
        if !settings.keep {
            delivery.reason("no copy is kept");
            delivery.decided_by("keep");
            delivery.cancel_keep();
        }
        Ok(Next::Continue)
    }
}

/// Whether mail to that address comes straight back: the account, the recipient, or a sub-address of the account.
fn is_own(to: &Address, delivery: &Delivery) -> bool {
    let account = delivery.account_address().key();
    let is_detailed = to.split_detail("+").is_some_and(|(base, _)| base.key() == account);
    to.key() == account || to.key() == delivery.recipient().key() || is_detailed
}

#[cfg(test)]
mod tests {
    use pigeon_testkit::memory::{World, because_of, reason_of};

    use super::*;
    use crate::catalogue::SERVICES;

    const MAIL: &str = "Received: from x\nSubject: hi\n\nhello\n";

    fn world(to: &[&str], keep: bool) -> World {
        let world = World::new(SERVICES);
        world
            .account("ann@example.org")
            .set("system", "mailbox.enabled", true)
            .set("ann@example.org", "forward.enabled", true)
            .set("ann@example.org", "forward.keep", keep)
            .set("ann@example.org", "forward.to", to.to_vec());
        world
    }

    #[tokio::test]
    async fn mail_is_sent_on_and_kept() {
        let world = world(&["ann@example.net", "bob@example.com"], true);
        let receipt = world.mail("eve@example.net", "ann@example.org", MAIL).await;
        assert_eq!(
            receipt.outcome.text(),
            "redirected to ann@example.net; redirected to bob@example.com; stored in INBOX"
        );
        let sent = world.sent();
        assert_eq!(sent.len(), 2);
        assert_eq!((&*sent[0].sender, &*sent[0].recipient), ("eve@example.net", "ann@example.net"));
        assert!(sent[0].text.starts_with("Delivered-To: ann@example.org\nReceived: from client"));
        assert!(sent[0].text.ends_with(MAIL), "{}", sent[0].text);
        assert!(!sent[0].text.contains("Return-Path"), "{}", sent[0].text);
    }

    #[tokio::test]
    async fn a_copy_is_kept_only_when_asked_for() {
        let world = world(&["ann@example.net"], false);
        let receipt = world.mail("eve@example.net", "ann@example.org", MAIL).await;
        assert_eq!(receipt.outcome.text(), "redirected to ann@example.net");
        assert_eq!(
            because_of(&receipt, "forward"),
            ["forward.to=[\"ann@example.net\"] (account)", "forward.keep=false (account)"]
        );
        assert!(world.mails("ann@example.org").is_empty());
    }

    #[tokio::test]
    async fn mail_is_never_sent_to_the_account_itself() {
        let world = world(&["ANN@example.org", "ann+x@example.org", "info@example.org"], false);
        world.alias("info@example.org", &["ann@example.org"]);
        let receipt = world.mail("eve@example.net", "info@example.org", MAIL).await;
        assert_eq!(receipt.outcome.text(), "stored in INBOX");
        let reason = reason_of(&receipt, "forward");
        assert!(reason.contains("ANN@example.org is the account itself"), "{reason}");
        assert!(reason.ends_with("there is no address to send to: the mail is kept"), "{reason}");
        assert!(world.state.outbox().is_empty());
    }

    #[tokio::test]
    async fn a_bounce_is_sent_on_with_the_null_sender() {
        let world = world(&["ann@example.net"], false);
        world.mail("<>", "ann@example.org", MAIL).await;
        assert_eq!(world.sent()[0].sender, "");
    }

    #[tokio::test]
    async fn a_retry_sends_nothing_twice() {
        let world = world(&["ann@example.net"], true);
        for _ in 0..2 {
            world.mail("eve@example.net", "ann@example.org", MAIL).await;
        }
        assert_eq!(world.sent().len(), 1);
    }

    #[test]
    fn endless_lists_are_refused() {
        let to = vec!["ann@example.net".parse().unwrap(); MAX_ADDRESSES + 1];
        assert!(Forward::check(&Settings { to, keep: true }).is_err());
    }
}
