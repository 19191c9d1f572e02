//! Runs the scripts for one delivery and proposes to the core what they want.

mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pigeon_core::address::Address;
use pigeon_core::compose::{self, Draft, fingerprint};
use pigeon_core::delivery::Delivery;
use pigeon_core::effect::Flags;
use pigeon_core::fault::{Fault, Reply};
use pigeon_core::folder::Folder;
use pigeon_core::message::Message;
use pigeon_core::outcome::Next;
use serde_json::json;

use super::engine::{Action, Origin, Question, Run, Script, Trouble, What, run};
use super::mail::Mail;
use super::replies::{self, Letter, Manner};
use super::{Settings, notify};
use world::world;

/// Asks `mailbox` to keep its copy although others are kept already: with these flags, a list of texts.
pub(super) const KEEP_TOO: &str = "mailbox.keep_too";
/// For how long the owner of a script that fails is not told again.
const TOLD_DAYS: u64 = 30;
/// How often scripts may be run again for one message because they ask something.
const MAX_QUESTIONS: usize = 50;
/// How much of a refusal's reason the mail server is told, in characters.
const MAX_REPLY: usize = 400;

/// Runs what the settings say.
pub(super) async fn handle(
    settings: &Settings,
    delivery: &mut Delivery,
    hostname: &Arc<str>,
) -> Result<Next, Fault> {
    if settings.has_nothing_to_run() {
        delivery.decided_by("active");
        delivery.reason("no script is active");
        return Ok(Next::Continue);
    }
    let chosen = settings.chosen();
    let (scripts, broken) = &*chosen;
    if !settings.active.is_empty() {
        delivery.decided_by("active");
        if !settings.scripts.contains_key(&settings.active) {
            delivery.reason(format!("there is no script {:?}, which is the active one", settings.active));
        }
    }
    let (message, is_cut) = read(settings, delivery)?;
    let original: Bytes = message.into();
    let mail = Arc::new(Mail::parse(&original));
    let run = ask_and_run(settings, delivery, scripts, &mail, hostname).await?;
    let mut carrier = Carrier { settings, delivery, original, is_cut, hostname, folders: None };
    let failure = run.failure.clone().or_else(|| broken.clone().filter(|_| run.implicit_keep.is_some()));
    let next = carrier.carry_out(&run).await?;
    if let Some(trouble) = failure {
        tell(delivery, &trouble, hostname).await?;
    }
    Ok(next)
}

/// The message as this recipient has it; of a large one the header and the beginning of the body.
fn read(settings: &Settings, delivery: &mut Delivery) -> Result<(Vec<u8>, bool), Fault> {
    let message = Arc::clone(delivery.message());
    let rendered = delivery.header().render(message.head());
    let limit = usize::try_from(settings.max_message_size.0).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(usize::try_from(message.size()).unwrap_or(0).min(limit) + 1024);
    bytes.extend_from_slice(&rendered.prefix);
    bytes.extend_from_slice(&rendered.head);
    let head = bytes.len();
    let room = limit.min(usize::try_from(message.body_size()).unwrap_or(usize::MAX));
    bytes.resize(head + room, 0);
    let mut at = head;
    while let Some(free) = bytes.get_mut(at..).filter(|free| !free.is_empty()) {
        let count = message
            .read_body((at - head) as u64, free)
            .map_err(|error| Fault::temporary("the message cannot be read").caused_by(error))?;
        if count == 0 {
            break;
        }
        at += count;
    }
    bytes.truncate(at);
    let is_cut = message.body_size() > room as u64;
    if is_cut {
        delivery.decided_by("max_message_size");
        delivery.reason(format!("scripts see {room} octets of the body's {}", message.body_size()));
    }
    Ok((bytes, is_cut))
}

async fn ask_and_run(
    settings: &Settings,
    delivery: &mut Delivery,
    scripts: &[Script],
    mail: &Arc<Mail>,
    hostname: &Arc<str>,
) -> Result<Run, Fault> {
    let (mut folders, mut seen) = (None, BTreeMap::new());
    for _ in 0..MAX_QUESTIONS {
        let mut world = world(settings, delivery, scripts, hostname);
        (world.folders, world.seen) = (folders.clone(), seen.clone());
        let (owned, seen_mail) = (scripts.to_vec(), Arc::clone(mail));
        // A script may take long, and a panic of the engine must cost this mail nothing.
        let started = Instant::now();
        let ran = tokio::task::spawn_blocking(move || run(&owned, &seen_mail, &world)).await;
        tracing::trace!(sieve.run_us = started.elapsed().as_micros(), "scripts ran");
        match ran {
            Ok(Ok(run)) => return Ok(run),
            Ok(Err(Question::Folders)) => {
                folders = Some(names(&delivery.folders().await?, settings.separator));
            }
            Ok(Err(Question::Seen(key))) => {
                let is_seen = delivery.recall(&key).await?.is_some();
                seen.insert(key, is_seen);
            }
            Err(error) => {
                tracing::error!(error = %error, "the engine that runs scripts broke");
                return Ok(kept(mail, scripts_name(settings), "the engine broke"));
            }
        }
    }
    Ok(kept(mail, scripts_name(settings), "it asks too much"))
}

fn scripts_name(settings: &Settings) -> &str {
    if settings.active.is_empty() { "before_system" } else { &settings.active }
}

/// What is left when scripts cannot be run.
fn kept(mail: &Arc<Mail>, script: &str, message: &str) -> Run {
    let failure =
        Trouble { script: script.to_owned(), origin: Origin::Personal, line: 1, message: message.to_owned() };
    Run {
        actions: Vec::new(),
        implicit_keep: Some(Vec::new()),
        mail: Arc::clone(mail),
        marks: Vec::new(),
        failure: Some(failure),
        remarks: Vec::new(),
    }
}

fn names(folders: &[Folder], separator: char) -> Vec<String> {
    let name = |folder: &Folder| {
        let levels: Vec<&str> = folder.levels().collect();
        if levels.is_empty() { "INBOX".to_owned() } else { levels.join(&separator.to_string()) }
    };
    folders.iter().map(name).collect()
}

/// Proposes what scripts want.
struct Carrier<'a> {
    settings: &'a Settings,
    delivery: &'a mut Delivery,
    original: Bytes,
    /// Whether scripts saw only a part of the message.
    is_cut: bool,
    hostname: &'a Arc<str>,
    folders: Option<Vec<Folder>>,
}

impl Carrier<'_> {
    async fn carry_out(&mut self, run: &Run) -> Result<Next, Fault> {
        for remark in &run.remarks {
            self.delivery.reason(format!("{}, line {}: {}", remark.script, remark.line, remark.message));
        }
        for (key, seconds) in &run.marks {
            self.delivery.remember(key.clone(), "seen", Duration::from_secs(*seconds));
        }
        let mut keep = run.implicit_keep.as_ref().map(|flags| (flags.clone(), Arc::clone(&run.mail)));
        let mut is_sent_on = false;
        let mut refusal = None;
        for action in &run.actions {
            let at = format!("({}, line {})", action.script, action.line);
            match &action.what {
                What::Keep => {
                    self.delivery.reason(format!("keep {at}"));
                    keep = Some((action.flags.clone(), Arc::clone(&action.mail)));
                }
                What::FileInto { folder, create, .. } => match self.folder(folder, *create).await? {
                    Ok(place) => {
                        self.delivery.reason(format!("fileinto {place} {at}"));
                        self.store(place, flags(&action.flags), &action.mail);
                    }
                    Err(why) => {
                        self.delivery.reason(format!("kept, for {why} {at}"));
                        keep = Some((action.flags.clone(), Arc::clone(&action.mail)));
                    }
                },
                What::Redirect { .. } | What::Vacation(_) | What::Notify(_) if self.is_infected() => {
                    self.delivery.reason(format!("nothing is sent, for the mail is infected {at}"));
                    if matches!(action.what, What::Redirect { .. }) {
                        keep = keep.or_else(|| Some((Vec::new(), Arc::clone(&action.mail))));
                    }
                }
                What::Redirect { to } if self.redirect(to, action, &at) => is_sent_on = true,
                What::Redirect { .. } => {
                    keep = keep.or_else(|| Some((Vec::new(), Arc::clone(&action.mail))));
                }
                What::Discard => self.delivery.reason(format!("discard {at}")),
                What::Reject { reason, .. } => {
                    self.delivery.reason(format!("reject {at}"));
                    refusal = Some(reason.clone());
                }
                What::Vacation(_) | What::Notify(_) => self.answer(action, run, &at).await?,
            }
        }
        if run.failure.is_none() && run.actions.is_empty() {
            self.delivery.reason("the scripts leave it as it is");
        }
        Ok(self.end(keep, is_sent_on, refusal))
    }

    fn end(
        &mut self,
        keep: Option<(Vec<String>, Arc<Mail>)>,
        is_sent_on: bool,
        refusal: Option<String>,
    ) -> Next {
        if let Some(reason) = refusal {
            let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
            let text: String = line.chars().take(MAX_REPLY).collect();
            // RFC 5429 §2.2: 5.7.1 where a policy refuses.
            return Next::Reject(Reply::new(
                550,
                (5, 7, 1),
                if text.is_empty() { "Rejected".to_owned() } else { text },
            ));
        }
        let has_store = self.delivery.effects().has_store();
        let changed = keep.as_ref().and_then(|(_, mail)| self.changed(mail));
        match (keep, changed) {
            (Some((names, _)), Some(message)) => {
                let place = self.delivery.keep_folder().cloned().unwrap_or_default();
                self.delivery.store_content(place, flags(&names), message);
            }
            (Some((names, _)), None) if has_store || !names.is_empty() => {
                self.delivery.set_fact(KEEP_TOO, json!(names));
            }
            (Some(_), _) => {}
            (None, _) if has_store => {}
            (None, _) if is_sent_on => self.delivery.cancel_keep(),
            (None, _) => return Next::Discard("a script discards it".to_owned()),
        }
        Next::Continue
    }

    /// Whether a scanner found a virus: such mail goes to nobody else, and nobody is answered.
    fn is_infected(&self) -> bool {
        self.delivery.fact("virus.status").is_some_and(|status| status == "infected")
    }

    /// The message where scripts have changed it. One that they saw in part stays whole, and as it came.
    fn changed(&mut self, mail: &Mail) -> Option<Arc<Message>> {
        let bytes = mail.bytes();
        if bytes == self.original {
            return None;
        }
        if self.is_cut {
            self.delivery.reason("it is kept as it came, for scripts saw only a part of it");
            return None;
        }
        Some(Arc::new(Message::from_bytes(bytes)))
    }

    fn store(&mut self, folder: Folder, flags: Flags, mail: &Mail) {
        match self.changed(mail) {
            Some(message) => self.delivery.store_content(folder, flags, message),
            None => self.delivery.store(folder, flags),
        }
    }

    fn redirect(&mut self, to: &str, action: &Action, at: &str) -> bool {
        let address = match Address::parse(to) {
            Ok(address) => address,
            Err(error) => {
                self.delivery.reason(format!("not redirected to {to:?}, {error} {at}"));
                return false;
            }
        };
        let own = [self.delivery.account_address().key(), self.delivery.recipient().key()];
        if own.contains(&address.key()) {
            self.delivery.reason(format!("kept, for {address} is the account itself {at}"));
            return false;
        }
        self.delivery.reason(format!("redirect to {address} {at}"));
        match self.changed(&action.mail) {
            Some(message) => self.delivery.redirect_content(address, message),
            None => self.delivery.redirect(address),
        }
        true
    }

    /// The folder of that name; or why there is none.
    async fn folder(&mut self, name: &str, create: bool) -> Result<Result<Folder, String>, Fault> {
        let text = if self.settings.separator == '.' { name.replace('.', "/") } else { name.to_owned() };
        let folder = match Folder::parse(&text) {
            Ok(folder) => folder,
            Err(error) => return Ok(Err(format!("{name:?} cannot be a folder: {error}"))),
        };
        if create || self.settings.create || folder.is_inbox() {
            return Ok(Ok(folder));
        }
        if self.folders.is_none() {
            self.folders = Some(self.delivery.folders().await?);
        }
        let is_there = self.folders.as_ref().is_some_and(|folders| folders.contains(&folder));
        if is_there {
            return Ok(Ok(folder));
        }
        self.delivery.decided_by("create");
        Ok(Err(format!("there is no folder {folder}")))
    }

    async fn answer(&mut self, action: &Action, run: &Run, at: &str) -> Result<(), Fault> {
        let world = world(self.settings, self.delivery, &[], self.hostname);
        let manner = Manner {
            postmaster: format!("postmaster@{}", self.delivery.account_address().domain()),
            hostname: self.hostname.to_string(),
            name: self.delivery.account_name().to_owned(),
            now: self.delivery.now(),
            ..Manner::default()
        };
        let mail = &run.mail;
        match &action.what {
            What::Vacation(vacation) => {
                let (to, key) = match replies::answered(vacation, mail, &world, &manner) {
                    Ok(found) => found,
                    Err(why) => {
                        self.delivery.reason(format!("no vacation answer, {why} {at}"));
                        return Ok(());
                    }
                };
                if vacation.seconds > 0
                    && let Some(last) = self.delivery.recall(&key).await?
                {
                    self.delivery.reason(format!("no vacation answer, {to} got one at {last} {at}"));
                    return Ok(());
                }
                let letter = replies::vacation(vacation, &to, mail, &world, &manner);
                if vacation.seconds > 0 {
                    let span = Duration::from_secs(vacation.seconds);
                    self.delivery.remember(key, self.delivery.now().to_string(), span);
                }
                self.send(&letter, "sieve-vacation", vacation.fcc.as_ref(), at).await
            }
            What::Notify(notify) => {
                let Some(to) = notify::mail_to(&notify.method) else { return Ok(()) };
                match replies::notification(notify, &to, mail, &world, &manner) {
                    Ok(letter) => self.send(&letter, "sieve-notify", notify.fcc.as_ref(), at).await,
                    Err(why) => {
                        self.delivery.reason(format!("nobody is notified, {why} {at}"));
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }

    async fn send(
        &mut self,
        letter: &Letter,
        kind: &'static str,
        fcc: Option<&super::engine::Copy>,
        at: &str,
    ) -> Result<(), Fault> {
        for to in &letter.to {
            match Address::parse(to) {
                Ok(address) => {
                    self.delivery.reason(format!("{} to {address} {at}", kind.trim_start_matches("sieve-")));
                    self.delivery.answer(address, kind, letter.text.clone());
                }
                Err(error) => self.delivery.reason(format!("nothing is sent to {to:?}, {error} {at}")),
            }
        }
        if let Some(copy) = fcc {
            match self.folder(&copy.folder, copy.create).await? {
                Ok(folder) => {
                    let message = Arc::new(Message::from_bytes(letter.text.clone()));
                    self.delivery.store_content(folder, flags(&copy.flags), message);
                }
                Err(why) => self.delivery.reason(format!("no copy of the answer, {why} {at}")),
            }
        }
        Ok(())
    }
}

/// IMAP flags out of those of a script; what is none is left out (RFC 5232 §2).
fn flags(names: &[String]) -> Flags {
    let mut flags = Flags::default();
    for name in names {
        match &*name.to_ascii_lowercase() {
            "\\seen" => flags.is_seen = true,
            "\\flagged" => flags.is_flagged = true,
            "\\answered" => flags.is_answered = true,
            "\\draft" => flags.is_draft = true,
            "\\deleted" => flags.is_deleted = true,
            other if other.starts_with('\\') => {}
            _ => {
                let is_atom = |byte: u8| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte);
                if name.len() <= 50 && name.bytes().all(is_atom) && !flags.keywords.contains(name) {
                    flags.keywords.push(name.clone());
                }
            }
        }
    }
    flags
}

/// Tells the owner of a script, once in a while, that it fails.
async fn tell(delivery: &mut Delivery, trouble: &Trouble, hostname: &Arc<str>) -> Result<(), Fault> {
    let Trouble { script, origin, line, message } = trouble;
    delivery.reason(format!("the script {script} fails at line {line} and the mail is kept: {message}"));
    if *origin != Origin::Personal {
        tracing::warn!(sieve.script = %script, sieve.line = line, error = %message, "a script of the site fails");
        return Ok(());
    }
    let key = format!("told:{}", fingerprint(&[script, message]));
    if delivery.recall(&key).await?.is_some() {
        return Ok(());
    }
    let now = delivery.now();
    let to = delivery.account_address().clone();
    let text = format!(
        "Your mail filter {script:?} failed at line {line}:\n\n    {message}\n\nThe message was kept as if there were no \
         filter. While the filter is as it is, you get this notice once in {TOLD_DAYS} days.\n"
    );
    let draft = Draft {
        from_name: "Mail delivery",
        from: &to,
        to: &to,
        subject: compose::text_tokens("Your mail filter fails"),
        date: now,
        message_id: compose::message_id("sieve-error", now, &[&to.key(), &key], hostname),
        auto_submitted: "auto-generated",
        thread: None,
        text: &text,
    };
    let written = draft.write();
    delivery.remember(key, now.to_string(), Duration::from_secs(TOLD_DAYS * 86_400));
    delivery.answer(to, "sieve-error", written);
    Ok(())
}
