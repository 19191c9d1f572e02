//! A small, complete service to begin a new one with: `subject_tag` puts a tag before the subject.
//!
//! It is compiled and tested like every other service but stands in no catalogue. To make your own:
//!
//! 1. copy this file to `src/NAME.rs` and add `pub mod NAME;` to `lib.rs`;
//! 2. write the settings: the struct's doc comment describes the service for administrators, each field's doc
//!    comment is its help text in the command line, the reference page and the web form;
//! 3. choose the stage: Admit may refuse, Inspect looks and edits the header, Decide proposes effects;
//! 4. write `handle`: say with `reason` what was done and with `decided_by` which setting decided;
//! 5. add `Descriptor::of::<YourService>()` to `catalogue.rs`, where the order within the stage is documented.

use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;
use pigeon_core::outcome::Next;
use pigeon_core::service::{NoConfig, Service, Stage, Tools};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compose;

/// Puts a tag like `[example]` before the subject of every message, for this recipient alone.
///
/// A subject that has the tag already is left as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The text to put before the subject, at most 40 characters, like `[example]`. Empty (the default): nothing is done.
    pub tag: String,
}

/// The service.
#[derive(Debug)]
pub struct SubjectTag;

impl Service for SubjectTag {
    const NAME: &'static str = "subject_tag";
    const STAGE: Stage = Stage::Inspect;
    type Config = NoConfig;
    type Settings = Settings;

    fn open(_config: NoConfig, _tools: &Tools) -> Result<Self, Fault> {
        Ok(Self)
    }

    fn check(settings: &Settings) -> Result<(), String> {
        if settings.tag.chars().count() > 40 || settings.tag.chars().any(char::is_control) {
            return Err("tag must be one line of at most 40 characters".to_owned());
        }
        Ok(())
    }

    async fn handle(&self, settings: &Settings, delivery: &mut Delivery) -> Result<Next, Fault> {
        delivery.decided_by("tag");
        let tag = compose::text_tokens(&settings.tag);
        if tag.is_empty() {
            delivery.reason("no tag is set");
            return Ok(Next::Continue);
        }
        let subject = delivery.message().field("Subject").map(|field| field.value()).unwrap_or_default();
        let words = compose::wire_tokens(&subject);
        if words.windows(tag.len()).any(|words| words == tag) {
            delivery.reason("the subject has the tag already");
            return Ok(Next::Continue);
        }
        let value = compose::fold("Subject", &[tag, words].concat());
        delivery.header().replace("Subject", &value);
        delivery.reason(format!("the subject got the tag {}", settings.tag));
        Ok(Next::Continue)
    }
}

#[cfg(test)]
mod tests {
    use pigeon_core::service::Descriptor;
    use pigeon_testkit::memory::{World, reason_of};

    use super::*;
    use crate::mailbox::Mailbox;

    const SERVICES: &[Descriptor] = &[Descriptor::of::<SubjectTag>(), Descriptor::of::<Mailbox>()];

    async fn check(tag: &str, subject: &str, expect: &str, reason: &str) {
        let world = World::new(SERVICES);
        world
            .account("ann@example.org")
            .set("system", "mailbox.enabled", true)
            .set("system", "subject_tag.enabled", true)
            .set("ann@example.org", "subject_tag.tag", tag);
        let receipt =
            world.mail("bob@example.net", "ann@example.org", &format!("{subject}\n\nhello\n")).await;
        let text = &world.mails("ann@example.org")[0].text;
        assert!(text.ends_with(&format!("{expect}\n\nhello\n")), "{text}");
        assert_eq!(reason_of(&receipt, "subject_tag"), reason);
    }

    #[tokio::test]
    async fn subjects_get_the_tag_once() {
        check("[team]", "Subject: hi", "Subject: [team] hi", "the subject got the tag [team]").await;
        check(
            "[team]",
            "Subject: Re: [team] hi",
            "Subject: Re: [team] hi",
            "the subject has the tag already",
        )
        .await;
        check("[team]", "X: 1", "X: 1\nSubject: [team]", "the subject got the tag [team]").await;
        check("", "Subject: hi", "Subject: hi", "no tag is set").await;
    }

    #[test]
    fn long_tags_are_refused() {
        assert!(SubjectTag::check(&Settings { tag: "x".repeat(41) }).is_err());
        assert!(SubjectTag::check(&Settings { tag: "[ok]".into() }).is_ok());
    }
}
