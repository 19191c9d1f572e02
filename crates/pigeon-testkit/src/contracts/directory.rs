//! What every directory must do, whatever keeps the data.
//!
//! A backend's test says how an empty directory is made ([`Fixture`]) and runs [`directory_contract`].

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken promise fails the test at the spot"
)]

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use pigeon_core::address::Address;
use pigeon_core::directory::{
    Account, Change, Id, Lookup, Place, Scope, Status, Subject, Target, TargetKind,
};
use pigeon_core::ports::directory::{Administration, Applied, DirectoryError};
use pigeon_core::rights::Actor;
use pigeon_core::service::{Catalogue, Tools};
use pigeon_core::setting::{Content, ContentKind, Pin, SettingName};
use serde_json::Value;

use crate::memory::TestClock;

mod feed;
mod load;
mod lookup;
mod names;
mod rights;
mod settings;
mod transfer;

/// Runs one SQL statement on a directory's tables.
pub type Edit = Box<dyn Fn(&str) + Send + Sync>;

/// An empty directory of a backend under test. What it needs (a temporary folder) lives as long as it.
pub struct Fixture {
    /// Opens another handle on the same directory, as another process has.
    pub open: Box<dyn Fn() -> Arc<dyn Administration> + Send + Sync>,
    /// Makes a change behind the directory's back, where the backend speaks SQL: a statement on the tables
    /// `settings` and `accounts`.
    pub sql: Option<Edit>,
    /// Breaks the directory: it must not give answers any more.
    pub destroy: Option<Box<dyn Fn() + Send + Sync>>,
}

/// The catalogue that fixtures open their directories with: the core's own groups of settings, and a service whose
/// keys depend on each other.
#[must_use]
pub fn catalogue(clock: Arc<TestClock>) -> Arc<Catalogue> {
    Arc::new(Catalogue::new(
        &[settings::SPAN],
        Tools {
            clock,
            hostname: "mx.example.org".into(),
            spool: Arc::new(pigeon_core::ports::spool::NoSpool),
        },
    ))
}

/// Runs the whole suite; `make` makes a new empty directory each time, with a clock that the suite moves.
///
/// # Panics
/// At the first promise that the directory breaks.
pub async fn directory_contract(make: impl Fn(Arc<TestClock>) -> Fixture) {
    let site = || Site::new(&make);
    lookup::candidates_are_tried_in_order(&site()).await;
    lookup::separators_are_a_setting(&site()).await;
    lookup::aliases_are_followed(&site()).await;
    lookup::what_cannot_be_followed_is_said(&site()).await;
    lookup::status_is_respected(&site()).await;
    lookup::settings_of_all_layers_come_along(&site()).await;
    names::ids_and_mailboxes_outlive_names(&site()).await;
    names::names_are_unique_and_reserved(&site()).await;
    names::purge_deletes_for_good(&site()).await;
    names::odd_names_are_kept(&site()).await;
    names::changes_are_logged_without_passwords(&site()).await;
    names::lists_come_in_pages(&site()).await;
    rights::everyone_stays_inside_their_grants(&site()).await;
    rights::nobody_takes_over_a_stronger_account(&site()).await;
    settings::values_are_checked_on_write(&site()).await;
    settings::pins_hold_against_inner_layers(&site()).await;
    settings::ranges_bind_inner_layers(&site()).await;
    settings::pins_change_and_lapse(&site()).await;
    settings::values_that_contradict_each_other_are_refused(&site()).await;
    settings::changes_depend_on_what_was_seen(&site()).await;
    settings::secrets_are_in_no_log_and_no_refusal(&site()).await;
    feed::every_change_tells_exactly_what_it_touched(&site()).await;
    feed::a_quiet_feed_is_empty(&site()).await;
    feed::plain_sql_edits_are_seen(&site()).await;
    transfer::an_export_makes_the_same_directory(&site(), &site()).await;
    transfer::imports_are_checked(&site()).await;
    load::names_change_under_load(&site()).await;
    load::many_handles_write_at_once(&site()).await;
    load::no_step_is_lost(&site()).await;
    load::a_broken_directory_knows_nothing(&site()).await;
}

/// A fixture with one handle, and short ways to use it.
struct Site {
    directory: Arc<dyn Administration>,
    fixture: Fixture,
    clock: Arc<TestClock>,
}

impl Site {
    fn new(make: &impl Fn(Arc<TestClock>) -> Fixture) -> Self {
        let clock = Arc::new(TestClock::default());
        let fixture = make(Arc::clone(&clock));
        Self { directory: (fixture.open)(), fixture, clock }
    }

    async fn try_as(&self, actor: &Actor, change: Change) -> Result<Applied, DirectoryError> {
        self.directory.apply(actor, change).await
    }

    async fn apply(&self, change: Change) -> Applied {
        let shown = format!("{change:?}");
        self.try_as(&root(), change).await.unwrap_or_else(|error| panic!("{shown}: {error}"))
    }

    async fn refused(&self, change: Change) -> DirectoryError {
        let shown = format!("{change:?}");
        match self.try_as(&root(), change).await {
            Ok(_) => panic!("{shown} was done"),
            Err(error) => error,
        }
    }

    async fn domain(&self, name: &str) {
        self.apply(Change::AddDomain { name: name.to_owned() }).await;
    }

    async fn account(&self, text: &str) -> Account {
        self.apply(add_account(text)).await;
        self.directory.account(&parse(text)).await.expect("the account that was added")
    }

    async fn alias(&self, pattern: &str, targets: &[&str]) {
        self.apply(add_alias(pattern, targets)).await;
    }

    async fn set(&self, place: Place, name: &str, value: impl Into<Value>) {
        self.apply(set(place, name, value, Pin::None)).await;
    }

    async fn lookup(&self, text: &str) -> Lookup {
        self.directory.lookup(&parse(text)).await.unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Checks what addresses mean, in the words of [`describe`].
    async fn check(&self, expectations: &[(&str, &str)]) {
        for (text, expect) in expectations {
            assert_eq!(describe(&self.lookup(text).await), *expect, "{text}");
        }
    }

    async fn target(&self, text: &str) -> Target {
        match self.lookup(text).await {
            Lookup::Found(resolution) => resolution.branches.into_iter().next().expect("a branch"),
            Lookup::None(_) => panic!("{text} is nobody"),
        }
    }
}

/// What a look-up says, in one line: `ann@example.org +detail <- alias@example.org; …`.
fn describe(lookup: &Lookup) -> String {
    let resolution = match lookup {
        Lookup::None(nobody) if nobody.domain.is_some() => return "nobody".to_owned(),
        Lookup::None(_) => return "not ours".to_owned(),
        Lookup::Found(resolution) => resolution,
    };
    let mut parts: Vec<String> = resolution.branches.iter().map(describe_target).collect();
    parts.extend(resolution.broken.as_ref().map(|_| "broken".to_owned()));
    parts.join("; ")
}

fn describe_target(target: &Target) -> String {
    let mut text = match &target.to {
        TargetKind::Account(account, _) => account.address.to_string(),
        TargetKind::External(address, _) => format!("elsewhere {address}"),
    };
    if let TargetKind::Account(account, detail) = &target.to {
        text.extend(detail.as_ref().map(|detail| format!(" +{detail}")));
        if account.status != Status::Active {
            text.extend([" (", &account.status.to_string(), ")"]);
        }
    }
    for alias in target.via.iter().rev() {
        text.extend([" <- ", &alias.to_string()]);
    }
    text
}

fn scopes_of(lookup: &Lookup) -> &[Scope] {
    match lookup {
        Lookup::Found(resolution) => &resolution.scopes,
        Lookup::None(nobody) => &nobody.scopes,
    }
}

fn seq_of(lookup: &Lookup) -> u64 {
    match lookup {
        Lookup::Found(resolution) => resolution.seq,
        Lookup::None(nobody) => nobody.seq,
    }
}

fn account_of(target: &Target) -> &Account {
    match &target.to {
        TargetKind::Account(account, _) => account,
        TargetKind::External(address, _) => panic!("{address} is elsewhere"),
    }
}

fn root() -> Actor {
    Actor::System("root".to_owned())
}

fn actor(account: &Account) -> Actor {
    Actor::Account(account.id.clone())
}

fn parse<T: FromStr>(text: &str) -> T
where
    T::Err: Display,
{
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn at(text: &str) -> Place {
    match text {
        "system" => Place::System,
        text if text.contains('@') => Place::Account(parse(text)),
        text => Place::Domain(text.to_owned()),
    }
}

fn subject(text: &str) -> Subject {
    if text.contains('@') { Subject::Account(parse(text)) } else { Subject::Domain(text.to_owned()) }
}

fn add_account(text: &str) -> Change {
    Change::AddAccount { address: parse(text), name: String::new(), password: None }
}

fn add_alias(pattern: &str, targets: &[&str]) -> Change {
    let targets = targets.iter().map(|target| parse::<Address>(target)).collect();
    Change::AddAlias { pattern: parse(pattern), targets }
}

fn rename(text: &str, to: &str) -> Change {
    Change::Rename { subject: subject(text), to: to.to_owned() }
}

fn status(text: &str, status: Status) -> Change {
    Change::SetStatus { subject: subject(text), status }
}

fn purge(text: &str) -> Change {
    Change::Purge { subject: subject(text) }
}

fn grant(account: &str, domain: Option<&str>) -> Change {
    Change::AddGrant { account: parse(account), domain: domain.map(str::to_owned) }
}

fn write(place: Place, name: &str, content: Content, pin: Pin) -> Change {
    Change::Set { place, name: parse::<SettingName>(name), content, pin, until: None, reason: None }
}

fn set(place: Place, name: &str, value: impl Into<Value>, pin: Pin) -> Change {
    write(place, name, Content::Value(value.into()), pin)
}

fn limit(place: Place, name: &str, range: Value, pin: Pin) -> Change {
    let range = serde_json::from_value(range).expect("a range");
    write(place, name, Content::Range(range), pin)
}

fn unset(place: Place, name: &str) -> Change {
    Change::Unset { place, name: parse(name), kind: ContentKind::Value }
}

fn pin(place: Place, name: &str, pin: Pin) -> Change {
    let name = parse(name);
    Change::SetPin { place, name, kind: ContentKind::Value, pin, until: None, reason: None }
}

/// The id of the domain that an account is in.
async fn domain_id(site: &Site, account: &str) -> Id {
    site.directory.account(&parse(account)).await.expect("an account").domain
}
