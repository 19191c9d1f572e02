//! The content as it goes over the wire: lines ended by CRLF, dots doubled (RFC 5321 §4.5.2).

/// Encodes a content that comes in pieces.
#[derive(Debug)]
pub(crate) struct Encoder {
    /// The last octet seen; a line feed before the first.
    last: u8,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { last: b'\n' }
    }
}

impl Encoder {
    /// Adds the next piece, encoded, to `out`.
    pub(crate) fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        for line in piece.split_inclusive(|octet| *octet == b'\n') {
            if self.last == b'\n' && line.starts_with(b".") {
                out.push(b'.');
            }
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    out.extend_from_slice(text);
                    if text.last().copied().unwrap_or(self.last) != b'\r' {
                        out.push(b'\r');
                    }
                    out.push(b'\n');
                }
                None => out.extend_from_slice(line),
            }
            self.last = line.last().copied().unwrap_or(self.last);
        }
    }

    /// Adds the end of the content to `out`.
    pub(crate) fn finish(&self, out: &mut Vec<u8>) {
        match self.last {
            b'\n' => {}
            b'\r' => out.push(b'\n'),
            _ => out.extend_from_slice(b"\r\n"),
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        for piece in pieces {
            encoder.encode(piece, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    #[test]
    fn lines_and_dots_are_encoded() {
        let check = |text: &str, expect: &str| {
            assert_eq!(String::from_utf8(encoded(&[text.as_bytes()])).unwrap(), expect, "{text:?}");
        };
        check("", ".\r\n");
        check("a\nb\n", "a\r\nb\r\n.\r\n");
        check("a\r\nb", "a\r\nb\r\n.\r\n");
        check("a\r", "a\r\n.\r\n");
        check(".\n..a\nb.\n", "..\r\n...a\r\nb.\r\n.\r\n");
        check("\n\n", "\r\n\r\n.\r\n");
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_the_text_comes_back(text in "[a.\\r\\n]{0,60}", cut in 1_usize..7) {
            let whole = encoded(&[text.as_bytes()]);
            let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
            prop_assert_eq!(&encoded(&pieces), &whole);
            // The other side: the first line that is a dot ends the data, a leading dot is taken off.
            let wire = String::from_utf8(whole).unwrap();
            let lines: Vec<&str> = wire.split("\r\n").collect();
            let end = lines.iter().position(|line| *line == ".").unwrap();
            prop_assert_eq!(end, lines.len() - 2);
            let got: String = lines[..end].iter().map(|line| format!("{}\n", line.strip_prefix('.').unwrap_or(line))).collect();
            let mut expect = text.replace("\r\n", "\n");
            // The last line is ended where it is not.
            let is_half_ended = expect.ends_with('\r');
            if is_half_ended {
                expect.pop();
            }
            if is_half_ended || (!expect.is_empty() && !expect.ends_with('\n')) {
                expect.push('\n');
            }
            prop_assert_eq!(got, expect);
        }
    }
}
