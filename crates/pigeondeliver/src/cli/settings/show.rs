//! What holds for an address and why, or what is written at one layer.

use std::io::{self, Write};

use anyhow::bail;
use pigeon_core::address::Address;
use pigeon_core::directory::Place;
use pigeon_core::plan::{Branch, Planned};
use pigeon_core::resolve::{Effective, EffectiveSettings};
use pigeon_core::setting::{Content, Pin, Setting, SettingName};
use pigeon_core::timestamp::Timestamp;
use pigeon_services::octets::Octets;
use serde_json::{Value, json};

use super::ShowArgs;
use super::describe::{find_service, groups, key_schema, known_key};
use crate::cli::service::descriptors;
use crate::cli::session::Session;
use crate::show::{KeyDoc, Paper, Table, Tone, moment, short, value};

/// `pigeon settings [show]`
pub(super) async fn run(session: &Session, args: ShowArgs) -> anyhow::Result<()> {
    for only in &args.only {
        let (service, key) =
            only.split_once('.').map_or((only.as_str(), None), |(name, key)| (name, Some(key)));
        let descriptor = find_service(service)?;
        key.map_or(Ok(()), |key| known_key(&descriptor, key))?;
    }
    match (&args.address, args.system, &args.domain) {
        (Some(address), ..) => effective(session, address, &args).await,
        (None, true, _) => written(session, Place::System, &args).await,
        (None, _, Some(domain)) => {
            let domain = session.domain(domain).await?;
            written(session, Place::Domain(domain.name), &args).await
        }
        (None, false, None) => match &session.acting {
            Some(account) => effective(session, &account.address, &args).await,
            None => bail!("whose settings? Name an ADDRESS, or --system, or --domain NAME"),
        },
    }
}

async fn written(session: &Session, place: Place, args: &ShowArgs) -> anyhow::Result<()> {
    let mut settings = session.site.directory.settings(&place).await?;
    settings.retain(|setting| is_wanted(&setting.name, &args.only));
    if !args.secrets {
        settings = session.without_secrets(settings);
    }
    session.out.print(&json!({ "place": place, "settings": settings }), |out| {
        let table = written_table(session.out.paper, &settings, session.now());
        if table.is_empty() {
            return writeln!(out, "Nothing is written at {place}.");
        }
        table.write(out)
    })
}

/// The settings that one layer holds, as a table.
pub(in crate::cli) fn written_table(paper: Paper, settings: &[Setting], now: Timestamp) -> Table {
    let mut table = Table::new(paper, &["SETTING", "SAYS", "PIN", "WRITTEN BY"]);
    for setting in settings {
        let name = setting.name.to_string();
        let says = match &setting.content {
            Content::Value(held) => short(&value(held)),
            Content::Range(range) => format!("may be {range}"),
        };
        table.row([
            (name.as_str(), Tone::Strong),
            (says.as_str(), Tone::Plain),
            (&pin_text(setting, now), Tone::Warn),
            (setting.by.as_str(), Tone::Dim),
        ]);
    }
    table
}

/// The pin of a setting in words; empty without one.
fn pin_text(setting: &Setting, now: Timestamp) -> String {
    if setting.pin == Pin::None {
        return String::new();
    }
    let mut text = setting.pin.to_string();
    if let Some(until) = setting.until {
        let word = if setting.pin_at(now) == Pin::None { "lapsed" } else { "until" };
        text.extend([format!(", {word} {}", moment(until))]);
    }
    if let Some(reason) = &setting.reason {
        text.extend([format!(": {reason}")]);
    }
    text
}

async fn effective(session: &Session, address: &Address, args: &ShowArgs) -> anyhow::Result<()> {
    let branches = match session.site.agent.planner().plan(address).await? {
        Planned::Found(branches) => branches,
        Planned::Broken(why) => bail!("the alias {address} is broken: {why}"),
        // Also an account that is marked as removed; the account's own error says more about a near miss.
        Planned::Nobody { .. } => {
            let account = session.account(address).await?;
            bail!("{address} is {}: restore it to see its settings", account.status)
        }
    };
    let now = session.now();
    let mut shown: Vec<(&Branch, Vec<Row>)> = branches
        .iter()
        .map(|branch| (branch, rows(&branch.plan.effective(&session.site.catalogue), args, now)))
        .collect();
    let rows = shown.iter_mut().flat_map(|(_, rows)| rows).filter(|_| !args.secrets);
    rows.filter(|row| session.site.catalogue.is_secret(&row.name)).for_each(|row| hide(session, row, now));
    let document: Vec<Value> = shown.iter().map(|(branch, rows)| document(branch, rows)).collect();
    session.out.print(&json!({ "address": address, "branches": document }), |out| {
        for (index, (branch, rows)) in shown.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            if !branch.via.is_empty() || branch.address() != address {
                writeln!(out, "{address} → {}", branch.address())?;
            }
            table(out, session.out.paper, rows)?;
        }
        Ok(())
    })
}

/// One key with what holds for it.
struct Row {
    name: SettingName,
    value: Option<Value>,
    held: Option<Effective>,
    /// `account`, `domain, pinned`, `default`.
    origin: String,
    remark: String,
}

fn is_wanted(name: &SettingName, only: &[String]) -> bool {
    only.is_empty() || only.iter().any(|only| *only == name.service || *only == name.to_string())
}

/// A row for each key of each service, and for whatever else is written, in the order of the catalogue.
fn rows(effective: &EffectiveSettings, args: &ShowArgs, now: Timestamp) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for descriptor in descriptors() {
        let defaults = descriptor.defaults();
        let mut keys: Vec<KeyDoc> = groups(&descriptor).into_iter().flat_map(|(_, keys)| keys).collect();
        // Whether the service takes part at all comes first.
        keys.sort_by_key(|doc| doc.key != "enabled");
        for doc in keys {
            let name = SettingName { service: descriptor.name.to_owned(), key: doc.key };
            let held = effective.keys.get(&name);
            let default = defaults.get(&name.key).cloned();
            // How the site reaches a service has no default worth a row.
            if is_wanted(&name, &args.only) && (held.is_some() || (default.is_some() && !args.written)) {
                rows.push(row(name, held, default, now));
            }
        }
    }
    // Newer nodes may have written what this one does not know.
    let known: Vec<SettingName> = rows.iter().map(|row| row.name.clone()).collect();
    let unknown = effective.keys.iter().filter(|(name, _)| !known.contains(name));
    let unknown = unknown.filter(|(name, _)| is_wanted(name, &args.only));
    rows.extend(unknown.map(|(name, held)| row(name.clone(), Some(held), None, now)));
    rows
}

fn row(name: SettingName, held: Option<&Effective>, default: Option<Value>, now: Timestamp) -> Row {
    let value = held.and_then(|held| held.value.clone()).or(default);
    let winner = held.and_then(|held| held.winner.as_ref());
    let origin = match winner {
        None => "default".to_owned(),
        Some(setting) if setting.pin_at(now) == Pin::None => setting.layer.to_string(),
        Some(setting) => format!("{}, pinned", setting.layer),
    };
    let remark = held.map(|held| remark(held, now)).unwrap_or_default();
    Row { name, value, held: held.cloned(), origin, remark }
}

/// Takes the secret out of a row.
fn hide(session: &Session, row: &mut Row, now: Timestamp) {
    row.value = row.value.take().map(|value| session.site.catalogue.shown(&row.name, &value));
    let Some(held) = &mut row.held else { return };
    held.value.clone_from(&row.value);
    held.winner = held.winner.take().map(|setting| session.site.catalogue.without_secret(setting));
    held.losers = session.without_secrets(std::mem::take(&mut held.losers));
    held.ranges = session.without_secrets(std::mem::take(&mut held.ranges));
    row.remark = remark(held, now);
}

/// Who pinned it, who lost, what is allowed.
fn remark(held: &Effective, now: Timestamp) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(winner) = &held.winner {
        let pin = pin_text(winner, now);
        if !pin.is_empty() {
            parts.push(format!("pin {pin}"));
        }
        if held.is_clamped
            && let Content::Value(written) = &winner.content
        {
            parts.push(format!("{} was written", value(written)));
        }
    }
    for range in &held.ranges {
        if let Content::Range(limits) = &range.content {
            parts.push(format!("may be {limits} ({})", range.layer));
        }
    }
    for loser in &held.losers {
        if let Content::Value(said) = &loser.content {
            parts.push(format!("the {} says {}", loser.layer, value(said)));
        }
    }
    parts.join("; ")
}

fn table(out: &mut dyn Write, paper: Paper, rows: &[Row]) -> io::Result<()> {
    let mut table = Table::new(paper, &["SETTING", "VALUE", "FROM", ""]);
    for row in rows {
        let is_default = row.held.is_none();
        let name = row.name.to_string();
        let shown = row.value.as_ref().map(|value| shown(&row.name, value)).unwrap_or_default();
        let (name_tone, tone) = if is_default { (Tone::Dim, Tone::Dim) } else { (Tone::Strong, Tone::Plain) };
        let origin_tone = match row.origin.as_str() {
            "default" => Tone::Dim,
            origin if origin.ends_with("pinned") => Tone::Warn,
            _ => Tone::Good,
        };
        table.row([
            (name.as_str(), name_tone),
            (shown.as_str(), tone),
            (row.origin.as_str(), origin_tone),
            (row.remark.as_str(), Tone::Dim),
        ]);
    }
    if table.is_empty() {
        return writeln!(out, "Nothing is written for it: the defaults hold.");
    }
    table.write(out)
}

/// A value in a table: octets also in the units in which people think of them.
fn shown(name: &SettingName, held: &Value) -> String {
    let text = short(&value(held));
    let Some(octets) = held.as_u64().filter(|octets| *octets >= 1024) else { return text };
    let descriptor = descriptors().into_iter().find(|descriptor| descriptor.name == name.service);
    let schema = descriptor.and_then(|descriptor| key_schema(&descriptor, &name.key));
    let format = schema.as_ref().and_then(|schema| schema.get("format")).and_then(Value::as_str);
    if format.is_some_and(|format| format.starts_with("octets")) {
        return format!("{text} ({})", Octets(octets));
    }
    text
}

fn document(branch: &Branch, rows: &[Row]) -> Value {
    let via: Vec<String> = branch.via.iter().map(ToString::to_string).collect();
    let settings: Vec<Value> = rows
        .iter()
        .map(|row| {
            let held = row.held.as_ref();
            json!({
                "name": row.name.to_string(),
                "value": row.value,
                "from": row.origin,
                "winner": held.and_then(|held| held.winner.as_ref()),
                "losers": held.map(|held| held.losers.as_slice()).unwrap_or_default(),
                "ranges": held.map(|held| held.ranges.as_slice()).unwrap_or_default(),
                "is_clamped": held.is_some_and(|held| held.is_clamped),
            })
        })
        .collect();
    json!({ "target": branch.address(), "via": via, "settings": settings })
}

#[cfg(test)]
mod tests {
    use pigeon_core::resolve::resolve;
    use pigeon_core::setting::{Layer, Range};

    use super::*;

    fn setting(layer: Layer, content: Content, pin: Pin) -> Setting {
        Setting {
            layer,
            name: "quota.octets".parse().unwrap(),
            content,
            pin,
            until: None,
            reason: (pin != Pin::None).then(|| "contract of 2026".to_owned()),
            by: "root".into(),
        }
    }

    fn shown(settings: &[Setting]) -> String {
        let now = Timestamp::parse("2026-11-23").unwrap();
        let effective = resolve(settings, now, &|_| None);
        let rows: Vec<Row> =
            effective.keys.iter().map(|(name, held)| row(name.clone(), Some(held), None, now)).collect();
        let mut out = Vec::new();
        table(&mut out, Paper::PLAIN, &rows).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pin_shows_who_lost_and_octets_are_readable() {
        let settings = [
            setting(Layer::Domain, Content::Value(json!(50_000_000)), Pin::Domain),
            setting(Layer::Account, Content::Value(json!(90_000_000)), Pin::None),
        ];
        insta::assert_snapshot!(shown(&settings), @r"
        SETTING       VALUE                FROM
        quota.octets  50000000 (47.7 MiB)  domain, pinned  pin domain: contract of 2026; the account says 90000000
        ");
    }

    #[test]
    fn a_range_shows_what_it_changed() {
        let range = Range::Between { min: None, max: Some(60.into()) };
        let settings = [
            setting(Layer::System, Content::Range(range), Pin::None),
            setting(Layer::Account, Content::Value(json!(90)), Pin::None),
        ];
        insta::assert_snapshot!(shown(&settings), @r"
        SETTING       VALUE  FROM
        quota.octets  60     account  90 was written; may be at most 60 (system)
        ");
    }
}
