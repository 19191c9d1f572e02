//! Folder names as Maildir++ writes them: one directory for each folder, `.Archive.2026`.
//!
//! The dot separates levels, so no level can hold one. It is written as U+2024, the one dot leader, which Unicode
//! holds for the same character in another dress and mail programs draw alike. (An encoded dot, `&AC4-`, would be
//! shown by Dovecot and Courier as these five letters.)

use pigeon_core::folder::Folder;

use super::{FolderNames, utf7};

/// What stands for a dot in a level.
const DOT: char = '\u{2024}';

/// The name of the folder's directory inside of the mailbox; nothing for the INBOX, which is the mailbox itself.
pub(super) fn directory(folder: &Folder, names: FolderNames) -> Option<String> {
    (!folder.is_inbox()).then(|| format!(".{}", levels(folder, names).join(".")))
}

/// The levels of the folder as they stand in file names and in lists of subscriptions.
pub(super) fn levels(folder: &Folder, names: FolderNames) -> Vec<String> {
    let encode = |level: &str| {
        let level: String = level.chars().map(|letter| if letter == '.' { DOT } else { letter }).collect();
        match names {
            FolderNames::ModifiedUtf7 => utf7::encode(&level),
            FolderNames::Utf8 => level,
        }
    };
    folder.levels().map(encode).collect()
}

/// The folder that a directory inside of a mailbox holds; nothing when it is none of our making or cannot be
/// named here, so that [`directory`] always leads back to the same directory.
pub(super) fn folder(name: &str, names: FolderNames) -> Option<Folder> {
    let decode = |level: &str| {
        let level = match names {
            FolderNames::ModifiedUtf7 => utf7::decode(level)?,
            FolderNames::Utf8 => level.to_owned(),
        };
        Some(level.replace(DOT, "."))
    };
    let levels: Option<Vec<String>> = name.strip_prefix('.')?.split('.').map(decode).collect();
    let levels = levels?;
    if levels.iter().any(|level| level.contains('/')) {
        return None;
    }
    let found = Folder::parse(&levels.join("/")).ok()?;
    (directory(&found, names).as_deref() == Some(name)).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: [FolderNames; 2] = [FolderNames::ModifiedUtf7, FolderNames::Utf8];

    #[test]
    fn folders_have_one_directory_each() {
        let check = |text: &str, expect: [&str; 2]| {
            let given = Folder::parse(text).unwrap();
            for (names, name) in BOTH.into_iter().zip(expect) {
                assert_eq!(directory(&given, names).as_deref(), Some(name), "{text}");
                assert_eq!(folder(name, names), Some(given.clone()), "{name}");
            }
        };
        check("Archive/2026", [".Archive.2026", ".Archive.2026"]);
        check("Entwürfe", [".Entw&APw-rfe", ".Entwürfe"]);
        check("A&B", [".A&-B", ".A&B"]);
        check("lists/v1.2", [".lists.v1&ICQ-2", ".lists.v1․2"]);
        assert_eq!(directory(&Folder::inbox(), FolderNames::Utf8), None);
        for name in ["..", ".", "new", ".a..b", ".INBOX", ".INBOX.a"] {
            assert!(BOTH.iter().all(|names| folder(name, *names).is_none()), "{name}");
        }
        for name in [".&", ".a&AC8-b", ".&AGE-", ".v1&AC4-2", ".Entwürfe"] {
            assert_eq!(folder(name, FolderNames::ModifiedUtf7), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_folder_name_leaves_the_mailbox(text in "[a-zé./&~ \\\\-]{1,30}") {
            for names in BOTH {
                if let Ok(given) = Folder::parse(&text)
                    && let Some(name) = directory(&given, names)
                {
                    prop_assert!(!name.contains('/') && !name.contains('\0') && name != "." && name != "..");
                    prop_assert_eq!(folder(&name, names), Some(given));
                }
            }
        }

        #[test]
        fn no_directory_name_panics(name in any::<String>()) {
            BOTH.into_iter().for_each(|names| drop(folder(&name, names)));
        }
    }
}
