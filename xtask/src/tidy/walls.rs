//! The import rule: who may depend on whom.
//!
//! The core knows nobody and the four crates around it know only the core, so that each can be read, tested and
//! replaced alone. Cargo would let any of them grow a dependency on a neighbour; this check does not.

use serde_json::Value;

use super::Finding;

/// What each crate may depend on among ours: for its code, and beside that for its tests.
const WALLS: &[(&str, &[&str], &[&str])] = &[
    ("pigeon-core", &[], &["pigeon-testkit"]),
    ("pigeon-frontends", &["pigeon-core"], &["pigeon-testkit"]),
    ("pigeon-services", &["pigeon-core"], &["pigeon-testkit"]),
    ("pigeon-backends", &["pigeon-core"], &["pigeon-testkit"]),
    ("pigeon-admin", &["pigeon-core"], &["pigeon-testkit"]),
    ("pigeon-testkit", &["pigeon-core"], &[]),
    (
        "pigeondeliver",
        &["pigeon-core", "pigeon-frontends", "pigeon-services", "pigeon-backends", "pigeon-admin"],
        &["pigeon-testkit"],
    ),
    ("xtask", &[], &[]),
];

/// Compares what `cargo metadata` says with the rule.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let packages = list(metadata, "packages");
    let ours: Vec<&str> = packages.iter().map(|package| text(package, "name")).collect();
    packages.iter().flat_map(|package| package_findings(package, &ours)).collect()
}

fn package_findings(package: &Value, ours: &[&str]) -> Vec<Finding> {
    let name = text(package, "name");
    let place = format!("crates/{name}/Cargo.toml");
    let Some((_, code, tests)) = WALLS.iter().find(|(crate_name, ..)| *crate_name == name) else {
        let message =
            "a new crate must have its place in the import rule: add it to WALLS in xtask/src/tidy/walls.rs";
        return vec![Finding::new(&place, message)];
    };
    let dependencies = list(package, "dependencies").iter().filter(|one| ours.contains(&text(one, "name")));
    dependencies
        .filter_map(|dependency| {
            let other = text(dependency, "name");
            let is_for_tests = text(dependency, "kind") == "dev";
            let is_allowed = code.contains(&other) || (is_for_tests && tests.contains(&other));
            (!is_allowed).then(|| Finding::new(&place, message(name, other, is_for_tests)))
        })
        .collect()
}

fn message(name: &str, other: &str, is_for_tests: bool) -> String {
    let verb = if is_for_tests { "may not depend on it even in tests" } else { "may not depend on it" };
    let why = match (name, other) {
        (_, "pigeon-testkit") => {
            "the testkit is for tests only: make it a dev-dependency, or move the code out of it"
        }
        ("pigeon-core", _) => {
            "the core knows nobody: write a port (a trait) in pigeon-core/src/ports and implement it there"
        }
        ("xtask", _) => "`cargo xtask` must build in a moment: run the program instead of linking it",
        _ => {
            "crates beside the core must not know each other: share the words through pigeon-core, or wire both in pigeondeliver"
        }
    };
    format!("{other}: {name} {verb}. {why}")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The text under a key; empty where there is none (the kind of a normal dependency).
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::tests::lines;
    use super::*;

    fn findings(name: &str, other: &str, kind: Option<&str>) -> Vec<String> {
        let metadata = serde_json::json!({ "packages": [
            { "name": name, "dependencies": [{ "name": other, "kind": kind }, { "name": "serde", "kind": null }] },
            { "name": other, "dependencies": [] },
        ]});
        lines(&check(&metadata))
    }

    #[test]
    fn walls_hold() {
        assert!(findings("pigeon-services", "pigeon-core", None).is_empty());
        assert!(findings("pigeon-services", "pigeon-testkit", Some("dev")).is_empty());
        assert!(findings("pigeondeliver", "pigeon-backends", None).is_empty());
        let breaches = [
            ("pigeon-core", "pigeon-services", None),
            ("pigeon-core", "pigeon-testkit", None),
            ("pigeon-services", "pigeon-backends", None),
            ("pigeon-services", "pigeon-backends", Some("dev")),
            ("pigeon-frontends", "pigeon-testkit", None),
            ("pigeondeliver", "pigeon-testkit", Some("build")),
            ("pigeon-testkit", "pigeon-backends", None),
            ("xtask", "pigeon-core", None),
        ];
        for (name, other, kind) in breaches {
            assert_eq!(findings(name, other, kind).len(), 1, "{name} {other} {kind:?}");
        }
    }

    #[test]
    fn a_new_crate_needs_its_place() {
        let found = findings("pigeon-new", "pigeon-core", None);
        assert!(found[0].contains("WALLS"), "{found:?}");
    }
}
