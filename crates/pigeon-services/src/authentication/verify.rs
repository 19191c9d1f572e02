//! Verifies SPF, DKIM, DMARC and ARC: the only file that knows mail-auth.
//!
//! Source: RFC 7208 (SPF), RFC 6376 and 8463 (DKIM), RFC 9989 (DMARC), RFC 8617 (ARC).

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::system_conf::read_system_conf;
use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::{Canonicalization, DkimError, Signature as Signed};
use mail_auth::dmarc::Policy as DmarcPolicy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, DnsError, Error,
    MessageAuthenticator, SpfOutput, SpfResult,
};
use pigeon_core::address::DomainName;
use tokio::time::timeout;

use super::client::Client;
use super::findings::{Findings, Policy, Signature, Verdict};

/// How many signatures of a message are verified: each costs a look-up.
const MAX_SIGNATURES: usize = 10;
/// How many answers of the name servers are kept.
const KEPT_ANSWERS: u64 = 20_000;
/// How long one question waits before it is put again, once.
const QUESTION_LIMIT: Duration = Duration::from_secs(2);
/// How long a resolver is given to show that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// What is verified, besides the message.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) client: Option<IpAddr>,
    pub(super) helo: String,
    /// The envelope's sender; empty for the null sender.
    pub(super) sender: String,
    /// This host's name, for SPF's macros.
    pub(super) hostname: String,
    /// How long all of it may take.
    pub(super) limit: Duration,
}

impl Question {
    pub(super) fn new(client: &Client, sender: String, hostname: &str, limit: Duration) -> Self {
        Self {
            client: client.address,
            helo: client.helo.clone(),
            sender,
            hostname: hostname.to_owned(),
            limit,
        }
    }

    /// The domain that SPF asks: the sender's, for the null sender the client's own name (RFC 7208 §2.4).
    fn spf_domain(&self) -> &str {
        self.sender.rsplit_once('@').map_or(self.helo.as_str(), |(_, domain)| domain)
    }
}

/// Verifies; its resolver is made when it is used first and shared by all messages.
pub(super) struct Verifier {
    servers: Vec<SocketAddr>,
    made: OnceLock<Result<MessageAuthenticator, String>>,
}

impl Verifier {
    /// One that asks these name servers, or those of the system.
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, made: OnceLock::new() }
    }

    fn authenticator(&self) -> Result<&MessageAuthenticator, String> {
        self.made.get_or_init(|| make(&self.servers)).as_ref().map_err(Clone::clone)
    }

    /// Whether the resolver answers at all; `number` makes the question one that nobody has asked before.
    ///
    /// # Errors
    /// What it says, or does not.
    pub(super) async fn sign_of_life(&self, number: i64) -> Result<(), String> {
        let resolver = self.authenticator()?.resolver();
        // RFC 6761 §6.5: `example` is asked for like any other name, and there is nothing below it: whoever answers is there.
        match timeout(SIGN_OF_LIFE, resolver.txt_lookup(format!("pigeon-{number}.example."))).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(NetError::Dns(_))) => Ok(()),
            Ok(Err(error)) => Err(format!("the name server gives no answer: {error}")),
            Err(_) => Err("the name server gives no answer".to_owned()),
        }
    }

    /// Verifies a message in wire form.
    pub(super) async fn verify(&self, question: &Question, raw: &[u8]) -> Findings {
        let authenticator = match self.authenticator() {
            Ok(authenticator) => authenticator,
            Err(trouble) => return unavailable(trouble),
        };
        let Some(message) = parse(raw) else {
            return Findings { trouble: "the message has no header".to_owned(), ..Findings::default() };
        };
        // A part of the time is left for DMARC, which needs what the others found.
        let limit = question.limit * 2 / 3;
        let (spf, dkim, arc) = tokio::join!(
            spf(authenticator, question, limit),
            dkim(authenticator, &message, limit),
            timeout(limit, authenticator.verify_arc(&message)),
        );
        let from_domain = from_domain(&message);
        let dmarc = dmarc(authenticator, &message, (question, &spf, &dkim, &from_domain)).await;
        let mut findings = Findings {
            spf: spf_verdict(spf.result()),
            spf_identity: match question.sender.as_str() {
                "" => ("smtp.helo", question.helo.clone()),
                sender => ("smtp.mailfrom", sender.to_owned()),
            },
            dkim: dkim.iter().map(signature).collect(),
            dmarc: dmarc.0,
            policy: dmarc.1,
            arc: arc.map_or(Verdict::TempError, |arc| arc_verdict(arc.result())),
            from_domain,
            ..Findings::default()
        };
        findings.is_from_verified = is_from_verified(&findings, question.spf_domain());
        findings
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Verifier").field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// Nothing could be asked: everything may be found out later.
pub(super) fn unavailable(trouble: String) -> Findings {
    let (spf, dmarc, arc) = (Verdict::TempError, Verdict::TempError, Verdict::None);
    let dkim = vec![Signature { verdict: Verdict::TempError, ..Signature::default() }];
    Findings { trouble, spf, dkim, dmarc, arc, ..Findings::default() }
}

fn make(servers: &[SocketAddr]) -> Result<MessageAuthenticator, String> {
    let (config, mut options) = if servers.is_empty() {
        read_system_conf().map_err(|error| format!("the system's resolv.conf cannot be used: {error}"))?
    } else {
        let mut config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
        for server in servers {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            config.add_name_server(NameServerConfig::new(server.ip(), true, connections.to_vec()));
        }
        (config, ResolverOpts::default())
    };
    options.timeout = QUESTION_LIMIT;
    options.attempts = 1;
    options.cache_size = KEPT_ANSWERS;
    options.use_hosts_file = ResolveHosts::Never;
    options.ndots = 0;
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let resolver = builder.with_options(options).build();
    resolver.map(MessageAuthenticator).map_err(|error| format!("the resolver cannot be made: {error}"))
}

/// Parses the message and computes the hashes of its body.
fn parse(raw: &[u8]) -> Option<AuthenticatedMessage<'_>> {
    let mut message = AuthenticatedMessage::parse(raw)?;
    let body = raw.get(message.body_offset()..).unwrap_or_default();
    // RFC 6376 §3.4.4: relaxed canonicalization takes lines of white space for empty ones and leaves those at the end
    // away; mail-auth 0.13 leaves only those away that are empty from the start.
    let rest = trim_blank_lines(body);
    if rest.len() < body.len() {
        let shorter = raw.get(..message.body_offset() + rest.len()).and_then(AuthenticatedMessage::parse);
        let hashes = shorter.map(|shorter| shorter.body_hashes).unwrap_or_default();
        for (hash, other) in message.body_hashes.iter_mut().zip(hashes) {
            if hash.0 == Canonicalization::Relaxed {
                *hash = other;
            }
        }
    }
    message.dkim_headers.truncate(MAX_SIGNATURES);
    Some(message)
}

/// The body without the lines of white space at its end, where one of them is not empty.
fn trim_blank_lines(body: &[u8]) -> &[u8] {
    let end = body.iter().rposition(|byte| !b" \t\r\n".contains(byte)).map_or(0, |at| at + 1);
    let tail = body.get(end..).unwrap_or_default();
    // The white space behind the last text belongs to its line.
    let line = tail.iter().position(|byte| *byte == b'\n').map_or(tail.len(), |at| at + 1);
    let (own, blank) = tail.split_at(if end == 0 { 0 } else { line });
    if blank.iter().any(|byte| b" \t".contains(byte)) {
        body.get(..end + own.len()).unwrap_or(body)
    } else {
        body
    }
}

async fn spf(authenticator: &MessageAuthenticator, question: &Question, limit: Duration) -> SpfOutput {
    let domain = question.spf_domain();
    let nothing = SpfOutput::new(domain.to_owned());
    let Some(client) = question.client else { return nothing.with_result(SpfResult::None) };
    let asked = async {
        let parameters = match question.sender.as_str() {
            "" => SpfParameters::verify_ehlo(client, &question.helo, &question.hostname),
            sender => SpfParameters::verify_mail_from(client, &question.helo, &question.hostname, sender),
        };
        let output = authenticator.verify_spf(parameters).await;
        // RFC 7208 §4.5: more than one record is an error.
        let is_known = !matches!(output.result(), SpfResult::None | SpfResult::TempError);
        if is_known && count(authenticator, domain, "v=spf1").await > 1 {
            return output.with_result(SpfResult::PermError);
        }
        output
    };
    within(limit, asked).await.unwrap_or_else(|| nothing.with_result(SpfResult::TempError))
}

async fn dkim<'x>(
    authenticator: &MessageAuthenticator,
    message: &'x AuthenticatedMessage<'x>,
    limit: Duration,
) -> Vec<DkimOutput<'x>> {
    let late = || {
        let headers = message.dkim_headers.iter();
        let error = || Error::Dns(DnsError::Resolver("no answer in time".to_owned()));
        headers.map(|header| DkimOutput::temp_err(error()).with_signature(&header.header)).collect()
    };
    let found = within(limit, authenticator.verify_dkim(message)).await.unwrap_or_else(late);
    found.into_iter().map(|output| acceptable(output, message)).collect()
}

/// A signature that holds but says nothing does not count, for DMARC either: without the From field among what is signed
/// (RFC 6376 §6.1.1), or with SHA-1 (RFC 8301 §3.1).
fn acceptable<'x>(output: DkimOutput<'x>, message: &'x AuthenticatedMessage<'x>) -> DkimOutput<'x> {
    let headers = message.dkim_headers.iter().map(|header| &header.header);
    let is_same =
        |known: &&Signed| output.signature().is_some_and(|signature| std::ptr::eq(signature, *known));
    let Some(signature) = headers.into_iter().find(is_same).filter(|_| *output.result() == DkimResult::Pass)
    else {
        return output;
    };
    let is_from = |name: &String| name.trim().eq_ignore_ascii_case("From");
    let why = match signature.a {
        Algorithm::RsaSha1 => Error::Dkim(DkimError::UnsupportedAlgorithm),
        _ if !signature.h.iter().any(is_from) => Error::MissingParameters,
        _ => return output,
    };
    DkimOutput::perm_err(why).with_signature(signature)
}

/// The verdict of DMARC, and the policy of the domain.
async fn dmarc(
    authenticator: &MessageAuthenticator,
    message: &AuthenticatedMessage<'_>,
    (question, spf, dkim, from_domain): (&Question, &SpfOutput, &[DkimOutput<'_>], &str),
) -> (Verdict, Policy) {
    if from_domain.is_empty() {
        return (Verdict::None, Policy::None);
    }
    let asked = async {
        let parameters = DmarcParameters::new(message, dkim, question.spf_domain(), spf);
        let output: DmarcOutput = authenticator.verify_dmarc(parameters).await;
        // RFC 9989 §4.10: where there are several records, none counts.
        let is_clear = output.dmarc_record().is_none()
            || count(authenticator, &format!("_dmarc.{from_domain}"), "v=DMARC1").await < 2;
        is_clear.then_some(output)
    };
    let Some(output) = within(question.limit / 3, asked).await else {
        return (Verdict::TempError, Policy::None);
    };
    let Some(output) = output else { return (Verdict::None, Policy::None) };
    let verdict = match output.result() {
        DmarcResult::Pass => Verdict::Pass,
        DmarcResult::Fail(_) => Verdict::Fail,
        DmarcResult::TempError(_) => Verdict::TempError,
        DmarcResult::PermError(_) => Verdict::PermError,
        DmarcResult::None => Verdict::None,
    };
    let policy = match output.policy() {
        DmarcPolicy::Reject => Policy::Reject,
        DmarcPolicy::Quarantine => Policy::Quarantine,
        DmarcPolicy::None | DmarcPolicy::Unspecified => Policy::None,
    };
    (verdict, policy)
}

async fn within<T>(limit: Duration, asked: impl Future<Output = T>) -> Option<T> {
    timeout(limit, asked).await.ok()
}

/// How many TXT records of a name begin like this.
async fn count(authenticator: &MessageAuthenticator, name: &str, beginning: &str) -> usize {
    let Ok(found) = authenticator.resolver().txt_lookup(format!("{}.", name.trim_end_matches('.'))).await
    else {
        return 0;
    };
    let texts = found.answers().iter().filter_map(|record| match &record.data {
        RData::TXT(text) => Some(text.txt_data.concat()),
        _ => None,
    });
    // A version is followed by a blank, a semicolon or nothing.
    let is_it = |text: &Vec<u8>| {
        let rest = text.strip_prefix(beginning.as_bytes());
        rest.is_some_and(|rest| rest.first().is_none_or(|byte| b" ;\t".contains(byte)))
    };
    texts.filter(is_it).count()
}

fn spf_verdict(result: SpfResult) -> Verdict {
    match result {
        SpfResult::Pass => Verdict::Pass,
        SpfResult::Fail => Verdict::Fail,
        SpfResult::SoftFail => Verdict::SoftFail,
        SpfResult::Neutral => Verdict::Neutral,
        SpfResult::TempError => Verdict::TempError,
        SpfResult::PermError => Verdict::PermError,
        SpfResult::None => Verdict::None,
    }
}

fn dkim_verdict(result: &DkimResult) -> Verdict {
    match result {
        DkimResult::Pass => Verdict::Pass,
        // RFC 8601 §2.7.1: `neutral` is for what cannot be processed. A body that has changed, and a signature whose
        // time is over (RFC 6376 §3.5, x=), fail.
        DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch | DkimError::SignatureExpired)) => {
            Verdict::Fail
        }
        // The same section: what is not acceptable here, like a signature of a part of the body (l=).
        DkimResult::Neutral(Error::Dkim(DkimError::SignatureLength)) => Verdict::Policy,
        DkimResult::Neutral(_) => Verdict::Neutral,
        DkimResult::Fail(_) => Verdict::Fail,
        DkimResult::PermError(_) => Verdict::PermError,
        DkimResult::TempError(_) => Verdict::TempError,
        DkimResult::None => Verdict::None,
    }
}

/// RFC 8617 §4.4: a chain passes, or fails, or there is none.
fn arc_verdict(result: &DkimResult) -> Verdict {
    match result {
        DkimResult::Pass => Verdict::Pass,
        DkimResult::None => Verdict::None,
        DkimResult::TempError(_) => Verdict::TempError,
        DkimResult::Neutral(_) | DkimResult::Fail(_) | DkimResult::PermError(_) => Verdict::Fail,
    }
}

fn signature(output: &DkimOutput<'_>) -> Signature {
    let why = match output.result() {
        DkimResult::Neutral(error)
        | DkimResult::Fail(error)
        | DkimResult::PermError(error)
        | DkimResult::TempError(error) => error.to_string(),
        DkimResult::Pass | DkimResult::None => String::new(),
    };
    let signature = output.signature();
    Signature {
        verdict: dkim_verdict(output.result()),
        domain: signature.map(|signature| signature.d.to_ascii_lowercase()).unwrap_or_default(),
        selector: signature.map(|signature| signature.s.clone()).unwrap_or_default(),
        why,
    }
}

/// The domain of the author, if there is exactly one From address.
fn from_domain(message: &AuthenticatedMessage<'_>) -> String {
    let [from] = message.from.as_slice() else { return String::new() };
    let domain = from.rsplit_once('@').and_then(|(_, domain)| DomainName::parse(domain).ok());
    domain.map(|domain| domain.as_str().to_owned()).unwrap_or_default()
}

/// Whether somebody vouches for the From address: DMARC, or where its domain has no such record, SPF or DKIM of
/// the domain itself or of one above it.
fn is_from_verified(findings: &Findings, spf_domain: &str) -> bool {
    let vouches = |domain: &str| {
        let (domain, from) = (domain.to_ascii_lowercase(), findings.from_domain.as_str());
        let is_above =
            from.strip_suffix(&domain).is_some_and(|rest| rest.ends_with('.')) && domain.contains('.');
        from == domain || is_above
    };
    if findings.from_domain.is_empty() || findings.dmarc != Verdict::None {
        return findings.dmarc == Verdict::Pass;
    }
    let signed = findings.dkim.iter().filter(|signature| signature.verdict == Verdict::Pass);
    signed.map(|signature| signature.domain.as_str()).any(vouches)
        || (findings.spf == Verdict::Pass && vouches(spf_domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_at_the_end_are_trimmed() {
        let check = |body: &str, expect: &str| {
            assert_eq!(String::from_utf8_lossy(trim_blank_lines(body.as_bytes())), expect, "{body:?}");
        };
        check("", "");
        check("a\r\n", "a\r\n");
        check("a\r\n\r\n", "a\r\n\r\n");
        check("a \t\r\n", "a \t\r\n");
        check("a\r\n \r\n", "a\r\n");
        check("a \r\n\r\n\t\r\n\r\n", "a \r\n");
        check(" \r\n", "");
        check("a\r\n ", "a\r\n");
    }
}
