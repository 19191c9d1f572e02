//! What a scan by clamd costs on our side: a connection for each message beside a session for many, and the whole
//! service with one recipient and with fifty.
//!
//! `cargo run --release -p pigeon-services --example scan_cost [SCANS]`, as root after `cargo xtask peers`.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use pigeon_services::catalogue::SERVICES;
use pigeon_testkit::memory::World;
use pigeon_testkit::peers::{Clamd, ClamdOptions};
use rustix::time::{ClockId, clock_gettime};

const MAIL: &str = "From: sam@example.net\nTo: ann@example.org\nSubject: hello\n\n";
const BODY_OCTETS: usize = 4096;
const SCANS: usize = 3000;
const ROUNDS: usize = 3;
const RECIPIENTS: usize = 50;

/// Time by the clock and of our own processor use.
#[derive(Clone, Copy)]
struct Cost {
    wall: Duration,
    own: Duration,
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

fn measure(count: usize, mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Cost> {
    let (began, used) = (Instant::now(), cpu());
    for _ in 0..count {
        work()?;
    }
    let count = u32::try_from(count)?;
    Ok(Cost { wall: began.elapsed() / count, own: (cpu() - used) / count })
}

fn say(what: &str, cost: Cost) -> anyhow::Result<()> {
    let Cost { wall, own } = cost;
    writeln!(std::io::stdout(), "{what:<44} {:>6} us, of ours {:>5} us", wall.as_micros(), own.as_micros())?;
    Ok(())
}

fn mail() -> String {
    format!("{MAIL}{}\n", "an ordinary line of text\n".repeat(BODY_OCTETS / 25))
}

fn ask(mut stream: impl Read + Write, question: &[u8]) -> anyhow::Result<()> {
    stream.write_all(question)?;
    let mut answer = [0; 256];
    let mut filled = 0;
    while !answer.get(..filled).is_some_and(|read| read.ends_with(b"\0")) {
        let count = stream.read(answer.get_mut(filled..).unwrap_or_default())?;
        ensure!(count > 0, "clamd ended the connection");
        filled += count;
    }
    let text = String::from_utf8_lossy(answer.get(..filled).unwrap_or_default());
    ensure!(text.ends_with("stream: OK\0"), "clamd says {text}");
    Ok(())
}

fn connections<S>(name: &str, count: usize, connect: impl Fn() -> anyhow::Result<S>) -> anyhow::Result<()>
where
    for<'a> &'a S: Read + Write,
{
    let text = mail();
    let length = u32::try_from(text.len())?.to_be_bytes();
    let question = [b"zINSTREAM\0", &length[..], text.as_bytes(), &[0; 4]].concat();
    for _ in 0..ROUNDS {
        let each = measure(count, || ask(&connect()?, &question))?;
        say(&format!("{name}, a connection for each message"), each)?;
        let session = connect()?;
        (&session).write_all(b"zIDSESSION\0")?;
        say(&format!("{name}, one session"), measure(count, || ask(&session, &question))?)?;
    }
    Ok(())
}

/// The whole walk of a message to some recipients, with and without the scan.
fn service(clamd: &Clamd, count: usize, recipients: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let world = World::new(SERVICES);
    let accounts: Vec<String> = (0..recipients).map(|number| format!("u{number}@example.org")).collect();
    for account in &accounts {
        world.account(account);
    }
    let names: Vec<&str> = accounts.iter().map(String::as_str).collect();
    world.set("system", "mailbox.enabled", true).set(
        "system",
        "antivirus.servers",
        vec![format!("unix:{}", clamd.socket().display())],
    );
    let text = mail();
    let mut costs = Vec::new();
    for is_on in [false, true] {
        world.set("system", "antivirus.enabled", is_on);
        costs.push(measure(count, || {
            let receipts = runtime.block_on(world.deliver("sam@example.net", &names, &text));
            black_box(&receipts);
            let is_well = receipts.iter().all(|receipt| receipt.outcome.is_success());
            ensure!(is_well, "{receipts:#?}");
            Ok(())
        })?);
    }
    let [without, with] = costs.as_slice() else { return Ok(()) };
    say(&format!("{recipients} recipients, without a scan"), *without)?;
    say(&format!("{recipients} recipients, with a scan"), *with)
}

fn main() -> anyhow::Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(SCANS), |text| text.parse()).context("how many scans?")?;
    let clamd = Clamd::start(&ClamdOptions::default())?;
    connections("Unix socket", count, || Ok(UnixStream::connect(clamd.socket())?))?;
    connections("TCP", count, || {
        let stream = TcpStream::connect(("127.0.0.1", clamd.port()))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })?;
    service(&clamd, count / 4, 1)?;
    service(&clamd, count / 40, RECIPIENTS)
}
