//! Finds mistakes in strings that are known before a script runs: addresses, names, dates, expressions.

use super::check::Checker;
use super::commands::{is_field_name, is_folder_name, one_address};
use super::matching::expression;
use super::moment::{PARTS, zone};
use super::notify;
use super::syntax::{Argument, Node, Text, Value};

/// The fields that `address` may look at (RFC 5228 §5.1), in lower case.
const ADDRESS_FIELDS: &[&str] = &[
    "from",
    "to",
    "cc",
    "bcc",
    "sender",
    "resent-from",
    "resent-to",
    "reply-to",
    "resent-reply-to",
    "resent-sender",
    "resent-cc",
    "resent-bcc",
    "for-approval",
    "for-handling",
    "for-comment",
    "apparently-to",
    "errors-to",
    "delivered-to",
    "return-receipt-to",
    "return-path",
    "x-admin",
    "read-receipt-to",
    "x-confirm-reading-to",
    "return-receipt-requested",
    "registered-mail-reply-requested-by",
    "mail-followup-to",
    "mail-reply-to",
    "abuse-reports-to",
    "x-complaints-to",
    "x-report-abuse-to",
    "x-beenthere",
    "x-original-from",
    "x-original-to",
    "disposition-notification-to",
    "list-post",
];
/// The parts of the envelope (RFC 5228 §5.4), in lower case.
const ENVELOPE_PARTS: &[&str] = &["from", "to", "auth", "orig_to", "orig-to"];

/// A node with its tags told apart from the arguments behind them.
pub(super) struct Said<'n> {
    /// The command or test.
    pub(super) node: &'n Node,
    /// Its tags and what follows them.
    pub(super) tags: Vec<(&'n str, Option<&'n Argument>)>,
    /// The arguments behind the tags.
    pub(super) positional: Vec<&'n Argument>,
}

impl<'n> Said<'n> {
    fn has(&self, name: &str) -> bool {
        self.tags.iter().any(|(tag, _)| *tag == name)
    }

    fn texts(&self, at: usize) -> &'n [Text] {
        self.positional.get(at).map(|argument| argument.value.texts()).unwrap_or_default()
    }

    fn tag(&self, name: &str) -> &'n [Text] {
        let found = self.tags.iter().find(|(tag, _)| *tag == name);
        found.and_then(|(_, argument)| *argument).map(|argument| argument.value.texts()).unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<u64> {
        match self.tags.iter().find(|(tag, _)| *tag == name).and_then(|(_, argument)| *argument)?.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }
}

impl Checker {
    /// Checks what a command or test says.
    pub(super) fn meaning(&mut self, said: &Said<'_>) {
        self.tags(said);
        self.matching(said);
        match &*said.node.name {
            "address" => self.each(said.texts(0), |text| {
                ADDRESS_FIELDS
                    .contains(&&*text.to_ascii_lowercase())
                    .then_some(())
                    .ok_or_else(|| format!("{text} holds no addresses"))
            }),
            "envelope" => self.each(said.texts(0), |text| {
                ENVELOPE_PARTS
                    .contains(&&*text.to_ascii_lowercase())
                    .then_some(())
                    .ok_or_else(|| format!("the envelope has no {text:?}"))
            }),
            "date" => self.date_part(said.texts(1)),
            "currentdate" => self.date_part(said.texts(0)),
            "redirect" if !said.has("list") => self.addresses(said.texts(0)),
            "fileinto" => self.folders(said.texts(0)),
            "vacation" => {
                self.addresses(said.tag("from"));
                self.own_addresses(said.tag("addresses"));
            }
            "notify" => self.notify(said),
            "set" | "extracttext" => self.variable(said.texts(0)),
            "setflag" | "addflag" | "removeflag" | "hasflag" if said.positional.len() > 1 => {
                if !self.has("variables") {
                    self.error(
                        said.node.line,
                        format!("the variable of {} needs require \"variables\"", said.node.name),
                    );
                }
                self.variable(said.texts(0));
            }
            "global" => {
                if !self.has("variables") {
                    self.error(said.node.line, "global needs require \"variables\"");
                }
                self.variable(said.texts(0));
            }
            "addheader" | "deleteheader" => self.each(said.texts(0), |text| {
                is_field_name(text)
                    .then_some(())
                    .ok_or_else(|| format!("{text:?} is no name of a header field"))
            }),
            "size" if said.tags.is_empty() => {
                self.error(said.node.line, "size takes :over or :under and a number");
            }
            _ => {}
        }
    }

    fn tags(&mut self, said: &Said<'_>) {
        let line = said.node.line;
        let has_fields = matches!(&*said.node.name, "header" | "address" | "date" | "deleteheader");
        if has_fields && said.has("last") && !said.has("index") {
            self.error(line, ":last needs :index");
        }
        if said.number("index") == Some(0) {
            self.error(line, ":index counts from 1");
        }
        let of_mime = ["anychild", "type", "subtype", "contenttype", "param"];
        if let Some(tag) = of_mime.iter().find(|tag| said.has(tag) && !said.has("mime")) {
            self.error(line, format!(":{tag} needs :mime"));
        }
        let of_copies = ["create", "flags", "specialuse", "mailboxid"];
        let is_answer = matches!(&*said.node.name, "vacation" | "notify");
        if let Some(tag) = of_copies.iter().find(|tag| is_answer && said.has(tag) && !said.has("fcc")) {
            self.error(line, format!(":{tag} needs :fcc"));
        }
        self.folders(said.tag("fcc"));
        self.each(said.tag("zone"), |text| {
            zone(text).map(drop).ok_or_else(|| format!("{text:?} is no time zone: write +0100 or the like"))
        });
    }

    fn matching(&mut self, said: &Said<'_>) {
        let is_numeric = said.tag("comparator").iter().any(|text| text.text == "i;ascii-numeric");
        if is_numeric && (said.has("contains") || said.has("matches") || said.has("regex")) {
            self.error(
                said.node.line,
                "i;ascii-numeric compares whole numbers: :is, :value or :count go with it",
            );
        }
        if said.has("regex") {
            let last = said.positional.len().saturating_sub(1);
            self.each(said.texts(last), |text| {
                expression(text, true).map(drop).ok_or_else(|| format!("{text:?} is no regular expression"))
            });
        }
    }

    fn notify(&mut self, said: &Said<'_>) {
        self.each(said.texts(0), |text| {
            notify::is_method(text)
                .then_some(())
                .ok_or_else(|| format!("{text:?} is no way to notify somebody: mailto: is"))
        });
        self.each(said.tag("importance"), |text| {
            matches!(text, "1" | "2" | "3")
                .then_some(())
                .ok_or_else(|| format!("the importance is 1, 2 or 3, not {text:?}"))
        });
        self.addresses(said.tag("from"));
    }

    /// RFC 5260 §4.2: other parts may be defined later; until then they match nothing.
    fn date_part(&mut self, texts: &[Text]) {
        for text in texts {
            let is_constant = !text.text.contains("${");
            if is_constant && !PARTS.contains(&&*text.text.to_ascii_lowercase()) {
                self.warn(text.line, format!("a date has no part {:?}", text.text));
            }
        }
    }

    /// What is none names nobody: the script works without it.
    fn own_addresses(&mut self, texts: &[Text]) {
        for text in texts {
            if !text.text.contains("${") && one_address(&text.text).is_none() {
                self.warn(text.line, format!("{:?} is no address", text.text));
            }
        }
    }

    fn addresses(&mut self, texts: &[Text]) {
        self.each(texts, |text| one_address(text).map(drop).ok_or_else(|| format!("{text:?} is no address")));
    }

    fn folders(&mut self, texts: &[Text]) {
        self.each(texts, |text| {
            is_folder_name(text).then_some(()).ok_or_else(|| format!("{text:?} is no name of a folder"))
        });
    }

    /// RFC 5229 §3: a name is an identifier; the only namespace that is written is that of RFC 6609 §3.4.
    fn variable(&mut self, texts: &[Text]) {
        for text in texts {
            let name = text.text.to_ascii_lowercase();
            let name = name.strip_prefix("global.").filter(|_| self.has("include")).unwrap_or(&name);
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let is_word = !name.is_empty()
                && name.bytes().all(is_part)
                && !name.starts_with(|l: char| l.is_ascii_digit());
            if !is_word {
                self.error(text.line, format!("{:?} is no name of a variable", text.text));
            }
        }
    }

    /// Checks the strings that hold no variables.
    fn each(&mut self, texts: &[Text], check: impl Fn(&str) -> Result<(), String>) {
        for text in texts {
            if text.text.contains("${") && self.has("variables") {
                continue;
            }
            if let Err(message) = check(&text.text) {
                self.error(text.line, message);
            }
        }
    }
}
