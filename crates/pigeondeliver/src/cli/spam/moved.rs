//! `pigeon spam learn --moved`: what people say about their mail by moving it.
//!
//! Each mail says what it was taken for at delivery, in a field that counts only where delivery wrote it
//! (`pigeon_services::antispam::record`). That, where the mail lies now and where its receipt says that it was stored
//! tell what its owner thinks. What was learned is remembered in the State, so nothing is learned twice; and the time
//! of the last look, so that only mail is looked at whose file was moved, renamed or delivered since.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use pigeon_backends::mailstore::maildir::browse::{Lying, browse};
use pigeon_core::address::Address;
use pigeon_core::directory::{Account, Status};
use pigeon_core::folder::Folder;
use pigeon_core::message::{MAX_HEAD_OCTETS, Message};
use pigeon_core::outcome::Outcome;
use pigeon_core::ports::directory::Page;
use pigeon_core::ports::state::{Memory, ReceiptQuery, StateChanges};
use pigeon_core::receipt::Receipt;
use pigeon_core::service::Service as _;
use pigeon_core::timestamp::Timestamp;
use pigeon_services::antispam::record::{self, Place, Record};
use pigeon_services::antispam::settings::Settings;
use pigeon_services::antispam::{Antispam, Class, Learned};
use serde::Serialize;
use serde_json::json;

use super::lesson::Lesson;
use crate::cli::session::{ROWS, Session};
use crate::show::{Table, Tone};
use crate::wiring;

/// How long it is remembered what was learned, and when was last looked.
const REMEMBERED: Duration = Duration::from_secs(400 * 86_400);
/// Clocks of nodes and of file servers may differ by so much; looking twice costs little.
const MARGIN: Duration = Duration::from_secs(60);
/// The memory of the last look.
const LOOKED: &str = "moved:looked";
/// How many receipts of one Message-ID are looked through.
const RECEIPTS: u32 = 50;

/// How it is looked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// At all mail, not only at what changed since the last time.
    pub(super) is_again: bool,
    /// Without learning.
    pub(super) is_dry_run: bool,
}

/// What came of one account's mail.
#[derive(Debug, Serialize)]
struct Tally {
    account: Address,
    /// Messages that came or changed since the last look.
    looked_at: u64,
    /// Learned as spam, or to be learned.
    spam: u64,
    /// The same as wanted.
    ham: u64,
    /// Of these, what the scanner knew already.
    known: u64,
    /// Why messages were not learned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<String>,
}

/// Looks through the mail of these accounts, or of all that have antispam enabled.
pub(super) async fn run(
    session: &Session,
    addresses: Option<Vec<Address>>,
    wanted: Wanted,
) -> anyhow::Result<()> {
    let is_named = addresses.is_some();
    let mut tallies = Vec::new();
    let mut ended = Ok(());
    for account in accounts(session, addresses).await? {
        let lesson = Lesson::of_account(session, &account.address).await?;
        let here = session.site.config.node_name();
        if let Some(home) = lesson.home.as_ref().filter(|home| **home != here) {
            if is_named {
                bail!("{} is kept by the node {home}: run this there", account.address);
            }
            continue;
        }
        if !lesson.is_enabled {
            if is_named {
                bail!("antispam is not enabled for {}: none of its mail was judged", account.address);
            }
            continue;
        }
        let mut student = Student { session, account: &account, lesson: &lesson, wanted };
        let mut tally = Tally {
            account: account.address.clone(),
            looked_at: 0,
            spam: 0,
            ham: 0,
            known: 0,
            skipped: Vec::new(),
        };
        ended = student.study(&mut tally).await;
        tallies.push(tally);
        if ended.is_err() {
            break;
        }
    }
    print(session, &tallies, wanted)?;
    ended
}

async fn accounts(session: &Session, addresses: Option<Vec<Address>>) -> anyhow::Result<Vec<Account>> {
    let mut all = Vec::new();
    if let Some(addresses) = addresses {
        for address in addresses {
            all.push(session.account(&address).await?);
        }
        return Ok(all);
    }
    loop {
        let after = all.last().map(|account: &Account| account.address.key());
        let page = Page { after, limit: ROWS, with_removed: false };
        let rows = session.site.directory.accounts(None, &page).await?;
        let is_last = rows.len() < ROWS as usize;
        all.extend(rows);
        if is_last {
            all.retain(|account| account.status != Status::Removed);
            return Ok(all);
        }
    }
}

fn print(session: &Session, tallies: &[Tally], wanted: Wanted) -> anyhow::Result<()> {
    let document = json!({ "is_dry_run": wanted.is_dry_run, "accounts": tallies });
    session.out.print(&document, |out| {
        let mut table = Table::new(session.out.paper, &["ACCOUNT", "LOOKED AT", "SPAM", "HAM", "KNOWN"]);
        for tally in tallies.iter().filter(|tally| tally.spam + tally.ham > 0) {
            table.row([
                (tally.account.to_string().as_str(), Tone::Strong),
                (tally.looked_at.to_string().as_str(), Tone::Dim),
                (tally.spam.to_string().as_str(), Tone::Bad),
                (tally.ham.to_string().as_str(), Tone::Good),
                (tally.known.to_string().as_str(), Tone::Dim),
            ]);
        }
        if table.is_empty() {
            writeln!(out, "Nobody has moved mail into the folder for spam, or out of it.")?;
        } else {
            table.write(out)?;
        }
        for tally in tallies {
            for why in &tally.skipped {
                writeln!(out, "{}: not learned: {why}", tally.account)?;
            }
        }
        Ok(())
    })
}

/// One account's mail under study.
struct Student<'a> {
    session: &'a Session,
    account: &'a Account,
    lesson: &'a Lesson,
    wanted: Wanted,
}

impl Student<'_> {
    async fn study(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        let began = self.session.now();
        let since = match self.recall(LOOKED).await?.filter(|_| !self.wanted.is_again) {
            Some(last) => Some(Timestamp::parse(&last).map_err(anyhow::Error::msg)?.minus(MARGIN)),
            None => None,
        };
        let config = &self.session.site.config;
        let mailbox = config.mail.root.join(&self.account.mailbox.0);
        let unreadable = || format!("the mailbox {} cannot be read", mailbox.display());
        let lying = browse(&mailbox, wiring::folder_names(config), since).with_context(unreadable)?;
        for mail in lying {
            tally.looked_at += 1;
            self.judge(&mail, tally).await.with_context(|| mail.path.display().to_string())?;
        }
        if self.wanted.is_dry_run {
            Ok(())
        } else {
            self.remember(LOOKED.to_owned(), began.to_rfc3339()).await
        }
    }

    /// Learns one mail, where its owner has said something by moving it.
    async fn judge(&self, mail: &Lying, tally: &mut Tally) -> anyhow::Result<()> {
        let place = Place::of(&mail.folder, &self.lesson.settings);
        let Some((start, record)) = read_record(mail)? else { return Ok(()) };
        let key = format!("moved:{}", record.id);
        let learned = self.recall(&key).await?.and_then(|word| class_of(&word));
        if record.said(place, learned, None).is_none() {
            return Ok(());
        }
        let receipt = if learned.is_none() { self.receipt(&start, &record).await? } else { None };
        if learned.is_none() && receipt.is_none() && !is_of_delivery(&start, &record.id) {
            return Ok(());
        }
        let filed = receipt.and_then(|receipt| stored_in_junk(&receipt, self.account, &self.lesson.settings));
        let Some(class) = record.said(place, learned, filed) else { return Ok(()) };
        if !self.wanted.is_dry_run {
            // Gone in this moment: the next look finds it where it went.
            let Some(file) = mail.open()? else { return Ok(()) };
            match self.lesson.learn(class, self.lesson.message(file)?).await {
                Ok(Learned::New) => {}
                Ok(Learned::Known) => tally.known += 1,
                Err(fault) if fault.is_permanent => {
                    tally.skipped.push(format!("{}: {}", mail.path.display(), fault.explain()));
                    return Ok(());
                }
                Err(fault) => bail!("{}", fault.explain()),
            }
            self.remember(key, class.word().to_owned()).await?;
        }
        match class {
            Class::Spam => tally.spam += 1,
            Class::Ham => tally.ham += 1,
        }
        Ok(())
    }

    /// The receipt of the delivery that the record names, as long as it is kept.
    async fn receipt(&self, start: &Message, record: &Record) -> anyhow::Result<Option<Receipt>> {
        let message_id = start.message_id();
        let query = ReceiptQuery {
            address: Some(self.account.address.key()),
            message_id: (!message_id.is_empty()).then_some(message_id),
            after: None,
            limit: RECEIPTS,
        };
        let receipts = self.session.site.state.receipts(&query).await?;
        Ok(receipts.into_iter().find(|receipt| receipt.id == record.id))
    }

    async fn recall(&self, key: &str) -> anyhow::Result<Option<String>> {
        let state = &self.session.site.state;
        Ok(state.recall(&self.account.id.0, Antispam::NAME, key, self.session.now()).await?)
    }

    async fn remember(&self, key: String, value: String) -> anyhow::Result<()> {
        let now = self.session.now();
        let memory = Memory {
            account: self.account.id.0.clone(),
            service: Antispam::NAME.to_owned(),
            key,
            value,
            expires: now.plus(REMEMBERED),
        };
        let changes = StateChanges { memories: vec![memory], ..StateChanges::default() };
        Ok(self.session.site.state.commit(changes, now).await?)
    }
}

/// Whether the topmost Received field, which delivery writes, names the delivery that the record names. A record that a
/// sender wrote stays in mail that was delivered while `antispam` was off or failed: it names another delivery, or none.
fn is_of_delivery(start: &Message, id: &str) -> bool {
    let Some(received) = start.field("Received").map(|field| field.value()) else { return false };
    let words: Vec<&str> = received.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
    words.windows(2).any(|pair| pair == ["id", id])
}

fn class_of(word: &str) -> Option<Class> {
    [Class::Ham, Class::Spam].into_iter().find(|class| class.word() == word)
}

/// The beginning of a mail, and what was decided about it; nothing for mail that was not judged here.
fn read_record(mail: &Lying) -> anyhow::Result<Option<(Message, Record)>> {
    let Some(file) = mail.open()? else { return Ok(None) };
    let mut start = Vec::new();
    let mut file = file.take(MAX_HEAD_OCTETS as u64);
    // Headers are short as a rule, and the body is not needed.
    while !start.windows(2).any(|pair| pair == b"\n\n") {
        if file.by_ref().take(8 * 1024).read_to_end(&mut start)? == 0 {
            break;
        }
    }
    let message = Message::from_bytes(start);
    let record = message.field(record::NAME).and_then(|field| Record::parse(&field.value()));
    Ok(record.map(|record| (message, record)))
}

fn stored_in_junk(receipt: &Receipt, account: &Account, settings: &Settings) -> Option<bool> {
    let address = account.address.to_string();
    let branch = receipt.branches.iter().find(|branch| branch.target == address)?;
    let Outcome::Delivered { what } = &branch.outcome else { return None };
    let folders: Vec<Folder> =
        what.split("; ").filter_map(|part| Folder::parse(part.strip_prefix("stored in ")?).ok()).collect();
    let is_junk = |folder: &Folder| Place::of(folder, settings) == Place::Junk;
    (!folders.is_empty()).then(|| folders.iter().any(is_junk))
}
