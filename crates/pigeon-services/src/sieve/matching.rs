//! Compares strings: comparators (RFC 4790) and match types (RFC 5228 §2.7, RFC 5231, regular expressions).

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use quick_cache::sync::Cache;
use regex_automata::meta;
use regex_automata::util::syntax;

/// How many regular expressions are kept compiled.
const KEPT_EXPRESSIONS: usize = 500;
/// How much memory one of them may take, in octets.
const MAX_EXPRESSION_OCTETS: usize = 1 << 20;

/// An expression, where the text is one.
type Expression = Option<Arc<meta::Regex>>;

static EXPRESSIONS: LazyLock<Cache<(String, bool), Expression>> =
    LazyLock::new(|| Cache::new(KEPT_EXPRESSIONS));

/// How two strings are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparator {
    /// `i;octet`
    Octet,
    /// `i;ascii-casemap`
    CaseMap,
    /// `i;ascii-numeric`
    Numeric,
}

impl Comparator {
    /// The comparator of that name.
    pub(super) fn named(name: &str) -> Self {
        match name {
            "i;octet" => Self::Octet,
            "i;ascii-numeric" => Self::Numeric,
            _ => Self::CaseMap,
        }
    }

    fn compare(self, one: &str, two: &str) -> Ordering {
        match self {
            Self::Octet => one.cmp(two),
            Self::CaseMap => one.to_ascii_uppercase().cmp(&two.to_ascii_uppercase()),
            Self::Numeric => numeric(one).cmp(&numeric(two)),
        }
    }

    fn is_equal(self, one: &str, two: &str) -> bool {
        match self {
            Self::Octet => one == two,
            Self::CaseMap => one.eq_ignore_ascii_case(two),
            Self::Numeric => numeric(one) == numeric(two),
        }
    }
}

/// RFC 4790 §9.1: what does not begin with a digit is larger than all numbers, and equal to its like. Numbers are
/// compared by length and digits, so that none is too large.
fn numeric(text: &str) -> (bool, usize, &str) {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let digits = text.get(..end).unwrap_or_default();
    if digits.is_empty() {
        return (true, 0, "");
    }
    let digits = digits.trim_start_matches('0');
    (false, digits.len(), digits)
}

/// An order that a test asks for (RFC 5231 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// Greater.
    Greater,
    /// Greater or equal.
    GreaterEqual,
    /// Less.
    Less,
    /// Less or equal.
    LessEqual,
    /// Equal.
    Equal,
    /// Not equal.
    NotEqual,
}

impl Relation {
    /// The relation of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match &*name.to_ascii_lowercase() {
            "gt" => Self::Greater,
            "ge" => Self::GreaterEqual,
            "lt" => Self::Less,
            "le" => Self::LessEqual,
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            _ => return None,
        })
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
        }
    }
}

/// How values are held against keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MatchType {
    /// `:is`
    Is,
    /// `:contains`
    Contains,
    /// `:matches`
    Matches,
    /// `:regex`
    Regex,
    /// `:value`
    Value(Relation),
    /// `:count`
    Count(Relation),
    /// `:list` (RFC 6134)
    List,
}

/// Match type and comparator of a test.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matcher {
    /// The match type.
    pub(super) kind: MatchType,
    /// The comparator.
    pub(super) comparator: Comparator,
}

/// What a match put into the match variables; empty where there are none.
pub(super) type Captures = Vec<String>;

impl Matcher {
    /// Whether one of the values matches one of the keys; the captures of the first that does.
    pub(super) fn any(self, values: &[String], keys: &[String]) -> Option<Captures> {
        if let MatchType::Count(relation) = self.kind {
            let count = values.len().to_string();
            let holds = |key: &String| relation.holds(self.comparator.compare(&count, key));
            return keys.iter().any(holds).then(Vec::new);
        }
        values.iter().find_map(|value| keys.iter().find_map(|key| self.one(value, key)))
    }

    fn one(self, value: &str, key: &str) -> Option<Captures> {
        match self.kind {
            MatchType::Is => self.comparator.is_equal(value, key).then(Vec::new),
            MatchType::Contains if self.comparator == Comparator::Octet => value.contains(key).then(Vec::new),
            MatchType::Contains => {
                value.to_ascii_lowercase().contains(&key.to_ascii_lowercase()).then(Vec::new)
            }
            MatchType::Matches => glob(value, key, self.comparator != Comparator::Octet),
            MatchType::Regex => {
                let expression = expression(key, self.comparator != Comparator::Octet)?;
                let mut found = expression.create_captures();
                expression.captures(value, &mut found);
                found.is_match().then(|| {
                    let text =
                        |span: regex_automata::Span| value.get(span.range()).unwrap_or_default().to_owned();
                    found.iter().map(|span| span.map(text).unwrap_or_default()).collect()
                })
            }
            MatchType::Value(relation) => relation.holds(self.comparator.compare(value, key)).then(Vec::new),
            MatchType::Count(_) | MatchType::List => None,
        }
    }
}

/// The expression, compiled; nothing for one that is none.
pub(super) fn expression(text: &str, ignores_case: bool) -> Expression {
    let key = (text.to_owned(), ignores_case);
    if let Some(known) = EXPRESSIONS.get(&key) {
        return known;
    }
    let config = meta::Config::new().nfa_size_limit(Some(MAX_EXPRESSION_OCTETS));
    let made = meta::Builder::new()
        .configure(config)
        .syntax(syntax::Config::new().case_insensitive(ignores_case).dot_matches_new_line(true))
        .build(&posix(text));
    let made = made.ok().map(Arc::new);
    EXPRESSIONS.insert(key, made.clone());
    made
}

/// An extended regular expression of POSIX in the words of the library: a `[` inside of brackets is a letter, and
/// a backslash there, too.
fn posix(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                // Letters behind a backslash mean themselves; the library has classes of such names.
                let next = letters.next();
                match next {
                    Some(next)
                        if next.is_ascii_alphanumeric()
                            && !matches!(
                                next,
                                'w' | 'W' | 's' | 'S' | 'b' | 'B' | 'd' | 'D' | 'n' | 't' | 'r'
                            ) =>
                    {
                        out.push(next);
                    }
                    Some(next) => out.extend(['\\', next]),
                    None => out.push_str("\\\\"),
                }
            }
            '[' => {
                out.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if letters.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
                while let Some(inner) = letters.next() {
                    match inner {
                        ']' => {
                            out.push(']');
                            break;
                        }
                        '[' if letters.peek() == Some(&':') => {
                            out.push('[');
                            for class in letters.by_ref() {
                                out.push(class);
                                if class == ']' {
                                    break;
                                }
                            }
                        }
                        '[' | '\\' | '&' | '~' => out.extend(['\\', inner]),
                        other => out.push(other),
                    }
                }
            }
            other => out.push(other),
        }
    }
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Letter(char),
    AnyOne,
    AnyMany,
}

fn pieces(pattern: &str) -> Vec<Piece> {
    let mut all = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        all.push(match letter {
            '*' => Piece::AnyMany,
            '?' => Piece::AnyOne,
            '\\' => Piece::Letter(letters.next().unwrap_or('\\')),
            other => Piece::Letter(other),
        });
    }
    all
}

/// `:matches` (RFC 5228 §2.7.1); the captures are the whole and what each wildcard stood for (RFC 5229 §3.2), each
/// as short as it can be.
fn glob(value: &str, pattern: &str, ignores_case: bool) -> Option<Captures> {
    let letters: Vec<char> = value.chars().collect();
    let pieces = pieces(pattern);
    let mut captures = vec![value.to_owned()];
    let mut segments = pieces.split(|piece| *piece == Piece::AnyMany);
    let first = segments.next().unwrap_or_default();
    let mut at = first.len();
    fits(first, letters.get(..at)?, ignores_case, &mut captures).then_some(())?;
    let rest: Vec<&[Piece]> = segments.collect();
    let Some((last, middle)) = rest.split_last() else { return (at == letters.len()).then_some(captures) };
    for segment in middle {
        let start = at;
        loop {
            let window = letters.get(at..at + segment.len())?;
            let mut found = Vec::new();
            if fits(segment, window, ignores_case, &mut found) {
                captures.push(letters.get(start..at)?.iter().collect());
                captures.extend(found);
                at += segment.len();
                break;
            }
            at += 1;
        }
    }
    let end = letters.len().checked_sub(last.len()).filter(|end| *end >= at)?;
    let mut found = Vec::new();
    fits(last, letters.get(end..)?, ignores_case, &mut found).then_some(())?;
    captures.push(letters.get(at..end)?.iter().collect());
    captures.extend(found);
    Some(captures)
}

fn fits(pieces: &[Piece], letters: &[char], ignores_case: bool, captures: &mut Captures) -> bool {
    pieces.len() == letters.len()
        && pieces.iter().zip(letters).all(|(piece, letter)| match piece {
            Piece::Letter(wanted) if ignores_case => wanted.eq_ignore_ascii_case(letter),
            Piece::Letter(wanted) => wanted == letter,
            Piece::AnyOne => {
                captures.push(letter.to_string());
                true
            }
            Piece::AnyMany => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_as_little_as_they_can() {
        let check = |value: &str, pattern: &str, expect: Option<&[&str]>| {
            let got = glob(value, pattern, true);
            assert_eq!(
                got.as_deref().map(|all| all.iter().map(String::as_str).collect::<Vec<_>>()),
                expect.map(<[&str]>::to_vec),
                "{value} {pattern}"
            );
        };
        check(
            "[acme-users] [fwd] version 1.0 is out",
            "[*] *",
            Some(&["[acme-users] [fwd] version 1.0 is out", "acme-users", "[fwd] version 1.0 is out"]),
        );
        check("frop", "f?o*", Some(&["frop", "r", "p"]));
        check("FROP", "frop", Some(&["FROP"]));
        check("a*b", "a\\*b", Some(&["a*b"]));
        check("axb", "a\\*b", None);
        check("", "*", Some(&["", ""]));
        check("abcabc", "*c", Some(&["abcabc", "abcab"]));
        check("ab", "a?b", None);
        check("aXbXc", "*X*", Some(&["aXbXc", "a", "bXc"]));
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let numeric = Comparator::Numeric;
        assert!(numeric.is_equal("007", "7x"));
        assert!(numeric.is_equal("x", "y"));
        assert!(numeric.compare("99999999999999999999999", "100").is_gt());
        assert!(numeric.compare("x", "100").is_gt());
    }

    #[test]
    fn expressions_are_those_of_posix() {
        let found = |value: &str, text: &str| {
            let matcher = Matcher { kind: MatchType::Regex, comparator: Comparator::CaseMap };
            matcher.one(value, text)
        };
        assert_eq!(found("Abc 12", "^(a.*) ([[:digit:]]+)$").unwrap(), ["Abc 12", "Abc", "12"]);
        assert_eq!(found("a]b[", "[][]b[[]").unwrap().len(), 1);
        assert!(found("x", "[").is_none());
        assert!(found("a\\", "[\\]").is_some());
    }
}
