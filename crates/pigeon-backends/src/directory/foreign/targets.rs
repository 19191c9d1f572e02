//! Lists of targets as sendmail made them: in `/etc/aliases`, `~/.forward` and the files that these include.
//!
//! Source: aliases(5) of Sendmail and Postfix, local(8), RFC 5322 §3.4 (comments, angle brackets).

/// One target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// An address with a domain.
    Address(String),
    /// A name without a domain, or `\name`, which no alias stands for any more.
    Local { name: String, is_final: bool },
    /// A command.
    Program(String),
    /// A file or directory.
    File(String),
    /// A file with more targets.
    Include(String),
    /// `:fail:` and the like of Exim.
    Special(String),
}

/// The targets of a list, with the line of each counted from 0.
///
/// Commas part them; line ends too where `is_by_line` says so. Lines that begin with `#` are comments there.
pub(super) fn parse(list: &str, is_by_line: bool) -> Vec<(usize, Target)> {
    let mut found = Vec::new();
    if is_by_line {
        for (at, line) in list.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#')) {
            found.extend(split(line).iter().filter_map(|part| Some((at, target(part)?))));
        }
    } else {
        found.extend(split(list).iter().filter_map(|part| Some((0, target(part)?))));
    }
    found
}

/// Where letters are: quotes and comments hide what parts targets elsewhere.
#[derive(Default)]
pub(super) struct Reading {
    is_quoted: bool,
    is_escaped: bool,
    comments: u32,
}

impl Reading {
    /// Takes a letter; whether it stands outside of quotes and comments.
    pub(super) fn take(&mut self, letter: char) -> bool {
        if std::mem::take(&mut self.is_escaped) {
            return false;
        }
        match letter {
            '\\' if self.is_quoted || self.comments > 0 => self.is_escaped = true,
            '"' if self.comments == 0 => self.is_quoted = !self.is_quoted,
            '(' if !self.is_quoted => self.comments += 1,
            ')' if !self.is_quoted && self.comments > 0 => self.comments -= 1,
            _ => return !self.is_quoted && self.comments == 0,
        }
        false
    }
}

fn split(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut reading = Reading::default();
    for letter in list.chars() {
        if reading.take(letter) && letter == ',' {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

/// What a part of the list means; none for a part without text.
fn target(part: &str) -> Option<Target> {
    let raw = part.trim();
    let plain = unquoted(raw);
    let plain = plain.trim();
    if plain.is_empty() {
        return None;
    }
    if let Some(command) = plain.strip_prefix('|') {
        return Some(Target::Program(command.trim().to_owned()));
    }
    if plain.starts_with(['/', '~']) || plain.starts_with("./") {
        return Some(Target::File(plain.to_owned()));
    }
    if let Some(rest) = plain.strip_prefix(':') {
        let path = rest.get(..8).filter(|name| name.eq_ignore_ascii_case("include:")).and(rest.get(8..));
        return Some(match path {
            Some(path) => Target::Include(unquoted(path.trim())),
            None => Target::Special(plain.to_owned()),
        });
    }
    if let Some(name) = plain.strip_prefix('\\') {
        return Some(local(name, true));
    }
    Some(local(&without_comments(raw), false))
}

fn local(text: &str, is_final: bool) -> Target {
    let text = text.trim();
    // `Ann Example <ann@example.org>`
    let inside = text
        .rsplit_once('<')
        .and_then(|(_, rest)| rest.split_once('>'))
        .map_or(text, |(inside, _)| inside.trim());
    if inside.contains('@') {
        Target::Address(inside.to_owned())
    } else {
        Target::Local { name: unquoted(inside), is_final }
    }
}

/// The text without its quotes. A backslash that escapes neither a quote nor itself stays.
pub(super) fn unquoted(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars().peekable();
    let mut is_quoted = false;
    while let Some(letter) = letters.next() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => match letters.next_if(|next| matches!(next, '"' | '\\')) {
                Some(escaped) => plain.push(escaped),
                None => plain.push('\\'),
            },
            _ => plain.push(letter),
        }
    }
    plain
}

fn without_comments(text: &str) -> String {
    let mut reading = Reading::default();
    let mut plain = String::new();
    for letter in text.chars() {
        let before = reading.comments;
        reading.take(letter);
        if before == 0 && reading.comments == 0 {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Target {
        Target::Local { name: name.into(), is_final: false }
    }

    #[test]
    fn lists_are_read_as_sendmail_reads_them() {
        let check = |list: &str, expect: &[Target]| {
            let found: Vec<Target> = parse(list, false).into_iter().map(|(_, target)| target).collect();
            assert_eq!(found, expect, "{list}");
        };
        let address = |text: &str| Target::Address(text.into());
        let program = |text: &str| Target::Program(text.into());
        check("", &[]);
        check(" , ,", &[]);
        check("ann, bob@example.org", &[name("ann"), address("bob@example.org")]);
        check("Ann Example <ann@example.org>, (the boss) bob", &[address("ann@example.org"), name("bob")]);
        check("\\ann", &[Target::Local { name: "ann".into(), is_final: true }]);
        check("\"\\ann\"", &[Target::Local { name: "ann".into(), is_final: true }]);
        check("\"|/usr/bin/vacation -a x, bob\"", &[program("/usr/bin/vacation -a x, bob")]);
        check("|\"/usr/bin/vacation bob\"", &[program("/usr/bin/vacation bob")]);
        check("|/bin/prog", &[program("/bin/prog")]);
        check("\"|IFS=' ' && exec \\\"/bin/x\\\"\"", &[program("IFS=' ' && exec \"/bin/x\"")]);
        check("/var/mail/x, ~/Mail/", &[Target::File("/var/mail/x".into()), Target::File("~/Mail/".into())]);
        check(":include:/etc/list", &[Target::Include("/etc/list".into())]);
        check("\":include: /etc/my list\"", &[Target::Include("/etc/my list".into())]);
        check(":blackhole:", &[Target::Special(":blackhole:".into())]);
        check("\"odd name\"@example.org", &[address("\"odd name\"@example.org")]);
        check("\"a, b\"", &[name("a, b")]);
        check(":é", &[Target::Special(":é".into())]);
    }

    #[test]
    fn files_have_a_target_a_line() {
        let found = parse("# all\nann\n  # no\nbob, cay\n", true);
        assert_eq!(found, [(1, name("ann")), (3, name("bob")), (3, name("cay"))]);
    }
}
