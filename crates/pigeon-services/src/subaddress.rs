//! Files mail for `user+folder@example.org` in that folder.
//!
//! Source: RFC 5233 §1 for the parts of an address. What the sender wrote names the folder, so every detail
//! that could make trouble in a mail reader or a store is passed over, and the mail goes its normal way.

use pigeon_core::delivery::Delivery;
use pigeon_core::effect::Flags;
use pigeon_core::fault::Fault;
use pigeon_core::folder::{Folder, MAX_DEPTH};
use pigeon_core::outcome::Next;
use pigeon_core::service::{Contradiction, NoConfig, Service, Stage, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done about upper and lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Case {
    /// An existing folder that differs only in case is taken; otherwise as the address has it.
    #[default]
    Match,
    /// As the address has it.
    Keep,
    /// In lower case.
    Lower,
}

/// Files mail for a sub-address such as `ann+shop@example.org` in the folder that the detail names
/// (`shop`).
///
/// Which characters set the detail off is the setting `address.separators`. Mail whose detail names no
/// usable folder goes the way of mail without a detail.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Whether a folder that does not exist yet is made. Off by default: otherwise anyone who sends mail can
    /// make folders. When it is off, mail for an unknown folder goes the way of mail without a detail.
    pub create: bool,
    /// The folder below which the details are looked for, like `Sub`. By default (`INBOX`) they are at the top level.
    pub prefix: Folder,
    /// What is done about upper and lower case: `match` (the default) takes an existing folder that differs only
    /// in case, `keep` takes the name as the address has it, `lower` puts it in lower case.
    pub case: Case,
    /// The characters that separate the levels of a folder in the detail. With `./` both `ann+shop.bills` and
    /// `ann+shop/bills` mean the folder `bills` in `shop`. By default `/` alone; empty: there is one level only.
    pub level_separators: String,
    /// How many levels a detail may have, 1 to 8 (2 by default), together with those of `prefix` 16 at most. Mail for a
    /// deeper one goes the way of mail without a detail.
    #[schemars(range(min = 1, max = 8))]
    pub max_depth: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            create: false,
            prefix: Folder::inbox(),
            case: Case::Match,
            level_separators: "/".to_owned(),
            max_depth: 2,
        }
    }
}

/// The service.
#[derive(Debug)]
pub struct Subaddress;

impl Service for Subaddress {
    const NAME: &'static str = "subaddress";
    const STAGE: Stage = Stage::Decide;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if !(1..=8).contains(&settings.max_depth) {
            return Err("max_depth must be 1 to 8".to_owned());
        }
        let is_separator = |letter: char| letter.is_ascii_punctuation() && !UNSAFE.contains(letter);
        if !settings.level_separators.chars().all(is_separator) {
            return Err("level_separators are punctuation characters like . / or -".to_owned());
        }
        Ok(())
    }

    fn contradictions(settings: &Settings) -> Vec<Contradiction> {
        if settings.prefix.levels().count() + usize::from(settings.max_depth) <= MAX_DEPTH {
            return Vec::new();
        }
        let allowed = format!("together they may have {MAX_DEPTH} levels");
        vec![Contradiction { keys: ["prefix", "max_depth"], allowed }]
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        let Some(detail) = delivery.detail().map(str::to_owned).filter(|detail| !detail.is_empty()) else {
            delivery.reason("the address has no detail");
            return Ok(Next::Continue);
        };
        if let Some(folder) = delivery.keep_folder() {
            let reason = format!("an earlier service keeps it in {folder}");
            delivery.reason(reason);
            return Ok(Next::Continue);
        }
        let named = match settings.folder(&detail) {
            Ok(folder) => folder,
            Err(why) => {
                delivery.reason(format!("the detail {detail:?} names no folder here: {why}"));
                return Ok(Next::Continue);
            }
        };
        if settings.create && settings.case != Case::Match {
            delivery.decided_by("create");
            return Ok(file(delivery, named));
        }
        let known = delivery.folders().await?;
        match settings.choose(&named, &known) {
            Some(folder) => Ok(file(delivery, folder)),
            None if settings.create => {
                delivery.decided_by("create");
                Ok(file(delivery, named))
            }
            None => {
                delivery.reason(format!("there is no folder {named}, and none is made"));
                delivery.decided_by("create");
                Ok(Next::Continue)
            }
        }
    }
}

/// Characters that mean something else in IMAP (RFC 9051 §5.1) or in quoted strings.
const UNSAFE: &str = "%*\"\\";

impl Settings {
    /// The folder that a detail names.
    fn folder(&self, detail: &str) -> Result<Folder, String> {
        let levels: Vec<&str> = detail.split(|letter| self.level_separators.contains(letter)).collect();
        if levels.len() > usize::from(self.max_depth) {
            return Err(format!("it has more than {} levels", self.max_depth));
        }
        for level in &levels {
            // RFC 9051 §5.1.2.1: a leading # names another namespace; a dot or ~ is one to some stores.
            let is_strange = level.starts_with(['#', '~', '.']) || level.trim() != *level;
            // A separator of folders that is not one here would make levels behind our back.
            if is_strange || level.contains('/') || level.chars().any(|letter| UNSAFE.contains(letter)) {
                return Err("it has characters that a folder name had better not have".to_owned());
            }
        }
        let mut path: Vec<String> = self.prefix.levels().map(str::to_owned).collect();
        path.extend(levels.iter().map(|level| match self.case {
            Case::Lower => level.to_lowercase(),
            Case::Match | Case::Keep => (*level).to_owned(),
        }));
        if path.len() > MAX_DEPTH {
            return Err("the prefix is too deep".to_owned());
        }
        let folder = Folder::parse(&path.join("/")).map_err(|error| error.to_string())?;
        if folder.is_inbox() { Err("it is the INBOX itself".to_owned()) } else { Ok(folder) }
    }

    /// The existing folder that is meant.
    fn choose(&self, named: &Folder, known: &[Folder]) -> Option<Folder> {
        if known.contains(named) {
            return Some(named.clone());
        }
        let lower = named.to_string().to_lowercase();
        let mut alike = known.iter().filter(|folder| folder.to_string().to_lowercase() == lower);
        alike.next().filter(|_| self.case == Case::Match).cloned()
    }
}

fn file(delivery: &mut Delivery, folder: Folder) -> Next {
    delivery.reason(format!("the detail names the folder {folder}"));
    delivery.store(folder, Flags::default());
    Next::Continue
}

#[cfg(test)]
mod tests {
    use pigeon_testkit::memory::{World, reason_of};
    use proptest::prelude::*;

    use super::*;
    use crate::catalogue::SERVICES;

    fn world() -> World {
        let world = World::new(SERVICES);
        world
            .account("ann@example.org")
            .set("system", "mailbox.enabled", true)
            .set("system", "subaddress.enabled", true)
            .folder("ann@example.org", "Shop/Bills")
            .folder("ann@example.org", "Shop");
        world
    }

    async fn check(world: &World, recipient: &str, folder: &str, reason: &str) {
        let receipt = world.mail("bob@example.net", recipient, "Subject: hi\n\nhello\n").await;
        assert_eq!(world.folders("ann@example.org").last().unwrap(), folder, "{recipient}");
        let got = reason_of(&receipt, "subaddress");
        assert!(got.contains(reason), "{recipient}: {got}");
    }

    #[tokio::test]
    async fn the_detail_names_an_existing_folder() {
        let world = world();
        check(&world, "ann@example.org", "INBOX", "no detail").await;
        check(&world, "ann+@example.org", "INBOX", "no detail").await;
        check(&world, "ann+Shop@example.org", "Shop", "names the folder Shop").await;
        check(&world, "ann+shop/bills@example.org", "Shop/Bills", "names the folder Shop/Bills").await;
        check(&world, "ann+other@example.org", "INBOX", "there is no folder other").await;
        check(&world, "ann+a/b/c@example.org", "INBOX", "more than 2 levels").await;
    }

    #[tokio::test]
    async fn folders_are_made_when_that_is_set() {
        let world = world();
        world.set("ann@example.org", "subaddress.create", true);
        check(&world, "ann+other@example.org", "other", "names the folder other").await;
        world.set("ann@example.org", "subaddress.prefix", "Sub");
        check(&world, "ann+other@example.org", "Sub/other", "names the folder Sub/other").await;
        world.set("ann@example.org", "subaddress.case", "lower");
        check(&world, "ann+Other@example.org", "Sub/other", "names the folder Sub/other").await;
        world.set("ann@example.org", "subaddress.level_separators", "./");
        check(&world, "ann+a.b@example.org", "Sub/a/b", "names the folder Sub/a/b").await;
    }

    #[tokio::test]
    async fn unsafe_details_go_the_normal_way() {
        let world = world();
        world.set("system", "subaddress.create", true);
        let details =
            ["..", ".", ".hidden", "a//b", "#news", "~root", "a*b", "100%", "INBOX", "/etc", "\"a\\\\b\""];
        for detail in details {
            let recipient = match detail.strip_prefix('"') {
                Some(quoted) => format!("\"ann+{quoted}@example.org"),
                None => format!("ann+{detail}@example.org"),
            };
            check(&world, &recipient, "INBOX", "names no folder here").await;
        }
    }

    #[tokio::test]
    async fn a_mailbox_that_cannot_be_read_defers() {
        let world = world();
        world.failure("ann@example.org", Some(pigeon_testkit::memory::MailboxFailure::Unwritable));
        let receipt = world.mail("bob@example.net", "ann+shop@example.org", "\nhello\n").await;
        assert_eq!(receipt.outcome.word(), "deferred");
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        assert!(Subaddress::check(&Settings::default()).is_ok());
        assert!(Subaddress::check(&Settings { max_depth: 0, ..Settings::default() }).is_err());
        assert!(
            Subaddress::check(&Settings { level_separators: "a".into(), ..Settings::default() }).is_err()
        );
    }

    proptest! {
        #[test]
        fn no_detail_leaves_the_prefix(detail in "\\PC{0,40}") {
            let settings = Settings {
                prefix: Folder::parse("Sub").unwrap(), level_separators: "./".into(), ..Settings::default()
            };
            if let Ok(folder) = settings.folder(&detail) {
                let levels: Vec<&str> = folder.levels().collect();
                prop_assert!(levels.len() >= 2 && levels.len() <= 3 && levels[0] == "Sub");
                prop_assert!(levels.iter().all(|level| !matches!(*level, "" | "." | "..")));
            }
        }
    }
}
