//! Services that do what a test tells them to.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use pigeon_core::delivery::Delivery;
use pigeon_core::effect::Flags;
use pigeon_core::fault::{Fault, Reply};
use pigeon_core::folder::Folder;
use pigeon_core::message::Message;
use pigeon_core::outcome::Next;
use pigeon_core::service::{Descriptor, NoConfig, Service, Stage, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) const SERVICES: &[Descriptor] =
    &[Descriptor::of::<Gate>(), Descriptor::of::<Act>(), Descriptor::of::<Keep>(), Descriptor::of::<After>()];

/// What to do.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Settings {
    how: String,
    to: Vec<String>,
}

macro_rules! service {
    ($type:ident, $name:literal, $stage:ident, $settings:ident, $delivery:ident => $work:expr) => {
        pub(crate) struct $type;
        impl Service for $type {
            const NAME: &'static str = $name;
            const STAGE: Stage = Stage::$stage;
            type Config = NoConfig;
            type Settings = Settings;
            fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
                Ok(Self)
            }
            async fn handle(&self, $settings: &Settings, $delivery: &mut Delivery) -> Result<Next, Fault> {
                $work
            }
        }
    };
}

service!(Gate, "gate", Admit, settings, _delivery => match settings.how.as_str() {
    "refuse" => Ok(Next::Reject(Reply::new(552, (5, 2, 2), "The mailbox is full"))),
    "fail" => Err(Fault::temporary("the gate is stuck")),
    _ => Ok(Next::Continue),
});

service!(Keep, "keep", Decide, settings, delivery => {
    let folder = if settings.how.is_empty() { "INBOX" } else { &settings.how };
    delivery.decided_by("how");
    delivery.store(Folder::parse(folder).unwrap(), Flags::default());
    Ok(Next::Continue)
});

service!(After, "after", Notify, settings, delivery => {
    delivery.reason("told");
    assert_ne!(settings.how, "panic", "a notification goes wrong");
    Ok(Next::Continue)
});

service!(Act, "act", Decide, settings, delivery => {
    for to in &settings.to {
        delivery.redirect(to.parse().unwrap());
    }
    let next = act(&settings.how, delivery).await;
    if next.is_err() {
        // What a failing service did before it failed must not stay.
        delivery.header().append("X-Act", "was here");
        delivery.remember("act", "was here", Duration::from_secs(60));
    }
    next
});

async fn act(how: &str, delivery: &mut Delivery) -> Result<Next, Fault> {
    let rest = how.split_once(' ').map(|(_, rest)| rest).unwrap_or_default();
    match how.split(' ').next().unwrap_or_default() {
        "fail" => return Err(Fault::temporary("the scanner is away")),
        "permanent" => return Err(Fault::permanent("the message is broken")),
        "panic" => panic!("all is lost"),
        "hang" => pending().await,
        "reject" => return Ok(Next::Reject(Reply::new(554, (5, 7, 1), "Not wanted here"))),
        "defer" => return Ok(Next::Reject(Reply::new(450, (4, 7, 1), "Not now"))),
        "reject-and-tell" => {
            delivery.answer(rest.parse().unwrap(), "told", "Subject: refused\n\n");
            delivery.remember("told", "value", Duration::from_secs(60));
            return Ok(Next::Reject(Reply::new(554, (5, 7, 1), "Not wanted here")));
        }
        "discard-and-tell" => {
            delivery.store(Folder::parse("Own").unwrap(), Flags::default());
            delivery.answer(rest.parse().unwrap(), "told", "Subject: discarded\n\n");
            return Ok(Next::Discard("unwanted".to_owned()));
        }
        "discard" => return Ok(Next::Discard("unwanted".to_owned())),
        "answer" => delivery.answer(rest.parse().unwrap(), "test", "Subject: answer\n\n"),
        "drop" => delivery.cancel_keep(),
        "drop-and-answer" => {
            delivery.cancel_keep();
            delivery.answer(rest.parse().unwrap(), "test", "Subject: answer\n\n");
        }
        "remember" => delivery.remember("key", "value", Duration::from_secs(60)),
        "replace" => {
            delivery.header().append("X-Edit", "made");
            delivery.replace_message(Arc::new(Message::from_bytes("Subject: another\n\nfor one\n")));
        }
        "own" => {
            delivery.header().append("X-Edit", "made");
            let own = Arc::new(Message::from_bytes("Subject: own\n\nown text\n"));
            delivery.store_content(Folder::parse("Own").unwrap(), Flags::default(), Arc::clone(&own));
            delivery.redirect_content(rest.parse().unwrap(), own);
        }
        "keep-in" => delivery.keep_in(Folder::parse(rest).unwrap()),
        "tag" => delivery.header().append("X-Tag", rest),
        _ => (),
    }
    Ok(Next::Continue)
}
