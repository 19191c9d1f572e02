//! The path of a new mailbox: readable, safe on every file system, never given out twice.

use pigeon_core::ports::mailstore::MailboxPath;

/// Longest part of a path in octets: leaves room for suffixes within the 255 that file systems allow.
const MAX_PART_OCTETS: usize = 200;

/// Paths for a new account, best first: `domain/local`, and others that nobody can have had before.
///
/// Octets that file systems, shells or mail readers could misread are written `%XX`. Every path but the first,
/// and one that had to be cut, has a suffix from the account's id.
pub(crate) fn candidates(domain: &str, local: &str, id: &str) -> Vec<MailboxPath> {
    let domain = encode(domain, MAX_PART_OCTETS);
    let plain = encode(local, usize::MAX);
    let mut paths = Vec::new();
    if plain.len() <= MAX_PART_OCTETS {
        paths.push(format!("{domain}/{plain}"));
    }
    let hex: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
    // The end of a UUIDv7 is its random part.
    let short = hex.get(hex.len().saturating_sub(8)..).unwrap_or(&hex);
    for suffix in [short, hex.as_str()] {
        let room = MAX_PART_OCTETS.saturating_sub(suffix.len() + 1);
        paths.push(format!("{domain}/{}-{suffix}", encode(local, room)));
    }
    paths.push(format!("{domain}/{hex}"));
    paths.into_iter().map(MailboxPath).collect()
}

/// Whether a path that comes from outside has the form of those given out here.
pub(crate) fn is_safe(path: &str) -> bool {
    let is_part = |part: &str| {
        (1..=MAX_PART_OCTETS).contains(&part.len())
            && !part.starts_with(['.', '-'])
            && part.bytes().all(|octet| is_plain(octet) || octet == b'%')
    };
    path.split('/').count() == 2 && path.split('/').all(is_part)
}

const fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_' | b'+' | b'=' | b'@')
}

fn encode(text: &str, room: usize) -> String {
    let mut part = String::new();
    for (at, octet) in text.bytes().enumerate() {
        let is_kept = is_plain(octet) && !(at == 0 && matches!(octet, b'.' | b'-'));
        let piece = if is_kept { char::from(octet).to_string() } else { format!("%{octet:02X}") };
        if part.len() + piece.len() > room {
            break;
        }
        part.push_str(&piece);
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01923e4f-0000-7000-8000-0123456789ab";

    fn assigned(domain: &str, local: &str, taken: &[&str]) -> String {
        let paths = candidates(domain, local, ID);
        paths.into_iter().find(|path| !taken.contains(&path.0.as_str())).unwrap().0
    }

    #[test]
    fn paths_are_readable_safe_and_unique() {
        let check = |domain: &str, local: &str, taken: &[&str], expect: &str| {
            let path = assigned(domain, local, taken);
            assert_eq!(path, expect);
            assert!(is_safe(&path), "{path}");
        };
        check("example.org", "ann", &[], "example.org/ann");
        check("example.org", "ann", &["example.org/ann"], "example.org/ann-456789ab");
        let hex = "01923e4f0000700080000123456789ab";
        let both = ["example.org/ann", "example.org/ann-456789ab"];
        check("example.org", "ann", &both, &format!("example.org/ann-{hex}"));
        check("example.org", "..", &[], "example.org/%2E.");
        check("example.org", "../../etc", &[], "example.org/%2E.%2F..%2Fetc");
        check("example.org", "-rf", &[], "example.org/%2Drf");
        check("example.org", "a/b\0", &[], "example.org/a%2Fb%00");
        check("example.org", "jürgen", &[], "example.org/j%C3%BCrgen");
        check("[192.0.2.1]", "ann", &[], "%5B192.0.2.1%5D/ann");
    }

    #[test]
    fn long_names_are_cut_and_stay_unique() {
        let long = "ü".repeat(128);
        let path = assigned("example.org", &long, &[]);
        let part = path.split('/').next_back().unwrap();
        assert!(part.len() <= MAX_PART_OCTETS && part.ends_with("-456789ab"), "{path}");
        assert!(is_safe(&path));
    }

    #[test]
    fn foreign_paths_are_not_safe() {
        for path in
            ["", "ann", "/ann", "example.org/", "example.org/..", "../ann", "a/b/c", "example.org/a b"]
        {
            assert!(!is_safe(path), "{path:?}");
        }
    }
}
