//! Runs the tests, whatever runner the machine has, and counts what they said.
//!
//! `cargo nextest` is used where it is installed, because its report tells for each test what it printed; plain
//! `cargo test` does as well. A test that could not run prints `SKIPPED: why` on standard error.

mod junit;
mod libtest;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, anyhow};

use crate::tally::Tally;
use crate::workspace::{cargo, has_cargo, has_program, run, say, target};
use crate::{check, first_service, peers};

/// How a test says that it could not run, at the beginning of a line on standard error.
const SKIPPED: &str = "SKIPPED: ";
/// Where nextest writes its report, as `.config/nextest.toml` says.
const REPORT: &str = "nextest/default/junit.xml";
/// What starting real mail programs in private needs, and the Debian packages that have it.
const TOOLS: [(&str, &str); 6] = [
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("useradd", "passwd"),
    ("tar", "tar"),
    ("ip", "iproute2"),
];

/// Everything the tests need, then all checks and all tests; whether nothing failed.
///
/// # Errors
/// When a program that is there cannot be started.
pub(crate) fn all() -> anyhow::Result<bool> {
    install_tools()?;
    peers::prepare()?;
    checked()
}

/// All checks and all tests, with the peers that are there; whether nothing failed.
///
/// # Errors
/// When a program that is there cannot be started.
pub(crate) fn checked() -> anyhow::Result<bool> {
    let mut tally = check::all()?;
    tally.merge(tests(&["--workspace", "--tests"], None)?);
    tally.merge(plain(&["--workspace", "--doc"], None)?);
    tally.add("first service (cargo xtask first-service)", first_service::run()?);
    tally.close()
}

/// The tests with real mail programs; whether nothing failed.
///
/// # Errors
/// When a program that is there cannot be started.
pub(crate) fn end_to_end() -> anyhow::Result<bool> {
    install_tools()?;
    peers::prepare()?;
    let mut tally = tests(&["--package", "pigeon-testkit", "--test", "peers"], None)?;
    tally.merge(tests(&["--package", "pigeondeliver", "--test", "it"], Some("e2e"))?);
    tally.close()
}

/// Installs what the tests need beside the toolchain and this machine lacks.
fn install_tools() -> anyhow::Result<()> {
    let mut packages: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| !has_program(tool)).map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        return say("tools: all there, nothing to install");
    }
    let list = packages.join(" ");
    say(&format!("tools: installing the Debian packages {list} with apt-get"))?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive")).unwrap_or(false)
    };
    let install = [&["install", "--yes", "--no-install-recommends"], packages.as_slice()].concat();
    if apt(&install) || (apt(&["update"]) && apt(&install)) {
        return Ok(());
    }
    say(&format!("tools: MISSING, tests that need {list} will be skipped"))
}

/// Runs the chosen tests without the doc tests, perhaps only those whose name has this text in it.
fn tests(selection: &[&str], filter: Option<&str>) -> anyhow::Result<Tally> {
    if has_cargo("nextest") { nextest(selection, filter) } else { plain(selection, filter) }
}

fn nextest(selection: &[&str], filter: Option<&str>) -> anyhow::Result<Tally> {
    let report = target().join(REPORT);
    if report.exists() {
        fs::remove_file(&report).with_context(|| format!("cannot remove {}", report.display()))?;
    }
    let mut command = cargo(["nextest", "run", "--no-tests=pass"]);
    let is_good = run(command.args(selection).args(filter))?;
    let text = fs::read_to_string(&report).unwrap_or_default();
    Ok(complete(junit::read(&text), is_good, "cargo nextest"))
}

fn plain(selection: &[&str], filter: Option<&str>) -> anyhow::Result<Tally> {
    let mut command = cargo(["test", "--no-fail-fast"]);
    command.args(selection).args(filter).args(["--", "--show-output"]);
    say(&format!("\n── cargo test {}", selection.join(" ")))?;
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(anyhow!("cargo test has no output"));
    };
    // Tests that write to standard error themselves are not caught by their runner: both streams are read.
    let report = Mutex::new(libtest::Report::default());
    let read = |stream: &mut dyn std::io::Read| {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let is_shown = report.lock().is_ok_and(|mut report| report.read(&line));
            if is_shown && say(&line).is_err() {
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        let mut out = out;
        scope.spawn(move || read(&mut out));
        let mut err = err;
        read(&mut err);
    });
    let is_good = child.wait()?.success();
    let tally = report.into_inner().map_err(|_| anyhow!("the report of cargo test was lost"))?.tally();
    Ok(complete(tally, is_good, "cargo test"))
}

/// A runner that failed although no test did: something did not build, or the runner broke down.
fn complete(mut tally: Tally, is_good: bool, runner: &str) -> Tally {
    if !is_good && tally.failed.is_empty() {
        tally.failed.push(format!("{runner}: see its messages above"));
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_build_counts_as_a_failure() {
        assert_eq!(complete(Tally::default(), false, "cargo test").failed.len(), 1);
        assert!(complete(Tally::default(), true, "cargo test").failed.is_empty());
        let mut tally = Tally::default();
        tally.add("a test", false);
        assert_eq!(complete(tally, false, "cargo test").failed, ["a test"]);
    }
}
