//! Tells people of infected mail: the recipient, postmaster, and where it is wished for the sender.
//!
//! Source: RFC 3834 (automatic responses). Notices leave with the null sender and say that a program wrote them; about
//! such a message there is no further notice, so that no notice can lead to another one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pigeon_core::address::Address;
use pigeon_core::delivery::Delivery;
use pigeon_core::fault::Fault;

use super::{Action, Settings};
use crate::compose::{self, Draft};
use crate::personal;
use crate::shown;

/// A sender is told once in that time.
const SENDER_EVERY: Duration = Duration::from_secs(86_400);
/// Longest value of the message's own that a notice repeats, in characters.
const MAX_VALUE_LETTERS: usize = 200;
/// How many other recipients postmaster is told of by name.
const MAX_NAMED: usize = 20;
const SENDER_SUBJECT: &str = "Your message contained a virus";

/// Proposes the notices that the settings ask for.
pub(super) async fn tell(
    settings: &Settings,
    delivery: &mut Delivery,
    virus: &str,
    hostname: &str,
) -> Result<(), Fault> {
    let wanted = [settings.notify_recipient, settings.notify_postmaster, settings.notify_sender];
    if wanted == [false; 3] {
        return Ok(());
    }
    if is_notice(delivery) {
        delivery.reason("nobody is told: the message is a notification itself");
        return Ok(());
    }
    let Some(postmaster) = postmaster(delivery) else { return Ok(()) };
    let teller = Teller { settings, postmaster, virus, hostname };
    teller.tell_recipient(delivery);
    teller.tell_postmaster(delivery).await;
    teller.tell_sender(delivery).await
}

struct Teller<'a> {
    settings: &'a Settings,
    /// Who the notices are from: postmaster at the recipient's domain (RFC 5321 §4.5.1).
    postmaster: Address,
    virus: &'a str,
    hostname: &'a str,
}

/// What a notice says, and what it answers.
struct Words<'a> {
    subject: &'a str,
    text: &'a str,
    auto_submitted: &'static str,
    thread: Option<(String, Vec<String>)>,
}

impl Teller<'_> {
    fn tell_recipient(&self, delivery: &mut Delivery) {
        let account = delivery.account_address().clone();
        if !self.settings.notify_recipient {
            return;
        }
        delivery.decided_by("notify_recipient");
        let notice = self.notice(delivery, &account, "");
        delivery.reason(format!("told {account}"));
        delivery.answer(account, "virus", notice);
    }

    async fn tell_postmaster(&self, delivery: &mut Delivery) {
        if !self.settings.notify_postmaster {
            return;
        }
        delivery.decided_by("notify_postmaster");
        let is_told = self.settings.notify_recipient && self.postmaster == *delivery.account_address();
        // Once for all recipients of the message in the domain.
        let claim = format!("antivirus.postmaster:{}", self.postmaster.domain());
        let claimed = delivery.message().once(&claim, || async { AtomicBool::new(false) }).await;
        if is_told || claimed.swap(true, Ordering::AcqRel) {
            delivery.reason(format!("{} is told already", self.postmaster));
            return;
        }
        let notice = self.notice(delivery, &self.postmaster, &self.others(delivery));
        delivery.reason(format!("told {}", self.postmaster));
        delivery.answer(self.postmaster.clone(), "virus", notice);
    }

    async fn tell_sender(&self, delivery: &mut Delivery) -> Result<(), Fault> {
        if !self.settings.notify_sender {
            return Ok(());
        }
        delivery.decided_by("notify_sender");
        // Who is refused learns it from their own mail server; who is not, has nothing to learn.
        if !matches!(self.settings.action, Action::Folder | Action::Discard) {
            return Ok(());
        }
        let sender = match personal::answerable_sender(delivery) {
            Ok(sender) => sender,
            Err(why) => {
                delivery.reason(format!("the sender is not told: {why}"));
                return Ok(());
            }
        };
        if let Some(why) = personal::automatic(delivery.message()) {
            delivery.reason(format!("the sender is not told: {why}"));
            return Ok(());
        }
        let key = format!("sender:{}", sender.key());
        if let Some(last) = delivery.recall(&key).await? {
            delivery.reason(format!("{sender} was told at {last}"));
            return Ok(());
        }
        delivery.remember(key, delivery.now().to_string(), SENDER_EVERY);
        let account = delivery.account_address();
        let text = format!(
            "Your message to {account} was not delivered to its reader: a virus was found in it.\n\n\
             Virus:   {}\nSubject: {}\nMessage: {}\n\n\
             If you did not send it, your address was forged, and there is nothing to do.\n",
            self.virus,
            value(delivery, "Subject"),
            value(delivery, "Message-ID"),
        );
        let thread = compose::thread(&raw_value(delivery, "Message-ID"), &raw_value(delivery, "References"));
        let words = Words { subject: SENDER_SUBJECT, text: &text, auto_submitted: "auto-replied", thread };
        let notice = self.draft(delivery, &sender, words);
        delivery.reason(format!("told {sender}"));
        delivery.answer(sender, "virus", notice);
        Ok(())
    }

    /// Whom else the message came for, and where to read what was done for them; nothing where there is nobody.
    fn others(&self, delivery: &Delivery) -> String {
        let here = |address: &&Address| address.domain() == self.postmaster.domain();
        let all: Vec<String> = delivery.recipients().iter().filter(here).map(ToString::to_string).collect();
        if all.len() < 2 {
            return String::new();
        }
        let named = all.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = match all.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let (account, id) = (delivery.account_address(), &delivery.transaction().id);
        format!(
            "\nThe message came for {named}{more}. What is said above is about {account}; the others have settings\n\
             of their own: the mail log and the receipts with the number {id} say what was done for them.\n"
        )
    }

    /// What the recipient or postmaster is told; `more` stands below the text of the settings.
    fn notice(&self, delivery: &Delivery, to: &Address, more: &str) -> String {
        let subject = self.filled(&self.settings.notice_subject, delivery);
        let text = self.filled(&self.settings.notice_text, delivery) + more;
        let words = Words { subject: &subject, text: &text, auto_submitted: "auto-generated", thread: None };
        self.draft(delivery, to, words)
    }

    fn draft(&self, delivery: &Delivery, to: &Address, words: Words<'_>) -> String {
        let now = delivery.now();
        let parts = [delivery.transaction().id.as_str(), &delivery.account_address().key(), &to.key()];
        Draft {
            from_name: "",
            from: &self.postmaster,
            to,
            subject: compose::text_tokens(&words.subject.replace(['\r', '\n'], " ")),
            date: now,
            message_id: compose::message_id("antivirus", now, &parts, self.hostname),
            auto_submitted: words.auto_submitted,
            thread: words.thread,
            text: words.text,
        }
        .write()
    }

    /// The text with its variables filled in: in one pass, so that nothing that a sender wrote is taken for one.
    fn filled(&self, text: &str, delivery: &Delivery) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let named =
                after.split_once('}').and_then(|(name, rest)| Some((self.variable(name, delivery)?, rest)));
            match named {
                Some((value, behind)) => {
                    out.push_str(&value);
                    rest = behind;
                }
                None => {
                    out.push('{');
                    rest = after;
                }
            }
        }
        out.push_str(rest);
        out
    }

    fn variable(&self, name: &str, delivery: &Delivery) -> Option<String> {
        Some(match name {
            "account" => delivery.account_address().to_string(),
            "virus" => self.virus.to_owned(),
            "done" => self.done(),
            "sender" => match delivery.sender().address() {
                Some(sender) => sender.to_string(),
                None => "<> (a notification)".to_owned(),
            },
            "from" => value(delivery, "From"),
            "subject" => value(delivery, "Subject"),
            "date" => value(delivery, "Date"),
            "id" => value(delivery, "Message-ID"),
            _ => return None,
        })
    }

    fn done(&self) -> String {
        match self.settings.action {
            Action::Reject => "It was refused.".to_owned(),
            Action::Discard => "It was thrown away.".to_owned(),
            Action::Folder => format!("It was put into the folder {}.", self.settings.folder),
            Action::Tag => format!("It was delivered with a mark in the field {}.", super::FIELD),
        }
    }
}

fn postmaster(delivery: &Delivery) -> Option<Address> {
    format!("postmaster@{}", delivery.account_address().domain()).parse().ok()
}

/// Whether a program wrote the message to tell somebody something (RFC 3834 §5): ours, too.
fn is_notice(delivery: &Delivery) -> bool {
    let field = delivery.message().field("Auto-Submitted").map(|field| field.value().to_ascii_lowercase());
    delivery.sender().address().is_none() && field.is_some_and(|value| !value.starts_with("no"))
}

fn raw_value(delivery: &Delivery, name: &str) -> String {
    delivery.message().field(name).map(|field| field.value()).unwrap_or_default()
}

/// A field's value, short enough to be repeated.
fn value(delivery: &Delivery, name: &str) -> String {
    shown::value(delivery.message(), name, MAX_VALUE_LETTERS)
}
