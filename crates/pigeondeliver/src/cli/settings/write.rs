//! Writing settings: set, unset, pin and unpin.

use anyhow::{anyhow, bail};
use pigeon_core::directory::{Change, Place};
use pigeon_core::setting::{Content, ContentKind, Pin, Setting, SettingName};

use super::describe::{find_service, key_schema, known_key};
use super::value;
use super::{Authority, PinArgs, PinDetails, PlaceArgs, SetArgs, UnsetArgs};
use crate::cli::parse::nearest;
use crate::cli::session::{Session, did_you_mean};

/// `pigeon settings set`
pub(super) async fn set(session: &Session, args: SetArgs) -> anyhow::Result<()> {
    let contents = contents(&args)?;
    let place = place(session, args.place).await?;
    let pin = args.pin.map_or(Pin::None, |authority| Authority::pin(authority, place.layer()));
    check_details(&args.details, pin)?;
    let until = args.details.until.map(|until| until.after(session.now()));
    let changes = contents.into_iter().map(|(name, content)| Change::Set {
        place: place.clone(),
        name,
        content,
        pin,
        until,
        reason: args.details.reason.clone(),
    });
    session.change(changes.collect()).await
}

fn contents(args: &SetArgs) -> anyhow::Result<Vec<(SettingName, Content)>> {
    let has_range = args.min.is_some() || args.max.is_some() || args.one_of.is_some();
    let mut contents = Vec::new();
    for setting in &args.settings {
        let (name, text) =
            setting.split_once('=').map_or((setting.as_str(), None), |(name, text)| (name, Some(text)));
        let name: SettingName = name.parse().map_err(|error: String| {
            let is_authority = name == "system" || name == "domain";
            anyhow!(
                "{error}{}",
                if is_authority { format!("; an authority is written --pin={name}") } else { String::new() }
            )
        })?;
        let descriptor = find_service(&name.service)?;
        known_key(&descriptor, &name.key)?;
        let schema = key_schema(&descriptor, &name.key);
        let read = |result: Result<Content, String>| result.map_err(|error| anyhow!("{name}: {error}"));
        if let Some(text) = text {
            contents.push((name.clone(), read(value::content(schema.as_ref(), &name.key, text))?));
        } else if !has_range {
            bail!("{name} has no value: write {name}=VALUE, or a range with --min, --max or --one-of");
        }
        if let Some(values) = &args.one_of {
            contents.push((name.clone(), read(value::one_of(schema.as_ref(), &name.key, values))?));
        } else if has_range {
            let ends = (args.min.as_deref(), args.max.as_deref());
            contents.push((name.clone(), read(value::between(schema.as_ref(), ends.0, ends.1))?));
        }
    }
    Ok(contents)
}

fn check_details(details: &PinDetails, pin: Pin) -> anyhow::Result<()> {
    if pin == Pin::None && (details.until.is_some() || details.reason.is_some()) {
        bail!("--until and --reason belong to a pin: add --pin");
    }
    Ok(())
}

/// `pigeon settings unset`
pub(super) async fn unset(session: &Session, args: UnsetArgs) -> anyhow::Result<()> {
    let (place, named) = named(session, args).await?;
    let changes = named.into_iter().map(|(name, kind)| Change::Unset { place: place.clone(), name, kind });
    session.change(changes.collect()).await
}

/// `pigeon settings pin`
pub(super) async fn pin(session: &Session, args: PinArgs) -> anyhow::Result<()> {
    let (place, named) = named(session, args.written).await?;
    let pin = Authority::pin(args.authority, place.layer());
    let until = args.details.until.map(|until| until.after(session.now()));
    let reason = args.details.reason;
    let changes = named.into_iter().map(|(name, kind)| Change::SetPin {
        place: place.clone(),
        name,
        kind,
        pin,
        until,
        reason: reason.clone(),
    });
    session.change(changes.collect()).await
}

/// `pigeon settings unpin`
pub(super) async fn unpin(session: &Session, args: UnsetArgs) -> anyhow::Result<()> {
    let (place, named) = named(session, args).await?;
    let changes = named.into_iter().map(|(name, kind)| Change::SetPin {
        place: place.clone(),
        name,
        kind,
        pin: Pin::None,
        until: None,
        reason: None,
    });
    session.change(changes.collect()).await
}

/// The settings that are meant, each with whether its value or its range is.
async fn named(
    session: &Session,
    args: UnsetArgs,
) -> anyhow::Result<(Place, Vec<(SettingName, ContentKind)>)> {
    let place = place(session, args.place).await?;
    let written = session.site.directory.settings(&place).await?;
    let kinds: anyhow::Result<Vec<_>> = args
        .names
        .into_iter()
        .map(|name| kind_written(&written, &name, args.range, &place).map(|kind| (name, kind)))
        .collect();
    Ok((place, kinds?))
}

/// The kind that was asked for, or the only one that is written.
fn kind_written(
    written: &[Setting],
    name: &SettingName,
    is_range: bool,
    place: &Place,
) -> anyhow::Result<ContentKind> {
    let mut kinds: Vec<ContentKind> = written
        .iter()
        .filter(|setting| setting.name == *name)
        .map(|setting| setting.content.kind())
        .collect();
    kinds.sort_unstable();
    if is_range && kinds.contains(&ContentKind::Range) {
        return Ok(ContentKind::Range);
    }
    match kinds.first() {
        Some(kind) if !is_range => Ok(*kind),
        Some(_) => bail!("{name} has no range at {place}, only a value: leave out --range"),
        None => {
            let names: Vec<String> = written.iter().map(|setting| setting.name.to_string()).collect();
            let hint = nearest(&name.to_string(), names.iter().map(String::as_str));
            bail!("{name} is not written at {place}{}", did_you_mean(hint))
        }
    }
}

async fn place(session: &Session, args: PlaceArgs) -> anyhow::Result<Place> {
    let place = args.place(session)?;
    // A place that does not exist is found out here, where a similar name can be suggested.
    match &place {
        Place::System => {}
        Place::Domain(name) => drop(session.domain(name).await?),
        Place::Account(address) => drop(session.account(address).await?),
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use pigeon_core::setting::{Layer, Range};
    use serde_json::json;

    use super::*;

    fn setting(name: &str, content: Content) -> Setting {
        Setting {
            layer: Layer::Domain,
            name: name.parse().unwrap(),
            content,
            pin: Pin::None,
            until: None,
            reason: None,
            by: String::new(),
        }
    }

    #[test]
    fn what_is_written_is_found() {
        let range = Content::Range(Range::Between { min: Some(1.into()), max: None });
        let written = [
            setting("quota.octets", Content::Value(json!(5))),
            setting("quota.octets", range.clone()),
            setting("quota.messages", range),
        ];
        let place = Place::Domain("example.org".into());
        let check = |name: &str, is_range: bool, expect: Result<ContentKind, &str>| {
            let got = kind_written(&written, &name.parse().unwrap(), is_range, &place);
            assert_eq!(got.map_err(|error| error.to_string()), expect.map_err(str::to_owned), "{name}");
        };
        check("quota.octets", false, Ok(ContentKind::Value));
        check("quota.octets", true, Ok(ContentKind::Range));
        check("quota.messages", false, Ok(ContentKind::Range));
        check(
            "quota.octet",
            false,
            Err("quota.octet is not written at the domain example.org: did you mean quota.octets?"),
        );
    }
}
