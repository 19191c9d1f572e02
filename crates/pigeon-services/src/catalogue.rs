//! The one list of services.

use pigeon_core::service::Descriptor;

use crate::forward::Forward;
use crate::headers::Headers;
use crate::mailbox::Mailbox;
use crate::quota::Quota;
use crate::subaddress::Subaddress;
use crate::vacation::Vacation;

/// Every service there is. The order has a meaning: stages run one after the other, and the services of one
/// stage in the order in which they stand here.
///
/// - Admit: `quota` asks whether there is room before anything else is done.
/// - Inspect: `headers` edits the header before anyone decides by it.
/// - Decide: `subaddress` names a folder; then `forward`, which may take the copy in the mailbox away again;
///   then `vacation`, which only adds an answer; last of all `mailbox`, which keeps what nobody has kept yet.
pub const SERVICES: &[Descriptor] = &[
    Descriptor::of::<Quota>(),
    Descriptor::of::<Headers>(),
    Descriptor::of::<Subaddress>(),
    Descriptor::of::<Forward>(),
    Descriptor::of::<Vacation>(),
    Descriptor::of::<Mailbox>(),
];

#[cfg(test)]
mod tests {
    use pigeon_core::service::Stage;
    use pigeon_testkit::memory::World;
    use serde_json::Value;

    use super::*;

    #[test]
    fn names_are_words_and_stages_are_in_order() {
        let mut names: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SERVICES.len());
        assert!(SERVICES.is_sorted_by_key(|service| service.stage));
        let last = SERVICES.last().unwrap();
        assert_eq!((last.name, last.stage), ("mailbox", Some(Stage::Decide)));
    }

    #[test]
    fn every_service_and_every_key_has_a_help_text() {
        for service in SERVICES {
            let schema = service.schema();
            let described = |schema: &Value| {
                schema.get("description").and_then(Value::as_str).is_some_and(|text| text.len() > 20)
            };
            assert!(described(schema.as_value()), "{} has no description", service.name);
            let Some(Value::Object(keys)) = schema.get("properties") else { continue };
            for (key, schema) in keys {
                assert!(described(schema), "{}.{key} has no help text", service.name);
                assert!(service.defaults().contains_key(key), "{}.{key} has no default", service.name);
            }
        }
    }

    #[test]
    fn defaults_are_settings_themselves() {
        for service in SERVICES {
            assert!(service.bind(service.defaults()).is_ok(), "{}", service.name);
        }
    }

    #[tokio::test]
    async fn all_services_together_deliver_a_plain_mail() {
        let world = World::new(SERVICES);
        world.account("ann@example.org");
        for service in SERVICES {
            world.set("system", &format!("{}.enabled", service.name), true);
        }
        let receipt = world.mail("bob@example.net", "ann@example.org", "Subject: hi\n\nhello\n").await;
        assert_eq!(receipt.outcome.text(), "stored in INBOX");
        let steps: Vec<&str> = receipt.branches[0].steps.iter().map(|step| &*step.service).collect();
        let names = SERVICES.iter().map(|service| service.name).chain(["commit"]);
        assert_eq!(steps, names.collect::<Vec<_>>());
        assert!(receipt.branches[0].steps[..6].iter().all(|step| !step.reason.is_empty()), "{receipt:#?}");
    }
}
