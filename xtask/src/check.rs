//! Everything about the code that can be said without running it: format, lints, documents, the repository's rules.

use std::process::Command;

use crate::tally::Tally;
use crate::workspace::{cargo, has_cargo, has_program, root, run, say};
use crate::{docs, tidy};

/// Runs all of these checks, also when one fails.
///
/// # Errors
/// When a program that is there cannot be started.
pub(crate) fn all() -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    component(&mut tally, "fmt", "rustfmt", &mut cargo(["fmt", "--all", "--check"]))?;
    let lints = ["clippy", "--workspace", "--all-targets", "--keep-going", "--quiet", "--", "-D", "warnings"];
    component(&mut tally, "clippy", "clippy", &mut cargo(lints))?;
    let mut documents = cargo(["doc", "--workspace", "--no-deps", "--quiet"]);
    tally.add("doc", run(documents.env("RUSTDOCFLAGS", "-D warnings"))?);
    say("\n── cargo xtask tidy")?;
    tally.add("tidy", tidy::run()?);
    // A program that does not build has no documents; what is wrong with it, the other checks say too.
    let is_fresh = docs::make(true).or_else(|error| say(&format!("{error:#}")).map(|()| false))?;
    tally.add("docs", is_fresh);
    extras(&mut tally)?;
    Ok(tally)
}

/// A check by a part of the toolchain that a minimal installation lacks.
fn component(tally: &mut Tally, name: &str, component: &str, command: &mut Command) -> anyhow::Result<()> {
    if has_cargo(name) {
        tally.add(name, run(command)?);
    } else {
        tally.skip(name, &format!("this toolchain has no {component}: rustup component add {component}"));
    }
    Ok(())
}

/// Checks by programs that not everybody has; without them nothing is said.
fn extras(tally: &mut Tally) -> anyhow::Result<()> {
    if has_cargo("deny") {
        tally.add("deny", run(&mut cargo(["deny", "check", "bans", "licenses", "sources"]))?);
    }
    if has_cargo("machete") {
        tally.add("machete", run(&mut cargo(["machete"]))?);
    }
    if has_program("typos") {
        tally.add("typos", run(Command::new("typos").current_dir(root()))?);
    }
    Ok(())
}
