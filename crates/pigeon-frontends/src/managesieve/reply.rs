//! Writes responses into the buffer that goes out with the next flush (RFC 5804 §1.2, §1.3, §4).

/// Longest quoted string in octets; longer ones are sent as literals.
const MAX_QUOTED: usize = 1024;

/// A response code (RFC 5804 §1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    AuthTooWeak,
    EncryptNeeded,
    QuotaMaxScripts,
    QuotaMaxSize,
    TryLater,
    Active,
    NonExistent,
    AlreadyExists,
    Warnings,
}

impl Code {
    const fn name(self) -> &'static str {
        match self {
            Self::AuthTooWeak => "AUTH-TOO-WEAK",
            Self::EncryptNeeded => "ENCRYPT-NEEDED",
            Self::QuotaMaxScripts => "QUOTA/MAXSCRIPTS",
            Self::QuotaMaxSize => "QUOTA/MAXSIZE",
            Self::TryLater => "TRYLATER",
            Self::Active => "ACTIVE",
            Self::NonExistent => "NONEXISTENT",
            Self::AlreadyExists => "ALREADYEXISTS",
            Self::Warnings => "WARNINGS",
        }
    }
}

/// A fixed `NO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Option<Code>,
    pub(super) text: &'static str,
}

impl Refusal {
    pub(super) const fn plain(text: &'static str) -> Self {
        Self { code: None, text }
    }

    pub(super) const fn coded(code: Code, text: &'static str) -> Self {
        Self { code: Some(code), text }
    }
}

/// Responses that are not sent yet.
#[derive(Debug, Default)]
pub(super) struct Replies {
    octets: Vec<u8>,
}

impl Replies {
    /// What is to be sent.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// Forgets what was sent; a large buffer is given back.
    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.octets.shrink_to(4096);
    }

    pub(super) fn ok(&mut self, text: &str) {
        self.finish("OK", None, text);
    }

    pub(super) fn ok_with(&mut self, code: Code, text: &str) {
        self.finish("OK", Some(code), text);
    }

    /// `OK` with a response code that carries a string.
    pub(super) fn ok_carrying(&mut self, code: &str, string: &[u8], text: &str) {
        self.raw("OK (");
        self.raw(code);
        self.raw(" ");
        self.string(string);
        self.raw(") ");
        self.string(text.as_bytes());
        self.raw("\r\n");
    }

    pub(super) fn no(&mut self, code: Option<Code>, text: &str) {
        self.finish("NO", code, text);
    }

    pub(super) fn refuse(&mut self, refusal: &Refusal) {
        self.no(refusal.code, refusal.text);
    }

    pub(super) fn bye(&mut self, code: Option<Code>, text: &str) {
        self.finish("BYE", code, text);
    }

    fn finish(&mut self, word: &str, code: Option<Code>, text: &str) {
        self.raw(word);
        if let Some(code) = code {
            self.raw(" (");
            self.raw(code.name());
            self.raw(")");
        }
        if !text.is_empty() {
            self.raw(" ");
            self.string(text.as_bytes());
        }
        self.raw("\r\n");
    }

    /// A line of strings, the last word without quotes where it is some.
    pub(super) fn line(&mut self, strings: &[&str], word: Option<&str>) {
        for (place, string) in strings.iter().enumerate() {
            if place > 0 {
                self.raw(" ");
            }
            self.string(string.as_bytes());
        }
        if let Some(word) = word {
            self.raw(" ");
            self.raw(word);
        }
        self.raw("\r\n");
    }

    /// A string, as a literal.
    pub(super) fn literal(&mut self, string: &[u8]) {
        self.raw(&format!("{{{}}}\r\n", string.len()));
        self.octets.extend_from_slice(string);
        self.raw("\r\n");
    }

    fn string(&mut self, string: &[u8]) {
        let is_quotable = string.len() <= MAX_QUOTED
            && !string.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n'))
            && std::str::from_utf8(string).is_ok();
        if !is_quotable {
            self.raw(&format!("{{{}}}\r\n", string.len()));
            self.octets.extend_from_slice(string);
            return;
        }
        self.octets.push(b'"');
        for octet in string {
            if matches!(octet, b'"' | b'\\') {
                self.octets.push(b'\\');
            }
            self.octets.push(*octet);
        }
        self.octets.push(b'"');
    }

    fn raw(&mut self, text: &str) {
        self.octets.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_or_literals() {
        let check = |text: &str, expect: &str| {
            let mut replies = Replies::default();
            replies.no(Some(Code::TryLater), text);
            assert_eq!(String::from_utf8_lossy(replies.octets()), expect);
        };
        check("a", "NO (TRYLATER) \"a\"\r\n");
        check("", "NO (TRYLATER)\r\n");
        check("say \"é\" \\", "NO (TRYLATER) \"say \\\"é\\\" \\\\\"\r\n");
        check("a\nb", "NO (TRYLATER) {3}\r\na\nb\r\n");
        let long = "x".repeat(1025);
        check(&long, &format!("NO (TRYLATER) {{1025}}\r\n{long}\r\n"));
    }
}
