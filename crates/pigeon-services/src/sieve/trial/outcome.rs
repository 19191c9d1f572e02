//! What would come of a run: stored copies, messages sent, folders made.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::conditions::{is_folder, is_same_folder};
use super::super::engine::{Action, Copy, Run, What, World};
use super::super::mail::Mail;
use super::super::notify;
use super::super::replies::{self, Letter, Manner};
use super::Trial;
use super::config::{Config, From};

struct Outcome<'t> {
    trial: &'t Trial,
    config: &'t Config,
    world: &'t World,
    manner: Manner,
    stored: Vec<Value>,
    sent: Vec<Value>,
    created: Vec<String>,
    error: Option<String>,
    remarks: Vec<String>,
}

/// The object that is printed.
pub(super) fn describe(
    trial: &Trial,
    config: &Config,
    compiled: &Value,
    ran: &(Run, World),
    mail: &Mail,
) -> Value {
    let (run, world) = ran;
    let domain = trial.to.rsplit_once('@').map_or(trial.hostname.as_str(), |(_, domain)| domain);
    let manner = Manner {
        default_subject: config.default_subject.clone(),
        subject_template: config.subject_template.clone(),
        is_unnamed_answered: config.is_unnamed_answered,
        is_original_used: config.is_original_used,
        is_header_believed: config.is_header_believed,
        postmaster: format!("postmaster@{domain}"),
        hostname: trial.hostname.clone(),
        name: String::new(),
        now: trial.now,
    };
    let mut outcome = Outcome {
        trial,
        config,
        world,
        manner,
        stored: Vec::new(),
        sent: Vec::new(),
        created: Vec::new(),
        error: None,
        remarks: Vec::new(),
    };
    for action in &run.actions {
        outcome.carry_out(action, run);
    }
    if outcome.error.is_some() {
        // One action that fails takes the others with it: the message is kept instead.
        (outcome.stored, outcome.sent, outcome.created) = (Vec::new(), Vec::new(), Vec::new());
        outcome.store("INBOX", &[], mail, true);
    } else if let Some(flags) = &run.implicit_keep {
        outcome.store("INBOX", flags, &run.mail, true);
    }
    let failure = run.failure.as_ref().map(|trouble| format!("line {}: {}", trouble.line, trouble.message));
    let line =
        |trouble: &super::super::engine::Trouble| json!({ "line": trouble.line, "message": trouble.message });
    let errors: Vec<Value> = run.failure.iter().chain(&run.remarks).map(line).collect();
    json!({
        "compile": compiled,
        "run": { "ok": failure.is_none(), "error": failure, "errors": errors },
        "implicit_keep": run.implicit_keep.is_some(),
        "actions": run.actions.iter().map(listed).collect::<Vec<_>>(),
        "execute": { "ok": outcome.error.is_none(), "error": outcome.error, "errors": outcome.remarks },
        "stored": outcome.stored,
        "sent": outcome.sent,
        "created": outcome.created,
    })
}

fn listed(action: &Action) -> Value {
    let mut shown = match &action.what {
        What::Keep => json!({ "type": "keep", "mailbox": "INBOX", "flags": action.flags }),
        What::FileInto { folder, create, .. } => {
            json!({ "type": "fileinto", "mailbox": folder, "create": create, "flags": action.flags })
        }
        What::Redirect { to } => json!({ "type": "redirect", "address": to }),
        What::Discard => json!({ "type": "discard" }),
        What::Reject { reason, is_extended } => {
            json!({ "type": if *is_extended { "ereject" } else { "reject" }, "reason": reason })
        }
        What::Vacation(vacation) => json!({
            "type": "vacation", "reason": vacation.reason, "subject": vacation.subject, "from": vacation.from,
            "handle": vacation.handle, "seconds": vacation.seconds,
        }),
        What::Notify(notify) => json!({
            "type": "notify", "method": notify.method, "importance": notify.importance, "message": notify.message,
        }),
    };
    if let Some(object) = shown.as_object_mut() {
        object.retain(|_, value| !value.is_null());
        object.insert("script".to_owned(), json!(action.script));
        object.insert("line".to_owned(), json!(action.line));
    }
    shown
}

impl Outcome<'_> {
    fn carry_out(&mut self, action: &Action, run: &Run) {
        match &action.what {
            What::Keep => self.store("INBOX", &action.flags, &action.mail, false),
            What::FileInto { folder, create, .. } => {
                if self.make(folder, *create) {
                    self.store(folder, &action.flags, &action.mail, false);
                } else {
                    self.error.get_or_insert_with(|| format!("mailbox {folder:?} does not exist"));
                }
            }
            What::Redirect { to } => {
                let from = self.path(&self.config.redirect_from, &self.trial.from);
                self.send(&from, std::slice::from_ref(to), &action.mail.bytes());
            }
            What::Discard => {}
            What::Reject { reason, .. } => {
                if let Some(letter) = replies::refusal(reason, &action.mail, self.world, &self.manner) {
                    self.letter("", &letter);
                }
            }
            What::Vacation(vacation) => {
                match replies::answered(vacation, &run.mail, self.world, &self.manner) {
                    Ok((to, _)) => {
                        let letter = replies::vacation(vacation, &to, &run.mail, self.world, &self.manner);
                        let from = if self.config.is_sent_from_recipient {
                            self.trial.to.clone()
                        } else {
                            String::new()
                        };
                        self.letter(&from, &letter);
                        self.copy(vacation.fcc.as_ref(), &letter);
                    }
                    Err(why) => self.remarks.push(format!("no vacation answer: {why}")),
                }
            }
            What::Notify(said) => {
                let Some(to) = notify::mail_to(&said.method) else { return };
                match replies::notification(said, &to, &run.mail, self.world, &self.manner) {
                    Ok(letter) => {
                        let from = self.path(&self.config.notify_from, "");
                        self.letter(&from, &letter);
                        self.copy(said.fcc.as_ref(), &letter);
                    }
                    Err(why) => self.remarks.push(format!("nobody is notified: {why}")),
                }
            }
        }
    }

    fn copy(&mut self, copy: Option<&Copy>, letter: &Letter) {
        let Some(copy) = copy else { return };
        if self.make(&copy.folder, copy.create) {
            self.store(&copy.folder, &copy.flags, &Mail::parse(letter.text.as_bytes()), false);
        } else {
            self.remarks.push(format!("no copy of the answer: mailbox {:?} does not exist", copy.folder));
        }
    }

    /// Whether the folder is there, or is made now.
    fn make(&mut self, folder: &str, create: bool) -> bool {
        let is_known =
            is_folder(&self.trial.mailboxes, folder) || self.created.iter().any(|made| made == folder);
        if !is_known && create {
            self.created.push(folder.to_owned());
        }
        is_known || create
    }

    fn store(&mut self, folder: &str, flags: &[String], mail: &Mail, is_implicit: bool) {
        let folder = if is_same_folder(folder, "INBOX") { "INBOX" } else { folder };
        self.stored.push(json!({
            "mailbox": folder,
            "flags": flags,
            "message_b64": STANDARD.encode(mail.bytes()),
            "implicit": is_implicit,
        }));
    }

    fn letter(&mut self, from: &str, letter: &Letter) {
        self.send(from, &letter.to, letter.text.as_bytes());
    }

    fn send(&mut self, from: &str, to: &[String], message: &[u8]) {
        self.sent.push(json!({ "mail_from": from, "rcpt_to": to, "message_b64": STANDARD.encode(message) }));
    }

    /// The reverse-path; mail with the null sender stays so (RFC 5321 §4.5.5).
    fn path(&self, from: &From, default: &str) -> String {
        if self.trial.from.is_empty() {
            return String::new();
        }
        let paths = &self.world.paths;
        match from {
            From::Default => default.to_owned(),
            From::Sender => paths.from.clone(),
            From::Recipient => paths.to.clone(),
            From::OriginalRecipient => paths.original_to.clone(),
            From::UserEmail if self.world.own.is_empty() => paths.to.clone(),
            From::UserEmail => self.world.own.clone(),
            From::Address(address) => address.clone(),
        }
    }
}
