//! Decodes the octets behind `DATA`: finds the end, removes stuffed dots, makes line ends LF.
//!
//! It works in place: what comes out is never longer than what went in, and stands at the front of the
//! same buffer. Only the line end of the session ends a line, so a bare CR or LF is content and neither
//! ends the data nor begins a line: a message cannot smuggle commands in (RFC 5321 §2.3.8, §4.1.1.4).

use memchr::memchr_iter;

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnds {
    /// CR LF and nothing else: the rule on every socket.
    CrLf,
    /// LF: what Sendmail writes into a pipe unless its mailer says `E=\r\n`.
    Lf,
}

/// What became of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Octets that were taken from the front. A few at the end may be left until more is there to decide on.
    pub(super) consumed: usize,
    /// Octets of the message that now stand at the front.
    pub(super) produced: usize,
    /// Whether the end of the data was among those consumed.
    pub(super) is_complete: bool,
}

/// Decodes one message, buffer by buffer.
#[derive(Debug)]
pub(super) struct DataDecoder {
    ends: LineEnds,
    is_line_start: bool,
}

/// What stands at the beginning of a line.
enum Start {
    End,
    Stuffed,
    Text,
    Undecided,
}

impl DataDecoder {
    pub(super) fn new(ends: LineEnds) -> Self {
        Self { ends, is_line_start: true }
    }

    /// Decodes what the buffer has. Octets left over must be at the front of the next buffer.
    pub(super) fn decode(&mut self, buffer: &mut [u8]) -> Decoded {
        let mut decoded = Decoded { consumed: 0, produced: 0, is_complete: false };
        while let Some(rest) = buffer.get(decoded.consumed..).filter(|rest| !rest.is_empty()) {
            if self.is_line_start {
                match self.start(rest) {
                    Start::Undecided => break,
                    Start::End => {
                        decoded.consumed += if self.ends == LineEnds::CrLf { 3 } else { 2 };
                        decoded.is_complete = true;
                        break;
                    }
                    // RFC 5321 §4.5.2: the first period of a line with other characters is removed.
                    Start::Stuffed => decoded.consumed += 1,
                    Start::Text => {}
                }
                self.is_line_start = false;
            }
            if !self.line(buffer, &mut decoded) {
                break;
            }
        }
        decoded
    }

    fn start(&self, rest: &[u8]) -> Start {
        match (self.ends, rest) {
            (LineEnds::CrLf, [b'.', b'\r', b'\n', ..]) | (LineEnds::Lf, [b'.', b'\n', ..]) => Start::End,
            (LineEnds::CrLf, [b'.', b'\r']) | (_, [b'.']) => Start::Undecided,
            (_, [b'.', ..]) => Start::Stuffed,
            _ => Start::Text,
        }
    }

    /// Moves the rest of a line to the front; false when more octets are needed for its end.
    fn line(&mut self, buffer: &mut [u8], decoded: &mut Decoded) -> bool {
        let rest = buffer.get(decoded.consumed..).unwrap_or_default();
        let end = match self.ends {
            LineEnds::Lf => memchr::memchr(b'\n', rest),
            LineEnds::CrLf => find_crlf(rest),
        };
        let text = match (end, self.ends) {
            (Some(end), _) => end,
            // A CR at the end may be half of a line end.
            (None, LineEnds::CrLf) if rest.ends_with(b"\r") => rest.len() - 1,
            (None, _) => rest.len(),
        };
        buffer.copy_within(decoded.consumed..decoded.consumed + text, decoded.produced);
        decoded.consumed += text;
        decoded.produced += text;
        if end.is_none() {
            return false;
        }
        if let Some(place) = buffer.get_mut(decoded.produced) {
            *place = b'\n';
        }
        decoded.produced += 1;
        decoded.consumed += if self.ends == LineEnds::CrLf { 2 } else { 1 };
        self.is_line_start = true;
        true
    }
}

/// Where the CR of the first CR LF is.
fn find_crlf(bytes: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', bytes).find_map(|at| at.checked_sub(1).filter(|cr| bytes.get(*cr) == Some(&b'\r')))
}

/// Makes the line ends of `BDAT` chunks LF. A CR LF may be cut in two by the border of chunks.
#[derive(Debug, Default)]
pub(super) struct ChunkDecoder {
    holds_cr: bool,
}

impl ChunkDecoder {
    /// Decodes a whole buffer in place; returns what stands before it, and its new length.
    pub(super) fn decode(&mut self, buffer: &mut [u8]) -> (&'static [u8], usize) {
        if buffer.is_empty() {
            return (b"", 0);
        }
        let before: &[u8] = if self.holds_cr && !buffer.starts_with(b"\n") { b"\r" } else { b"" };
        self.holds_cr = buffer.ends_with(b"\r");
        let mut decoded = Decoded { consumed: 0, produced: 0, is_complete: false };
        let mut lines = DataDecoder { ends: LineEnds::CrLf, is_line_start: false };
        while lines.line(buffer, &mut decoded) {}
        (before, decoded.produced)
    }

    /// What is left when the last chunk is in.
    pub(super) fn finish(&self) -> &'static [u8] {
        if self.holds_cr { b"\r" } else { b"" }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule again, octet by octet and slowly: the message, and what follows its end.
    fn reference(input: &[u8]) -> Option<(Vec<u8>, &[u8])> {
        let mut at = 0;
        let mut out = Vec::new();
        let mut is_line_start = true;
        while at < input.len() {
            let rest = &input[at..];
            if is_line_start && rest.starts_with(b".\r\n") {
                return Some((out, &rest[3..]));
            }
            if is_line_start && rest[0] == b'.' {
                is_line_start = false;
                at += 1;
            } else if rest.starts_with(b"\r\n") {
                out.push(b'\n');
                is_line_start = true;
                at += 2;
            } else {
                out.push(rest[0]);
                is_line_start = false;
                at += 1;
            }
        }
        None
    }

    /// Feeds pieces as a connection does: what is left over goes before the next piece.
    fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>, ends: LineEnds) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut decoder = DataDecoder::new(ends);
        let (mut out, mut buffer, mut complete) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            buffer.extend_from_slice(piece);
            if complete {
                continue;
            }
            let decoded = decoder.decode(&mut buffer);
            assert!(decoded.produced <= decoded.consumed && decoded.consumed <= buffer.len());
            out.extend_from_slice(&buffer[..decoded.produced]);
            buffer.drain(..decoded.consumed);
            complete = decoded.is_complete;
            assert!(complete || buffer.len() <= 2, "only an undecided end is left: {buffer:?}");
        }
        complete.then_some((out, buffer))
    }

    fn check(input: &str, expect: Option<(&str, &str)>) {
        let got = decode([input.as_bytes()].into_iter(), LineEnds::CrLf);
        let got = got.map(|(out, rest)| (String::from_utf8(out).unwrap(), String::from_utf8(rest).unwrap()));
        let got = got.as_ref().map(|(out, rest)| (out.as_str(), rest.as_str()));
        assert_eq!(got, expect, "{input:?}");
    }

    #[test]
    fn the_end_is_a_dot_on_a_line_of_its_own() {
        check(".\r\n", Some(("", "")));
        check("a\r\n.\r\nQUIT\r\n", Some(("a\n", "QUIT\r\n")));
        check("a\r\n", None);
        check("a\r\n.", None);
        check("a\r\n.\r", None);
    }

    #[test]
    fn stuffed_dots_are_removed_once() {
        check("..\r\n..a\r\n.b\r\na.b\r\n.\r\n", Some((".\n.a\nb\na.b\n", "")));
        check("...\r\n.\r\n", Some(("..\n", "")));
    }

    #[test]
    fn bare_cr_and_lf_neither_end_lines_nor_data() {
        check("a\n.\nb\r\n.\r\n", Some(("a\n.\nb\n", "")));
        check("a\n.\r\nb\r\n.\r\n", Some(("a\n.\nb\n", "")));
        check("a\r.\rb\r\n.\r\n", Some(("a\r.\rb\n", "")));
        check("a\r\n.\rb\r\n.\r\n", Some(("a\n\rb\n", "")));
        check("a\r\n.\nb\r\n.\r\n", Some(("a\n\nb\n", "")));
        check("a\r\r\n.\r\n", Some(("a\r\n", "")));
        check("a\r.\r\nb\r\n.\r\n", Some(("a\r.\nb\n", "")));
    }

    #[test]
    fn lf_sessions_end_lines_with_lf() {
        let check = |input: &str, out: &str, rest: &str| {
            let got = decode([input.as_bytes()].into_iter(), LineEnds::Lf);
            assert_eq!(got, Some((out.as_bytes().to_vec(), rest.as_bytes().to_vec())), "{input:?}");
        };
        check("a\n..b\n.\nQUIT\n", "a\n.b\n", "QUIT\n");
        check("a\r\n.\r\nb\n.\n", "a\r\n\r\nb\n", "");
        assert_eq!(decode([b"a\n.".as_slice()].into_iter(), LineEnds::Lf), None);
    }

    fn noise() -> impl Strategy<Value = Vec<u8>> {
        let octet = prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), Just(0), Just(0xff)];
        prop::collection::vec(octet, 0..60)
    }

    proptest! {
        #[test]
        fn any_split_decodes_as_the_reference(input in noise(), cut in 1_usize..9) {
            let expect = reference(&input).map(|(out, rest)| (out, rest.to_vec()));
            prop_assert_eq!(decode(input.chunks(cut), LineEnds::CrLf), expect);
        }

        #[test]
        fn chunks_of_any_size_make_the_same_lines(input in noise(), cut in 1_usize..9) {
            let mut decoder = ChunkDecoder::default();
            let mut out = Vec::new();
            for piece in input.chunks(cut) {
                let mut buffer = piece.to_vec();
                let (before, length) = decoder.decode(&mut buffer);
                out.extend_from_slice(before);
                out.extend_from_slice(&buffer[..length]);
            }
            out.extend_from_slice(decoder.finish());
            let mut rest = input.as_slice();
            let mut expect = Vec::new();
            while let [octet, tail @ ..] = rest {
                let is_end = rest.starts_with(b"\r\n");
                expect.push(if is_end { b'\n' } else { *octet });
                rest = if is_end { &rest[2..] } else { tail };
            }
            prop_assert_eq!(out, expect);
        }
    }
}
