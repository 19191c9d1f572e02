//! What a notification by mail says and who gets it (RFC 5436, RFC 6068).

use super::commands::{is_field_name, one_address};
use super::words::unescape;

/// Header fields that an address of a notification may not set (RFC 5436 §2.3, RFC 6068 §7).
const FORBIDDEN: [&str; 12] = [
    "from",
    "sender",
    "to",
    "cc",
    "bcc",
    "auto-submitted",
    "received",
    "return-path",
    "message-id",
    "date",
    "subject",
    "mime-version",
];
/// How many people one notification may go to.
const MAX_RECIPIENTS: usize = 8;

/// What a `mailto:` address says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MailTo {
    /// Who is in To.
    pub(super) to: Vec<String>,
    /// Who is in Cc.
    pub(super) cc: Vec<String>,
    /// Who is in no field.
    pub(super) bcc: Vec<String>,
    /// `subject=`
    pub(super) subject: Option<String>,
    /// `body=`
    pub(super) body: Option<String>,
    /// Other fields.
    pub(super) fields: Vec<(String, String)>,
}

impl MailTo {
    /// Everybody who gets it, each once.
    pub(super) fn recipients(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for address in self.to.iter().chain(&self.cc).chain(&self.bcc) {
            if !all.iter().any(|known| known.eq_ignore_ascii_case(address)) {
                all.push(address.clone());
            }
        }
        all
    }
}

/// Whether somebody can be notified so.
pub(super) fn is_method(method: &str) -> bool {
    mail_to(method).is_some()
}

/// Reads a `mailto:` address; nothing for one that is malformed or goes to nobody.
pub(super) fn mail_to(method: &str) -> Option<MailTo> {
    let (scheme, rest) = method.split_once(':')?;
    scheme.eq_ignore_ascii_case("mailto").then_some(())?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut read = MailTo { to: addresses(path)?, ..MailTo::default() };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let name = unescaped(name)?;
        match &*name.to_ascii_lowercase() {
            "to" => read.to.extend(addresses(value)?),
            "cc" => read.cc.extend(addresses(value)?),
            "bcc" => read.bcc.extend(addresses(value)?),
            "subject" => read.subject = Some(one_line(&unescaped(value)?)),
            "body" => read.body = Some(unescaped(value)?),
            known if FORBIDDEN.contains(&known) => {}
            _ if is_field_name(&name) => read.fields.push((name, one_line(&unescaped(value)?))),
            _ => return None,
        }
    }
    let count = read.recipients().len();
    (1..=MAX_RECIPIENTS).contains(&count).then_some(read)
}

fn addresses(list: &str) -> Option<Vec<String>> {
    let parts = list.split(',').map(unescaped).collect::<Option<Vec<_>>>()?;
    parts.iter().filter(|part| !part.trim().is_empty()).map(|part| one_address(part)).collect()
}

/// Percent signs undone; nothing where one is followed by no digits, or the text is no UTF-8.
fn unescaped(text: &str) -> Option<String> {
    let mut marks = text.match_indices('%');
    let is_whole = marks.all(|(at, _)| {
        text.get(at + 1..at + 3).is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    is_whole.then_some(())?;
    let mut out = Vec::new();
    unescape(text.as_bytes(), b'%', false, &mut out);
    String::from_utf8(out).ok()
}

fn one_line(text: &str) -> String {
    text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_notifications_are_read() {
        let read = mail_to("MAILTO:ann@example.org,bob%40example.org?cc=eve@example.net&subject=a%20b%0d%0aX:%20y&body=c&from=x@example.com&X-Y=z").unwrap();
        assert_eq!(read.recipients(), ["ann@example.org", "bob@example.org", "eve@example.net"]);
        assert_eq!((read.subject.as_deref(), read.body.as_deref()), (Some("a b X: y"), Some("c")));
        assert_eq!(read.fields, [("X-Y".to_owned(), "z".to_owned())]);
        for wrong in [
            "mailto:",
            "tel:+49",
            "mailto:ann",
            "mailto:a@b.example?subject=%zz",
            "mailto:a@b.example?x",
            "x",
        ] {
            assert!(!is_method(wrong), "{wrong}");
        }
    }
}
