//! `pigeon try`: the whole main job for real, in a scratch directory, with nothing to configure.

mod samples;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use owo_colors::OwoColorize as _;
use pigeon_core::directory::{AliasPattern, Change, Place};
use pigeon_core::ports::state::{ReceiptQuery, State};
use pigeon_core::rights::Actor;
use pigeon_core::setting::{Content, Pin};
use pigeon_frontends::stop::Stopper;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::{Global, TryArgs, init, serve};
use crate::config::{Config, Lmtp};
use crate::show::{self, Paper};
use crate::wiring::{self, Mode, Site};
use samples::{SAMPLES, Sample};

/// Runs the demonstration.
///
/// # Errors
/// When the demonstration itself cannot run; an outcome that was not the expected one is exit code 1.
pub async fn run(_: &Global, arguments: TryArgs) -> anyhow::Result<ExitCode> {
    let is_kept = arguments.keep.is_some();
    let place = arguments
        .keep
        .unwrap_or_else(|| std::env::temp_dir().join(format!("pigeon-try-{}", std::process::id())));
    ensure!(
        !place.join("pigeondeliver.toml").exists(),
        "{} holds a demonstration already: name an empty directory, or remove it",
        place.display()
    );
    std::fs::create_dir_all(&place).with_context(|| format!("{} cannot be made", place.display()))?;
    let place = place.canonicalize()?;
    let result = demonstrate(&place).await;
    if !is_kept {
        std::fs::remove_dir_all(&place).with_context(|| format!("{} cannot be removed", place.display()))?;
    }
    let mut out = anstream::stdout().lock();
    let unexpected = result?;
    what_next(&mut out, is_kept.then_some(place.as_path()), unexpected)?;
    Ok(if unexpected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn demonstrate(place: &Path) -> anyhow::Result<usize> {
    let config = configuration(place)?;
    wiring::create(&config).await?;
    let site = Arc::new(Site::open(config.clone(), Mode::Server)?);
    populate(&site).await?;
    let stopper = Stopper::new();
    let server = tokio::spawn(serve::listen(Arc::clone(&site), stopper.stopping()));
    let socket = place.join("lmtp.sock");
    wait_for(&socket).await?;

    let mut out = anstream::stdout().lock();
    headline(&mut out, "A directory, made in")?;
    writeln!(out, "  {}\n", place.display())?;
    show_directory(&mut out)?;
    let mut unexpected = 0;
    for sample in SAMPLES {
        unexpected += deliver(&mut out, &site, &socket, sample).await?;
    }
    headline(&mut out, "The Maildirs")?;
    show_tree(&mut out, &config.mail.root, 1)?;
    drop(out);
    stopper.stop();
    server.await??;
    site.finish().await;
    Ok(unexpected)
}

fn configuration(place: &Path) -> anyhow::Result<Config> {
    let mut config = Config::new(&place.join("directory.sqlite"), &place.join("state"), &place.join("mail"));
    config.hostname = Some("mx.example.org".to_owned());
    config.lmtp.push(Lmtp::new(&format!("unix:{}", place.join("lmtp.sock").display())));
    let text = toml::to_string(&config).context("the configuration cannot be written as TOML")?;
    std::fs::write(place.join("pigeondeliver.toml"), text)?;
    Ok(config)
}

async fn populate(site: &Site) -> anyhow::Result<()> {
    let actor = Actor::System("try".to_owned());
    let address = |text: &str| text.parse().map_err(|error| anyhow::anyhow!("{text}: {error}"));
    let mut changes = vec![Change::AddDomain { name: "example.org".to_owned() }];
    for (who, name) in
        [("admin", "The domain's administrator"), ("ann", "Ann Example"), ("bob", "Bob Example")]
    {
        let address = address(&format!("{who}@example.org"))?;
        changes.push(Change::AddAccount { address, name: name.to_owned(), password: None });
    }
    let account = address("admin@example.org")?;
    changes.push(Change::AddGrant { account, domain: Some("example.org".to_owned()) });
    let targets = vec![address("ann@example.org")?, address("bob@example.org")?];
    let pattern =
        AliasPattern { local: "team".to_owned(), domain: "example.org".parse().map_err(anyhow::Error::msg)? };
    changes.push(Change::AddAlias { pattern, targets });
    for change in init::enabled_services().into_iter().chain(changes) {
        site.directory.apply(&actor, change).await?;
    }
    let domain = || Place::Domain("example.org".to_owned());
    let bob = Place::Account(address("bob@example.org")?);
    let settings: [(Place, &str, Value, Pin, Option<&str>); 6] = [
        (domain(), "subaddress.create", json!(true), Pin::None, None),
        (Place::System, "quota.octets", json!("1G"), Pin::None, None),
        (domain(), "quota.octets", json!("50M"), Pin::None, None),
        (domain(), "quota.over", json!("reject"), Pin::Domain, Some("senders are told at once")),
        (bob.clone(), "quota.octets", json!("2K"), Pin::None, None),
        (bob, "quota.over", json!("reject"), Pin::None, None),
    ];
    for (place, name, value, pin, reason) in settings {
        let name = name.parse().map_err(anyhow::Error::msg)?;
        let (content, reason) = (Content::Value(value), reason.map(str::to_owned));
        site.directory.apply(&actor, Change::Set { place, name, content, pin, until: None, reason }).await?;
    }
    Ok(())
}

async fn wait_for(socket: &Path) -> anyhow::Result<()> {
    for _ in 0..500 {
        if UnixStream::connect(socket).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    anyhow::bail!("the LMTP server does not answer at {}", socket.display())
}

/// Sends one sample as an MTA would; returns how many outcomes were not the expected ones.
async fn deliver(out: &mut dyn Write, site: &Site, socket: &Path, sample: &Sample) -> anyhow::Result<usize> {
    headline(out, sample.title)?;
    let replies = converse(out, socket, sample).await?;
    let mut unexpected = 0;
    for (reply, expected) in replies.iter().zip(sample.expected) {
        if !reply.starts_with(expected) {
            unexpected += 1;
            writeln!(out, "  {}", format!("expected {expected}").red().bold())?;
        }
    }
    unexpected += sample.expected.len().abs_diff(replies.len());
    let query =
        ReceiptQuery { message_id: Some(sample.message_id.to_owned()), limit: 10, ..ReceiptQuery::default() };
    let receipts = State::receipts(&*site.state, &query).await?;
    for receipt in &receipts {
        show::receipt(out, receipt, Paper::of_stdout())?;
    }
    let is_recorded = sample.expected.iter().any(|code| *code != "550 5.1.1");
    if is_recorded && receipts.is_empty() {
        unexpected += 1;
        writeln!(out, "  {}", "there is no receipt".red().bold())?;
    }
    writeln!(out)?;
    Ok(unexpected)
}

/// Speaks LMTP; returns the replies that decide about recipients: refusals of RCPT, and those after the data.
async fn converse(out: &mut dyn Write, socket: &Path, sample: &Sample) -> anyhow::Result<Vec<String>> {
    let mut stream = BufReader::new(UnixStream::connect(socket).await?);
    read_reply(&mut stream).await?;
    command(&mut stream, "LHLO mta.example.org").await?;
    command(&mut stream, &format!("MAIL FROM:<{}>", sample.sender)).await?;
    let mut decisive = Vec::new();
    let mut admitted = 0;
    for recipient in sample.recipients {
        let line = format!("RCPT TO:<{recipient}>");
        let reply = command(&mut stream, &line).await?;
        writeln!(out, "  {} {line}", "C:".dimmed())?;
        show_reply(out, &reply)?;
        if reply.starts_with("250") { admitted += 1 } else { decisive.push(reply) }
    }
    if admitted > 0 {
        command(&mut stream, "DATA").await?;
        writeln!(out, "  {} DATA … {} octets … .", "C:".dimmed(), sample.text().len())?;
        let mut wire = sample.text().replace("\n.", "\n..").replace('\n', "\r\n");
        wire.push_str(".\r\n");
        stream.get_mut().write_all(wire.as_bytes()).await?;
        for _ in 0..admitted {
            let reply = read_reply(&mut stream).await?;
            show_reply(out, &reply)?;
            decisive.push(reply);
        }
    }
    command(&mut stream, "QUIT").await?;
    Ok(decisive)
}

async fn command(stream: &mut BufReader<UnixStream>, line: &str) -> anyhow::Result<String> {
    stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).await?;
    read_reply(stream).await
}

async fn read_reply(stream: &mut BufReader<UnixStream>) -> anyhow::Result<String> {
    loop {
        let mut line = String::new();
        let count = stream.read_line(&mut line).await?;
        ensure!(count > 0, "the LMTP server closed the connection");
        if line.get(3..4) != Some("-") {
            return Ok(line.trim_end().to_owned());
        }
    }
}

fn headline(out: &mut dyn Write, text: &str) -> std::io::Result<()> {
    writeln!(out, "{}", text.bold().underline())
}

fn show_reply(out: &mut dyn Write, reply: &str) -> std::io::Result<()> {
    match reply.as_bytes().first() {
        Some(b'2') => writeln!(out, "  {} {}", "S:".dimmed(), reply.green()),
        Some(b'4') => writeln!(out, "  {} {}", "S:".dimmed(), reply.yellow()),
        _ => writeln!(out, "  {} {}", "S:".dimmed(), reply.red()),
    }
}

fn show_directory(out: &mut dyn Write) -> std::io::Result<()> {
    for (what, text) in [
        ("domain", "example.org, administered by admin@example.org"),
        ("accounts", "ann@example.org, bob@example.org"),
        ("alias", "team@example.org → ann, bob"),
        ("system", "mailbox, quota and subaddress enabled; quota.octets=1G"),
        (
            "domain",
            "quota.octets=50M, subaddress.create=true, quota.over=reject (pinned: senders are told at once)",
        ),
        ("account", "bob: quota.octets=2K"),
    ] {
        writeln!(out, "  {:9} {text}", what.dimmed())?;
    }
    writeln!(out)
}

fn show_tree(out: &mut dyn Write, directory: &Path, depth: usize) -> anyhow::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(directory)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let indent = "  ".repeat(depth);
        if entry.file_type()?.is_dir() {
            writeln!(out, "{indent}{}", format!("{name}/").blue())?;
            show_tree(out, &entry.path(), depth + 1)?;
        } else {
            writeln!(out, "{indent}{name}  {}", show::size(entry.metadata()?.len()).dimmed())?;
        }
    }
    Ok(())
}

fn what_next(out: &mut dyn Write, kept: Option<&Path>, unexpected: usize) -> std::io::Result<()> {
    if unexpected == 0 {
        writeln!(out, "{}", "Every outcome was the expected one.".green().bold())?;
    } else {
        writeln!(out, "{}", format!("{unexpected} outcomes were not the expected ones.").red().bold())?;
    }
    headline(out, "\nWhat to try next")?;
    match kept {
        None => writeln!(out, "  pigeon try --keep ./loft      keep this demonstration, and play with it"),
        Some(place) => {
            let config = place.join("pigeondeliver.toml");
            let config = config.display();
            writeln!(out, "  export PIGEON_CONFIG={config}")?;
            writeln!(
                out,
                "  pigeon settings bob@example.org                    what holds for Bob, and who said so"
            )?;
            writeln!(out, "  pigeon explain ann+projects@example.org            where her mail would go")?;
            writeln!(out, "  pigeon settings set --account bob@example.org quota.octets=1M")?;
            writeln!(
                out,
                "  pigeon receipts bob@example.org                    why his mail landed where it did"
            )?;
            writeln!(out, "  pigeon serve                                       take mail over LMTP")
        }
    }
}
