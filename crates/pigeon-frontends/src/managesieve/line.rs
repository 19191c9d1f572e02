//! Octets of a client become the words of one command, literals among them (RFC 5804 §4).
//!
//! What would leave it unclear where the next command begins ends the connection: a line end without CR, a literal
//! that waits to be invited, and whatever cannot be read before a literal.

use bytes::{Buf as _, BytesMut};

use super::reply::Refusal;

/// Most words of one command.
const MAX_WORDS: usize = 6;

pub(super) const NOT_CRLF: Refusal = Refusal::plain("Lines must end with CR LF");
const TOO_LONG: Refusal = Refusal::plain("The line is too long");
// RFC 5804 §4: literal-c2s = "{" number "+}" CRLF *OCTET
const SYNCHRONISING: Refusal = Refusal::plain("A literal of a client is written {octets+}");
const TOO_MANY: Refusal = Refusal::plain("Too many arguments");
const UNREADABLE: Refusal = Refusal::plain("The command cannot be read");

/// One word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// Letters without quotes: the command's name, or a number.
    Atom(String),
    /// A quoted string or a literal.
    Text(Vec<u8>),
}

/// What came of the octets so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Assembled {
    /// More are needed.
    More,
    /// A literal of that many octets is coming in: it has to be kept or skipped.
    Literal(u64),
    /// A whole command.
    Command(Vec<Word>),
    /// A whole command that is refused; the next one begins behind it.
    Refused(Refusal),
    /// Nobody knows where the next command begins.
    Broken(Refusal),
}

#[derive(Debug, Default)]
enum Place {
    /// In a line.
    #[default]
    Line,
    /// In front of a literal, until it is known what to do with it.
    Asked(u64),
    /// In a literal: what is missing, and what is kept of it.
    Literal(u64, Option<Vec<u8>>),
}

/// Puts commands together.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    words: Vec<Word>,
    refused: Option<Refusal>,
    place: Place,
    is_begun: bool,
}

impl Assembler {
    /// Whether a part of a command is there.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// The words so far, while it is asked about a literal.
    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    /// Keeps the literal that was asked about.
    pub(super) fn keep(&mut self) {
        if let Place::Asked(octets) = self.place {
            self.place = Place::Literal(octets, Some(Vec::new()));
        }
    }

    /// Throws the literal away that was asked about, and refuses its command when it is whole.
    pub(super) fn skip(&mut self, refusal: Refusal) {
        if let Place::Asked(octets) = self.place {
            self.refused.get_or_insert(refusal);
            self.place = Place::Literal(octets, None);
        }
    }

    /// Takes octets from the front of the input, up to the end of a command at most.
    pub(super) fn take(&mut self, input: &mut BytesMut, line_octets: usize) -> Assembled {
        loop {
            self.is_begun |= !input.is_empty();
            match &mut self.place {
                Place::Asked(octets) => return Assembled::Literal(*octets),
                Place::Literal(missing, kept) => {
                    let count = usize::try_from(*missing).unwrap_or(usize::MAX).min(input.len());
                    if let Some(kept) = kept {
                        kept.extend(input.iter().take(count));
                    }
                    input.advance(count);
                    *missing -= count as u64;
                    if *missing > 0 {
                        return Assembled::More;
                    }
                    self.words.push(Word::Text(kept.take().unwrap_or_default()));
                    self.place = Place::Line;
                }
                Place::Line => match self.line(input, line_octets) {
                    Assembled::Literal(octets) => self.place = Place::Asked(octets),
                    assembled => return assembled,
                },
            }
        }
    }

    fn line(&mut self, input: &mut BytesMut, line_octets: usize) -> Assembled {
        let Some(feed) = memchr::memchr(b'\n', input) else {
            return if input.len() < line_octets { Assembled::More } else { Assembled::Broken(TOO_LONG) };
        };
        if feed >= line_octets {
            return Assembled::Broken(TOO_LONG);
        }
        let line = input.split_to(feed + 1);
        let Some(line) = line.strip_suffix(b"\r\n") else { return Assembled::Broken(NOT_CRLF) };
        match self.read(line) {
            Ok(Some(octets)) => Assembled::Literal(octets),
            Ok(None) => self.end(),
            Err(refusal) if refusal == SYNCHRONISING => Assembled::Broken(refusal),
            // The octets of a literal may follow.
            Err(_) if line.contains(&b'{') => Assembled::Broken(UNREADABLE),
            Err(refusal) => {
                self.refused.get_or_insert(refusal);
                self.end()
            }
        }
    }

    fn end(&mut self) -> Assembled {
        let whole = std::mem::take(self);
        match whole.refused {
            Some(refusal) => Assembled::Refused(refusal),
            None => Assembled::Command(whole.words),
        }
    }

    /// Reads the words of a line, or of what follows a literal; the octets of the literal at its end, if there is one.
    fn read(&mut self, line: &[u8]) -> Result<Option<u64>, Refusal> {
        let mut rest = line;
        // Behind a literal there is a space or the end of the line.
        let mut is_separate = self.words.is_empty();
        while !rest.is_empty() {
            if !is_separate {
                rest = rest.strip_prefix(b" ").ok_or(UNREADABLE)?;
            }
            is_separate = false;
            if self.words.len() >= MAX_WORDS {
                return Err(TOO_MANY);
            }
            match rest.first() {
                Some(b'"') => {
                    let (text, behind) = quoted(rest).ok_or(UNREADABLE)?;
                    self.words.push(Word::Text(text));
                    rest = behind;
                }
                Some(b'{') => return literal(rest).map(Some),
                _ => {
                    let is_atom = |octet: &u8| octet.is_ascii_graphic() && !b"\"{}()\\".contains(octet);
                    let end = rest.iter().position(|octet| !is_atom(octet)).unwrap_or(rest.len());
                    let (atom, behind) = rest.split_at_checked(end).ok_or(UNREADABLE)?;
                    if atom.is_empty() {
                        return Err(UNREADABLE);
                    }
                    self.words.push(Word::Atom(String::from_utf8_lossy(atom).into_owned()));
                    rest = behind;
                }
            }
        }
        Ok(None)
    }
}

/// A quoted string at the front, and what is behind it.
fn quoted(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut text = Vec::new();
    let mut octets = line.iter().enumerate().skip(1);
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => return Some((text, line.get(at + 1..)?)),
            // RFC 5804 §4: QUOTED-SPECIALS = DQUOTE / "\"
            b'\\' => match octets.next()? {
                (_, special @ (b'"' | b'\\')) => text.push(*special),
                _ => return None,
            },
            0 | b'\r' => return None,
            octet => text.push(*octet),
        }
    }
    None
}

/// The octets of a literal, which ends the line.
fn literal(rest: &[u8]) -> Result<u64, Refusal> {
    let number = rest.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).ok_or(UNREADABLE)?;
    let digits = number.strip_suffix(b"+").ok_or(SYNCHRONISING)?;
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| is_number).ok_or(UNREADABLE)?;
    digits.parse().map_err(|_| UNREADABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(octets: &[u8], piece: usize) -> Vec<Assembled> {
        let mut assembler = Assembler::default();
        let mut input = BytesMut::new();
        let mut seen = Vec::new();
        for piece in octets.chunks(piece) {
            input.extend_from_slice(piece);
            loop {
                match assembler.take(&mut input, 60) {
                    Assembled::More => break,
                    Assembled::Literal(octets) if octets > 10 => assembler.skip(TOO_MANY),
                    Assembled::Literal(_) => assembler.keep(),
                    broken @ Assembled::Broken(_) => {
                        seen.push(broken);
                        return seen;
                    }
                    other => seen.push(other),
                }
            }
        }
        seen
    }

    fn words(words: &[&str]) -> Assembled {
        let word = |word: &&str| match word.strip_prefix('"') {
            Some(text) => Word::Text(text.as_bytes().to_vec()),
            None => Word::Atom((*word).to_owned()),
        };
        Assembled::Command(words.iter().map(word).collect())
    }

    #[test]
    fn commands_are_words_however_they_are_cut() {
        let check = |octets: &[u8], expect: &[Assembled]| {
            for piece in [1, 2, 3, 7, 1000] {
                assert_eq!(assemble(octets, piece), expect, "{} by {piece}", octets.escape_ascii());
            }
        };
        check(b"NOOP\r\nLogout\r\n", &[words(&["NOOP"]), words(&["Logout"])]);
        check(b"\r\n", &[words(&[])]);
        check(br#"A "b \"c\" \\d" "" 12"#, &[]);
        check(b"A \"b \\\"c\\\" \\\\d\" \"\" 12\r\n", &[words(&["A", "\"b \"c\" \\d", "\"", "12"])]);
        check(b"P {3+}\r\na\r\n {0+}\r\n\r\nB\r\n", &[words(&["P", "\"a\r\n", "\""]), words(&["B"])]);
        check(b"{4+}\r\nNOOP\r\n", &[words(&["\"NOOP"])]);
        check(b"P {11+}\r\nLOGOUT\r\n123 \"x\"\r\nB\r\n", &[Assembled::Refused(TOO_MANY), words(&["B"])]);
        check(b"A b c d e f g\r\nB\r\n", &[Assembled::Refused(TOO_MANY), words(&["B"])]);
        for line in [
            "A  b",
            "A ",
            " A",
            "A \"b",
            "A \"b\\c\"",
            "A \"b\"c",
            "A (b)",
            "A \"\0\"",
            "A b\u{e9}",
            "A \"b\r\"",
        ] {
            let octets = format!("{line}\r\nB\r\n");
            check(octets.as_bytes(), &[Assembled::Refused(UNREADABLE), words(&["B"])]);
        }
    }

    #[test]
    fn what_leaves_the_next_command_unclear_ends_the_connection() {
        let check = |octets: &str, expect: Refusal| {
            for piece in [1, 5, 1000] {
                let seen = assemble(octets.as_bytes(), piece);
                assert_eq!(seen, [Assembled::Broken(expect)], "{octets:?} by {piece}");
            }
        };
        check("A\nB\r\n", NOT_CRLF);
        check("A {3}\r\nabc\r\n", SYNCHRONISING);
        check("A b) {3+}\r\nabc\r\n", UNREADABLE);
        check("A {3+} \r\nabc\r\n", UNREADABLE);
        check("A {99999999999999999999+}\r\nabc\r\n", UNREADABLE);
        check("A \"b {3+}\r\nabc\r\n", UNREADABLE);
        check("A {3+}\r\nabc{3+}\r\nabc\r\n", UNREADABLE);
        check(&format!("{}\r\n", "a".repeat(60)), TOO_LONG);
        check(&"a".repeat(60), TOO_LONG);
    }
}
