//! Follows "Your first service" of CONTRIBUTING.md in a copy of the repository, because a guide that nobody follows rots.
//!
//! Everything comes from the text itself: the new file, the lines to add, the commands to run.

mod copy;
mod guide;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail, ensure};

use self::guide::{Edit, Guide};
use crate::workspace::{cargo, root, say, target};

const MESSAGE: &[u8] = b"From: bob@example.net\nTo: ann@example.org\nSubject: lunch\n\nToday?\n";
const RECIPIENT: &str = "ann@example.org";

/// Follows the guide; whether it leads where it says.
///
/// # Errors
/// When the copy cannot be made.
pub(crate) fn run() -> anyhow::Result<bool> {
    say("\n── your first service, as CONTRIBUTING.md tells it")?;
    match follow() {
        Ok(()) => say("the guide leads to a service: 1 new file, 2 new lines").map(|()| true),
        Err(error) => say(&format!("the guide does not work: {error:#}")).map(|()| false),
    }
}

fn follow() -> anyhow::Result<()> {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).context("CONTRIBUTING.md")?;
    let guide = Guide::parse(&text)?;
    let is_line = |edit: &&Edit| matches!(edit, Edit::Line { .. });
    let lines = guide.edits.iter().filter(is_line).count();
    ensure!(
        (guide.edits.len(), lines) == (3, 2),
        "a service is one new file and two new lines, not {} edits with {lines} lines",
        guide.edits.len()
    );
    let place = target().join("first-service");
    copy::mirror(&root(), &place, &guide.edits)?;

    let [describe, set] = &guide.commands[..] else {
        bail!("there are {} commands: one describes the service, one switches it on", guide.commands.len())
    };
    let described = text_of(in_copy(describe, &place)?)?;
    for comment in guide.comments() {
        ensure!(
            words(&described).contains(&words(&comment)),
            "{describe} does not say: {comment}\n{described}"
        );
    }
    deliver(&place, set)
}

/// Switches the service on in a site of its own, and lets it handle a message.
fn deliver(place: &Path, set: &str) -> anyhow::Result<()> {
    let site = place.join("target/site");
    if site.exists() {
        fs::remove_dir_all(&site).with_context(|| site.display().to_string())?;
    }
    let directory = site.display().to_string();
    let pigeon = |arguments: &[&str]| {
        let mut command = Command::new(builds().join("debug/pigeon"));
        command.args(arguments).env("PIGEON_CONFIG", site.join("pigeondeliver.toml"));
        command
    };
    text_of(pigeon(&["init", "--dir", &directory, "--domain", "example.org"]))?;
    text_of(pigeon(&["account", "add", RECIPIENT]))?;
    let arguments: Vec<&str> = set.split_whitespace().skip(1).collect();
    text_of(pigeon(&arguments))?;
    let explained = text_of(pigeon(&["explain", RECIPIENT]))?;
    ensure!(explained.contains("subject_tag"), "explain does not name it:\n{explained}");

    let mut child = pigeon(&["deliver", "-f", "bob@example.net", RECIPIENT])
        .stdin(Stdio::piped())
        .spawn()
        .context("pigeon deliver does not start")?;
    child.stdin.take().context("no standard input")?.write_all(MESSAGE)?;
    ensure!(child.wait()?.success(), "pigeon deliver failed");
    let stored = files_below(&site.join("mail"))?;
    let messages: Vec<String> = stored
        .iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "new"))
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let is_tagged = messages.iter().any(|message| message.contains("\nSubject: [work] lunch\n"));
    ensure!(is_tagged, "the subject has no tag: {messages:#?}");
    Ok(())
}

/// Where the copy is built: apart from the workspace, for there its crates would be taken for the workspace's own.
fn builds() -> PathBuf {
    target().join("first-service-build")
}

/// A command of the guide that begins with `cargo`, run in the copy.
fn in_copy(command: &str, place: &Path) -> anyhow::Result<Command> {
    let Some(arguments) = command.strip_prefix("cargo run ") else { bail!("{command:?} is no cargo run") };
    let mut run = cargo(["run", "--quiet", "--offline"]);
    run.args(arguments.split_whitespace()).current_dir(place).env("CARGO_TARGET_DIR", builds());
    Ok(run)
}

/// What a command printed.
fn text_of(mut command: Command) -> anyhow::Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}\n{}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn files_below(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}
