//! `pigeon try`: the whole main job for real, in a scratch directory, with nothing to configure.

mod samples;
mod server;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use owo_colors::OwoColorize as _;
use pigeon_core::directory::{AliasPattern, Change, Place};
use pigeon_core::ports::state::{ReceiptQuery, State};
use pigeon_core::rights::Actor;
use pigeon_core::setting::{Content, Pin};
use pigeon_frontends::stop::Stopper;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};

use super::{Global, TryArgs, init, serve};
use crate::config::{Config, Lmtp};
use crate::show::{self, Paper};
use crate::wiring::{self, Mode, Site};
use samples::{SAMPLES, Sample};
pub use server::Engine;
use server::Server;

/// How long a server has until it answers.
const START: Duration = Duration::from_secs(30);

/// Runs the demonstration.
///
/// # Errors
/// When the demonstration itself cannot run; an outcome that was not the expected one is exit code 1.
pub async fn run(_: &Global, arguments: TryArgs) -> anyhow::Result<ExitCode> {
    let (engine, is_kept) = (arguments.directory, arguments.keep.is_some());
    ensure!(
        !is_kept || engine == Engine::Sqlite,
        "a demonstration on {0} cannot be kept, for its server ends with it: leave --keep away, or keep one on \
         SQLite. On a {0} of your own, name it as the directory in pigeondeliver.toml and run pigeon init",
        engine.name()
    );
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
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // Whoever interrupts it finds no server running and no files left.
    let result = tokio::select! {
        result = demonstrate(&place, engine) => result,
        _ = interrupt.recv() => Err(anyhow::anyhow!("the demonstration was interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("the demonstration was interrupted")),
    };
    if !is_kept {
        std::fs::remove_dir_all(&place).with_context(|| format!("{} cannot be removed", place.display()))?;
    }
    let mut out = anstream::stdout().lock();
    let unexpected = result?;
    if engine != Engine::Sqlite {
        writeln!(out, "{} is stopped, and what it kept is removed.\n", engine.name())?;
    }
    what_next(&mut out, is_kept.then_some(place.as_path()), unexpected)?;
    Ok(if unexpected == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn demonstrate(place: &Path, engine: Engine) -> anyhow::Result<usize> {
    // Before everything that is connected to it: what is made first goes last.
    let server = start(place, engine).await?;
    let config = configuration(place, server.as_ref())?;
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

/// Starts a server of its own where the directory needs one, and waits until it answers.
async fn start(place: &Path, engine: Engine) -> anyhow::Result<Option<Server>> {
    if engine != Engine::Sqlite {
        writeln!(anstream::stdout(), "Starting {}, for this demonstration alone …", engine.name())?;
    }
    let Some(mut server) = server::start(engine, place)? else { return Ok(None) };
    let answers = tokio::time::timeout(START, wait_until_ready(&mut server)).await;
    answers.unwrap_or_else(|_| {
        let said = server.last_words();
        Err(anyhow::anyhow!("{} does not answer for {} s: {said}", engine.name(), START.as_secs()))
    })?;
    let mut out = anstream::stdout().lock();
    writeln!(out, "  {} runs at 127.0.0.1:{}\n", server.program.display(), server.port)?;
    Ok(Some(server))
}

/// It answers when the directory can be made in it.
async fn wait_until_ready(server: &mut Server) -> anyhow::Result<()> {
    let nowhere = Path::new("/nonexistent");
    let url = Config::new(nowhere, nowhere, nowhere).read_url(&server.url)?;
    while wiring::create_directory(&url, None).await.is_err() {
        if let Some(failure) = server.failure() {
            bail!(failure);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn configuration(place: &Path, server: Option<&Server>) -> anyhow::Result<Config> {
    let mut config = Config::new(&place.join("directory.sqlite"), &place.join("state"), &place.join("mail"));
    if let Some(server) = server {
        config.directory.clone_from(&server.url);
    }
    config.hostname = Some("mx.example.org".to_owned());
    config.lmtp.push(Lmtp::new(&format!("unix:{}", place.join("lmtp.sock").display())));
    let text = toml::to_string(&config).context("the configuration cannot be written as TOML")?;
    // The password of a server may be in it.
    let mut options = std::fs::File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(place.join("pigeondeliver.toml"));
    file?.write_all(text.as_bytes())?;
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
        None => {
            writeln!(
                out,
                "  pigeon try --keep ./loft             keep this demonstration, and play with it"
            )?;
            writeln!(
                out,
                "  pigeon try --directory postgres      the same on a server: postgres, mariadb or ldap"
            )
        }
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
