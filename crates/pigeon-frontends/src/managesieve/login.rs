//! Logging in: which mechanisms are offered when, and one exchange on the wire (RFC 5804 §2.1).

use data_encoding::BASE64;
use pigeon_core::ports::authenticator::{Login, LoginError};
use pigeon_core::sasl::{Exchange, Mechanism, SaslError, Step as SaslStep};
use rustls::crypto::aws_lc_rs;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::command;
use super::line::Word;
use super::reply::{Code, Refusal, Replies};
use super::session::{Session, Step};

/// Octets of the server's part of a nonce.
const NONCE_OCTETS: usize = 18;

const NEEDS_TLS: Refusal = Refusal::coded(Code::EncryptNeeded, "Say STARTTLS first");
const TOO_WEAK: Refusal = Refusal::coded(Code::AuthTooWeak, "The mechanism is too weak: it is not offered");
const NO_MECHANISM: Refusal = Refusal::plain("The mechanism is not offered");
const NOT_BASE64: Refusal = Refusal::plain("The response is not base64");
const GIVEN_UP: Refusal = Refusal::plain("The login was given up");
const REFUSED: Refusal = Refusal::plain("The name or the password is wrong");
const MAY_NOT_ACT: Refusal = Refusal::plain("You may not act for that account");
const UNAVAILABLE: Refusal = Refusal::coded(Code::TryLater, "Nobody can be let in now, try again later");
/// Mechanisms that some clients still try, and that keep no password safe.
const WEAK: [&str; 5] = ["CRAM-MD5", "DIGEST-MD5", "NTLM", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS"];

/// TLS on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Secured {
    /// What logins are bound to (RFC 9266); some from TLS 1.3 on.
    pub(super) exporter: Option<Vec<u8>>,
}

impl Session {
    /// The mechanisms on offer at this moment; behind a login those that it could be made anew with (RFC 5804 §1.7:
    /// without STARTTLS the list is not empty).
    pub(super) fn mechanisms(&self) -> String {
        let mut names = Vec::new();
        if self.has_exporter() {
            names.push(Mechanism::ScramSha256Plus.name());
        }
        names.push(Mechanism::ScramSha256.name());
        if self.may_send_passwords() {
            names.push(Mechanism::Plain.name());
        }
        names.join(" ")
    }

    fn has_exporter(&self) -> bool {
        self.secured.as_ref().is_some_and(|secured| secured.exporter.is_some())
    }

    fn may_send_passwords(&self) -> bool {
        self.secured.is_some() || self.peer.is_local() || self.server.allows_plaintext
    }

    /// `AUTHENTICATE`
    pub(super) async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<Vec<u8>>,
        replies: &mut Replies,
    ) -> Result<Step, Refusal> {
        let mechanism = match Mechanism::named(mechanism) {
            Some(Mechanism::Plain) if !self.may_send_passwords() => return Err(NEEDS_TLS),
            Some(Mechanism::ScramSha256Plus) if !self.has_exporter() => return Err(NO_MECHANISM),
            Some(mechanism) => mechanism,
            None if WEAK.iter().any(|weak| weak.eq_ignore_ascii_case(mechanism)) => return Err(TOO_WEAK),
            None => return Err(NO_MECHANISM),
        };
        let nonce = nonce().ok_or(UNAVAILABLE)?;
        let exporter = self.secured.as_ref().and_then(|secured| secured.exporter.clone());
        self.exchange = Some(Exchange::new(mechanism, nonce, exporter));
        match initial {
            Some(initial) => Ok(self.respond(&initial, replies).await),
            None => {
                // The client speaks first: an empty challenge invites it.
                replies.line(&[""], None);
                Ok(Step::Continue)
            }
        }
    }

    /// The client's answer to a challenge.
    pub(super) async fn response(&mut self, words: Vec<Word>, replies: &mut Replies) -> Step {
        match command::response(words) {
            Ok(Some(response)) => self.respond(&response, replies).await,
            Ok(None) => {
                self.exchange = None;
                replies.refuse(&GIVEN_UP);
                Step::Continue
            }
            Err(refusal) => {
                self.exchange = None;
                self.refuse(&refusal, replies)
            }
        }
    }

    async fn respond(&mut self, response: &[u8], replies: &mut Replies) -> Step {
        let Some(mut exchange) = self.exchange.take() else { return Step::Continue };
        let Ok(response) = BASE64.decode(response) else { return self.refuse(&NOT_BASE64, replies) };
        match exchange.respond(&*self.server.authenticator, &response).await {
            Ok(SaslStep::Challenge(challenge)) => {
                replies.line(&[&BASE64.encode(&challenge)], None);
                self.exchange = Some(exchange);
                Step::Continue
            }
            Ok(SaslStep::Done(login, last)) => {
                self.greet(&login);
                match last {
                    // RFC 5804 §1.3: SASL carries what goes with the success.
                    Some(last) => {
                        replies.ok_carrying("SASL", BASE64.encode(&last).as_bytes(), "You are logged in");
                    }
                    None => replies.ok("You are logged in"),
                }
                // Where it cannot be asked, no limit is told; the first command about scripts says why.
                let (actor, owner) = (login.actor(), &login.owner.address);
                self.max_redirects =
                    self.server.scripts.max_redirects(&actor, owner).await.unwrap_or_default();
                self.login = Some(login);
                self.failures = 0;
                Step::Continue
            }
            Err(error) => self.failed(&error, &exchange, replies),
        }
    }

    fn greet(&self, Login { actor, owner }: &Login) {
        let (peer, actor, owner) = (self.peer, &actor.address, &owner.address);
        if actor == owner {
            info!("{peer}: {actor} has logged in for ManageSieve");
        } else {
            info!("{peer}: {actor} has logged in for ManageSieve, to act for {owner}");
        }
    }

    fn failed(&mut self, error: &SaslError, exchange: &Exchange, replies: &mut Replies) -> Step {
        let login = exchange.login().unwrap_or_default();
        match error {
            SaslError::Login(LoginError::Unavailable(what)) => {
                warn!("{}: nobody can be let in for ManageSieve: {what}", self.peer);
                replies.refuse(&UNAVAILABLE);
                return Step::Continue;
            }
            SaslError::Login(LoginError::Refused) => {
                info!("{}: a login for ManageSieve as {} is refused", self.peer, login.escape_debug());
                replies.refuse(&REFUSED);
            }
            SaslError::Login(LoginError::MayNotAct(actor)) => {
                let acts_as = exchange.acts_as().escape_debug();
                info!("{}: {actor} may not act for {acts_as}: a login for ManageSieve is refused", self.peer);
                replies.refuse(&MAY_NOT_ACT);
            }
            SaslError::Malformed(what) => {
                debug!("{}: {what}", self.peer);
                replies.no(None, what);
            }
        }
        self.failures += 1;
        let delay = self.visit.fail(self.server.limits.failure_delay, Instant::now());
        if self.failures < self.server.limits.failures {
            return Step::Wait(delay);
        }
        replies.bye(None, "Too many logins have failed");
        Step::WaitAndClose(delay)
    }
}

fn nonce() -> Option<String> {
    let mut octets = [0; NONCE_OCTETS];
    aws_lc_rs::default_provider().secure_random.fill(&mut octets).ok()?;
    Some(BASE64.encode(&octets))
}
