//! Folder names as Maildir++ writes them: one directory for each folder, `.Archive.2026`.
//!
//! The dot separates levels, so a dot *in* a level is written as `&AC4-` (modified UTF-7 of a dot). IMAP servers
//! show it as they show any encoded character.

use pigeon_core::folder::Folder;

use super::utf7;

/// The name of the folder's directory inside of the mailbox; nothing for the INBOX, which is the mailbox itself.
pub(super) fn directory(folder: &Folder) -> Option<String> {
    (!folder.is_inbox()).then(|| format!(".{}", levels(folder).join(".")))
}

/// The levels of the folder as they stand in file names and in lists of subscriptions.
pub(super) fn levels(folder: &Folder) -> Vec<String> {
    folder.levels().map(|level| utf7::encode(level, |letter| letter != '.' && letter != '/')).collect()
}

/// The folder that a directory inside of a mailbox holds; nothing when it is none of our making or cannot be
/// named here, so that [`directory`] always leads back to the same directory.
pub(super) fn folder(name: &str) -> Option<Folder> {
    let levels: Option<Vec<String>> = name.strip_prefix('.')?.split('.').map(utf7::decode).collect();
    let levels = levels?;
    if levels.iter().any(|level| level.contains('/')) {
        return None;
    }
    let found = Folder::parse(&levels.join("/")).ok()?;
    (directory(&found).as_deref() == Some(name)).then_some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folders_have_one_directory_each() {
        let check = |text: &str, name: &str| {
            let given = Folder::parse(text).unwrap();
            assert_eq!(directory(&given).as_deref(), Some(name), "{text}");
            assert_eq!(folder(name), Some(given), "{name}");
        };
        check("Archive/2026", ".Archive.2026");
        check("Entwürfe", ".Entw&APw-rfe");
        check("lists/v1.2", ".lists.v1&AC4-2");
        assert_eq!(directory(&Folder::inbox()), None);
        for name in ["..", ".", "new", ".a..b", ".&", ".a&AC8-b", ".INBOX", ".&AGE-"] {
            assert_eq!(folder(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_folder_name_leaves_the_mailbox(text in "[a-zé./&~ \\\\-]{1,30}") {
            if let Ok(given) = Folder::parse(&text)
                && let Some(name) = directory(&given)
            {
                prop_assert!(!name.contains('/') && !name.contains('\0') && name != "." && name != "..");
                prop_assert_eq!(folder(&name), Some(given));
            }
        }

        #[test]
        fn no_directory_name_panics(name in any::<String>()) {
            folder(&name);
        }
    }
}
