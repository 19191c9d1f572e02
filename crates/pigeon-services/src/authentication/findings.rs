//! What was found out about a message's senders, and how that is written (RFC 8601).

use std::net::IpAddr;

use pigeon_core::delivery::Delivery;
use serde_json::Value;

/// The result of a method (RFC 8601 §2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Verdict {
    Pass,
    Fail,
    SoftFail,
    Neutral,
    Policy,
    TempError,
    PermError,
    #[default]
    None,
}

/// All verdicts with their words.
const WORDS: [(Verdict, &str); 8] = [
    (Verdict::Pass, "pass"),
    (Verdict::Fail, "fail"),
    (Verdict::SoftFail, "softfail"),
    (Verdict::Neutral, "neutral"),
    (Verdict::Policy, "policy"),
    (Verdict::TempError, "temperror"),
    (Verdict::PermError, "permerror"),
    (Verdict::None, "none"),
];

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        WORDS.iter().find(|(verdict, _)| *verdict == self).map_or("none", |(_, word)| word)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        WORDS.iter().find(|(_, word)| text.eq_ignore_ascii_case(word)).map(|(verdict, _)| *verdict)
    }
}

/// What a domain asks of those who get mail that fails DMARC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Policy {
    #[default]
    None,
    Quarantine,
    Reject,
}

impl Policy {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Quarantine, Self::Reject]
            .into_iter()
            .find(|policy| text.eq_ignore_ascii_case(policy.word()))
    }
}

/// One DKIM signature.
#[derive(Debug, Clone, Default)]
pub(super) struct Signature {
    pub(super) verdict: Verdict,
    pub(super) domain: String,
    pub(super) selector: String,
    /// Why it did not pass; may be empty.
    pub(super) why: String,
}

/// Everything that was found out about one message.
#[derive(Debug, Clone, Default)]
pub(super) struct Findings {
    /// Who found it out: nothing for this service, or an authserv-id.
    pub(super) told_by: Option<String>,
    /// What kept something from being found out; may be empty.
    pub(super) trouble: String,
    pub(super) spf: Verdict,
    /// The identity that SPF looked at: `smtp.mailfrom=…` or `smtp.helo=…`.
    pub(super) spf_identity: (&'static str, String),
    pub(super) dkim: Vec<Signature>,
    pub(super) dmarc: Verdict,
    pub(super) policy: Policy,
    pub(super) arc: Verdict,
    /// The domain of the From address; empty where there is none, or more than one.
    pub(super) from_domain: String,
    /// Whether DKIM or SPF vouch for that domain.
    pub(super) is_from_verified: bool,
    pub(super) client: Option<IpAddr>,
}

impl Findings {
    /// The best that a signature came to.
    pub(super) fn dkim(&self) -> Verdict {
        let order = [
            Verdict::Pass,
            Verdict::TempError,
            Verdict::Fail,
            Verdict::PermError,
            Verdict::Policy,
            Verdict::Neutral,
        ];
        let has = |verdict: &Verdict| self.dkim.iter().any(|signature| signature.verdict == *verdict);
        order.into_iter().find(has).unwrap_or_default()
    }

    /// Says what could not be looked at: what then did not pass may be genuine all the same, and has not failed.
    pub(super) fn doubt(&mut self, why: &str) {
        why.clone_into(&mut self.trouble);
        if self.dmarc == Verdict::Fail {
            (self.dmarc, self.policy) = (Verdict::None, Policy::None);
        }
    }

    /// Tells later services.
    pub(super) fn tell(&self, delivery: &mut Delivery) {
        let words = [
            ("auth.spf", self.spf.word()),
            ("auth.dkim", self.dkim().word()),
            ("auth.dmarc", self.dmarc.word()),
            ("auth.arc", self.arc.word()),
            ("auth.policy", self.policy.word()),
            ("auth.from_domain", &self.from_domain),
        ];
        for (name, word) in words {
            delivery.set_fact(name, Value::from(word));
        }
        delivery.set_fact("auth.from_verified", Value::Bool(self.is_from_verified));
        let passed = self.dkim.iter().filter(|signature| signature.verdict == Verdict::Pass);
        let domains: Vec<&str> = passed.map(|signature| signature.domain.as_str()).collect();
        delivery.set_fact("auth.dkim_domains", Value::from(domains));
        if let Some(client) = self.client {
            delivery.set_fact("auth.client", Value::from(client.to_string()));
        }
    }

    /// In a few words, for receipts.
    pub(super) fn summary(&self) -> String {
        let [spf, dkim, dmarc, arc] = [self.spf, self.dkim(), self.dmarc, self.arc].map(Verdict::word);
        let policy = self.policy.word();
        let told = self.told_by.as_ref().map(|id| format!(", as {id} says")).unwrap_or_default();
        let trouble = if self.trouble.is_empty() { String::new() } else { format!("; {}", self.trouble) };
        format!("spf={spf} dkim={dkim} dmarc={dmarc} (p={policy}) arc={arc}{told}{trouble}")
    }

    /// The value of the Authentication-Results field, folded (RFC 8601 §2.2).
    pub(super) fn field(&self, authserv_id: &str) -> String {
        let (property, identity) = &self.spf_identity;
        let mut spf = format!("spf={}", self.spf.word());
        if !identity.is_empty() {
            spf.extend([" ", property, "=", &value(identity)]);
        }
        let mut lines = vec![spf];
        for signature in &self.dkim {
            let mut line = format!("dkim={}", signature.verdict.word());
            if !signature.why.is_empty() {
                line.extend([" reason=", &quoted(&signature.why)]);
            }
            for (property, text) in [(" header.d=", &signature.domain), (" header.s=", &signature.selector)] {
                if !text.is_empty() {
                    line.extend([property, &value(text)]);
                }
            }
            lines.push(line);
        }
        if self.dkim.is_empty() {
            lines.push("dkim=none".to_owned());
        }
        let mut dmarc = format!("dmarc={}", self.dmarc.word());
        if self.dmarc != Verdict::None {
            dmarc.extend([" (p=", self.policy.word(), ")"]);
        }
        if !self.from_domain.is_empty() {
            dmarc.extend([" header.from=", &value(&self.from_domain)]);
        }
        lines.push(dmarc);
        if self.arc != Verdict::None {
            lines.push(format!("arc={}", self.arc.word()));
        }
        format!("{authserv_id};\n {}", lines.join(";\n "))
    }
}

/// A value as it may stand in the field: a token, or an address, or quoted.
fn value(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-._+=@/:".contains(letter);
    if !text.is_empty() && text.len() <= 250 && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

fn quoted(text: &str) -> String {
    let is_kept =
        |letter: &char| letter.is_ascii_graphic() && !matches!(letter, '"' | '\\') || *letter == ' ';
    format!("\"{}\"", text.chars().filter(is_kept).take(250).collect::<String>())
}
