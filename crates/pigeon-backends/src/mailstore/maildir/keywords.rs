//! IMAP keywords in a Maildir: letters `a` to `z`, named in Dovecot's `dovecot-keywords` file.
//!
//! Each line is `<number> <keyword>`; number 0 is the letter `a`. A keyword for which no letter is left, or that
//! cannot be written because the file stays locked, is left out: a mail without a keyword is better than no mail.

use pigeon_core::effect::Flags;
use pigeon_core::ports::mailstore::maildir_letters;

use super::folders::OpenFolder;
use super::replace;
use super::tree::Tree;

const FILE: &str = "dovecot-keywords";
/// One for each letter.
const MAX_KEYWORDS: usize = 26;

/// The info suffix of a file name with these flags; empty when there are none and the mail is new.
pub(super) fn info(tree: &Tree, folder: &OpenFolder, flags: &Flags) -> String {
    if flags.is_empty() {
        return String::new();
    }
    let mut letters = maildir_letters(flags);
    let wanted: Vec<&str> = flags.keywords.iter().map(String::as_str).filter(|word| is_atom(word)).collect();
    if !wanted.is_empty() {
        letters.push_str(&keyword_letters(tree, folder, &wanted));
    }
    format!(":2,{letters}")
}

fn keyword_letters(tree: &Tree, folder: &OpenFolder, wanted: &[&str]) -> String {
    let known = replace::read(&folder.dir, FILE).ok().flatten();
    if let (letters, true) = assign(&mut parse(known.as_deref().unwrap_or_default()), wanted, false) {
        return letters;
    }
    let updated = replace::update(tree, &folder.dir, FILE, |text| {
        let mut slots = parse(text.as_deref().unwrap_or_default());
        let (letters, is_changed) = assign(&mut slots, wanted, true);
        (is_changed.then(|| print(&slots)), letters)
    });
    updated.unwrap_or_else(|error| {
        tracing::warn!(folder = %folder.place, %error, "stored a message without its new keywords");
        assign(&mut parse(known.as_deref().unwrap_or_default()), wanted, false).0
    })
}

/// The keyword of each letter.
pub(super) type Slots = Vec<Option<String>>;

pub(super) fn parse(text: &str) -> Slots {
    let mut slots: Slots = vec![None; MAX_KEYWORDS];
    for (number, word) in text.lines().filter_map(|line| line.split_once(' ')) {
        let slot = number.parse().ok().and_then(|number: usize| slots.get_mut(number));
        if let Some(slot) = slot {
            *slot = Some(word.to_owned());
        }
    }
    slots
}

pub(super) fn print(slots: &Slots) -> String {
    let lines = slots.iter().enumerate();
    lines.filter_map(|(number, word)| Some(format!("{number} {}\n", word.as_ref()?))).collect()
}

/// The letters of the wanted keywords. Without `is_made` the second value says whether all were known; with it,
/// whether some were given a letter.
fn assign(slots: &mut Slots, wanted: &[&str], is_made: bool) -> (String, bool) {
    let mut letters: Vec<char> = Vec::new();
    let (mut is_complete, mut is_changed) = (true, false);
    for word in wanted {
        let known =
            |slot: &Option<String>| slot.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(word));
        let mut at = slots.iter().position(known);
        is_complete &= at.is_some();
        if at.is_none() && is_made {
            at = slots.iter().position(Option::is_none);
            if let Some(slot) = at.and_then(|at| slots.get_mut(at)) {
                *slot = Some((*word).to_owned());
                is_changed = true;
            }
        }
        let letter = at.and_then(|at| u8::try_from(at).ok()).map(|at| char::from(b'a' + at));
        letters.extend(letter);
    }
    letters.sort_unstable();
    letters.dedup();
    (letters.into_iter().collect(), if is_made { is_changed } else { is_complete })
}

/// RFC 9051 §9 flag-keyword is an atom; `\` begins a system flag.
fn is_atom(word: &str) -> bool {
    let is_special = |byte: u8| b"(){%*\"\\]".contains(&byte);
    !word.is_empty()
        && word.len() <= 255
        && word.bytes().all(|byte| byte.is_ascii_graphic() && !is_special(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_get_letters() {
        let mut slots = parse("0 $Forwarded\n2 work\nnonsense\n99 far\n");
        assert_eq!(assign(&mut slots, &["WORK", "$forwarded"], false), ("ac".to_owned(), true));
        assert_eq!(assign(&mut slots, &["new", "work"], false), ("c".to_owned(), false));
        assert_eq!(assign(&mut slots, &["new", "work"], true), ("bc".to_owned(), true));
        assert_eq!(print(&slots), "0 $Forwarded\n1 new\n2 work\n");
        let many: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(assign(&mut slots, &many, true).0, "defghijklmnopqrstuvwxyz");
        for word in ["", "two words", "a\nb", "\\Seen", "wörk", "a(b"] {
            assert!(!is_atom(word), "{word:?}");
        }
        assert!(is_atom("$Junk") && is_atom("NonJunk"));
    }
}
