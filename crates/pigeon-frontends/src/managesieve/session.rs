//! The state machine of a ManageSieve session: what each command means at which moment.
//!
//! It reads no socket. Commands come in as words, responses go into a buffer, and what the connection has to do
//! next comes back as a [`Step`].

use std::sync::Arc;
use std::time::Duration;

use pigeon_core::ports::authenticator::Login;
use pigeon_core::ports::scripts::{ScriptName, ScriptQuota, ScriptsError};
use pigeon_core::sasl::Exchange;
use tracing::{debug, warn};

use super::command::Command;
use super::guests::Visit;
use super::line::Word;
use super::login::Secured;
use super::reply::{Code, Refusal, Replies};
use super::{ManageSieve, Peer};

/// Longest string in octets that is no script: a name, or a part of a login.
const STRING_OCTETS: u64 = 8192;
/// Largest literal that is read to be thrown away.
const SKIPPED_OCTETS: u64 = 64 << 20;

const NOT_NOW: Refusal = Refusal::plain("The command is not for this moment");
const LOG_IN: Refusal = Refusal::plain("Log in first");
const LOGGED_IN: Refusal = Refusal::plain("You are logged in already");
const NO_TLS: Refusal = Refusal::plain("There is no TLS here");
const HAS_TLS: Refusal = Refusal::plain("TLS is active already");
const NOT_TEXT: Refusal = Refusal::plain("A script is text in UTF-8 without NUL");
const STRING_TOO_LONG: Refusal = Refusal::plain("The string is too long");
const SCRIPT_TOO_LONG: Refusal = Refusal::coded(Code::QuotaMaxSize, "The script is too long");
const TRY_LATER: Refusal =
    Refusal::coded(Code::TryLater, "The scripts cannot be reached now, try again later");

/// What the connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Read the next command.
    Continue,
    /// Wait so long, then send the responses and go on.
    Wait(Duration),
    /// Wait so long, then send the responses and hang up.
    WaitAndClose(Duration),
    /// Send the responses, then begin TLS.
    StartTls,
    /// Send the responses and hang up.
    Close,
}

/// What is done with a literal that is coming in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    /// It is read and thrown away; its command is refused.
    Skip(Refusal),
    /// It is not even read.
    Close(Refusal),
}

/// A session.
pub(super) struct Session {
    pub(super) server: Arc<ManageSieve>,
    pub(super) peer: Peer,
    pub(super) visit: Visit,
    pub(super) secured: Option<Secured>,
    pub(super) login: Option<Login>,
    pub(super) exchange: Option<Exchange>,
    /// How many redirects the account's scripts may make.
    pub(super) max_redirects: Option<u64>,
    pub(super) failures: u32,
    errors: u32,
}

impl Session {
    pub(super) fn new(server: Arc<ManageSieve>, peer: Peer, visit: Visit) -> Self {
        let (secured, login, exchange, max_redirects) = (None, None, None, None);
        Self { server, peer, visit, secured, login, exchange, max_redirects, failures: 0, errors: 0 }
    }

    pub(super) fn server(&self) -> &ManageSieve {
        &self.server
    }

    pub(super) fn is_logged_in(&self) -> bool {
        self.login.is_some()
    }

    /// The capabilities (RFC 5804 §1.7), which are the greeting, too.
    pub(super) fn capabilities(&self, replies: &mut Replies, text: &str) {
        let engine = &self.server.engine;
        replies.line(&["IMPLEMENTATION", "PigeonDeliver"], None);
        replies.line(&["SASL", &self.mechanisms()], None);
        replies.line(&["SIEVE", &engine.extensions.join(" ")], None);
        if !engine.notify.is_empty() {
            replies.line(&["NOTIFY", &engine.notify.join(" ")], None);
        }
        if self.may_start_tls() {
            replies.line(&["STARTTLS"], None);
        }
        // It is a setting of the account: nothing is known of it before the login.
        if let Some(redirects) = self.max_redirects {
            replies.line(&["MAXREDIRECTS", &redirects.to_string()], None);
        }
        replies.line(&["UNAUTHENTICATE"], None);
        if let Some(login) = &self.login {
            replies.line(&["OWNER", &login.owner.address.to_string()], None);
        }
        replies.line(&["VERSION", "1.0"], None);
        replies.ok(text);
    }

    fn may_start_tls(&self) -> bool {
        self.server.certificate.is_some() && self.secured.is_none() && self.login.is_none()
    }

    /// TLS is active: what was said before is forgotten, and the capabilities are told anew (RFC 5804 §2.2).
    pub(super) fn secure(&mut self, secured: Secured, replies: &mut Replies) {
        self.secured = Some(secured);
        self.exchange = None;
        self.capabilities(replies, "TLS is active");
    }

    /// Says goodbye without having been asked to.
    pub(super) fn leave(&self, replies: &mut Replies, code: Option<Code>, why: &str) {
        debug!("{}: BYE {why}", self.peer);
        replies.bye(code, why);
    }

    /// Refuses something that breaks the protocol, and counts it.
    pub(super) fn refuse(&mut self, refusal: &Refusal, replies: &mut Replies) -> Step {
        replies.refuse(refusal);
        self.errors += 1;
        if self.errors < self.server.limits.errors {
            return Step::Continue;
        }
        self.leave(replies, None, "Too many errors");
        Step::Close
    }

    /// What is done with a literal of that many octets behind these words. Asked before any of it is read.
    pub(super) async fn judge_literal(&self, words: &[Word], octets: u64) -> Verdict {
        let script = match &self.login {
            Some(login) => Command::awaits_script(words).map(|name| (login, name)),
            None => None,
        };
        let Some((login, name)) = script else {
            return match octets {
                0..=STRING_OCTETS => Verdict::Keep,
                _ => Verdict::Close(STRING_TOO_LONG),
            };
        };
        if octets > SKIPPED_OCTETS {
            return Verdict::Close(SCRIPT_TOO_LONG);
        }
        if octets > self.server.limits.script_octets {
            return Verdict::Skip(SCRIPT_TOO_LONG);
        }
        let Some(name) = name else { return Verdict::Keep };
        // Whatever else is wrong is said when the command is whole.
        match self.server.scripts.has_space(&login.actor(), &login.owner.address, &name, octets).await {
            Err(ScriptsError::Quota(ScriptQuota::Octets(_))) => Verdict::Skip(SCRIPT_TOO_LONG),
            _ => Verdict::Keep,
        }
    }

    /// Obeys one command, or takes one response of a login.
    pub(super) async fn take(&mut self, words: Vec<Word>, replies: &mut Replies) -> Step {
        if self.exchange.is_some() {
            return self.response(words, replies).await;
        }
        let obeyed = match Command::read(words) {
            Ok(command) => self.obey(command, replies).await,
            Err(refusal) => Err(refusal),
        };
        obeyed.unwrap_or_else(|refusal| self.refuse(&refusal, replies))
    }

    /// A command that cannot be read ends a login under way.
    pub(super) fn take_refused(&mut self, refusal: &Refusal, replies: &mut Replies) -> Step {
        self.exchange = None;
        self.refuse(refusal, replies)
    }

    async fn obey(&mut self, command: Command, replies: &mut Replies) -> Result<Step, Refusal> {
        match command {
            Command::Capability => self.capabilities(replies, "These are the capabilities"),
            Command::Noop { tag: None } => replies.ok("Done"),
            // RFC 5804 §2.13
            Command::Noop { tag: Some(tag) } => replies.ok_carrying("TAG", &tag, "Done"),
            Command::Logout => {
                replies.ok("Bye");
                return Ok(Step::Close);
            }
            Command::StartTls if self.login.is_some() => return Err(NOT_NOW),
            Command::StartTls if self.secured.is_some() => return Err(HAS_TLS),
            Command::StartTls if self.server.certificate.is_none() => return Err(NO_TLS),
            Command::StartTls => {
                replies.ok("Begin TLS now");
                return Ok(Step::StartTls);
            }
            Command::Authenticate { .. } if self.login.is_some() => return Err(LOGGED_IN),
            Command::Authenticate { mechanism, initial } => {
                return self.authenticate(&mechanism, initial, replies).await;
            }
            command => {
                let Some(login) = self.login.clone() else { return Err(LOG_IN) };
                self.errors = 0;
                if command == Command::Unauthenticate {
                    // RFC 5804 §2.14
                    (self.login, self.max_redirects) = (None, None);
                    replies.ok("You are logged out");
                } else if let Err(error) = self.scripts(&login, command, replies).await {
                    self.explain(&error, replies);
                }
            }
        }
        Ok(Step::Continue)
    }

    async fn scripts(
        &self,
        login: &Login,
        command: Command,
        replies: &mut Replies,
    ) -> Result<(), ScriptsError> {
        let (scripts, actor, owner) = (&*self.server.scripts, login.actor(), &login.owner.address);
        match command {
            Command::HaveSpace { name, octets } => {
                let name = script_name(&name)?;
                let limit = self.server.limits.script_octets;
                if octets > limit {
                    return Err(ScriptQuota::Octets(limit).into());
                }
                scripts.has_space(&actor, owner, &name, octets).await?;
                replies.ok("There is room");
            }
            Command::PutScript { name, source } => {
                let (name, source) = (script_name(&name)?, self.source(source)?);
                say(&scripts.put(&actor, owner, &name, &source).await?, "The script is kept", replies);
            }
            Command::CheckScript { source } => {
                let source = self.source(source)?;
                say(&scripts.check(&actor, owner, &source).await?, "The script is right", replies);
            }
            Command::ListScripts => {
                for script in scripts.list(&actor, owner).await? {
                    replies.line(&[script.name.as_str()], script.is_active.then_some("ACTIVE"));
                }
                replies.ok("These are the scripts");
            }
            Command::GetScript { name } => {
                let source = scripts.get(&actor, owner, &script_name(&name)?).await?;
                replies.literal(source.as_bytes());
                replies.ok("This is the script");
            }
            Command::SetActive { name } => {
                // RFC 5804 §2.8: the empty name makes none active.
                let name = if name.is_empty() { None } else { Some(script_name(&name)?) };
                let notes = scripts.activate(&actor, owner, name.as_ref()).await?;
                let done = if name.is_some() { "The script is active" } else { "No script is active" };
                replies.ok(&[&[done.to_owned()], notes.as_slice()].concat().join("; "));
            }
            Command::DeleteScript { name } => {
                scripts.delete(&actor, owner, &script_name(&name)?).await?;
                replies.ok("The script is deleted");
            }
            Command::RenameScript { from, to } => {
                scripts.rename(&actor, owner, &script_name(&from)?, &script_name(&to)?).await?;
                replies.ok("The script has another name");
            }
            // What needs no scripts was obeyed before.
            _ => replies.refuse(&NOT_NOW),
        }
        Ok(())
    }

    fn source(&self, source: Vec<u8>) -> Result<String, ScriptsError> {
        let octets = source.len() as u64;
        if octets > self.server.limits.script_octets {
            return Err(ScriptQuota::Octets(self.server.limits.script_octets).into());
        }
        // RFC 5228 §2.1 and §8.1: UTF-8, no NUL.
        let text = String::from_utf8(source).ok().filter(|text| !text.contains('\0'));
        text.ok_or_else(|| ScriptsError::Invalid(NOT_TEXT.text.to_owned()))
    }

    fn explain(&self, error: &ScriptsError, replies: &mut Replies) {
        let code = match error {
            ScriptsError::Unavailable(what) => {
                warn!("{}: scripts cannot be reached: {what}", self.peer);
                return replies.refuse(&TRY_LATER);
            }
            ScriptsError::Busy => Some(Code::TryLater),
            ScriptsError::Forbidden(_) | ScriptsError::Invalid(_) => None,
            ScriptsError::NotFound(_) => Some(Code::NonExistent),
            ScriptsError::Exists(_) => Some(Code::AlreadyExists),
            ScriptsError::Active(_) => Some(Code::Active),
            ScriptsError::Quota(ScriptQuota::Scripts(_)) => Some(Code::QuotaMaxScripts),
            ScriptsError::Quota(ScriptQuota::Octets(_)) => Some(Code::QuotaMaxSize),
        };
        replies.no(code, &error.to_string().replace('\n', "\r\n"));
    }
}

fn script_name(name: &str) -> Result<ScriptName, ScriptsError> {
    name.parse().map_err(ScriptsError::Invalid)
}

/// Success, with what the person should know: in one line, for some clients take a literal behind OK for a failure.
fn say(notes: &[String], done: &str, replies: &mut Replies) {
    if notes.is_empty() {
        replies.ok(done);
    } else {
        replies.ok_with(Code::Warnings, &notes.join("; "));
    }
}
