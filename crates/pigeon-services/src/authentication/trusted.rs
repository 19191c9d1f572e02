//! What others have found out: the Authentication-Results fields of the site's own mail server.
//!
//! Source: RFC 8601 §2.2 (the grammar) and §5 (which fields may be believed).

use pigeon_core::message::Message;

use super::findings::{Findings, Policy, Signature, Verdict};

/// The field's name.
pub(super) const FIELD: &str = "Authentication-Results";
/// How many of these fields are read.
const MAX_FIELDS: usize = 20;

/// One field, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Results {
    pub(super) authserv_id: String,
    pub(super) methods: Vec<Method>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Method {
    pub(super) name: String,
    result: String,
    /// Names in lower case with their values, those of comments such as `(p=reject)` too.
    properties: Vec<(String, String)>,
}

impl Method {
    fn property(&self, names: &[&str]) -> Option<&str> {
        let found = self.properties.iter().find(|(name, _)| names.contains(&name.as_str()));
        found.map(|(_, value)| value.as_str())
    }
}

/// The findings of the first trusted field for each method; nothing if there is no trusted field.
pub(super) fn read(message: &Message, trusted: &[String]) -> Option<Findings> {
    let is_trusted = |id: &str| trusted.iter().any(|name| name.eq_ignore_ascii_case(id));
    let fields = message.fields().filter(|field| field.name.eq_ignore_ascii_case(FIELD)).take(MAX_FIELDS);
    let known: Vec<Results> = fields
        .filter_map(|field| parse(&field.value()))
        .filter(|results| is_trusted(&results.authserv_id))
        .collect();
    let told_by = Some(known.first()?.authserv_id.clone());
    // The topmost field that speaks of a method counts: it was added last.
    let all = |name: &str| -> Vec<&Method> {
        let of = |results: &'_ Results| results.methods.iter().any(|method| method.name == name);
        let Some(results) = known.iter().find(|results| of(results)) else { return Vec::new() };
        results.methods.iter().filter(|method| method.name == name).collect()
    };
    let one =
        |name: &str| all(name).first().and_then(|method| Verdict::parse(&method.result)).unwrap_or_default();
    let dmarc = all("dmarc");
    let policy = dmarc.first().and_then(|method| {
        method
            .property(&["policy.dmarc", "policy.published-domain-policy", "policy", "p"])
            .and_then(Policy::parse)
    });
    let from = dmarc.first().and_then(|method| method.property(&["header.from"])).unwrap_or_default();
    let dkim = all("dkim").into_iter().map(|method| Signature {
        verdict: Verdict::parse(&method.result).unwrap_or_default(),
        domain: domain_of(method.property(&["header.d", "header.i"]).unwrap_or_default()),
        selector: method.property(&["header.s"]).unwrap_or_default().to_owned(),
        why: String::new(),
    });
    Some(Findings {
        told_by,
        spf: one("spf"),
        dkim: dkim.collect(),
        dmarc: one("dmarc"),
        policy: policy.unwrap_or_default(),
        arc: one("arc"),
        from_domain: domain_of(from),
        ..Findings::default()
    })
}

fn domain_of(text: &str) -> String {
    text.rsplit('@').next().unwrap_or_default().to_ascii_lowercase()
}

/// Reads a field's value; nothing where even its first word is missing.
pub(super) fn parse(value: &str) -> Option<Results> {
    let mut parts = split(value).into_iter();
    let first = parts.next()?;
    // A version may stand behind the identifier.
    let authserv_id = first.words.first()?.clone();
    let methods = parts.filter_map(|part| {
        let mut pairs = part.words.iter().chain(&part.comments).filter_map(|word| word.split_once('='));
        let (name, result) = pairs.next()?;
        let name = name.split('/').next().unwrap_or(name).trim().to_ascii_lowercase();
        let properties = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Some(Method { name, result: result.to_owned(), properties })
    });
    Some(Results { authserv_id, methods: methods.collect() })
}

#[derive(Default)]
struct Part {
    words: Vec<String>,
    comments: Vec<String>,
}

/// Cuts a value at its semicolons, and each part into words: quotes are undone, comments are set apart.
fn split(value: &str) -> Vec<Part> {
    let (mut parts, mut word) = (vec![Part::default()], String::new());
    let (mut depth, mut is_quoted) = (0_u32, false);
    let mut letters = value.chars();
    // A last blank ends the last word.
    let next = |letters: &mut std::str::Chars<'_>| letters.next();
    while let Some(letter) = next(&mut letters) {
        let is_end = !is_quoted && (letter.is_whitespace() || matches!(letter, ';' | '(' | ')'));
        if is_end {
            end_word(&mut parts, &mut word, depth > 0);
        }
        match letter {
            '\\' if is_quoted || depth > 0 => word.extend(letters.next()),
            '"' if depth == 0 => is_quoted = !is_quoted,
            _ if is_quoted => word.push(letter),
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ';' if depth == 0 => parts.push(Part::default()),
            _ if is_end => {}
            _ => word.push(letter),
        }
    }
    end_word(&mut parts, &mut word, depth > 0);
    parts
}

fn end_word(parts: &mut [Part], word: &mut String, is_comment: bool) {
    if let (Some(part), false) = (parts.last_mut(), word.is_empty()) {
        let list = if is_comment { &mut part.comments } else { &mut part.words };
        list.push(std::mem::take(word));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(fields: &[&str]) -> Option<String> {
        let head: String = fields.iter().map(|value| format!("{FIELD}: {value}\n")).collect();
        read(&Message::from_bytes(format!("{head}\n")), &["mx.example.org".to_owned()])
            .map(|found| found.summary())
    }

    #[test]
    fn trusted_fields_are_read() {
        let check = |fields: &[&str], expect: &str| {
            let expect = (!expect.is_empty()).then(|| format!("{expect}, as mx.example.org says"));
            assert_eq!(
                found(fields).map(|text| text.replace("MX.Example.org", "mx.example.org")),
                expect,
                "{fields:?}"
            );
        };
        let all = "mx.example.org; spf=pass smtp.mailfrom=a@example.net; dkim=pass (2048-bit key; unprotected) \
                   header.d=example.net header.s=x; dmarc=fail (p=reject dis=none) header.from=example.net; arc=pass";
        check(&[all], "spf=pass dkim=pass dmarc=fail (p=reject) arc=pass");
        check(&["MX.Example.org 1; spf=softfail"], "spf=softfail dkim=none dmarc=none (p=none) arc=none");
        check(&["mx.example.org; none"], "spf=none dkim=none dmarc=none (p=none) arc=none");
        check(&["other.example; spf=pass", "mx.example.org.evil.example; spf=pass"], "");
        // Milters write a field each; the topmost of a method counts.
        check(
            &[
                "mx.example.org; dmarc=pass (policy=quarantine)",
                "mx.example.org; spf=fail",
                "mx.example.org; spf=pass",
            ],
            "spf=fail dkim=none dmarc=pass (p=quarantine) arc=none",
        );
        check(
            &[
                "mx.example.org; dkim=fail reason=\"a; spf=pass\" header.i=@example.net; dkim/1=pass header.i=b@x.example",
            ],
            "spf=none dkim=pass dmarc=none (p=none) arc=none",
        );
        check(
            &["mx.example.org (spf=pass); dmarc=nonsense"],
            "spf=none dkim=none dmarc=none (p=none) arc=none",
        );
    }

    proptest! {
        #[test]
        fn no_value_panics(value in "(?s).{0,200}") {
            drop(parse(&value));
        }

        #[test]
        fn quotes_and_comments_hide_methods(text in "[a-z;= ]{0,30}") {
            let results = parse(&format!("a; dkim=pass reason=\"{text}\" ({text})")).unwrap();
            prop_assert_eq!(results.methods.len(), 1);
            prop_assert_eq!(&results.methods[0].result, "pass");
        }
    }
}
