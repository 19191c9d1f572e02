//! What must hold for any file and any name found in a Maildir: the entry functions of the fuzz targets.
//!
//! Mail programs and IMAP servers write there, too, so nothing that is read has to be of our making.

use pigeon_core::folder::Folder;

use super::name::{self, Names};
use super::{FolderNames, folder_name, keywords, quota, utf7};

/// A fuzz target's name and its entry function.
pub type Entry = (&'static str, fn(&[u8]));

/// The entry functions of this module.
pub const ENTRIES: &[Entry] = &[
    ("mutf7", mutf7),
    ("maildir_folder", folder),
    ("maildir_name", file_name),
    ("maildirsize", maildirsize),
    ("maildir_keywords", keyword_list),
];

/// Every name comes back; its encoded form is printable ASCII; what is decoded can be encoded again.
pub fn mutf7(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let encoded = utf7::encode(&text);
    assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{encoded:?}");
    assert_eq!(utf7::decode(&encoded).as_deref(), Some(&*text), "there and back");
    // At worst each octet is a character of its own, of two octets before base64, between `&` and `-`.
    assert!(encoded.len() <= 5 * text.len(), "grew from {} to {}", text.len(), encoded.len());
    if let Some(name) = utf7::decode(&text) {
        // Three octets of UTF-8 are sixteen bits, which are eight thirds of a digit.
        assert!(8 * name.len() <= 9 * text.len(), "grew from {} to {}", text.len(), name.len());
        assert_eq!(utf7::decode(&utf7::encode(&name)).as_ref(), Some(&name), "back and there");
    }
}

/// A folder has one directory, right in the mailbox; a directory is that of one folder or of none.
pub fn folder(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for names in [FolderNames::ModifiedUtf7, FolderNames::Utf8] {
        if let Ok(folder) = Folder::parse(&text)
            && let Some(directory) = folder_name::directory(&folder, names)
        {
            assert!(directory.starts_with('.') && !matches!(&*directory, "." | ".."), "{directory:?}");
            assert!(!directory.contains(['/', '\0']), "{directory:?}");
            // A one dot leader stands for a dot, so it comes back as one.
            let found = folder_name::folder(&directory, names);
            assert!(text.contains('\u{2024}') || found == Some(folder), "there and back: {found:?}");
        }
        if let Some(folder) = folder_name::folder(&text, names) {
            assert_eq!(folder_name::directory(&folder, names).as_deref(), Some(&*text), "back and there");
        }
    }
}

/// A name of ours says its sizes and is a file name whatever the host is called; other names are read or not.
pub fn file_name(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let made = name::with_sizes(&Names::new(&text).next(), 7, 9);
    assert!(!made.contains(['/', ':', '\0', '\n']) && !made.starts_with('.'), "{made:?}");
    assert!(made.len() <= 255 + 64, "{made:?}");
    assert_eq!(name::octets_of(&made), Some(7), "{made:?}");
    assert!(!name::is_deleted(&made), "{made:?}");
    if let Some(octets) = name::octets_of(&text) {
        assert!(text.contains(",S="), "{octets} from {text:?}");
    }
    assert!(!name::is_deleted(&text) || text.contains(":2,"), "{text:?}");
}

/// Limits are printed as they are read; a sum is that of the lines or nothing.
pub fn maildirsize(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some((limits, usage)) = quota::parse(text) else { return };
    assert_eq!(quota::parse_limits(&quota::print_limits(limits)), Some(limits), "limits of {text:?}");
    let again = format!("{}\n{} {}\n", quota::print_limits(limits), usage.octets, usage.messages);
    assert_eq!(quota::parse(&again), Some((limits, usage)), "written anew as {again:?}");
    let more = format!("{again}5 1\n-5 -1\n");
    if let Some((_, sum)) = quota::parse(&more) {
        assert_eq!(sum, usage, "what comes and goes changes nothing");
    }
}

/// A list of keywords is printed as it is read, with at most one for each letter.
pub fn keyword_list(data: &[u8]) {
    // A CR before a line end is taken for a part of it.
    let slots = keywords::parse(&String::from_utf8_lossy(data).replace('\r', ""));
    assert_eq!(slots.len(), 26, "one for each letter");
    assert_eq!(keywords::parse(&keywords::print(&slots)), slots, "as it is printed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_their_beginnings_keep_the_rules() {
        pigeon_testkit::seeds::replay(ENTRIES);
    }
}
