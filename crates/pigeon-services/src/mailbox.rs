//! Keeps the message: the last service, which stores what nobody has stored before.

use pigeon_core::delivery::Delivery;
use pigeon_core::effect::{Effect, Flags};
use pigeon_core::fault::Fault;
use pigeon_core::folder::Folder;
use pigeon_core::outcome::Next;
use pigeon_core::service::{NoConfig, Service, Stage, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keeps every message in the recipient's mailbox, unless an earlier service has stored it already or said
/// that no copy is to be kept.
///
/// Enable it for everyone: a message that no service takes waits at the mail server.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The folder for messages that no other service has put somewhere: `INBOX` (the default), or a name like
    /// `Archive/2026` with `/` between its levels. It is made with the first message.
    pub folder: Folder,
}

/// The service.
#[derive(Debug)]
pub struct Mailbox;

impl Service for Mailbox {
    const NAME: &'static str = "mailbox";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        if delivery.effects().is_keep_cancelled() {
            delivery.reason("no copy is kept: an earlier service said so");
        } else if delivery.effects().has_store() {
            let folders: Vec<String> = delivery.effects().list().iter().filter_map(folder_of).collect();
            delivery.reason(format!("an earlier service stores it in {}", folders.join(", ")));
        } else {
            delivery.reason(format!("stored in {}", settings.folder));
            delivery.decided_by("folder");
            delivery.store(settings.folder.clone(), Flags::default());
        }
        Ok(Next::Continue)
    }
}

fn folder_of(effect: &Effect) -> Option<String> {
    match effect {
        Effect::Store(store) => Some(store.folder.to_string()),
        Effect::Redirect(_) | Effect::Answer(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use pigeon_testkit::memory::{World, because_of, reason_of};

    use crate::catalogue::SERVICES;

    const MAIL: &str = "Subject: hi\n\nhello\n";

    fn world() -> World {
        let world = World::new(SERVICES);
        world.account("ann@example.org").set("system", "mailbox.enabled", true);
        world
    }

    #[tokio::test]
    async fn mail_is_stored_in_the_inbox_by_default() {
        let world = world();
        let receipt = world.mail("bob@example.net", "ann@example.org", MAIL).await;
        assert_eq!(receipt.outcome.text(), "stored in INBOX");
        assert_eq!(because_of(&receipt, "mailbox"), ["mailbox.folder=INBOX (default)"]);
        let mails = world.mails("ann@example.org");
        assert!(mails[0].text.starts_with("Return-Path: <bob@example.net>\nDelivered-To: ann@example.org\n"));
        assert!(mails[0].text.ends_with(MAIL));
    }

    #[tokio::test]
    async fn the_folder_is_a_setting() {
        let world = world();
        world.set("ann@example.org", "mailbox.folder", "Archive/2026");
        let receipt = world.mail("bob@example.net", "ann@example.org", MAIL).await;
        assert_eq!(world.folders("ann@example.org"), ["Archive/2026"]);
        assert_eq!(because_of(&receipt, "mailbox"), ["mailbox.folder=Archive/2026 (account)"]);
    }

    #[tokio::test]
    async fn what_an_earlier_service_stored_is_not_stored_again() {
        let world = world();
        world.set("system", "subaddress.enabled", true).set("system", "subaddress.create", true);
        let receipt = world.mail("bob@example.net", "ann+shop@example.org", MAIL).await;
        assert_eq!(world.folders("ann@example.org"), ["shop"]);
        assert_eq!(reason_of(&receipt, "mailbox"), "an earlier service stores it in shop");
    }

    #[tokio::test]
    async fn a_cancelled_copy_stays_cancelled() {
        let world = world();
        world
            .set("ann@example.org", "forward.enabled", true)
            .set("ann@example.org", "forward.keep", false)
            .set("ann@example.org", "forward.to", vec!["ann@example.net"]);
        let receipt = world.mail("bob@example.net", "ann@example.org", MAIL).await;
        assert_eq!(receipt.outcome.text(), "redirected to ann@example.net");
        assert_eq!(reason_of(&receipt, "mailbox"), "no copy is kept: an earlier service said so");
        assert!(world.mails("ann@example.org").is_empty());
    }
}
