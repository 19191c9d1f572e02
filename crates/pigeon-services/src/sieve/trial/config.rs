//! The settings of a dry run, by the names that administrators of Pigeonhole know.

use std::collections::BTreeMap;

use super::super::engine::{Limits, Protected};
use super::super::mail::Mail;
use super::super::matching;

/// Instructions that count as a second.
const INSTRUCTIONS_PER_SECOND: u64 = 1_000_000;

/// The settings, read.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub(super) struct Config {
    pub(super) user_email: Option<String>,
    pub(super) delimiter: String,
    pub(super) redirect_from: From,
    pub(super) notify_from: From,
    pub(super) default_subject: Option<String>,
    pub(super) subject_template: Option<String>,
    pub(super) is_sent_from_recipient: bool,
    pub(super) is_unnamed_answered: bool,
    pub(super) is_original_used: bool,
    pub(super) is_header_believed: bool,
    pub(super) spam: Score,
    pub(super) virus: Score,
    pub(super) protected: Protected,
    pub(super) limits: Limits,
}

/// Who a message is sent from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum From {
    /// As it comes.
    #[default]
    Default,
    /// The sender of the message.
    Sender,
    /// The recipient.
    Recipient,
    /// The recipient as the sender wrote it.
    OriginalRecipient,
    /// The account's own address.
    UserEmail,
    /// This address; empty for the null sender.
    Address(String),
}

/// How a header field is read as the verdict of a scanner.
#[derive(Debug, Default)]
pub(super) struct Score {
    header: String,
    kind: String,
    max_header: String,
    max_value: Option<f64>,
    texts: BTreeMap<usize, String>,
}

impl Config {
    /// Reads them.
    pub(super) fn read(given: &BTreeMap<String, String>) -> Self {
        let text = |key: &str| given.get(key).filter(|value| !value.is_empty()).cloned();
        let is_on = |key: &str| {
            given
                .get(key)
                .is_some_and(|value| matches!(&*value.to_ascii_lowercase(), "yes" | "y" | "true" | "1"))
        };
        let words = |key: &str| -> Vec<String> {
            given
                .get(key)
                .map(|value| value.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default()
        };
        let mut limits = Limits { vacation: (86_400, 0), ..Limits::default() };
        if let Some(seconds) = text("sieve_vacation_min_period").and_then(|value| seconds(&value)) {
            limits.vacation.0 = seconds;
        }
        if let Some(seconds) = text("sieve_vacation_max_period").and_then(|value| seconds(&value)) {
            limits.vacation.1 = seconds;
        }
        if let Some(seconds) =
            text("sieve_max_cpu_time").and_then(|value| seconds(&value)).filter(|seconds| *seconds > 0)
        {
            limits.instructions = seconds.saturating_mul(INSTRUCTIONS_PER_SECOND);
        }
        let set = |key: &str, limit: &mut usize| {
            if let Some(octets) = text(key).and_then(|value| octets(&value)) {
                *limit = octets;
            }
        };
        set("sieve_editheader_max_header_size", &mut limits.header);
        set("sieve_include_max_includes", &mut limits.includes);
        set("sieve_include_max_nesting_depth", &mut limits.nesting);
        set("sieve_variables_max_variable_size", &mut limits.variable);
        set("sieve_max_actions", &mut limits.actions);
        set("sieve_max_redirects", &mut limits.redirects);
        Self {
            user_email: text("sieve_user_email").map(|address| bare(&address)),
            delimiter: given.get("recipient_delimiter").cloned().unwrap_or_else(|| "+".to_owned()),
            redirect_from: From::read(given.get("sieve_redirect_envelope_from")),
            notify_from: From::read(given.get("sieve_notify_mailto_envelope_from")),
            default_subject: text("sieve_vacation_default_subject"),
            subject_template: text("sieve_vacation_default_subject_template"),
            is_sent_from_recipient: is_on("sieve_vacation_send_from_recipient"),
            is_unnamed_answered: is_on("sieve_vacation_dont_check_recipient"),
            is_original_used: is_on("sieve_vacation_use_original_recipient"),
            is_header_believed: is_on("sieve_vacation_to_header_ignore_envelope"),
            spam: Score::read(given, "sieve_spamtest_"),
            virus: Score::read(given, "sieve_virustest_"),
            protected: Protected {
                both: words("sieve_editheader_protected"),
                add: words("sieve_editheader_forbid_add"),
                delete: words("sieve_editheader_forbid_delete"),
            },
            limits,
        }
    }
}

impl From {
    fn read(value: Option<&String>) -> Self {
        let Some(value) = value.map(|value| value.trim()) else { return Self::Default };
        match value {
            "" => Self::Default,
            "sender" => Self::Sender,
            "recipient" => Self::Recipient,
            "orig_recipient" => Self::OriginalRecipient,
            "user_email" => Self::UserEmail,
            address => Self::Address(bare(address)),
        }
    }
}

impl Score {
    fn read(given: &BTreeMap<String, String>, prefix: &str) -> Self {
        let text = |key: &str| given.get(&format!("{prefix}{key}")).cloned().unwrap_or_default();
        let texts = (0..=10)
            .filter_map(|at| given.get(&format!("{prefix}text_value{at}")).map(|value| (at, value.clone())));
        Self {
            header: text("status_header"),
            kind: text("status_type"),
            max_header: text("max_header"),
            max_value: text("max_value").trim().parse().ok(),
            texts: texts.collect(),
        }
    }

    /// The verdict as a share of the highest one; nothing where the message has none.
    pub(super) fn share(&self, mail: &Mail, is_virus: bool) -> Option<f64> {
        let status = field(mail, &self.header)?;
        if self.kind == "text" {
            let at = self.texts.iter().find(|(_, text)| **text == status).map(|(at, _)| *at)?;
            let (at, last) = (f64::from(u32::try_from(at).ok()?), if is_virus { 4.0 } else { 9.0 });
            return Some((at - 1.0) / last);
        }
        let max = match self.max_value {
            Some(max) => max,
            None => number(&field(mail, &self.max_header)?)?,
        };
        let value = if self.kind == "strlen" {
            f64::from(u32::try_from(status.chars().count()).ok()?)
        } else {
            number(&status)?
        };
        (max > 0.0).then(|| (value / max).clamp(0.0, 1.0))
    }
}

/// `Header` or `Header: expression`: what the first group of the expression finds in the field, or all of it.
fn field(mail: &Mail, said: &str) -> Option<String> {
    let (name, expression) = said.split_once(':').unwrap_or((said, ""));
    let value = mail.value(name.trim())?;
    let expression = expression.trim();
    if expression.is_empty() {
        return Some(value.trim().to_owned());
    }
    let compiled = matching::expression(expression, false)?;
    let mut found = compiled.create_captures();
    compiled.captures(value.as_str(), &mut found);
    let span = found.get_group(1).or_else(|| found.get_group(0))?;
    value.get(span.range()).map(|text| text.trim().to_owned())
}

fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_part = |letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '+' | '.');
    let end = text.find(|letter| !is_part(letter)).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

fn bare(address: &str) -> String {
    address.trim().trim_start_matches('<').trim_end_matches('>').to_owned()
}

/// `1d`, `2h`, `30m`, `90s` or plain seconds.
fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim().chars().next() {
        None | Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        Some('w') => 604_800,
        Some(_) => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// A number, or one with a unit like `4k`.
fn octets(text: &str) -> Option<usize> {
    let octets: crate::octets::Octets = text.parse().ok()?;
    usize::try_from(octets.0).ok()
}
