//! What a delivery's scripts can see besides the message.

use std::collections::BTreeMap;
use std::sync::Arc;

use pigeon_core::delivery::Delivery;
use serde_json::Value;

use super::super::Settings;
use super::super::engine::{Limits, Paths, Protected, Script, World};
use super::super::moment::Moment;

/// RFC 5235: facts of scanners as shares; what is not there was not tested.
fn share(delivery: &Delivery, percent: Option<&str>, level: &str, last: f64) -> Option<f64> {
    let number = |name: &str| delivery.fact(name).and_then(Value::as_f64);
    if let Some(percent) = percent.and_then(number) {
        return Some((percent / 100.0).clamp(0.0, 1.0));
    }
    let level = number(level).filter(|level| *level >= 1.0)?;
    Some(((level - 1.0) / last).clamp(0.0, 1.0))
}

/// The world of this delivery, before anything was asked.
pub(super) fn world(
    settings: &Settings,
    delivery: &Delivery,
    scripts: &[Script],
    hostname: &Arc<str>,
) -> World {
    let transaction = delivery.transaction();
    let origin = &transaction.origin;
    let account = delivery.account_address();
    let text = |text: &dyn ToString| text.to_string();
    let mut environment = BTreeMap::from([
        ("name".to_owned(), "PigeonDeliver".to_owned()),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("location".to_owned(), "MDA".to_owned()),
        ("phase".to_owned(), "during".to_owned()),
        ("host".to_owned(), text(hostname)),
        ("domain".to_owned(), account.domain().as_str().to_owned()),
        ("vnd.dovecot.username".to_owned(), text(account)),
        ("vnd.dovecot.default-mailbox".to_owned(), "INBOX".to_owned()),
    ]);
    environment.extend(origin.client_name.clone().map(|name| ("remote-host".to_owned(), name)));
    environment.extend(origin.client_address.map(|address| ("remote-ip".to_owned(), address.to_string())));
    let message = delivery.message();
    let lines = if message.is_binary() { 0 } else { message.lines() };
    World {
        paths: Paths {
            from: delivery.sender().address().map(ToString::to_string).unwrap_or_default(),
            to: delivery.recipient().to_string(),
            original_to: delivery.recipient().to_string(),
            auth: String::new(),
        },
        own: account.to_string(),
        now: Moment { seconds: delivery.now().micros().div_euclid(1_000_000), zone: 0 },
        size: message.size() + lines,
        delimiter: "+".to_owned(),
        environment,
        spam: share(delivery, Some("spam.percent"), "spam.level", 9.0),
        spam_level: delivery.fact("spam.level").and_then(Value::as_u64),
        virus: share(delivery, None, "virus.level", 4.0),
        lists: settings.lists.clone(),
        annotations: Vec::new(),
        folders: None,
        seen: BTreeMap::new(),
        protected: Protected::default(),
        limits: Limits {
            instructions: settings.max_instructions.into(),
            actions: settings.max_actions.into(),
            redirects: settings.max_redirects.into(),
            vacation: (settings.min_vacation_seconds.into(), 365 * 86_400),
            ..Limits::default()
        },
        includes: settings.includes(scripts),
    }
}
