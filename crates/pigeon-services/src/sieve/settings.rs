//! The settings: scripts, whose they are, and the limits they run in.

use std::collections::BTreeMap;

use pigeon_core::service::Contradiction;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::program;
use super::scripts::Kept;
use crate::octets::Octets;

/// How long a script's name may be, in octets of UTF-8 (RFC 5804 §1.6 asks for room for 128 letters at least).
pub const MAX_NAME_OCTETS: usize = 512;
/// How large a script may be whatever `max_script_size` says, in octets.
pub const MAX_SCRIPT_OCTETS: u64 = 4 << 20;

/// Scripts by name; where all of them run, they run in the order of their names.
pub(super) type Scripts = BTreeMap<String, String>;

/// Runs Sieve scripts, which file, forward, refuse, answer and mark mail as their owners have written.
///
/// The scripts run one after the other: `before_system`, `before_domain`, the user's active one, `after_domain`,
/// `after_system`. The next one runs only while the message would still be kept. A script that fails never loses
/// mail: the message is kept and the owner is told. What Sieve leaves alone is kept by `mailbox`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// The user's scripts by name, like `{"main": "require \"fileinto\"; …"}`. One that does not compile is refused
    /// with its line and the reason. Empty by default. ManageSieve and `pigeon sieve` write this.
    pub scripts: Scripts,
    /// The name of the user's script that runs. Empty (the default): none of them does.
    pub active: String,
    /// The system's scripts that run before all others, by name and in the order of the names. Empty by default.
    #[schemars(extend("x-innermost" = "system"))]
    pub before_system: Scripts,
    /// The domain's scripts that run before the user's, by name and in the order of the names. Empty by default.
    #[schemars(extend("x-innermost" = "domain"))]
    pub before_domain: Scripts,
    /// The domain's scripts that run after the user's, by name and in the order of the names. Empty by default.
    #[schemars(extend("x-innermost" = "domain"))]
    pub after_domain: Scripts,
    /// The system's scripts that run after all others, by name and in the order of the names. Empty by default.
    #[schemars(extend("x-innermost" = "system"))]
    pub after_system: Scripts,
    /// The system's scripts for `include :global "name"`, by name. Empty by default.
    #[schemars(extend("x-innermost" = "system"))]
    pub global_system: Scripts,
    /// The domain's scripts for `include :global "name"`, by name; they stand in for the system's of the same name,
    /// but for scripts of the system itself. Empty by default.
    #[schemars(extend("x-innermost" = "domain"))]
    pub global_domain: Scripts,
    /// Lists for `:list` and `redirect :list` (RFC 6134), by name, like `{"friends": ["ann@example.net"]}`. Empty by
    /// default.
    pub lists: BTreeMap<String, Vec<String>>,
    /// What stands between the levels of a folder's name in scripts: `/` (the default) or `.`, as the user's mail
    /// reader shows them.
    pub separator: char,
    /// Whether `fileinto` makes folders that are not there. When it is off (the default), it does so only with
    /// `:create` (RFC 5490), and mail for other folders that are not there is kept as by default.
    pub create: bool,
    /// How large one script may be, like `64K` (256 KiB by default, at most 4 MiB). Larger ones are refused when
    /// they are written.
    #[schemars(extend("x-innermost" = "domain"))]
    pub max_script_size: Octets,
    /// How many scripts a user may have (32 by default, at most 1000).
    #[schemars(extend("x-innermost" = "domain"))]
    pub max_scripts: u16,
    /// How many instructions the scripts may run for one message (100000 by default, at most 100 million). A script
    /// that needs more is stopped as one that fails.
    #[schemars(extend("x-innermost" = "domain"))]
    pub max_instructions: u32,
    /// How large a message scripts see in whole, like `32M` (the default). Of a larger one they see the header and
    /// this much of the body, and the receipt says so.
    #[schemars(extend("x-innermost" = "domain"))]
    pub max_message_size: Octets,
    /// How many messages the scripts may redirect, and to how many addresses (4 by default). `redirect.max_targets`
    /// may allow fewer.
    #[schemars(extend("x-innermost" = "domain"))]
    pub max_redirects: u16,
    /// How many actions the scripts may take for one message (32 by default).
    #[schemars(extend("x-innermost" = "domain"))]
    pub max_actions: u16,
    /// For how long at least a sender gets no second vacation answer, in seconds (86400 by default, a day): what a
    /// script asks below that is raised to it.
    #[schemars(extend("x-innermost" = "domain"))]
    pub min_vacation_seconds: u32,
    /// What the scripts became: settings that are bound to a kept plan are compiled once.
    #[serde(skip)]
    #[schemars(skip)]
    pub(super) kept: Kept,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            scripts: Scripts::new(),
            active: String::new(),
            before_system: Scripts::new(),
            before_domain: Scripts::new(),
            after_domain: Scripts::new(),
            after_system: Scripts::new(),
            global_system: Scripts::new(),
            global_domain: Scripts::new(),
            lists: BTreeMap::new(),
            separator: '/',
            create: false,
            max_script_size: Octets(256 << 10),
            max_scripts: 32,
            max_instructions: 100_000,
            max_message_size: Octets(32 << 20),
            max_redirects: 4,
            max_actions: 32,
            min_vacation_seconds: 86_400,
            kept: Kept::default(),
        }
    }
}

impl Settings {
    /// What one value alone must fulfil.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, scripts) in self.all_scripts() {
            for (name, source) in scripts {
                check_name(name).map_err(|error| format!("{key}: {error}"))?;
                check_source(source).map_err(|error| format!("{key}: the script {name:?} {error}"))?;
            }
        }
        if !self.active.is_empty() {
            check_name(&self.active).map_err(|error| format!("active: {error}"))?;
        }
        if self.max_script_size.0 == 0 || self.max_script_size.0 > MAX_SCRIPT_OCTETS {
            return Err(format!("max_script_size must be 1 to {}", Octets(MAX_SCRIPT_OCTETS)));
        }
        let in_range = |key: &str, value: u32, min: u32, max: u32| {
            let is_in = (min..=max).contains(&value);
            if is_in { Ok(()) } else { Err(format!("{key} must be {min} to {max}")) }
        };
        in_range("max_scripts", self.max_scripts.into(), 0, 1000)?;
        in_range("max_instructions", self.max_instructions, 100, 100_000_000)?;
        in_range("max_redirects", self.max_redirects.into(), 0, 1000)?;
        in_range("max_actions", self.max_actions.into(), 1, 1000)?;
        in_range("min_vacation_seconds", self.min_vacation_seconds, 0, 365 * 86_400)?;
        if !matches!(self.separator, '/' | '.') {
            return Err("separator must be / or .".to_owned());
        }
        if self.max_message_size.0 < 1024 {
            return Err("max_message_size must be at least 1 KiB".to_owned());
        }
        Ok(())
    }

    /// What the values must fulfil together.
    pub(super) fn contradictions(&self) -> Vec<Contradiction> {
        let mut found = Vec::new();
        let mut refuse = |keys, allowed| found.push(Contradiction { keys, allowed });
        if !self.active.is_empty() && !self.scripts.contains_key(&self.active) {
            let allowed = format!("the active script {:?} must be one of scripts", self.active);
            refuse(["active", "scripts"], allowed);
        }
        if self.scripts.len() > usize::from(self.max_scripts) {
            refuse(["scripts", "max_scripts"], format!("there may be {} scripts", self.max_scripts));
        }
        for (key, scripts) in self.all_scripts() {
            let is_large = |source: &&String| source.len() as u64 > self.max_script_size.0;
            if scripts.values().any(|source| is_large(&source)) {
                let allowed = format!("a script may have {}", self.max_script_size);
                refuse([key, "max_script_size"], allowed);
            }
        }
        found
    }

    /// Whether no layer has a script to run.
    pub(super) fn has_nothing_to_run(&self) -> bool {
        let around = [&self.before_system, &self.before_domain, &self.after_domain, &self.after_system];
        self.active.is_empty() && around.iter().all(|scripts| scripts.is_empty())
    }

    fn all_scripts(&self) -> [(&'static str, &Scripts); 7] {
        [
            ("scripts", &self.scripts),
            ("before_system", &self.before_system),
            ("before_domain", &self.before_domain),
            ("after_domain", &self.after_domain),
            ("after_system", &self.after_system),
            ("global_system", &self.global_system),
            ("global_domain", &self.global_domain),
        ]
    }
}

/// Checks the name of a script (RFC 5804 §1.6).
///
/// # Errors
/// A sentence that says what a name may be.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a script needs a name".to_owned());
    }
    if name.len() > MAX_NAME_OCTETS {
        return Err(format!("a script's name may have {MAX_NAME_OCTETS} octets"));
    }
    // RFC 5804 §1.6: no controls, no line or paragraph separators.
    let is_forbidden = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
    if name.chars().any(is_forbidden) {
        return Err(format!(
            "{name:?} is not a script's name: control characters and line breaks are not allowed"
        ));
    }
    Ok(())
}

fn check_source(source: &str) -> Result<(), String> {
    if source.len() as u64 > MAX_SCRIPT_OCTETS {
        return Err(format!("is larger than {}", Octets(MAX_SCRIPT_OCTETS)));
    }
    match program::compile(source) {
        Ok(_) => Ok(()),
        Err(errors) => {
            let texts: Vec<String> = errors.iter().take(3).map(ToString::to_string).collect();
            Err(format!("does not compile: {}", texts.join("; ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use pigeon_core::setting::{Content, Layer};
    use pigeon_testkit::memory::World;
    use serde_json::{Value, json};

    use super::*;
    use crate::catalogue::SERVICES;

    fn refused(layer: Layer, key: &str, value: Value) -> String {
        let world = World::new(SERVICES);
        let name = format!("sieve.{key}").parse().unwrap();
        let catalogue = world.agent.planner().catalogue();
        catalogue.validate(layer, &name, &Content::Value(value)).err().unwrap_or_default()
    }

    #[test]
    fn scripts_are_compiled_when_they_are_written() {
        assert_eq!(refused(Layer::Account, "scripts", json!({ "main": "keep;", "äöü 1": "" })), "");
        let broken = json!({ "main": "require \"fileinto\";\nif true {\n  fileint \"x\";\n}\n" });
        let error = refused(Layer::Account, "scripts", broken);
        assert!(error.contains("scripts: the script \"main\" does not compile: line 3: "), "{error}");
        let unknown = json!({ "main": "require [\"fileinto\",\n \"vnd.example.nothing\"];\nkeep;\n" });
        let error = refused(Layer::Account, "scripts", unknown);
        assert!(error.contains("line 2: ") && error.contains("vnd.example.nothing"), "{error}");
    }

    #[test]
    fn names_follow_rfc_5804() {
        assert_eq!(check_name("Über uns 2026/β"), Ok(()));
        assert_eq!(check_name(&"x".repeat(512)), Ok(()));
        for name in ["", "a\nb", "a\u{0}b", "a\u{85}", "a\u{2028}b", &"x".repeat(513)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn scripts_of_outer_layers_are_written_there_alone() {
        let scripts = || json!({ "10-spam": "keep;" });
        assert_eq!(refused(Layer::System, "before_system", scripts()), "");
        assert_eq!(refused(Layer::Domain, "before_domain", scripts()), "");
        let error = refused(Layer::Domain, "before_system", scripts());
        assert_eq!(
            error,
            "sieve.before_system at the domain layer says nothing: write it at the system layer or further out"
        );
        assert!(refused(Layer::Account, "after_domain", scripts()).contains("write it at the domain layer"));
        assert!(refused(Layer::Account, "max_scripts", json!(1000)).contains("write it at the domain layer"));
    }

    #[test]
    fn limits_have_limits() {
        assert!(refused(Layer::System, "max_script_size", json!("5M")).contains("must be 1 to 4.0 MiB"));
        assert!(refused(Layer::System, "max_scripts", json!(1001)).contains("max_scripts must be 0 to 1000"));
        assert!(refused(Layer::System, "max_message_size", json!(10)).contains("at least 1 KiB"));
    }

    #[test]
    fn values_that_contradict_each_other_are_named() {
        let one = Scripts::from([("main".to_owned(), "keep;".to_owned())]);
        let keys = |settings: Settings| -> Vec<[&str; 2]> {
            settings.contradictions().iter().map(|found| found.keys).collect()
        };
        assert!(
            keys(Settings { scripts: one.clone(), active: "main".to_owned(), ..Settings::default() })
                .is_empty()
        );
        let absent = Settings { active: "other".to_owned(), scripts: one.clone(), ..Settings::default() };
        assert_eq!(keys(absent), [["active", "scripts"]]);
        let few = Settings { scripts: one.clone(), max_scripts: 0, ..Settings::default() };
        assert_eq!(keys(few), [["scripts", "max_scripts"]]);
        let small = Settings { scripts: one, max_script_size: Octets(4), ..Settings::default() };
        assert_eq!(keys(small), [["scripts", "max_script_size"]]);
    }
}
