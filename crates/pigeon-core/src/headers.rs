//! Header fields: reading them without parsing the body, and a recipient's private edits of them.
//!
//! Source: RFC 5322 §2.2 (fields, folding). Fields that break the grammar are kept as they are.

use bytes::{BufMut, Bytes, BytesMut};
use memchr::memchr_iter;

/// One field of a header block, as it stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written.
    pub name: &'a str,
    /// Everything after the colon, folding and the last line end included.
    pub raw_value: &'a [u8],
    /// The whole field, name and line ends included.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// The value with folding undone and white space trimmed; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn value(&self) -> String {
        let mut text = String::from_utf8_lossy(self.raw_value).into_owned();
        text.retain(|letter| letter != '\r' && letter != '\n');
        text.trim().to_owned()
    }
}

/// The fields of a header block, in order. Lines that are no field (no colon, a blank in the name) are left out.
pub fn fields(head: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = head;
    std::iter::from_fn(move || {
        loop {
            let (raw, after) = next_field(rest)?;
            rest = after;
            if let Some(field) = split_field(raw) {
                return Some(field);
            }
        }
    })
}

/// Cuts one line with its continuation lines off the front; nothing at the blank line or the end.
fn next_field(block: &[u8]) -> Option<(&[u8], &[u8])> {
    // A CR alone at the end would become a blank line if a line end and a field were put behind it.
    if block.is_empty() || block == b"\r" || block.starts_with(b"\n") || block.starts_with(b"\r\n") {
        return None;
    }
    let end = memchr_iter(b'\n', block)
        .find(|at| !matches!(block.get(at + 1), Some(b' ' | b'\t')))
        .map_or(block.len(), |at| at + 1);
    block.split_at_checked(end)
}

fn split_field(raw: &[u8]) -> Option<Field<'_>> {
    let colon = memchr::memchr(b':', raw)?;
    let (name, rest) = raw.split_at_checked(colon)?;
    // RFC 5322 §4.5 (obsolete): white space may stand before the colon.
    let name = std::str::from_utf8(name).ok()?.trim_end_matches([' ', '\t']);
    let is_name = !name.is_empty() && name.bytes().all(|b| (33..=126).contains(&b));
    is_name.then_some(Field { name, raw_value: rest.get(1..)?, raw })
}

/// The first field of that name (case does not matter).
#[must_use]
pub fn find<'a>(head: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(head).find(|field| field.name.eq_ignore_ascii_case(name))
}

/// One change of the header for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Edit {
    Remove(String),
    RemoveField(Bytes),
    Append(Bytes),
}

/// A recipient's edits of the header: the shared message itself never changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    prepended: Vec<Bytes>,
    edits: Vec<Edit>,
}

impl HeaderEdits {
    /// No edits.
    #[must_use]
    pub const fn new() -> Self {
        Self { prepended: Vec::new(), edits: Vec::new() }
    }

    /// Puts a field on top of the header; the last one prepended stands first.
    pub fn prepend(&mut self, name: &str, value: &str) {
        self.prepended.push(field_line(name, value));
    }

    /// Puts a field at the end of the header.
    pub fn append(&mut self, name: &str, value: &str) {
        self.edits.push(Edit::Append(field_line(name, value)));
    }

    /// Takes out every field of that name, those added so far included.
    pub fn remove(&mut self, name: &str) {
        let is_it =
            |line: &Bytes| split_field(line).is_some_and(|field| field.name.eq_ignore_ascii_case(name));
        self.prepended.retain(|line| !is_it(line));
        self.edits.retain(|edit| !matches!(edit, Edit::Append(line) if is_it(line)));
        self.edits.push(Edit::Remove(name.to_owned()));
    }

    /// Takes out the fields of the message that stand there exactly like this ([`Field::raw`]), and no others.
    pub fn remove_field(&mut self, raw: &[u8]) {
        self.edits.push(Edit::RemoveField(Bytes::copy_from_slice(raw)));
    }

    /// Takes out every field of that name and puts one in their place at the end.
    pub fn replace(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.append(name, value);
    }

    /// Whether nothing is edited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prepended.is_empty() && self.edits.is_empty()
    }

    /// The header as this recipient sees it: the lines to put before, and the block itself where it changed.
    #[must_use]
    pub fn render(&self, head: &Bytes) -> RenderedHead {
        let mut prefix = BytesMut::new();
        for line in self.prepended.iter().rev() {
            prefix.put_slice(line);
        }
        let prefix = prefix.freeze();
        if self.edits.is_empty() {
            return RenderedHead { prefix, head: head.clone() };
        }
        RenderedHead { prefix, head: self.rewrite(head) }
    }

    fn rewrite(&self, head: &Bytes) -> Bytes {
        let mut block = BytesMut::with_capacity(head.len() + 256);
        let mut rest: &[u8] = head;
        while let Some((raw, after)) = next_field(rest) {
            rest = after;
            let is_removed = split_field(raw).is_some_and(|field| self.removes(&field));
            if !is_removed {
                block.put_slice(raw);
            }
        }
        if !block.is_empty() && !block.ends_with(b"\n") {
            block.put_u8(b'\n');
        }
        for edit in &self.edits {
            if let Edit::Append(line) = edit {
                block.put_slice(line);
            }
        }
        block.put_slice(rest);
        block.freeze()
    }

    fn removes(&self, field: &Field<'_>) -> bool {
        self.edits.iter().any(|edit| match edit {
            Edit::Remove(name) => name.eq_ignore_ascii_case(field.name),
            Edit::RemoveField(raw) => raw == field.raw,
            Edit::Append(_) => false,
        })
    }
}

/// What stands before the body for one recipient: `prefix`, then `head` (which ends with the blank line).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RenderedHead {
    /// Lines before the message's own header.
    pub prefix: Bytes,
    /// The message's own header, edited where it had to be; the very same buffer where not.
    pub head: Bytes,
}

/// Makes `Name: value` with a line end. Line breaks in the value are folded, so that no value can add a
/// field of its own; characters that may not stand in a name are left out.
fn field_line(name: &str, value: &str) -> Bytes {
    let mut line = BytesMut::with_capacity(name.len() + value.len() + 3);
    line.extend(name.bytes().filter(|b| (33..=126).contains(b) && *b != b':'));
    line.put_slice(b": ");
    let mut parts = value.split(['\r', '\n']).map(str::trim_end).filter(|part| !part.trim().is_empty());
    if let Some(first) = parts.next() {
        line.put_slice(first.trim_start().as_bytes());
    }
    for part in parts {
        line.put_slice(b"\n ");
        line.put_slice(part.trim_start().as_bytes());
    }
    line.put_u8(b'\n');
    line.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &[u8] =
        b"From: a@example.org\nSubject: one\n two\nreceived : x\nnonsense\nX-A: 1\nX-A: 2\n\n";

    #[test]
    fn fields_are_read_with_folding_and_without_nonsense() {
        let got: Vec<(String, String)> =
            fields(HEAD).map(|field| (field.name.to_owned(), field.value())).collect();
        let expect = [
            ("From", "a@example.org"),
            ("Subject", "one two"),
            ("received", "x"),
            ("X-A", "1"),
            ("X-A", "2"),
        ];
        assert_eq!(got, expect.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(find(HEAD, "SUBJECT").unwrap().value(), "one two");
    }

    fn check(edit: impl Fn(&mut HeaderEdits), expect: &str) {
        let mut edits = HeaderEdits::default();
        edit(&mut edits);
        let rendered = edits.render(&Bytes::from_static(b"A: 1\nB: 2\n b\nA: 3\n\n"));
        let all = [rendered.prefix, rendered.head].concat();
        assert_eq!(String::from_utf8_lossy(&all), expect);
    }

    #[test]
    fn edits_are_rendered() {
        check(|_| (), "A: 1\nB: 2\n b\nA: 3\n\n");
        check(|edits| edits.prepend("X", "1"), "X: 1\nA: 1\nB: 2\n b\nA: 3\n\n");
        check(|edits| edits.append("X", "1"), "A: 1\nB: 2\n b\nA: 3\nX: 1\n\n");
        check(|edits| edits.remove("a"), "B: 2\n b\n\n");
        check(|edits| edits.replace("A", "9"), "B: 2\n b\nA: 9\n\n");
        check(|edits| edits.remove_field(b"A: 3\n"), "A: 1\nB: 2\n b\n\n");
        check(|edits| edits.remove_field(b"B: 2\n"), "A: 1\nB: 2\n b\nA: 3\n\n");
        check(
            |edits| {
                edits.prepend("X", "1");
                edits.append("x", "2");
                edits.remove("x");
            },
            "A: 1\nB: 2\n b\nA: 3\n\n",
        );
        check(|edits| edits.append("X", "1\r\nEvil: 2"), "A: 1\nB: 2\n b\nA: 3\nX: 1\n Evil: 2\n\n");
    }

    #[test]
    fn a_field_is_put_before_a_lone_carriage_return() {
        let mut edits = HeaderEdits::default();
        edits.append("X", "1");
        assert_eq!(edits.render(&Bytes::from_static(b"A: 1\n\r")).head, "A: 1\nX: 1\n\r");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_nothing_is_lost(head in proptest::collection::vec(any::<u8>(), 0..200)) {
            let total: usize = fields(&head).map(|field| field.raw.len()).sum();
            prop_assert!(total <= head.len());
            let head = Bytes::from(head);
            prop_assert_eq!(HeaderEdits::default().render(&head).head, head);
        }

        #[test]
        fn no_value_can_add_a_field(value in ".{0,40}[\\r\\n]{0,2}.{0,20}") {
            let mut edits = HeaderEdits::default();
            edits.append("X-Test", &value);
            let rendered = edits.render(&Bytes::from_static(b"A: 1\n\n"));
            prop_assert_eq!(fields(&rendered.head).count(), 2);
        }
    }
}
