//! What was decided, written into the mail itself: from this and from where the mail lies now follows what its owner
//! thinks of it.
//!
//! The record is a header field of our own, `X-Pigeon-Spam`. One that came with a message is taken out; where this service
//! was off or failed it stays, and who reads it looks whether its `id` is that of the mail's delivery. Mail that other
//! systems delivered has none, and teaches nothing.

use std::fmt;

use super::engine::Class;
use super::judge::{Fate, Finding, Judgement, number};
use super::settings::Settings;

/// The field's name.
pub const NAME: &str = "X-Pigeon-Spam";

/// What was decided about a mail when it was delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it was taken for; none where nobody looked at it.
    pub class: Option<Class>,
    /// Whether it was named for the folder for spam.
    pub is_filed: bool,
    /// Names the delivery, for ever.
    pub id: String,
    detail: String,
}

impl Record {
    pub(super) fn new(settings: &Settings, finding: &Finding, judged: &Judgement, id: &str) -> Self {
        let class = match (judged.is_spam(), judged.percent) {
            (true, _) => Some(Class::Spam),
            (false, Some(_)) => Some(Class::Ham),
            (false, None) => None,
        };
        let detail = match finding {
            Finding::Scanned(report) => {
                format!("score={} threshold={}", number(report.score), number(settings.threshold))
            }
            Finding::TooLarge(_) | Finding::Down(_) => String::new(),
        };
        let id = id.chars().filter(char::is_ascii_graphic).collect();
        Self { class, is_filed: judged.fate == Fate::File, id, detail }
    }

    /// Reads the field's value; nothing where it is none of ours.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_whitespace();
        let class = match words.next()? {
            "spam" => Some(Class::Spam),
            "ham" => Some(Class::Ham),
            "unscanned" => None,
            _ => return None,
        };
        let mut record = Self { class, is_filed: false, id: String::new(), detail: String::new() };
        for word in words {
            match word.split_once('=') {
                None if word == "filed" => record.is_filed = true,
                Some(("id", id)) => id.clone_into(&mut record.id),
                _ => {}
            }
        }
        (!record.id.is_empty()).then_some(record)
    }

    /// What the owner has said by moving the mail, from what it was last known as: `learned` if it was learned since
    /// its delivery. `filed_at_delivery` is where a receipt says that it was stored, whatever the record says: another
    /// service may have had the last word.
    #[must_use]
    pub fn said(
        &self,
        place: Place,
        learned: Option<Class>,
        filed_at_delivery: Option<bool>,
    ) -> Option<Class> {
        let was_in_junk = match learned {
            // It lay there, or had left it, when it was learned.
            Some(class) => class == Class::Spam,
            None => filed_at_delivery.unwrap_or(self.is_filed),
        };
        match place {
            Place::Junk if !was_in_junk => Some(Class::Spam),
            Place::Elsewhere if was_in_junk => Some(Class::Ham),
            Place::Junk | Place::Elsewhere | Place::Ignored => None,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.class.map_or("unscanned", Class::word))?;
        if self.is_filed {
            formatter.write_str(" filed")?;
        }
        if !self.detail.is_empty() {
            write!(formatter, " {}", self.detail)?;
        }
        write!(formatter, " id={}", self.id)
    }
}

/// Where a mail lies now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the folder for spam, or below it.
    Junk,
    /// In the INBOX or a folder of its owner's.
    Elsewhere,
    /// Where moving says nothing: thrown away, or about to be.
    Ignored,
}

impl Place {
    /// The place of a folder.
    #[must_use]
    pub fn of(folder: &pigeon_core::folder::Folder, settings: &Settings) -> Self {
        let is_in = |outer: &pigeon_core::folder::Folder| {
            !outer.is_inbox()
                && outer.levels().count() <= folder.levels().count()
                && outer.levels().zip(folder.levels()).all(|(one, other)| one == other)
        };
        if is_in(&settings.folder) {
            Self::Junk
        } else if settings.learn_ignore.iter().any(is_in) {
            Self::Ignored
        } else {
            Self::Elsewhere
        }
    }
}

#[cfg(test)]
mod tests {
    use pigeon_core::folder::Folder;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (text, class, is_filed) in [
            ("spam filed score=7.3 threshold=6.0 id=abc-1", Some(Class::Spam), true),
            ("spam score=7.3 threshold=6.0 id=abc-1", Some(Class::Spam), false),
            ("ham score=-1.0 threshold=6.0 id=abc-1", Some(Class::Ham), false),
            ("unscanned id=abc-1", None, false),
        ] {
            let record = Record::parse(text).unwrap();
            assert_eq!((record.class, record.is_filed, record.id.as_str()), (class, is_filed, "abc-1"));
        }
        for text in ["", "spam", "Yes, score=7", "eggs id=1", "spam filed id="] {
            assert_eq!(Record::parse(text), None, "{text}");
        }
    }

    #[test]
    fn moving_says_what_the_owner_thinks() {
        use Place::{Elsewhere, Ignored, Junk};
        let spam = Record::parse("spam filed id=1").unwrap();
        let tagged = Record::parse("spam id=1").unwrap();
        let ham = Record::parse("ham id=1").unwrap();
        let unscanned = Record::parse("unscanned id=1").unwrap();
        // record, place, learned, stored in the folder for spam as the receipt has it → what was said
        let table = [
            (&spam, Junk, None, None, None),
            (&spam, Elsewhere, None, None, Some(Class::Ham)),
            (&spam, Elsewhere, None, Some(true), Some(Class::Ham)),
            // A filter of the owner's has put it there at delivery: nobody moved it.
            (&spam, Elsewhere, None, Some(false), None),
            (&spam, Ignored, None, None, None),
            // Spam that was only tagged was never filed: where it lies says nothing, until it is moved to the folder.
            (&tagged, Elsewhere, None, None, None),
            (&tagged, Junk, None, None, Some(Class::Spam)),
            (&ham, Elsewhere, None, None, None),
            (&ham, Junk, None, None, Some(Class::Spam)),
            (&ham, Junk, None, Some(true), None),
            (&ham, Ignored, None, None, None),
            (&unscanned, Junk, None, None, Some(Class::Spam)),
            (&unscanned, Elsewhere, None, None, None),
            // What was learned is not learned again, and is unlearned when it is moved back.
            (&ham, Junk, Some(Class::Spam), None, None),
            (&ham, Elsewhere, Some(Class::Spam), None, Some(Class::Ham)),
            (&spam, Elsewhere, Some(Class::Ham), Some(true), None),
            (&spam, Junk, Some(Class::Ham), Some(true), Some(Class::Spam)),
        ];
        for (record, place, learned, filed, expect) in table {
            assert_eq!(
                record.said(place, learned, filed),
                expect,
                "{record} {place:?} {learned:?} {filed:?}"
            );
        }
    }

    #[test]
    fn folders_have_their_place() {
        let check = |folder: &str, expect: Place| {
            assert_eq!(Place::of(&Folder::parse(folder).unwrap(), &Settings::default()), expect, "{folder}");
        };
        check("INBOX", Place::Elsewhere);
        check("Junk", Place::Junk);
        check("Junk/2026", Place::Junk);
        check("Junkyard", Place::Elsewhere);
        check("Trash/old", Place::Ignored);
        check("Archive/Junk", Place::Elsewhere);
    }
}
