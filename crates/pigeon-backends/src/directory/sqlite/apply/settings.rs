//! Settings: written with no more authority than the actor holds, and never where they could not hold.

use pigeon_core::directory::Place;
use pigeon_core::rights::{Reach, may_write};
use pigeon_core::setting::{Content, ContentKind, Layer, Pin, Setting, SettingName};
use pigeon_core::timestamp::Timestamp;

use super::super::failure::{Failure, Outcome};
use super::super::rows;
use super::{Work, Written, account_reach, json};
use crate::directory::guard;

/// A pin, when it lapses, and why it is there.
type Pinning = (Pin, Option<Timestamp>, Option<String>);

/// A layer, and whose: the id of a domain or account, empty for the system.
type Owner = (Layer, String);

/// A place by identity.
struct Site {
    reach: Reach,
    /// The `layer` and `owner` columns.
    owner: Owner,
    /// Those of the outer layers.
    outer: Vec<Owner>,
}

impl Work<'_> {
    pub(super) fn set(
        &self,
        place: &Place,
        name: &SettingName,
        content: &Content,
        pinning: Pinning,
    ) -> Outcome<Written> {
        let site = self.site(place)?;
        let existing = self.setting_at(&site, name, content.kind())?;
        self.may_write(&site, pinning.0, existing.as_ref())?;
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
        let outer = self.outer_settings(&site, name)?;
        let notes = guard::check_against_outer(&setting, &outer, held, self.now)?;
        write(self, &site, &setting)?;
        Ok(Written { notes, ..Written::new(existing.as_ref().map_or(Ok(None), json)?, json(&setting)?) })
    }

    pub(super) fn set_pin(
        &self,
        place: &Place,
        name: &SettingName,
        kind: ContentKind,
        pinning: Pinning,
    ) -> Outcome<Written> {
        let site = self.site(place)?;
        let existing = self.setting_at(&site, name, kind)?;
        self.may_write(&site, pinning.0, existing.as_ref())?;
        let existing = existing.ok_or_else(|| no_such_setting(place, name, kind))?;
        let (pin, until, reason) = self.checked(pinning)?;
        let setting = Setting { pin, until, reason, by: self.who.clone(), ..existing.clone() };
        let outer = self.outer_settings(&site, name)?;
        let notes = guard::notes_on(&setting, &outer, self.now);
        write(self, &site, &setting)?;
        Ok(Written { notes, ..Written::new(json(&existing)?, json(&setting)?) })
    }

    pub(super) fn unset(&self, place: &Place, name: &SettingName, kind: ContentKind) -> Outcome<Written> {
        let site = self.site(place)?;
        let existing = self.setting_at(&site, name, kind)?;
        self.may_write(&site, Pin::None, existing.as_ref())?;
        let existing = existing.ok_or_else(|| no_such_setting(place, name, kind))?;
        let sql = "DELETE FROM settings
                   WHERE layer = ?1 AND owner = ?2 AND service = ?3 AND key = ?4 AND kind = ?5";
        let (layer, owner) = &site.owner;
        let params = [rows::layer_text(*layer), owner, &name.service, &name.key, &kind.to_string()];
        rows::run(self.connection, sql, params)?;
        Ok(Written::new(json(&existing)?, None))
    }

    fn site(&self, place: &Place) -> Outcome<Site> {
        let system = (Layer::System, String::new());
        Ok(match place {
            Place::System => Site { reach: Reach::System, owner: system, outer: Vec::new() },
            Place::Domain(name) => {
                let id = self.living_domain(name)?.id;
                Site { reach: Reach::Domain(id.clone()), owner: (Layer::Domain, id.0), outer: vec![system] }
            }
            Place::Account(address) => {
                let (account, domain) = self.living_account(address)?;
                let outer = vec![system, (Layer::Domain, domain.id.0)];
                Site { reach: account_reach(&account), owner: (Layer::Account, account.id.0), outer }
            }
        })
    }

    fn may_write(&self, site: &Site, pin: Pin, existing: Option<&Setting>) -> Outcome<()> {
        let existing = existing.map(|existing| existing.pin_at(self.now));
        may_write(&self.authority, &site.reach, pin, existing).map_err(Failure::forbidden)
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

    fn setting_at(&self, site: &Site, name: &SettingName, kind: ContentKind) -> Outcome<Option<Setting>> {
        let sql = "SELECT layer, service, key, content, pin, until, reason, written_by FROM settings
                   WHERE layer = ?1 AND owner = ?2 AND service = ?3 AND key = ?4 AND kind = ?5";
        let (layer, owner) = &site.owner;
        let params = [rows::layer_text(*layer), owner, &name.service, &name.key, &kind.to_string()];
        rows::first(self.connection, sql, params, rows::setting)
    }

    fn outer_settings(&self, site: &Site, name: &SettingName) -> Outcome<Vec<Setting>> {
        let mut settings = Vec::new();
        let sql = "SELECT layer, service, key, content, pin, until, reason, written_by FROM settings
                   WHERE layer = ?1 AND owner = ?2 AND service = ?3 AND key = ?4";
        for (layer, owner) in &site.outer {
            settings.extend(rows::all(
                self.connection,
                sql,
                [rows::layer_text(*layer), owner, &name.service, &name.key],
                rows::setting,
            )?);
        }
        Ok(settings)
    }
}

fn write(work: &Work<'_>, site: &Site, setting: &Setting) -> Outcome<()> {
    store(work.connection, &site.owner.1, setting)
}

/// Writes one setting in the place of whatever stood there.
pub(in super::super) fn store(
    connection: &rusqlite::Connection,
    owner: &str,
    setting: &Setting,
) -> Outcome<()> {
    let content =
        serde_json::to_string(&setting.content).map_err(|error| Failure::invalid(error.to_string()))?;
    let sql = "INSERT INTO settings (owner, service, key, kind, layer, content, pin, until, reason, written_by)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
               ON CONFLICT (layer, owner, service, key, kind) DO UPDATE SET content = excluded.content,
               pin = excluded.pin, until = excluded.until, reason = excluded.reason, written_by = excluded.written_by";
    let params = rusqlite::params![
        owner,
        setting.name.service,
        setting.name.key,
        setting.content.kind().to_string(),
        setting.layer.to_string(),
        content,
        setting.pin.to_string(),
        setting.until.map(Timestamp::micros),
        setting.reason,
        setting.by,
    ];
    rows::run(connection, sql, params).map(drop)
}

fn no_such_setting(place: &Place, name: &SettingName, kind: ContentKind) -> Failure {
    Failure::not_found(format!("the {kind} of {name} at {place}"), "")
}
