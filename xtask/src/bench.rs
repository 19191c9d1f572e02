//! Measures this program beside its peers with the scripts in `bench/`, and compares with the targets.

mod goals;
mod results;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use self::goals::{GOALS, Verdict};
use self::results::Results;
use crate::workspace::{cargo, has_program, root, run, say, styled};

/// Programs that the scripts need; `bench/setup.sh` installs them.
const NEEDED: [&str; 8] = ["dovecot", "procmail", "maildrop", "strace", "python3", "gcc", "setpriv", "pgrep"];

/// Builds the program for MTAs' pipes as docs/admin/install.md does: without shared libraries, at a fixed address.
const SMALL_PROGRAM: [&str; 11] = [
    "rustc",
    "--release",
    "--package",
    "pigeondeliver",
    "--bin",
    "pigeon-deliver",
    "--",
    "-C",
    "target-feature=+crt-static",
    "-C",
    "relocation-model=static",
];

/// How long to measure. The variables are those of the scripts.
struct Pace {
    lmtp: &'static [(&'static str, &'static str)],
    pipe: &'static [(&'static str, &'static str)],
    syscalls: &'static [(&'static str, &'static str)],
    memory: &'static [(&'static str, &'static str)],
}

const FULL: Pace = Pace {
    lmtp: &[("CASE_S", "4"), ("REPS", "3")],
    pipe: &[("RUNS", "500"), ("CASE_S", "5"), ("REPS", "3")],
    syscalls: &[("MESSAGES", "1000")],
    memory: &[("CASE_S", "3")],
};
const QUICK: Pace = Pace {
    lmtp: &[("CASE_S", "0.5"), ("PRE_S", "0.2"), ("REPS", "1"), ("NO_SETTLE", "1"), ("USERS", "100")],
    pipe: &[("RUNS", "20"), ("CASE_S", "1"), ("REPS", "1"), ("NO_SETTLE", "1"), ("USERS", "100")],
    syscalls: &[("MESSAGES", "100"), ("NO_SETTLE", "1"), ("USERS", "100")],
    memory: &[("CASE_S", "0.5"), ("NO_SETTLE", "1"), ("USERS", "100")],
};

/// The LMTP cases of the targets: sessions, bytes, recipients of a message.
const CASES: &str = "1 4096 1\n10 4096 1\n50 4096 1\n10 4096 50\n10 65536 1\n10 1048576 1";
const TARGETS: &str = "sink dovecot pigeondeliver";
const PIPE_TARGETS: &str = "minimda:MM_SYNC=1 procmail maildrop dovecot-lda pigeondeliver";

/// Builds, measures and compares; whether every target is met. A quick run measures too little to judge by, so it
/// fails only if something does not work.
///
/// # Errors
/// When something does not build, cannot be installed or does not run.
pub(crate) fn measure(is_quick: bool) -> anyhow::Result<bool> {
    ensure!(
        run(&mut cargo(["build", "--release", "--package", "pigeondeliver"]))?,
        "the release build failed"
    );
    ensure!(
        run(&mut cargo(SMALL_PROGRAM))?,
        "the small program cannot be linked statically: is the C library's libc.a there?"
    );
    let bench = root().join("bench");
    if NEEDED.iter().any(|program| !has_program(program)) {
        ensure!(run(&mut Command::new(bench.join("setup.sh")))?, "the peers could not be installed");
    }
    let folder = bench.join("results");
    begin_anew(&folder)?;
    let pace = if is_quick { QUICK } else { FULL };
    script(&bench, "lmtp.sh", pace.lmtp, &[("TARGETS", TARGETS), ("CASES", CASES)])?;
    script(&bench, "pipe.sh", pace.pipe, &[("PTARGETS", PIPE_TARGETS)])?;
    script(&bench, "syscalls.sh", pace.syscalls, &[("TARGETS", "dovecot pigeondeliver")])?;
    script(&bench, "memory.sh", pace.memory, &[("TARGETS", "dovecot pigeondeliver")])?;
    let is_met = report(&folder)?;
    if is_quick {
        say("A quick run: the figures only show that everything works.")?;
    }
    Ok(is_met || is_quick)
}

/// Removes the results of earlier runs: ratios hold within one run only.
fn begin_anew(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for name in ["lmtp.csv", "limits.csv", "pipe.csv", "syscalls.csv", "memory.csv"] {
        let path = folder.join(name);
        if path.exists() {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn script(bench: &Path, name: &str, pace: &[(&str, &str)], what: &[(&str, &str)]) -> anyhow::Result<()> {
    let mut command = Command::new(bench.join(name));
    command.envs(pace.iter().copied()).envs(what.iter().copied()).env("RESULTS", bench.join("results"));
    ensure!(run(&mut command)?, "bench/{name} failed");
    Ok(())
}

/// Prints the table of the targets and writes it as Markdown; whether every target is met.
fn report(folder: &Path) -> anyhow::Result<bool> {
    let results = Results::read(folder)?;
    let rows: Vec<_> = GOALS.iter().map(|goal| goal.judge(&results)).collect();
    let page = folder.join("targets.md");
    let mut lines = vec![
        machine(),
        String::new(),
        "| case | PigeonDeliver | peer | ratio | target | | the disk alone |".to_owned(),
        "|---|---|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(rows.iter().map(|row| {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            row.case, row.ours, row.peer, row.ratio, row.target, row.verdict, row.disk
        )
    }));
    fs::write(&page, lines.join("\n") + "\n").with_context(|| format!("cannot write {}", page.display()))?;

    say("")?;
    for row in &rows {
        let style = if row.verdict == Verdict::Ok { "32" } else { "1;31" };
        let verdict = styled(style, &format!("{:<8}", row.verdict.to_string()));
        say(&format!(
            "{verdict} {:<44} {:>12}  peer {:>16}  {:>8}  {}",
            row.case, row.ours, row.peer, row.ratio, row.target
        ))?;
    }
    say(&format!("\nas Markdown: {}", page.display()))?;
    Ok(rows.iter().all(|row| row.verdict == Verdict::Ok))
}

/// One line about the machine and the commit.
fn machine() -> String {
    let output = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(root()).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let information = fs::read_to_string(PathBuf::from("/proc/cpuinfo")).unwrap_or_default();
    let processor = information.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!(
        "{} cores ({}), Linux {}, {}; Dovecot {}; commit {}; {}.",
        information.matches("processor\t").count(),
        processor.trim_start_matches(['\t', ':', ' ']),
        output("uname", &["-r"]),
        output("stat", &["--file-system", "--format=%T", "/tmp"]),
        output("dovecot", &["--version"]),
        output("git", &["rev-parse", "--short", "HEAD"]),
        output("date", &["+%F"]),
    )
}
