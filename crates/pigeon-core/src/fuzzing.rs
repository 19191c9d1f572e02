//! What must hold for any octets that reach the core's parsers: the entry functions of the fuzz targets.
//!
//! Each function takes octets as a fuzzer makes them and panics when its rule is broken. Where one needs several
//! texts, a NUL parts them. The seeds in `fuzz/seeds` go through every function as a test, too.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::Bytes;

use crate::address::{Address, DomainName, MAX_DOMAIN_OCTETS, MAX_LOCAL_OCTETS, ReversePath};
use crate::directory::AliasPattern;
use crate::folder::{Folder, MAX_DEPTH, MAX_NAME_OCTETS};
use crate::headers::{self, HeaderEdits};
use crate::message::{Message, MessageWriter};
use crate::ports::spool::{Spool, SpoolFile};
use crate::srs;
use crate::timestamp::Timestamp;

/// An entry function, by the name of its fuzz target and its folder of seeds.
pub type Entry = (&'static str, fn(&[u8]));

/// All entry functions of this crate.
pub const ENTRIES: &[Entry] = &[
    ("address", address),
    ("domain_name", domain_name),
    ("header_fields", header_fields),
    ("header_edits", header_edits),
    ("message_writer", message_writer),
    ("srs", srs),
    ("folder", folder),
    ("alias_pattern", alias_pattern),
    ("timestamp", timestamp),
];

/// An address is as long as is allowed, is read again as it is shown, and is put together again from its parts.
pub fn address(data: &[u8]) {
    let Ok(address) = Address::from_bytes(data) else { return };
    assert!((1..=MAX_LOCAL_OCTETS).contains(&address.local().len()), "length of {address:?}");
    assert_eq!(Address::parse(&address.to_string()).as_ref(), Ok(&address), "as it is shown");
    let path = ReversePath::parse(&format!("<{address}>"));
    assert_eq!(path.as_ref().map(ReversePath::address), Ok(Some(&address)), "in brackets");
    if let Some((base, detail)) = address.split_detail("+-") {
        let whole = address.local();
        assert!(whole.starts_with(base.local()) && whole.ends_with(&detail), "parts of {whole:?}");
        assert_eq!(base.local().len() + 1 + detail.len(), whole.len(), "the separator alone is left out");
    }
}

/// A domain is in normal form: its own text is read as the same domain, and it has no capital letters.
pub fn domain_name(data: &[u8]) {
    let Ok(name) = DomainName::parse(&String::from_utf8_lossy(data)) else { return };
    assert!((1..=MAX_DOMAIN_OCTETS).contains(&name.as_str().len()), "length of {name}");
    assert!(name.as_str().bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()), "{name}");
    assert_eq!(DomainName::parse(name.as_str()).as_ref(), Ok(&name), "as it is shown");
    // A label that is no punycode has no form for people; one that has leads back.
    if let Ok(again) = DomainName::parse(&name.to_unicode()) {
        assert_eq!(again, name, "as people write it");
    }
    assert!(name.parents().all(|parent| name.as_str().ends_with(parent)), "parents of {name}");
}

/// Fields are pieces of the block, in order; reading them invents nothing.
pub fn header_fields(data: &[u8]) {
    let mut rest = data;
    for field in headers::fields(data) {
        let at = memchr::memmem::find(rest, field.raw);
        assert!(at.is_some(), "a field in its place: {:?}", field.raw);
        rest = at.and_then(|at| rest.get(at + field.raw.len()..)).unwrap_or_default();
        assert!(field.raw.ends_with(field.raw_value), "the value ends the field");
        assert!(!field.value().contains(['\r', '\n']), "no folding in a value");
        let found = headers::find(data, field.name).map(|found| found.name.to_ascii_lowercase());
        assert_eq!(found, Some(field.name.to_ascii_lowercase()), "it is found by its name");
    }
    let message = Message::from_bytes(data.to_vec());
    assert_eq!(message.head().len() as u64 + message.body_size(), data.len() as u64, "nothing is lost");
    drop(message.message_id());
}

/// `name NUL value NUL head`: an edit changes the fields of that name only, adds one field, and grows by that.
pub fn header_edits(data: &[u8]) {
    let mut parts = data.splitn(3, |octet| *octet == 0);
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (name, value) = (text(), text());
    let head = Bytes::copy_from_slice(parts.next().unwrap_or_default());
    assert_eq!(HeaderEdits::default().render(&head).head, head, "no edits, no change");

    let mut edits = HeaderEdits::default();
    edits.replace(&name, &value);
    edits.prepend(&name, &value);
    let rendered = edits.render(&head);
    let grown = (rendered.head.len() + rendered.prefix.len()).saturating_sub(head.len());
    // Each part of a folded value costs one more octet than its line end did.
    assert!(grown <= 2 * (name.len() + 2 * value.len() + 4) + 1, "grew by {grown}");

    let is_clean = !name.is_empty() && name.bytes().all(|b| (33..=126).contains(&b) && b != b':');
    if !is_clean {
        return;
    }
    let is_it = |field: &headers::Field<'_>| field.name.eq_ignore_ascii_case(&name);
    assert_eq!(headers::fields(&rendered.prefix).count(), 1, "one field on top");
    assert_eq!(headers::fields(&rendered.head).filter(is_it).count(), 1, "one field in their place");
    let others = |head: &[u8]| {
        let fields = headers::fields(head).filter(|field| !is_it(field));
        fields.map(|field| (field.name.to_owned(), field.value())).collect::<Vec<_>>()
    };
    assert_eq!(others(&rendered.head), others(&head), "other fields stay");
}

/// `piece threshold octets…`: however a message is cut into pieces, and wherever it is kept, it is the same.
pub fn message_writer(data: &[u8]) {
    let Some((&[piece, threshold], octets)) = data.split_first_chunk() else { return };
    let whole = written(octets, usize::MAX, u64::MAX);
    let pieces = written(octets, usize::from(piece).max(1), u64::from(threshold));
    assert_eq!(whole, pieces, "in pieces as in one");
    assert_eq!([whole.head.as_ref(), &whole.body].concat(), octets, "nothing is lost");
    assert_eq!(whole.head, *Message::from_bytes(octets.to_vec()).head(), "as from memory");
    let mut limited = MessageWriter::new(Arc::new(Heap(u64::MAX)), u64::from(threshold), false);
    assert_eq!(limited.write(octets).is_ok(), octets.len() <= usize::from(threshold), "the limit holds");
}

#[derive(Debug, PartialEq)]
struct Written {
    head: Bytes,
    body: Vec<u8>,
    counts: (u64, u64),
}

fn written(octets: &[u8], piece: usize, threshold: u64) -> Written {
    let mut writer = MessageWriter::new(Arc::new(Heap(threshold)), u64::MAX, false);
    for piece in octets.chunks(piece) {
        assert!(writer.write(piece).is_ok(), "memory is never full");
    }
    let message = writer.finish();
    let (mut body, mut buffer) = (Vec::new(), [0; 61]);
    loop {
        let count = message.read_body(body.len() as u64, &mut buffer).unwrap_or_default();
        if count == 0 {
            break;
        }
        body.extend(buffer.iter().take(count));
    }
    Written { head: message.head().clone(), body, counts: (message.size(), message.lines()) }
}

/// A spool in memory, with its threshold.
struct Heap(u64);

impl Spool for Heap {
    fn threshold(&self) -> u64 {
        self.0
    }
    fn create(&self) -> io::Result<Box<dyn SpoolFile>> {
        Ok(Box::new(HeapFile(Vec::new())))
    }
}

struct HeapFile(Vec<u8>);

impl SpoolFile for HeapFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A sender that is rewritten comes back; an address that claims to be rewritten is restored to none that is longer.
pub fn srs(data: &[u8]) {
    const NOW: Timestamp = Timestamp::from_seconds(1_795_467_600);
    let Ok(sender) = Address::from_bytes(data) else { return };
    let secrets = ["newer".to_owned(), "tops3cr3t".to_owned()];
    if let Ok(restored) = srs::restore(&sender, &secrets, NOW) {
        assert!(restored.local().len() < sender.local().len(), "{restored} from {sender}");
    }
    let Ok(here) = DomainName::parse("forward.example.org") else { return };
    let Ok(rewritten) = srs::rewrite(&sender, &here, "tops3cr3t", NOW) else { return };
    assert_eq!(rewritten.domain(), &here);
    // What was rewritten elsewhere stays so, and the separator in an address literal cannot be told from ours.
    let is_tagged = sender.local().to_ascii_lowercase().starts_with("srs");
    if !is_tagged && !sender.domain().as_str().contains('=') {
        assert_eq!(srs::restore(&rewritten, &secrets, NOW), Ok(sender), "there and back");
    }
}

/// A folder is a path of plain names inside of the mailbox, and is read again as it is shown.
pub fn folder(data: &[u8]) {
    let Ok(folder) = Folder::parse(&String::from_utf8_lossy(data)) else { return };
    assert!(folder.levels().count() <= MAX_DEPTH, "{folder}");
    for level in folder.levels() {
        assert!((1..=MAX_NAME_OCTETS).contains(&level.len()), "{level:?}");
        assert!(!matches!(level, "." | "..") && !level.contains(['/', '\0']), "{level:?}");
    }
    assert_eq!(Folder::parse(&folder.to_string()).as_ref(), Ok(&folder), "as it is shown");
}

/// `pattern NUL local`: a pattern is read again as it is shown, and matches what the rule written anew says.
pub fn alias_pattern(data: &[u8]) {
    let mut parts = data.splitn(2, |octet| *octet == 0);
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (pattern, local) = (text(), text());
    let Ok(pattern) = pattern.parse::<AliasPattern>() else { return };
    assert_eq!(pattern.to_string().parse().as_ref(), Ok(&pattern), "as it is shown");
    assert!(pattern.matches(&pattern.local), "a star matches a star");
    if local.len() <= MAX_LOCAL_OCTETS {
        let expect = is_match(pattern.local.as_bytes(), local.as_bytes());
        assert_eq!(pattern.matches(&local), expect, "{pattern:?} and {local:?}");
    }
}

/// Octet by octet: which lengths of the text the pattern up to here can have eaten.
fn is_match(pattern: &[u8], text: &[u8]) -> bool {
    let mut ends: Vec<bool> = (0..=text.len()).map(|length| length == 0).collect();
    for wanted in pattern {
        let mut is_open = false;
        let eaten = ends.iter().zip(std::iter::once(None).chain(text.iter().map(Some)));
        let mut before = false;
        ends = eaten
            .map(|(is_end, octet)| {
                is_open |= *is_end;
                let was_end = std::mem::replace(&mut before, *is_end);
                if *wanted == b'*' { is_open } else { was_end && octet == Some(wanted) }
            })
            .collect();
    }
    ends.last() == Some(&true)
}

/// A date that is read is shown so that it is read as the same date.
pub fn timestamp(data: &[u8]) {
    let Ok(moment) = Timestamp::parse(&String::from_utf8_lossy(data)) else { return };
    assert_eq!(Timestamp::parse(&moment.to_rfc3339()), Ok(moment), "as it is shown: {moment}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_their_beginnings_keep_the_rules() {
        pigeon_testkit::seeds::replay(ENTRIES);
    }

    #[test]
    fn the_rule_written_anew_is_the_rule() {
        let check = |pattern: &str, text: &str, expect: bool| {
            assert_eq!(is_match(pattern.as_bytes(), text.as_bytes()), expect, "{pattern} {text}");
        };
        check("", "", true);
        check("a", "a", true);
        check("a", "b", false);
        check("a", "", false);
        check("*", "", true);
        check("a*b*c", "axbyc", true);
        check("ab*ba", "aba", false);
        check("*a", "aab", false);
    }
}
