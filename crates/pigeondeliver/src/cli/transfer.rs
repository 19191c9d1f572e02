//! `pigeon directory`: the whole directory as one readable file, out and in.
//!
//! One JSON document on each line: first a header with the version of the format, then an entry a line, each
//! behind those that it refers to. [`copy`] goes from one backend to another without a file.

mod copy;
mod verify;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use pigeon_core::directory::Entry;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Global;
use super::session::Session;
use crate::show::count;

/// The name of the format, in the header.
const FORMAT: &str = "pigeondeliver-directory";
/// Its version; another one is refused.
const VERSION: u32 = 1;
/// How many entries are moved at a time, each time in one transaction.
const BATCH: u32 = 1000;
/// Longest line that is read, in octets.
const MAX_LINE_OCTETS: usize = 16 * 1024 * 1024;

/// The commands of `pigeon directory`.
#[derive(Debug, Subcommand)]
pub enum DirectoryCommand {
    /// Write domains, accounts, aliases, grants and settings to a file
    #[command(after_long_help = "\
The file holds password hashes: it is made for its owner's eyes only. Mail is not in it.

Examples:
  pigeon directory export backup.jsonl
  pigeon directory export - | gzip > backup.jsonl.gz")]
    Export(FileArgs),
    /// Take entries from an exported file
    #[command(after_long_help = "\
Entries keep their identity and their mailboxes; those that exist under the same identity are overwritten.
The whole file is read and checked before the first entry is written (not so for standard input).

Examples:
  pigeon directory import backup.jsonl
  pigeon directory import backup.jsonl --check          only read it")]
    Import {
        #[command(flatten)]
        file: FileArgs,
        /// Only read and check the file
        #[arg(long)]
        check: bool,
    },
    /// Copy a directory to another backend, and see that both answer alike
    Copy(copy::CopyArgs),
}

/// A file.
#[derive(Debug, Args)]
pub struct FileArgs {
    /// The file; - is standard output or input
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
}

/// The first line of an exported file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    /// When it was made, as RFC 3339 writes it.
    made: String,
    /// How many entries follow; what changed during the export may add or take away some.
    entries: u64,
}

/// How many entries of each kind there were.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) domains: u64,
    pub(super) accounts: u64,
    pub(super) aliases: u64,
    grants: u64,
    pub(super) settings: u64,
}

impl Counts {
    /// Counts an entry.
    pub(super) fn add(&mut self, entry: &Entry) {
        let counter = match entry {
            Entry::Domain(_) => &mut self.domains,
            Entry::Account(_) => &mut self.accounts,
            Entry::Alias(_) => &mut self.aliases,
            Entry::Grant(_) => &mut self.grants,
            Entry::Setting { .. } => &mut self.settings,
        };
        *counter += 1;
    }

    const fn total(self) -> u64 {
        self.domains + self.accounts + self.aliases + self.grants + self.settings
    }

    fn words(self) -> String {
        let parts = [
            count(self.domains, "domain"),
            count(self.accounts, "account"),
            count(self.aliases, "alias"),
            count(self.grants, "grant"),
            count(self.settings, "setting"),
        ];
        parts.join(", ")
    }
}

/// Runs a command of `pigeon directory`.
pub(super) async fn run(global: &Global, command: DirectoryCommand) -> anyhow::Result<()> {
    match command {
        DirectoryCommand::Export(args) => export(&Session::open(global).await?, &args.file).await,
        DirectoryCommand::Import { file, check } => {
            let session = Session::open(global).await?;
            import(&session, &file.file, check).await
        }
        DirectoryCommand::Copy(args) => Box::pin(copy::run(global, args)).await,
    }
}

/// A bar on a terminal; elsewhere nothing.
pub(super) fn progress(total: u64, word: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}");
    ProgressBar::new(total)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(word)
}

async fn export(session: &Session, path: &Path) -> anyhow::Result<()> {
    if path == Path::new("-") {
        let mut out = io::stdout().lock();
        return match write_entries(session, &mut out).await {
            Err(error) if is_broken_pipe(&error) => Ok(()),
            result => result.map(drop),
        };
    }
    // Written beside it and then renamed: the name never stands for half an export.
    let unfinished = path.with_extension("unfinished");
    let failed = || format!("{} cannot be written", path.display());
    let file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let mut out = BufWriter::new(file.with_context(failed)?);
    let counts = write_entries(session, &mut out).await;
    let counts = match counts {
        Ok(counts) => counts,
        Err(error) => {
            drop(std::fs::remove_file(&unfinished));
            return Err(error);
        }
    };
    let file = out.into_inner().map_err(io::IntoInnerError::into_error).with_context(failed)?;
    file.sync_all().with_context(failed)?;
    std::fs::rename(&unfinished, path).with_context(failed)?;
    let document = json!({ "file": path, "exported": counts });
    session.out.print(&document, |out| writeln!(out, "exported {} to {}", counts.words(), path.display()))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(broken)
}

async fn write_entries(session: &Session, out: &mut dyn Write) -> anyhow::Result<Counts> {
    let directory = &session.site.directory;
    let entries = directory.count().await?;
    let made = session.now().to_rfc3339();
    let header = Header { format: FORMAT.to_owned(), version: VERSION, made, entries };
    write_line(out, &header)?;
    let bar = progress(entries, "exporting");
    let mut counts = Counts::default();
    let mut cursor = None;
    loop {
        let (entries, next) = directory.export(cursor, BATCH).await?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            counts.add(entry);
            write_line(out, entry)?;
        }
        bar.set_position(counts.total());
        if next.is_none() {
            break;
        }
        cursor = next;
    }
    bar.finish_and_clear();
    out.flush()?;
    Ok(counts)
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(line).context("an entry cannot be written as JSON")?;
    Ok(writeln!(out, "{text}")?)
}

async fn import(session: &Session, path: &Path, is_check: bool) -> anyhow::Result<()> {
    let is_stdin = path == Path::new("-");
    if !is_stdin {
        let counts = read_entries(open(path)?, path).await?;
        if is_check {
            let document = json!({ "file": path, "checked": counts });
            let text = |out: &mut dyn Write| writeln!(out, "{} holds {}", path.display(), counts.words());
            return session.out.print(&document, text);
        }
    } else if is_check {
        let counts = read_entries(Box::new(io::stdin().lock()), path).await?;
        return session.out.print(&json!({ "checked": counts }), |out| writeln!(out, "{}", counts.words()));
    }
    let reader = if is_stdin { Box::new(BufReader::new(io::stdin())) } else { open(path)? };
    let counts = write_all(session, reader, path).await?;
    let document = json!({ "file": path, "imported": counts });
    session.out.print(&document, |out| writeln!(out, "imported {}", counts.words()))
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Box::new(BufReader::new(file)))
}

/// Reads a whole file, to find what is wrong with it before anything is written.
async fn read_entries(reader: Box<dyn BufRead + '_>, path: &Path) -> anyhow::Result<Counts> {
    let mut lines = Lines::new(reader, path)?;
    let mut counts = Counts::default();
    while let Some(entry) = lines.entry()? {
        counts.add(&entry);
    }
    lines.check_count(counts)?;
    Ok(counts)
}

async fn write_all(session: &Session, reader: Box<dyn BufRead>, path: &Path) -> anyhow::Result<Counts> {
    let mut lines = Lines::new(reader, path)?;
    let bar = progress(lines.header.entries, "importing");
    let mut counts = Counts::default();
    loop {
        let mut batch = Vec::new();
        while batch.len() < BATCH as usize
            && let Some(entry) = lines.entry()?
        {
            batch.push(entry);
        }
        if batch.is_empty() {
            break;
        }
        let before = counts;
        batch.iter().for_each(|entry| counts.add(entry));
        let imported = session.site.directory.import(&session.actor, batch).await;
        imported.with_context(|| match before.total() {
            0 => format!("{}: nothing was imported", path.display()),
            done => format!("{}: the first {done} entries are imported, then", path.display()),
        })?;
        bar.set_position(counts.total());
    }
    bar.finish_and_clear();
    lines.check_count(counts)?;
    Ok(counts)
}

/// The lines of an exported file.
struct Lines<'a> {
    reader: Box<dyn BufRead + 'a>,
    path: PathBuf,
    number: u64,
    header: Header,
}

impl<'a> Lines<'a> {
    fn new(reader: Box<dyn BufRead + 'a>, path: &Path) -> anyhow::Result<Self> {
        let empty = Header { format: String::new(), version: 0, made: String::new(), entries: 0 };
        let mut lines = Self { reader, path: path.to_owned(), number: 0, header: empty };
        let first = lines.line()?.unwrap_or_default();
        let shown = path.display();
        let header: Header = serde_json::from_str(&first)
            .ok()
            .filter(|header: &Header| header.format == FORMAT)
            .with_context(|| format!("{shown} is no exported directory: its first line must be a header"))?;
        ensure!(
            header.version == VERSION,
            "{shown} has version {} of the format, and this program knows version {VERSION}: export it again with a \
             version of pigeon that both sides know",
            header.version
        );
        lines.header = header;
        Ok(lines)
    }

    /// The next line that is not blank.
    fn line(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            let mut line = Vec::new();
            let mut limited = io::Read::take(&mut self.reader, MAX_LINE_OCTETS as u64);
            let octets = limited.read_until(b'\n', &mut line);
            let octets = octets.with_context(|| format!("{} cannot be read", self.path.display()))?;
            if octets == 0 {
                return Ok(None);
            }
            self.number += 1;
            if octets == MAX_LINE_OCTETS {
                bail!("{} line {}: the line is too long for an entry", self.path.display(), self.number);
            }
            let line = String::from_utf8(line)
                .with_context(|| format!("{} line {} is not UTF-8", self.path.display(), self.number))?;
            if !line.trim().is_empty() {
                return Ok(Some(line));
            }
        }
    }

    fn entry(&mut self) -> anyhow::Result<Option<Entry>> {
        let Some(line) = self.line()? else { return Ok(None) };
        serde_json::from_str(&line)
            .with_context(|| format!("{} line {} is no entry", self.path.display(), self.number))
            .map(Some)
    }

    /// A file that was cut short is found out by its header.
    fn check_count(&self, counts: Counts) -> anyhow::Result<()> {
        let (held, announced) = (counts.total(), self.header.entries);
        ensure!(
            held >= announced,
            "{} holds {held} of {announced} entries: it was cut short, export it again",
            self.path.display()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        r#"{"format":"pigeondeliver-directory","version":1,"made":"2026-11-23T19:00:00Z","entries":1}"#;
    const DOMAIN: &str = r#"{"kind":"domain","id":"1","name":"example.org"}"#;

    async fn read(text: &str) -> Result<Counts, String> {
        let reader = Box::new(text.as_bytes());
        read_entries(reader, Path::new("x.jsonl")).await.map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn files_are_checked_before_they_are_taken() {
        let one = Counts { domains: 1, ..Counts::default() };
        assert_eq!(read(&format!("{HEADER}\n\n{DOMAIN}\n")).await, Ok(one));
        let check = async |text: &str, expect: &str| {
            let error = read(text).await.unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check("", "no exported directory").await;
        check(DOMAIN, "no exported directory").await;
        check(&HEADER.replace("\"version\":1", "\"version\":9"), "version 9").await;
        check(HEADER, "cut short").await;
        check(&format!("{HEADER}\n{{\"kind\":\"planet\"}}\n"), "line 2 is no entry").await;
    }

    #[test]
    fn counts_are_words() {
        let counts = Counts { domains: 1, accounts: 2, ..Counts::default() };
        assert_eq!(counts.words(), "1 domain, 2 accounts, 0 aliases, 0 grants, 0 settings");
        assert_eq!(counts.total(), 3);
    }
}
