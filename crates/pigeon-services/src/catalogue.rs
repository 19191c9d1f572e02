//! The one list of services.

use pigeon_core::service::Descriptor;

use crate::antispam::Antispam;
use crate::antivirus::Antivirus;
use crate::archive::Archive;
use crate::authentication::Authentication;
use crate::command::Command;
use crate::duplicate::Duplicate;
use crate::forward::Forward;
use crate::headers::Headers;
use crate::http::Http;
use crate::lists::Lists;
use crate::mailbox::Mailbox;
use crate::notify::Notify;
use crate::quota::Quota;
use crate::sieve::Sieve;
use crate::subaddress::Subaddress;
use crate::vacation::Vacation;

/// Every service there is. The order has a meaning: stages run one after the other, and the services of one
/// stage in the order in which they stand here.
///
/// - Admit
///   - `quota` asks whether there is room before anything else is done.
/// - Inspect
///   - `authentication` finds out who a mail is from: others build on that.
///   - `lists` says whose mail is allowed or blocked, before anything judges what it holds.
///   - `antispam` acts on that and on the scanner's score.
///   - `antivirus` looks for viruses, whoever sent them: where infected mail is kept, its word comes last.
///   - `headers` edits the header before anyone decides by it.
///   - `command` runs programs over what the steps before made of the message.
///   - `http` asks a server, which is told what the steps before found out.
/// - Decide
///   - `subaddress` names a folder.
///   - `sieve` files, forwards and answers.
///   - `forward` may take the copy in the mailbox away again.
///   - `vacation` only adds an answer.
///   - `archive` proposes a copy that no other step can take back, wherever it stands.
///   - `mailbox` keeps what nobody has kept yet.
///   - `duplicate` takes back what the mailbox has already.
///   - `notify`, last of all, tells others what is stored.
pub const SERVICES: &[Descriptor] = &[
    Descriptor::of::<Quota>(),
    Descriptor::of::<Authentication>(),
    Descriptor::of::<Lists>(),
    Descriptor::of::<Antispam>(),
    Descriptor::of::<Antivirus>(),
    Descriptor::of::<Headers>(),
    Descriptor::of::<Command>(),
    Descriptor::of::<Http>(),
    Descriptor::of::<Subaddress>(),
    Descriptor::of::<Sieve>(),
    Descriptor::of::<Forward>(),
    Descriptor::of::<Vacation>(),
    Descriptor::of::<Archive>(),
    Descriptor::of::<Mailbox>(),
    Descriptor::of::<Duplicate>(),
    Descriptor::of::<Notify>(),
];

#[cfg(test)]
mod tests {
    use pigeon_core::directory::Place;
    use pigeon_core::service::Stage;
    use pigeon_core::setting::{Content, Layer, Pin, SettingName};
    use pigeon_testkit::memory::{World, setting};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn names_are_words_and_stages_are_in_order() {
        let mut names: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SERVICES.len());
        assert!(SERVICES.is_sorted_by_key(|service| service.stage));
        let decide: Vec<&str> = SERVICES
            .iter()
            .filter(|service| service.stage == Some(Stage::Decide))
            .map(|service| service.name)
            .collect();
        // Behind the store nothing may propose one: `duplicate` only takes back, `notify` only tells.
        assert!(decide.ends_with(&["mailbox", "duplicate", "notify"]), "{decide:?}");
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

    /// Checks what is said to `second` when `first` is written already, both at the account's layer.
    fn check_together(first: (&str, Value), second: (&str, Value), expect: &str) {
        let place = Place::Account("ann@example.org".parse().unwrap());
        check_together_at(&place, first, second, expect);
    }

    fn check_together_at(place: &Place, first: (&str, Value), second: (&str, Value), expect: &str) {
        let world = World::new(SERVICES);
        let catalogue = world.agent.planner().catalogue();
        let write = |(name, value): (&str, Value)| {
            let name: SettingName = name.parse().unwrap();
            let content = catalogue.normalised(&name, &Content::Value(value));
            assert_eq!(catalogue.validate(place.layer(), &name, &content), Ok(()));
            setting(place, name, content, Pin::None)
        };
        let (first, second) = (write(first), write(second));
        let text = catalogue.check_together(&second, &[first]).err().unwrap_or_default();
        assert_eq!(text, expect);
    }

    #[test]
    fn values_that_contradict_each_other_are_refused() {
        let day = |day: u8| json!(format!("2026-12-{day}"));
        check_together(("vacation.start", day(24)), ("vacation.end", day(24)), "");
        check_together(
            ("vacation.start", day(24)),
            ("vacation.end", day(23)),
            "vacation.end at the account layer cannot be \"2026-12-23\" while vacation.start is \"2026-12-24\" \
             (account): the end must not lie before the start",
        );
        let deep = json!("a/b/c/d/e/f/g/h/i/j/k/l");
        check_together(("subaddress.prefix", deep.clone()), ("subaddress.max_depth", json!(4)), "");
        check_together(
            ("subaddress.prefix", deep),
            ("subaddress.max_depth", json!(5)),
            "subaddress.max_depth at the account layer cannot be 5 while subaddress.prefix is \
             \"a/b/c/d/e/f/g/h/i/j/k/l\" (account): together they may have 16 levels",
        );
        check_together(
            ("headers.remove", json!(["x-priority"])),
            ("headers.replace", json!(["Reply-To: a@example.org"])),
            "",
        );
        check_together(
            ("headers.remove", json!(["x-priority"])),
            ("headers.replace", json!(["X-Priority: 3"])),
            "headers.replace at the account layer cannot be [\"X-Priority: 3\"] while headers.remove is \
             [\"x-priority\"] (account): X-Priority is either removed or replaced",
        );
    }

    #[test]
    fn what_would_keep_all_mail_waiting_is_refused() {
        let url = json!(["http://127.0.0.1:11333"]);
        check_together_at(
            &Place::System,
            ("antispam.servers", url.clone()),
            ("antispam.engine", json!("rspamd")),
            "",
        );
        check_together_at(
            &Place::System,
            ("antispam.engine", json!("spamassassin")),
            ("antispam.servers", url),
            "antispam.servers at the system layer cannot be [\"http://127.0.0.1:11333\"] while antispam.engine is \
             \"spamassassin\" (system): spamd speaks no HTTP: write host:port or unix:/path",
        );
        let world = World::new(SERVICES);
        let catalogue = world.agent.planner().catalogue();
        for (name, value, expect) in [
            ("antispam.connect_timeout_ms", json!(0), "cannot be 0: it must be 1 to 600000"),
            ("antispam.rest_ms", json!(600_001), "cannot be 600001: it must be 1 to 600000"),
            ("authentication.dns_limit_ms", json!(99), "cannot be 99: it must be 100 to 20000"),
            (
                "authentication.authserv_id",
                json!("a b"),
                "authserv_id \"a b\" is no name: write one like mx.example.org",
            ),
            ("http.timeout_ms", json!(0), "cannot be 0: must be 1 to 600000"),
        ] {
            let said = catalogue.validate(Layer::System, &name.parse().unwrap(), &Content::Value(value));
            let said = said.err().unwrap_or_default();
            assert!(said.ends_with(expect), "{name}: {said}");
        }
    }

    #[tokio::test]
    async fn all_services_together_deliver_a_plain_mail() {
        let world = World::new(SERVICES);
        world.account("ann@example.org");
        for service in SERVICES {
            world.set("system", &format!("{}.enabled", service.name), true);
        }
        // No scanner runs here.
        world.set("system", "antivirus.when_down", "pass");
        let receipt = world.mail("bob@example.net", "ann@example.org", "Subject: hi\n\nhello\n").await;
        assert_eq!(receipt.outcome.text(), "stored in INBOX");
        let steps: Vec<&str> = receipt.branches[0].steps.iter().map(|step| &*step.service).collect();
        let names = SERVICES.iter().map(|service| service.name).chain(["commit"]);
        assert_eq!(steps, names.collect::<Vec<_>>());
        assert!(
            receipt.branches[0].steps[..SERVICES.len()].iter().all(|step| !step.reason.is_empty()),
            "{receipt:#?}"
        );
    }
}
