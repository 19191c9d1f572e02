//! Subscribes to folders that a delivery made, so that mail programs show them.
//!
//! Dovecot reads `subscriptions` (version 2: a header, then one name a line with its levels parted by tabs; before
//! that: levels parted by dots), Courier reads `courierimapsubscribed` (`INBOX.` and levels parted by dots); both write
//! names as in the directories. Both are kept, so that either server can be put before the Maildirs.

use super::folders::OpenFolder;
use super::replace;
use super::tree::Tree;

/// What a file of version 2 begins with.
const VERSION_2: &str = "V\t2\n\n";

/// Adds the folder to both lists. A failure is only logged: the mail is what counts.
pub(super) fn add(tree: &Tree, mailbox: &OpenFolder, levels: &[String]) {
    let dotted = format!("INBOX.{}", levels.join("."));
    let changes = [
        ("subscriptions", Box::new(|text: Option<String>| with_levels(text, levels)) as Box<dyn Fn(_) -> _>),
        (
            "courierimapsubscribed",
            Box::new(|text: Option<String>| with_line(text.unwrap_or_default(), &dotted)),
        ),
    ];
    for (file, change) in changes {
        if let Err(error) = replace::update(tree, &mailbox.dir, file, |text| (change(text), ())) {
            tracing::warn!(mailbox = %mailbox.place, folder = dotted, %error, "could not add a new folder to {file}");
        }
    }
}

fn with_levels(text: Option<String>, levels: &[String]) -> Option<String> {
    let text = text.unwrap_or_else(|| VERSION_2.to_owned());
    let separator = if text.starts_with("V\t2\n") { "\t" } else { "." };
    with_line(text, &levels.join(separator))
}

/// The text with one more line; nothing when it has that line.
fn with_line(mut text: String, line: &str) -> Option<String> {
    if text.lines().any(|known| known == line) {
        return None;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_subscriptions_grow_by_one_line() {
        let levels = ["Archive".to_owned(), "2026".to_owned()];
        let check = |text: Option<&str>, expect: Option<&str>| {
            assert_eq!(with_levels(text.map(str::to_owned), &levels).as_deref(), expect, "{text:?}");
        };
        check(None, Some("V\t2\n\nArchive\t2026\n"));
        check(Some("V\t2\n\nArchive\t2026\n"), None);
        check(Some("Drafts\n"), Some("Drafts\nArchive.2026\n"));
        check(Some("Drafts"), Some("Drafts\nArchive.2026\n"));
        check(Some("Archive.2026\n"), None);
    }
}
