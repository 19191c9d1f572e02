//! Settings: written with no more authority than the actor holds, and never where they could not hold.

use pigeon_core::directory::{Entry, Id, Place};
use pigeon_core::ports::directory::DirectoryError;
use pigeon_core::rights::{Reach, may_write, may_write_service};
use pigeon_core::service::Catalogue;
use pigeon_core::setting::{Content, ContentKind, Pin, Setting, SettingName};
use pigeon_core::timestamp::Timestamp;
use serde_json::Value;

use super::super::failure::{Failure, Outcome};
use super::super::rows::{Owner, Write};
use super::{Work, Written, account_reach, json};
use crate::directory::guard;

/// A pin, when it lapses, and why it is there.
type Pinning = (Pin, Option<Timestamp>, Option<String>);

/// A place by identity, and what is written there and further out.
struct Site {
    reach: Reach,
    owner: Owner,
    /// Every setting of the place itself.
    own: Vec<Setting>,
    /// Every setting of the outer layers.
    outer: Vec<Setting>,
}

impl Site {
    fn existing(&self, name: &SettingName, kind: ContentKind) -> Option<Setting> {
        let is_it = |setting: &&Setting| setting.name == *name && setting.content.kind() == kind;
        self.own.iter().find(is_it).cloned()
    }

    /// What the outer layers say about one name, for refusals and notes: a secret is not to be read in them.
    fn outer(&self, name: &SettingName, catalogue: &Catalogue) -> Vec<Setting> {
        let about = self.outer.iter().filter(|setting| setting.name == *name).cloned();
        about.map(|setting| catalogue.without_secret(setting)).collect()
    }

    /// All that is written here and further out.
    fn written(&self) -> Vec<Setting> {
        self.own.iter().chain(&self.outer).cloned().collect()
    }

    fn entry(&self, setting: Setting) -> Entry {
        let owner = (!self.owner.id.is_empty()).then(|| Id(self.owner.id.clone()));
        Entry::Setting { owner, setting }
    }
}

impl Work<'_> {
    pub(super) async fn set(
        &mut self,
        place: &Place,
        name: &SettingName,
        content: &Content,
        pinning: Pinning,
    ) -> Outcome<Written> {
        let site = self.site(place).await?;
        let existing = site.existing(name, content.kind());
        self.may_write(&site, name, pinning.0, existing.as_ref())?;
        self.catalogue.validate(place.layer(), name, content).map_err(Failure::invalid)?;
        let (pin, until, reason) = self.checked(pinning)?;
        let setting = Setting {
            layer: place.layer(),
            name: name.clone(),
            content: self.catalogue.normalised(name, content),
            pin,
            until,
            reason,
            by: self.who.clone(),
        };
        let held = self.authority.at(&site.reach).unwrap_or_default();
        let outer = site.outer(name, self.catalogue);
        let notes = guard::check_against_outer(&setting, &outer, held, self.now)?;
        self.catalogue.check_together(&setting, &site.written()).map_err(Failure::invalid)?;
        let before = existing.as_ref().map_or(Ok(None), |existing| self.logged(existing))?;
        let after = self.logged(&setting)?;
        Ok(Written { before, after, notes, ..Written::rows(vec![Write::Put(site.entry(setting))]) })
    }

    pub(super) async fn set_pin(
        &mut self,
        place: &Place,
        name: &SettingName,
        kind: ContentKind,
        pinning: Pinning,
    ) -> Outcome<Written> {
        let site = self.site(place).await?;
        let existing = site.existing(name, kind);
        self.may_write(&site, name, pinning.0, existing.as_ref())?;
        let existing = existing.ok_or_else(|| no_such_setting(place, name, kind))?;
        let (pin, until, reason) = self.checked(pinning)?;
        let before = self.logged(&existing)?;
        let setting = Setting { pin, until, reason, by: self.who.clone(), ..existing };
        let notes = guard::notes_on(&setting, &site.outer(name, self.catalogue), self.now);
        let after = self.logged(&setting)?;
        Ok(Written { before, after, notes, ..Written::rows(vec![Write::Put(site.entry(setting))]) })
    }

    pub(super) async fn unset(
        &mut self,
        place: &Place,
        name: &SettingName,
        kind: ContentKind,
    ) -> Outcome<Written> {
        let site = self.site(place).await?;
        let existing = site.existing(name, kind);
        self.may_write(&site, name, Pin::None, existing.as_ref())?;
        let existing = existing.ok_or_else(|| no_such_setting(place, name, kind))?;
        let before = self.logged(&existing)?;
        Ok(Written { before, ..Written::rows(vec![Write::Drop(site.entry(existing))]) })
    }

    /// Refuses unless the values at a place are as they were seen. Only whoever may write there is told.
    pub(super) async fn is_written(
        &mut self,
        place: &Place,
        seen: &[(SettingName, Option<Value>)],
    ) -> Outcome<()> {
        let site = self.site(place).await?;
        for (name, value) in seen {
            self.may_write(&site, name, Pin::None, None)?;
            let written = site.existing(name, ContentKind::Value).map(|setting| setting.content);
            if written != value.clone().map(Content::Value) {
                return Err(Failure::Refused(DirectoryError::Changed(format!("{name} at {place}"))));
            }
        }
        Ok(())
    }

    /// The row for the change log, which keeps no secret.
    fn logged(&self, setting: &Setting) -> Outcome<Option<Value>> {
        json(&self.catalogue.without_secret(setting.clone()))
    }

    async fn site(&mut self, place: &Place) -> Outcome<Site> {
        let system = Owner::system();
        let (reach, owner, outer) = match place {
            Place::System => (Reach::System, system, Vec::new()),
            Place::Domain(name) => {
                let id = self.living_domain(name).await?.id;
                (Reach::Domain(id.clone()), Owner::domain(&id), vec![system])
            }
            Place::Account(address) => {
                let (account, domain) = self.living_account(address).await?;
                let outer = vec![system, Owner::domain(&domain.id)];
                (account_reach(&account), Owner::account(&account.id), outer)
            }
        };
        let mut site = Site { reach, own: self.rows.settings_of(&owner).await?, owner, outer: Vec::new() };
        for owner in outer {
            site.outer.extend(self.rows.settings_of(&owner).await?);
        }
        Ok(site)
    }

    fn may_write(
        &self,
        site: &Site,
        name: &SettingName,
        pin: Pin,
        existing: Option<&Setting>,
    ) -> Outcome<()> {
        let existing = existing.map(|existing| existing.pin_at(self.now));
        may_write(&self.authority, &site.reach, pin, existing).map_err(Failure::forbidden)?;
        let is_for_users = self.catalogue.descriptor(&name.service).is_ok_and(|known| known.is_for_users);
        may_write_service(&self.authority, &site.reach, &name.service, is_for_users)
            .map_err(Failure::forbidden)
    }

    fn checked(&self, (pin, until, reason): Pinning) -> Outcome<Pinning> {
        match until {
            Some(_) if pin == Pin::None => {
                Err(Failure::invalid("\"until\" says when a pin lapses: give a pin with it"))
            }
            Some(until) if until <= self.now => {
                Err(Failure::invalid(format!("the pin would lapse at once: {until} is past")))
            }
            _ => Ok((pin, until, reason)),
        }
    }
}

fn no_such_setting(place: &Place, name: &SettingName, kind: ContentKind) -> Failure {
    Failure::not_found(format!("the {kind} of {name} at {place}"), "")
}
