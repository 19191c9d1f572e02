//! Runs every fuzz target for a moment: not to find much, but to see that all of them still build and run.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::tally::Tally;
use crate::workspace::{cargo, has_cargo, has_program, root, run, say};

/// How long each target runs when nobody says.
const SECONDS: &str = "5";
/// Largest input that is tried, in octets: what parsers do is done in a few lines.
const MAX_OCTETS: &str = "4096";

/// Runs every target for so many seconds; whether none broke its rule.
///
/// # Errors
/// When cargo cannot be started, or a corpus not be made.
pub(crate) fn every_target(seconds: Option<&str>) -> anyhow::Result<bool> {
    let mut tally = Tally::default();
    let place = root().join("fuzz");
    let targets = targets(&place.join("fuzz_targets"))?;
    if let Some(why) = missing() {
        for target in &targets {
            tally.skip(target, why);
        }
        return tally.close();
    }
    if !run(&mut fuzz(&["build", "-s", "none"]))? {
        tally.add("fuzz targets build", false);
        return tally.close();
    }
    for target in &targets {
        let corpus = place.join("corpus").join(target);
        fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        let time = format!("-max_total_time={}", seconds.unwrap_or(SECONDS));
        let limit = format!("-max_len={MAX_OCTETS}");
        let mut command = fuzz(&["run", "-s", "none", target]);
        command.arg(corpus).arg(place.join("seeds").join(target)).args(["--", &time, &limit]);
        tally.add(target, run(&mut command)?);
    }
    say("\nWhat broke a rule is kept in fuzz/artifacts.")?;
    tally.close()
}

/// What cannot be done without.
fn missing() -> Option<&'static str> {
    if !has_cargo("fuzz") {
        return Some("there is no cargo-fuzz: cargo install cargo-fuzz --locked");
    }
    (!has_program("c++")).then_some("there is no C++ compiler, which libFuzzer needs")
}

/// `cargo fuzz`, with leave to use what the stable compiler keeps for the nightly one.
fn fuzz(arguments: &[&str]) -> Command {
    let mut command = cargo(["fuzz"]);
    command.args(arguments).env("RUSTC_BOOTSTRAP", "1");
    command
}

/// The names of the targets, in order.
fn targets(directory: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}
