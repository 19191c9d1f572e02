//! The messages that scripts have us write: answers, refusals and notifications.
//!
//! Source: RFC 5230 §5, RFC 5429 §2.1 with RFC 8098, RFC 5436 §2.

use pigeon_core::compose::{self, fingerprint, fold, text_tokens, thread, wire_tokens};
use pigeon_core::timestamp::Timestamp;

use super::commands::one_address;
use super::engine::{Notify, Vacation, World};
use super::mail::Mail;
use super::mime::with_eol;
use super::notify::MailTo;

/// How much of a subject is repeated, in characters.
const MAX_SUBJECT: usize = 250;

/// How answers are made, where administrators may choose.
#[derive(Debug, Clone, Default)]
pub(super) struct Manner {
    /// The subject of an answer to mail without a subject.
    pub(super) default_subject: Option<String>,
    /// The subject of an answer; `%$` stands for the subject that is answered.
    pub(super) subject_template: Option<String>,
    /// Whether mail is answered that does not name the recipient.
    pub(super) is_unnamed_answered: bool,
    /// Whether the answer is from the original recipient.
    pub(super) is_original_used: bool,
    /// Whether the answer's To names the sender of the header whatever the envelope says.
    pub(super) is_header_believed: bool,
    /// Who is spoken of as the sender of refusals.
    pub(super) postmaster: String,
    /// The name of this host.
    pub(super) hostname: String,
    /// The name of the account's owner; may be empty.
    pub(super) name: String,
    /// Now.
    pub(super) now: Timestamp,
}

/// A message of our own.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    /// Who gets it.
    pub(super) to: Vec<String>,
    /// The whole message; lines end as those of the message that it is about.
    pub(super) text: String,
}

struct Draft {
    text: String,
}

impl Draft {
    fn new() -> Self {
        Self { text: String::new() }
    }

    fn field(&mut self, name: &str, tokens: &[String]) {
        if !tokens.is_empty() {
            self.text.extend([name, ": ", fold(name, tokens).trim_start(), "\n"]);
        }
    }

    fn plain(&mut self, name: &str, value: &str) {
        self.field(name, &wire_tokens(value));
    }
}

/// Who a vacation answer goes to and under which key it is remembered; or why there is none.
pub(super) fn answered(
    vacation: &Vacation,
    mail: &Mail,
    world: &World,
    manner: &Manner,
) -> Result<(String, String), String> {
    let sender = &world.paths.from;
    if sender.is_empty() {
        return Err("the sender is empty".to_owned());
    }
    let Some(to) = one_address(sender) else { return Err(format!("{sender:?} is no address")) };
    let own = own_addresses(vacation, world, manner);
    if own.iter().any(|own| own.eq_ignore_ascii_case(&to)) {
        return Err("the mail is from the recipient".to_owned());
    }
    // RFC 5230 §4.6, RFC 3834 §2: never to programs and lists.
    if let Some(why) = automatic(mail, &to) {
        return Err(why);
    }
    if !manner.is_unnamed_answered && !is_named(mail, &own) {
        return Err("none of the recipient's addresses is in To, Cc or Bcc".to_owned());
    }
    let content = match &vacation.handle {
        Some(handle) => format!("handle:{handle}"),
        None => fingerprint(&[
            vacation.subject.as_deref().unwrap_or_default(),
            vacation.from.as_deref().unwrap_or_default(),
            if vacation.is_mime { "mime" } else { "" },
            &vacation.reason,
        ]),
    };
    Ok((to.clone(), format!("vacation:{}", fingerprint(&[&content, &to.to_lowercase()]))))
}

fn own_addresses(vacation: &Vacation, world: &World, manner: &Manner) -> Vec<String> {
    let paths = &world.paths;
    let mut own = vec![world.own.clone(), paths.to.clone()];
    if manner.is_original_used {
        own.push(paths.original_to.clone());
    }
    own.extend(vacation.addresses.iter().filter_map(|address| one_address(address)));
    own.retain(|address| !address.is_empty());
    own
}

fn automatic(mail: &Mail, sender: &str) -> Option<String> {
    let local = sender.rsplit_once('@').map_or(sender, |(local, _)| local).to_lowercase();
    let programs = ["mailer-daemon", "listserv", "majordomo", "noreply", "no-reply", "postmaster"];
    let is_program = programs.contains(&&*local)
        || local.starts_with("owner-")
        || local.ends_with("-request")
        || local.ends_with("-owner");
    if is_program {
        return Some(format!("{sender} is the address of a program"));
    }
    mail.fields.iter().find_map(|field| {
        let name = field.name().to_ascii_lowercase();
        let value = field.text().to_ascii_lowercase();
        let word = value.split([';', ' ', '\t', '(']).find(|word| !word.is_empty()).unwrap_or_default();
        let is_automatic = match &*name {
            "auto-submitted" => word != "no",
            "precedence" => matches!(word, "bulk" | "list" | "junk"),
            "x-auto-response-suppress" => value.split(',').any(|word| matches!(word.trim(), "all" | "oof")),
            _ => name.starts_with("list-"),
        };
        is_automatic.then(|| format!("the mail is an automatic one ({name})"))
    })
}

fn is_named(mail: &Mail, own: &[String]) -> bool {
    let names = ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"];
    let fields = mail.fields.iter().filter(|field| names.iter().any(|name| field.is(name)));
    let specs = fields.flat_map(|field| crate::address_list::specs(&field.unfolded()));
    specs.into_iter().any(|spec| own.iter().any(|own| own.eq_ignore_ascii_case(&spec)))
}

/// A name and address as a field holds them; only what holds one address is taken over.
fn person(text: &str) -> Vec<String> {
    let Some(address) = one_address(text) else { return Vec::new() };
    let name = text.split_once('<').map(|(name, _)| name.trim().trim_matches('"').trim()).unwrap_or_default();
    named(name, &address)
}

fn named(name: &str, address: &str) -> Vec<String> {
    if name.is_empty() {
        return vec![format!("<{address}>")];
    }
    let is_atom = |letter: char| letter.is_ascii_alphanumeric() || " !#$%&'*+-/=?^_`{|}~".contains(letter);
    let mut tokens = if name.is_ascii() && !name.chars().all(is_atom) {
        let quoted: String =
            name.chars().filter(|letter| !letter.is_control() && !matches!(letter, '"' | '\\')).collect();
        wire_tokens(&format!("\"{quoted}\""))
    } else {
        text_tokens(name)
    };
    tokens.push(format!("<{address}>"));
    tokens
}

/// The answer of a vacation action.
pub(super) fn vacation(vacation: &Vacation, to: &str, mail: &Mail, world: &World, manner: &Manner) -> Letter {
    let subject = mail.value("Subject").unwrap_or_default();
    let subject: String = subject.chars().take(MAX_SUBJECT).collect();
    let subject = match (&vacation.subject, &manner.subject_template) {
        (Some(own), _) => own.clone(),
        (None, Some(template)) if !subject.is_empty() => template.replace("%$", &subject),
        (None, _) if subject.is_empty() => {
            manner.default_subject.clone().unwrap_or_else(|| "Automated reply".to_owned())
        }
        // RFC 5230 §5.3, RFC 3834 §3.1.5
        (None, _) => format!("Auto: {subject}"),
    };
    let own = if manner.is_original_used && !world.paths.original_to.is_empty() {
        &world.paths.original_to
    } else if world.own.is_empty() {
        &world.paths.to
    } else {
        &world.own
    };
    let from = match &vacation.from {
        Some(from) => person(from),
        None => named(&manner.name, own),
    };
    let mut draft = begin(manner, "vacation", &[&world.paths.from, &world.paths.to, &vacation.reason]);
    draft.field("From", &from);
    draft.field("To", &addressee(to, mail, manner));
    draft.field("Subject", &text_tokens(&subject));
    put_thread(&mut draft, mail);
    draft.plain("Auto-Submitted", "auto-replied (vacation)");
    // RFC 5230 §5.7 leaves room for fields that keep other programs quiet.
    draft.plain("Precedence", "bulk");
    draft.plain("MIME-Version", "1.0");
    put_content(&mut draft, &vacation.reason, vacation.is_mime);
    finish(&draft, vec![to.to_owned()], mail)
}

/// The sender as the header names them, where it is the sender of the envelope.
fn addressee(to: &str, mail: &Mail, manner: &Manner) -> Vec<String> {
    let written = mail.value("From").filter(|from| one_address(from).is_some());
    let written = written.filter(|from| {
        manner.is_header_believed || one_address(from).is_some_and(|address| address.eq_ignore_ascii_case(to))
    });
    written.map_or_else(|| vec![format!("<{to}>")], |from| person(&from))
}

fn begin(manner: &Manner, kind: &str, parts: &[&str]) -> Draft {
    let mut draft = Draft::new();
    draft.plain("Date", &manner.now.to_rfc5322());
    draft.plain("Message-ID", &compose::message_id(kind, manner.now, parts, &manner.hostname));
    draft
}

fn put_thread(draft: &mut Draft, mail: &Mail) {
    let value = |name: &str| mail.named(name).next().map(super::mail::Field::unfolded).unwrap_or_default();
    if let Some((answered, references)) = thread(&value("Message-ID"), &value("References")) {
        draft.plain("In-Reply-To", &answered);
        draft.field("References", &references);
    }
}

fn put_content(draft: &mut Draft, text: &str, is_mime: bool) {
    if is_mime {
        // RFC 5230 §4.3: the text is a MIME part with its own header.
        draft.text.push_str(&with_eol(text, "\n"));
    } else {
        draft.plain("Content-Type", "text/plain; charset=utf-8");
        draft.plain("Content-Transfer-Encoding", "8bit");
        draft.text.push('\n');
        draft.text.push_str(&with_eol(text, "\n"));
    }
    if !draft.text.ends_with('\n') {
        draft.text.push('\n');
    }
}

fn finish(draft: &Draft, to: Vec<String>, mail: &Mail) -> Letter {
    Letter { to, text: with_eol(&draft.text, mail.eol()) }
}

/// The refusal that the sender gets (RFC 5429 §2.1.1): a report of RFC 8098. Nothing for the null sender.
pub(super) fn refusal(reason: &str, mail: &Mail, world: &World, manner: &Manner) -> Option<Letter> {
    let paths = &world.paths;
    let to = one_address(&paths.from)?;
    let mut draft = begin(manner, "reject", &[&paths.from, &paths.to, reason]);
    let boundary = format!("=_{}", fingerprint(&[&manner.now.to_rfc3339(), &paths.from, reason]));
    draft.field("From", &named("Mail Delivery Subsystem", &manner.postmaster));
    draft.field("To", &[format!("<{to}>")]);
    draft.plain("Subject", "Automatically rejected mail");
    put_thread(&mut draft, mail);
    draft.plain("Auto-Submitted", "auto-replied (rejected)");
    draft.plain("Precedence", "bulk");
    draft.plain("MIME-Version", "1.0");
    draft.plain(
        "Content-Type",
        &format!("multipart/report; report-type=disposition-notification; boundary=\"{boundary}\""),
    );
    let original_id = mail.named("Message-ID").next().map(super::mail::Field::unfolded).unwrap_or_default();
    draft.text.extend([
        format!("\nThis is a MIME-encapsulated message\n\n--{boundary}\n"),
        "Content-Type: text/plain; charset=utf-8\nContent-Disposition: inline\nContent-Transfer-Encoding: 8bit\n\n".to_owned(),
        format!("Your message to <{}> was automatically rejected:\n{}\n", paths.to, with_eol(reason, "\n")),
        format!("\n--{boundary}\nContent-Type: message/disposition-notification\n\n"),
        format!("Reporting-UA: {}; PigeonDeliver\n", manner.hostname),
    ]);
    if !paths.original_to.is_empty() {
        draft.text.push_str(&one_line("Original-Recipient: rfc822; ", &paths.original_to));
    }
    draft.text.push_str(&one_line("Final-Recipient: rfc822; ", &paths.to));
    if !original_id.is_empty() {
        draft.text.push_str(&one_line("Original-Message-ID: ", &original_id));
    }
    draft.text.extend([
        "Disposition: automatic-action/MDN-sent-automatically; deleted\n".to_owned(),
        // RFC 8098 §3: the header of the message that is reported on.
        format!("\n--{boundary}\nContent-Type: text/rfc822-headers\n\n"),
    ]);
    for field in &mail.fields {
        draft.text.push_str(&one_line(&format!("{}: ", field.name()), &field.unfolded()));
    }
    draft.text.extend(["\n--", &boundary, "--\n"]);
    Some(finish(&draft, vec![to], mail))
}

fn one_line(name: &str, value: &str) -> String {
    let value: String = value.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    format!("{name}{value}\n")
}

/// A notification by mail; or why there is none.
pub(super) fn notification(
    notify: &Notify,
    to: &MailTo,
    mail: &Mail,
    world: &World,
    manner: &Manner,
) -> Result<Letter, String> {
    // RFC 5436 §2.7.1: no notifications about automatic messages.
    let submitted = mail.value("Auto-Submitted").unwrap_or_default();
    if !submitted.is_empty() && !submitted.to_ascii_lowercase().starts_with("no") {
        return Err("the mail is an automatic one".to_owned());
    }
    let own = if world.own.is_empty() { &world.paths.to } else { &world.own };
    let mut draft = begin(manner, "notify", &[&notify.method, &world.paths.to]);
    let from = match &notify.from {
        Some(from) => person(from),
        None => named(&manner.name, own),
    };
    draft.field("From", &from);
    let list = |addresses: &[String]| -> Vec<String> {
        let last = addresses.len().saturating_sub(1);
        let comma = |at: usize| if at < last { "," } else { "" };
        addresses.iter().enumerate().map(|(at, address)| format!("<{address}>{}", comma(at))).collect()
    };
    draft.field("To", &list(&to.to));
    draft.field("Cc", &list(&to.cc));
    let original = mail.value("Subject").unwrap_or_default();
    let subject = to.subject.as_ref().or(notify.message.as_ref()).unwrap_or(&original);
    let subject: String = subject.chars().take(MAX_SUBJECT).collect();
    draft.field("Subject", &text_tokens(if subject.is_empty() { "New mail" } else { &subject }));
    // RFC 5436 §2.3, RFC 3834 §5: who is notified by whom.
    draft.plain("Auto-Submitted", &format!("auto-notified; owner-email=\"{own}\""));
    let (priority, importance) = match notify.importance {
        1 => ("1 (High)", "High"),
        3 => ("5 (Low)", "Low"),
        _ => ("3 (Normal)", "Normal"),
    };
    draft.plain("X-Priority", priority);
    draft.plain("Importance", importance);
    for (name, value) in &to.fields {
        draft.field(name, &text_tokens(value));
    }
    draft.plain("MIME-Version", "1.0");
    let written = to.body.as_ref().or(notify.message.as_ref()).cloned();
    let text = written.unwrap_or_else(|| {
        format!(
            "New mail from {}: {original}",
            mail.value("From").unwrap_or_else(|| world.paths.from.clone())
        )
    });
    put_content(&mut draft, &text, false);
    Ok(finish(&draft, to.recipients(), mail))
}
