//! Where a person's mail is, as Dovecot says it: `maildir:~/Maildir`, `maildir:/var/vmail/%d/%n`.
//!
//! Source: the Dovecot manual, "Mail location" and "Variables".

use std::path::PathBuf;

use pigeon_core::address::Address;

/// Whose mail it is.
pub(super) struct Person<'a> {
    pub(super) address: &'a Address,
    /// The home directory; may be empty.
    pub(super) home: &'a str,
}

/// The Maildir of a location, or why it is none.
pub(super) fn maildir(location: &str, person: &Person<'_>) -> Result<PathBuf, String> {
    let (format, rest) = match location.split_once(':') {
        Some((format, rest)) if !format.starts_with(['/', '~', '%']) => (format, rest),
        _ => ("maildir", location),
    };
    if !format.eq_ignore_ascii_case("maildir") {
        return Err(format!(
            "mail in the format {format} is not read here: convert it into a Maildir, for instance with doveadm sync"
        ));
    }
    let mut parts = rest.split(':');
    let path = expand(parts.next().unwrap_or_default(), person)?;
    if let Some(part) =
        parts.find(|part| part.eq_ignore_ascii_case("LAYOUT=fs") || part.starts_with("INBOX="))
    {
        return Err(format!(
            "{part} is another layout than Maildir++: convert the folders, for instance with doveadm sync"
        ));
    }
    let path = match path.strip_prefix("~") {
        Some(rest) if !person.home.is_empty() => format!("{}{rest}", person.home),
        _ => path,
    };
    if path.starts_with('/') {
        Ok(PathBuf::from(path))
    } else {
        Err(format!("{path:?} is not an absolute path, and no home directory is known"))
    }
}

/// Puts the person in place of the variables.
fn expand(template: &str, person: &Person<'_>) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let (name, behind) = variable(after).ok_or_else(|| format!("{template:?} ends within a variable"))?;
        text.push_str(&value(name, person).ok_or_else(|| {
            format!("the variable %{name} of {template:?} is not known here: %u, %n, %d, %h and %L before them are")
        })?);
        rest = behind;
    }
    text.push_str(rest);
    Ok(text)
}

/// The name of a variable, and what comes behind it.
fn variable(text: &str) -> Option<(&str, &str)> {
    if let Some(long) = text.strip_prefix('{') {
        let end = long.find('}')?;
        return Some((text.get(..end + 2)?, long.get(end + 1..)?));
    }
    let letters = if text.starts_with('L') { 2 } else { 1 };
    let end = text.char_indices().nth(letters).map_or(text.len(), |(at, _)| at);
    let name = text.get(..end)?;
    (name.chars().count() == letters).then_some((name, text.get(end..)?))
}

fn value(name: &str, person: &Person<'_>) -> Option<String> {
    let (local, domain) = (person.address.local(), person.address.domain().as_str());
    Some(match name {
        "%" => "%".to_owned(),
        "u" | "{user}" => format!("{local}@{domain}"),
        "Lu" | "{user|lower}" => format!("{local}@{domain}").to_lowercase(),
        "n" | "{user|username}" => local.to_owned(),
        "Ln" | "{user|username|lower}" => local.to_lowercase(),
        "d" | "Ld" | "{user|domain}" | "{user|domain|lower}" => domain.to_owned(),
        "h" | "{home}" if !person.home.is_empty() => person.home.to_owned(),
        _ => return None,
    })
}
