//! Reads the addresses out of header fields like To and Cc, as leniently as mail is written.
//!
//! Source: RFC 5322 §3.4 with the obsolete forms of §4.4. What cannot be read is left out.

use pigeon_core::address::Address;

/// The addresses in a field's value (folding undone), in order; names, comments and groups are passed over.
#[must_use]
pub fn addresses(value: &str) -> Vec<Address> {
    entries(value).iter().filter_map(Entry::address).collect()
}

/// The texts in the places of addresses, whether they are addresses or not.
#[must_use]
pub fn specs(value: &str) -> Vec<String> {
    entries(value).into_iter().map(Entry::spec).filter(|spec| !spec.is_empty()).collect()
}

fn entries(value: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut entry = Entry::default();
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '(' => skip_comment(&mut letters),
            '"' => entry.take_quoted(&mut letters),
            '<' => entry.angle = Some(String::new()),
            '>' => entry.is_closed = true,
            // RFC 5322 §3.4 group: its name ends at the colon. Inside of <> it ends an obsolete route.
            ':' => entry.drop_open(),
            ',' if entry.is_in_route() => (),
            ',' | ';' => entries.push(std::mem::take(&mut entry)),
            other => entry.push(other),
        }
    }
    entries.push(entry);
    entries
}

#[derive(Default)]
struct Entry {
    outside: String,
    angle: Option<String>,
    is_closed: bool,
}

impl Entry {
    fn open(&mut self) -> &mut String {
        match &mut self.angle {
            Some(angle) if !self.is_closed => angle,
            _ => &mut self.outside,
        }
    }

    fn push(&mut self, letter: char) {
        if !letter.is_whitespace() {
            self.open().push(letter);
        }
    }

    fn drop_open(&mut self) {
        self.open().clear();
    }

    fn is_in_route(&self) -> bool {
        !self.is_closed && self.angle.as_ref().is_some_and(|angle| angle.starts_with('@'))
    }

    fn take_quoted(&mut self, letters: &mut std::str::Chars<'_>) {
        let open = self.open();
        open.push('"');
        while let Some(letter) = letters.next() {
            open.push(letter);
            match letter {
                '\\' => open.extend(letters.next()),
                '"' => break,
                _ => (),
            }
        }
    }

    fn spec(self) -> String {
        self.angle.unwrap_or(self.outside)
    }

    fn address(&self) -> Option<Address> {
        let text = self.angle.as_ref().unwrap_or(&self.outside);
        Address::parse(text).ok()
    }
}

fn skip_comment(letters: &mut std::str::Chars<'_>) {
    let mut depth = 1_u32;
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => (),
        }
        if depth == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_found() {
        let check = |value: &str, expect: &[&str]| {
            let got: Vec<String> = addresses(value).iter().map(ToString::to_string).collect();
            assert_eq!(got, expect, "{value}");
        };
        check("ann@example.org", &["ann@example.org"]);
        check("Ann <ann@example.org>, bob@example.org", &["ann@example.org", "bob@example.org"]);
        check("\"Last, First\" <ann@example.org>", &["ann@example.org"]);
        check("\"a b\"@example.org", &["\"a b\"@example.org"]);
        check("\"x <evil@example.net>\" <ann@example.org>", &["ann@example.org"]);
        check("ann@example.org (Ann, (nested \\) ) x@example.net)", &["ann@example.org"]);
        check(
            "Team: ann@example.org, Bob <bob@example.org>;, c@example.org",
            &["ann@example.org", "bob@example.org", "c@example.org"],
        );
        check("Undisclosed recipients:;", &[]);
        check("<@a.example,@b.example:ann@example.org>", &["ann@example.org"]);
        check("broken, <>, <ann@example.org", &["ann@example.org"]);
        check("=?UTF-8?B?w4Rubg==?= <ann@example.org>", &["ann@example.org"]);
        check("", &[]);
    }

    proptest! {
        #[test]
        fn nothing_panics(value in "(?s).{0,200}") {
            let found = addresses(&value);
            prop_assert!(found.len() <= value.len());
        }

        #[test]
        fn a_quoted_name_hides_nothing(name in "[^\"\\\\\\p{C}]{0,40}", local in "[a-z]{1,10}") {
            let value = format!("\"{name}\" <{local}@example.org>");
            let got: Vec<String> = addresses(&value).iter().map(ToString::to_string).collect();
            prop_assert_eq!(got, [format!("{local}@example.org")]);
        }
    }
}
