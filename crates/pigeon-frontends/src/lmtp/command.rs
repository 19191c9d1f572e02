//! Parses command lines.
//!
//! Source: RFC 5321 §4.1.1, RFC 2033 §4.1 (`LHLO`), RFC 3030 §2 (`BDAT`), and Postfix's `XCLIENT` and `XFORWARD`.

use super::reply::Refusal;

/// One command. Texts are slices of its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// `LHLO name`
    Lhlo(&'a str),
    /// `HELO` and `EHLO`, which LMTP does not have.
    Helo,
    /// `MAIL FROM:<path> parameters`
    Mail { path: &'a str, parameters: &'a str },
    /// `RCPT TO:<path> parameters`
    Rcpt { path: &'a str, parameters: &'a str },
    /// `DATA`
    Data,
    /// `BDAT octets [LAST]`
    Bdat { octets: u64, is_last: bool },
    /// `BDAT` with an argument that does not say how many octets follow.
    BrokenBdat,
    /// `RSET`
    Rset,
    /// `NOOP`
    Noop,
    /// `VRFY`
    Vrfy,
    /// `HELP`
    Help,
    /// `QUIT`
    Quit,
    /// `XCLIENT attributes`
    Xclient(&'a str),
    /// `XFORWARD attributes`
    Xforward(&'a str),
}

/// Parses a line without its line end.
pub(super) fn parse(line: &[u8]) -> Result<Command<'_>, Refusal> {
    if line.iter().any(u8::is_ascii_control) {
        // Among them a bare CR or LF: RFC 5321 §2.3.8 lets neither stand in a line.
        return Err(Refusal::new(500, (5, 5, 2), "Control characters are not allowed in commands"));
    }
    let line = std::str::from_utf8(line)
        .map_err(|_| Refusal::new(500, (5, 5, 2), "The command is not valid UTF-8"))?
        .trim_end_matches(' ');
    let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
    let arguments = arguments.trim_start_matches(' ');
    let is = |name: &str| verb.eq_ignore_ascii_case(name);
    if is("MAIL") {
        let (path, parameters) = path_behind(arguments, "FROM:").ok_or(Refusal::new(
            501,
            (5, 5, 4),
            "Syntax: MAIL FROM:<address>",
        ))?;
        return Ok(Command::Mail { path, parameters });
    }
    if is("RCPT") {
        let (path, parameters) =
            path_behind(arguments, "TO:").ok_or(Refusal::new(501, (5, 5, 4), "Syntax: RCPT TO:<address>"))?;
        return Ok(Command::Rcpt { path, parameters });
    }
    if is("BDAT") {
        return Ok(bdat(arguments));
    }
    other(verb, arguments)
}

fn other<'a>(verb: &str, arguments: &'a str) -> Result<Command<'a>, Refusal> {
    const VERBS: [(&str, Command<'static>); 8] = [
        ("DATA", Command::Data),
        ("RSET", Command::Rset),
        ("NOOP", Command::Noop),
        ("VRFY", Command::Vrfy),
        ("HELP", Command::Help),
        ("QUIT", Command::Quit),
        ("HELO", Command::Helo),
        ("EHLO", Command::Helo),
    ];
    let is = |name: &str| verb.eq_ignore_ascii_case(name);
    if is("LHLO") {
        return Ok(Command::Lhlo(arguments));
    }
    if is("XCLIENT") {
        return Ok(Command::Xclient(arguments));
    }
    if is("XFORWARD") {
        return Ok(Command::Xforward(arguments));
    }
    let known = VERBS.iter().find(|(name, _)| is(name)).map(|(_, command)| *command);
    match known {
        // RFC 5321 §4.1.1.4, §4.1.1.5, §4.1.1.10: these have no arguments.
        Some(Command::Data | Command::Rset | Command::Quit) if !arguments.is_empty() => {
            Err(Refusal::new(501, (5, 5, 4), "The command takes no arguments"))
        }
        Some(command) => Ok(command),
        None if ["EXPN", "ETRN", "TURN", "AUTH", "STARTTLS"].iter().any(|name| is(name)) => {
            Err(Refusal::new(502, (5, 5, 1), "Command not implemented"))
        }
        None => Err(Refusal::new(500, (5, 5, 1), "Command not recognised")),
    }
}

/// `FROM:<path> parameters`, in which the path has lost its brackets and its source route.
fn path_behind<'a>(arguments: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (found, rest) = arguments.split_at_checked(keyword.len())?;
    if !found.eq_ignore_ascii_case(keyword) {
        return None;
    }
    // RFC 5321 §3.3 allows no space here; clients write one all the same.
    let inner = rest.trim_start_matches(' ').strip_prefix('<')?;
    let end = path_end(inner)?;
    let (path, rest) = (inner.get(..end)?, inner.get(end + 1..)?);
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    Some((without_route(path), rest.trim_matches(' ')))
}

/// Where the closing bracket is: one inside a quoted local part does not count.
fn path_end(inner: &str) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    inner.bytes().position(|octet| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match octet {
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        octet == b'>' && !is_quoted
    })
}

/// RFC 5321 §4.1.1.3, appendix C: a source route is accepted and ignored.
fn without_route(path: &str) -> &str {
    if !path.starts_with('@') {
        return path;
    }
    let mut is_literal = false;
    let end = path.bytes().position(|octet| {
        match octet {
            b'[' => is_literal = true,
            b']' => is_literal = false,
            _ => {}
        }
        octet == b':' && !is_literal
    });
    end.and_then(|end| path.get(end + 1..)).unwrap_or(path)
}

fn bdat(arguments: &str) -> Command<'static> {
    let mut words = arguments.split(' ').filter(|word| !word.is_empty());
    let octets = words
        .next()
        .filter(|word| word.bytes().all(|octet| octet.is_ascii_digit()))
        .and_then(|word| word.parse().ok());
    match (octets, words.next(), words.next()) {
        (Some(octets), None, None) => Command::Bdat { octets, is_last: false },
        (Some(octets), Some(last), None) if last.eq_ignore_ascii_case("LAST") => {
            Command::Bdat { octets, is_last: true }
        }
        _ => Command::BrokenBdat,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(line: &str, expect: Result<Command<'_>, u16>) {
        assert_eq!(parse(line.as_bytes()).map_err(|refusal| refusal.code), expect, "{line:?}");
    }

    #[test]
    fn commands_are_parsed() {
        check("lhlo mx.example.net", Ok(Command::Lhlo("mx.example.net")));
        check("EHLO mx.example.net", Ok(Command::Helo));
        check("Data ", Ok(Command::Data));
        check("DATA now", Err(501));
        check("NOOP whatever", Ok(Command::Noop));
        check("QUIT", Ok(Command::Quit));
        check("BDAT 10", Ok(Command::Bdat { octets: 10, is_last: false }));
        check("bdat 0  last", Ok(Command::Bdat { octets: 0, is_last: true }));
        for broken in ["BDAT", "BDAT x", "BDAT -1", "BDAT +1", "BDAT 1 LAST x", "BDAT 99999999999999999999"] {
            check(broken, Ok(Command::BrokenBdat));
        }
        check("", Err(500));
        check("GET / HTTP/1.1", Err(500));
        check("EXPN list", Err(502));
        check("NOOP \u{0}", Err(500));
        check("MAIL\nFROM:<a@example.org>", Err(500));
    }

    #[test]
    fn paths_are_cut_out() {
        let check = |line: &str, expect: Option<(&str, &str)>| {
            let got = match parse(line.as_bytes()) {
                Ok(Command::Mail { path, parameters } | Command::Rcpt { path, parameters }) => {
                    Some((path, parameters))
                }
                _ => None,
            };
            assert_eq!(got, expect, "{line}");
        };
        check("MAIL FROM:<>", Some(("", "")));
        check("mail from: <a@example.org> SIZE=1  BODY=7BIT ", Some(("a@example.org", "SIZE=1  BODY=7BIT")));
        check("RCPT TO:<\"a>\\\"b\"@example.org>", Some(("\"a>\\\"b\"@example.org", "")));
        check("RCPT TO:<@a.example,@b.example:c@example.org>", Some(("c@example.org", "")));
        check("RCPT TO:<@[IPv6:::1]:c@example.org>", Some(("c@example.org", "")));
        check("RCPT TO:<@example.org>", Some(("@example.org", "")));
        check("RCPT TO:a@example.org", None);
        check("RCPT TO:<a@example.org", None);
        check("RCPT TO:<a@example.org>x", None);
        check("RCPT FROM:<a@example.org>", None);
        check("MAIL", None);
    }

    proptest! {
        #[test]
        fn any_line_is_parsed_or_refused(line in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(parse(&line).is_ok() || parse(&line).is_err_and(|refusal| (500..560).contains(&refusal.code)));
        }

        #[test]
        fn any_text_behind_a_verb_is_parsed_or_refused(
            verb in "(MAIL FROM:|RCPT TO:|BDAT |LHLO |XCLIENT |XFORWARD )", text in "[ -~é<>\"\\\\@:=]{0,60}",
        ) {
            let line = format!("{verb}{text}");
            if let Ok(Command::Mail { path, parameters } | Command::Rcpt { path, parameters }) = parse(line.as_bytes()) {
                prop_assert!(path.len() + parameters.len() < text.len() && line.contains(path));
            }
        }
    }
}
