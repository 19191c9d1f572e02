//! The grammar of Sieve: from the text of a script to its commands, with lines and places.
//!
//! Source: RFC 5228 §8. What the commands mean is said in `rules`.

use std::ops::Range;

use super::ScriptError;

/// How deep blocks and tests may be nested, together.
const MAX_DEPTH: usize = 32;

/// An argument of a command or test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `:tag`, in lower case and without the colon.
    Tag(String),
    /// A number, multiplied out.
    Number(u64),
    /// A string.
    Text(Text),
    /// A list of strings in brackets.
    List(Vec<Text>),
}

impl Value {
    /// The strings in it.
    pub(super) fn texts(&self) -> &[Text] {
        match self {
            Self::Text(text) => std::slice::from_ref(text),
            Self::List(texts) => texts,
            Self::Tag(_) | Self::Number(_) => &[],
        }
    }
}

/// A string of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// What it says, quoting undone.
    pub(super) text: String,
    /// Its line, from 1.
    pub(super) line: usize,
    /// Where it stands in the script, quotes included.
    pub(super) span: Range<usize>,
}

/// An argument and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Argument {
    /// What it is.
    pub(super) value: Value,
    /// Its line, from 1.
    pub(super) line: usize,
}

/// A command or a test: RFC 5228 §8.2 gives both the same form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Its name, in lower case.
    pub(super) name: String,
    /// Its line, from 1.
    pub(super) line: usize,
    /// Tags, numbers and strings, in order.
    pub(super) arguments: Vec<Argument>,
    /// The tests behind them.
    pub(super) tests: Vec<Node>,
    /// Whether the tests stand in parentheses.
    pub(super) has_test_list: bool,
    /// The commands in braces, where there are braces.
    pub(super) block: Option<Vec<Node>>,
    /// Where it stands in the script, with its semicolon.
    pub(super) span: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Tag(String),
    Number(u64),
    Text(String),
    Sign(char),
}

#[derive(Debug, Clone)]
struct Placed {
    token: Token,
    line: usize,
    span: Range<usize>,
}

/// Reads a script.
///
/// # Errors
/// The first place that is against the grammar.
pub(super) fn parse(source: &str) -> Result<Vec<Node>, ScriptError> {
    let mut tokens = Vec::new();
    let mut lexer = Lexer { source, at: 0, line: 1 };
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    let mut parser = Parser { tokens, at: 0, last_line: lexer.line, depth: 0 };
    let commands = parser.commands()?;
    match parser.peek() {
        None => Ok(commands),
        Some(stray) => Err(error(stray.line, format!("{} closes nothing", shown(&stray.token)))),
    }
}

fn error(line: usize, message: impl Into<String>) -> ScriptError {
    ScriptError { line, message: message.into() }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(word) => word.clone(),
        Token::Tag(tag) => format!(":{tag}"),
        Token::Number(number) => number.to_string(),
        Token::Text(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        Token::Sign(sign) => format!("'{sign}'"),
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, octets: usize) {
        let passed = self.source.get(self.at..self.at + octets).unwrap_or_default();
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count();
        self.at += octets;
    }

    fn next(&mut self) -> Result<Option<Placed>, ScriptError> {
        self.skip_blanks()?;
        let (start, line) = (self.at, self.line);
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let token = match first {
            '"' => self.quoted()?,
            ':' => {
                self.skip(1);
                match self.word() {
                    Some(word) => Token::Tag(word.to_ascii_lowercase()),
                    None => return Err(error(line, "a tag needs a name behind its colon")),
                }
            }
            '0'..='9' => self.number()?,
            ';' | ',' | '{' | '}' | '(' | ')' | '[' | ']' => {
                self.skip(1);
                Token::Sign(first)
            }
            _ => match self.word() {
                // RFC 5228 §2.4.2: text: begins a string of several lines.
                Some(word) if word.eq_ignore_ascii_case("text") && self.rest().starts_with(':') => {
                    self.skip(1);
                    self.multi_line(line)?
                }
                Some(word) => Token::Word(word),
                None => return Err(error(line, format!("{first:?} is no part of Sieve"))),
            },
        };
        Ok(Some(Placed { token, line, span: start..self.at }))
    }

    fn skip_blanks(&mut self) -> Result<(), ScriptError> {
        loop {
            let rest = self.rest();
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            self.skip(blanks);
            let rest = self.rest();
            if rest.starts_with('#') {
                let length = rest.find('\n').unwrap_or(rest.len());
                self.skip(length);
            } else if rest.starts_with("/*") {
                match rest.find("*/") {
                    Some(end) => self.skip(end + 2),
                    None => return Err(error(self.line, "the comment is not closed by */")),
                }
            } else {
                return Ok(());
            }
        }
    }

    fn word(&mut self) -> Option<String> {
        let rest = self.rest();
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let word = rest.get(..rest.find(|letter| !is_part(letter)).unwrap_or(rest.len()))?.to_owned();
        if word.is_empty() || word.starts_with(|letter: char| letter.is_ascii_digit()) {
            return None;
        }
        self.skip(word.len());
        Some(word)
    }

    fn number(&mut self) -> Result<Token, ScriptError> {
        let rest = self.rest();
        let digits =
            rest.get(..rest.find(|l: char| !l.is_ascii_digit()).unwrap_or(rest.len())).unwrap_or_default();
        let digits = digits.to_owned();
        self.skip(digits.len());
        // RFC 5228 §2.4.1: powers of 1024.
        let shift = match self.rest().chars().next() {
            Some('k' | 'K') => 10,
            Some('m' | 'M') => 20,
            Some('g' | 'G') => 30,
            _ => 0,
        };
        if shift > 0 {
            self.skip(1);
        }
        if self.rest().starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_') {
            return Err(error(
                self.line,
                format!("{digits} and what follows is neither a number nor a name"),
            ));
        }
        let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        match number.filter(|number| i64::try_from(*number).is_ok()) {
            Some(number) => Ok(Token::Number(number)),
            None => Err(error(self.line, format!("the number {digits} is too large"))),
        }
    }

    fn quoted(&mut self) -> Result<Token, ScriptError> {
        let line = self.line;
        let mut text = String::new();
        let mut letters = self.rest().char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.skip(at + 1);
                    return Ok(Token::Text(text));
                }
                '\\' => text.extend(letters.next().map(|(_, letter)| letter)),
                other => text.push(other),
            }
        }
        Err(error(line, "the string is not closed by \""))
    }

    fn multi_line(&mut self, line: usize) -> Result<Token, ScriptError> {
        let unclosed = || error(line, "the text is not closed by a line with a single dot");
        let rest = self.rest();
        let head = rest.find('\n').ok_or_else(unclosed)?;
        let after = rest.get(..head).unwrap_or_default().trim();
        if !after.is_empty() && !after.starts_with('#') {
            return Err(error(line, "nothing but a comment may follow text: on its line"));
        }
        self.skip(head + 1);
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let (content, length) = match rest.find('\n') {
                Some(end) => (rest.get(..end).unwrap_or_default(), end + 1),
                None => (rest, rest.len()),
            };
            let content = content.trim_end_matches('\r').to_owned();
            if length == 0 {
                return Err(unclosed());
            }
            self.skip(length);
            if content == "." {
                return Ok(Token::Text(text));
            }
            // RFC 5228 §2.4.2: a dot in front of a dot is taken away.
            text.push_str(
                content.strip_prefix('.').filter(|_| content.starts_with("..")).unwrap_or(&content),
            );
            text.push_str("\r\n");
        }
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    last_line: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Placed> {
        self.tokens.get(self.at)
    }

    fn is_next(&self, sign: char) -> bool {
        self.peek().is_some_and(|placed| placed.token == Token::Sign(sign))
    }

    fn take(&mut self, sign: char) -> bool {
        let is_there = self.is_next(sign);
        self.at += usize::from(is_there);
        is_there
    }

    fn end(&self) -> usize {
        self.at.checked_sub(1).and_then(|last| self.tokens.get(last)).map_or(0, |placed| placed.span.end)
    }

    fn unexpected(&self, wanted: &str) -> ScriptError {
        match self.peek() {
            Some(placed) => {
                error(placed.line, format!("{wanted} is missing before {}", shown(&placed.token)))
            }
            None => error(self.last_line, format!("{wanted} is missing at the end")),
        }
    }

    fn deeper(&mut self) -> Result<(), ScriptError> {
        self.depth += 1;
        let line = self.peek().map_or(self.last_line, |placed| placed.line);
        if self.depth > MAX_DEPTH { Err(error(line, "blocks and tests are nested too deep")) } else { Ok(()) }
    }

    fn commands(&mut self) -> Result<Vec<Node>, ScriptError> {
        let mut all = Vec::new();
        while matches!(self.peek(), Some(Placed { token: Token::Word(_), .. })) {
            let mut node = self.node()?;
            if self.take('{') {
                self.deeper()?;
                let block = self.commands()?;
                if !self.take('}') {
                    return Err(self.unexpected("a command or '}'"));
                }
                self.depth -= 1;
                node.block = Some(block);
            } else if !self.take(';') {
                return Err(self.unexpected(&format!("';' after {}", node.name)));
            }
            node.span.end = self.end();
            all.push(node);
        }
        match self.peek() {
            None => Ok(all),
            Some(placed) if placed.token == Token::Sign('}') => Ok(all),
            Some(_) => Err(self.unexpected("a command")),
        }
    }

    fn node(&mut self) -> Result<Node, ScriptError> {
        let Some(Placed { token: Token::Word(name), line, span }) = self.peek().cloned() else {
            return Err(self.unexpected("a test"));
        };
        self.at += 1;
        let arguments = self.arguments()?;
        let (mut tests, mut has_test_list) = (Vec::new(), false);
        if self.take('(') {
            has_test_list = true;
            self.deeper()?;
            loop {
                tests.push(self.node()?);
                if !self.take(',') {
                    break;
                }
            }
            if !self.take(')') {
                return Err(self.unexpected("',' or ')'"));
            }
            self.depth -= 1;
        } else if matches!(self.peek(), Some(Placed { token: Token::Word(_), .. })) {
            self.deeper()?;
            tests.push(self.node()?);
            self.depth -= 1;
        }
        let span = span.start..self.end();
        Ok(Node { name: name.to_ascii_lowercase(), line, arguments, tests, has_test_list, block: None, span })
    }

    fn arguments(&mut self) -> Result<Vec<Argument>, ScriptError> {
        let mut all = Vec::new();
        while let Some(Placed { token, line, span }) = self.peek().cloned() {
            let value = match token {
                Token::Tag(tag) => Value::Tag(tag),
                Token::Number(number) => Value::Number(number),
                Token::Text(text) => Value::Text(Text { text, line, span }),
                Token::Sign('[') => {
                    self.at += 1;
                    all.push(Argument { value: Value::List(self.list()?), line });
                    continue;
                }
                Token::Word(_) | Token::Sign(_) => break,
            };
            self.at += 1;
            all.push(Argument { value, line });
        }
        Ok(all)
    }

    fn list(&mut self) -> Result<Vec<Text>, ScriptError> {
        let mut all = Vec::new();
        loop {
            let Some(Placed { token: Token::Text(text), line, span }) = self.peek().cloned() else {
                return Err(self.unexpected("a string"));
            };
            self.at += 1;
            all.push(Text { text, line, span });
            if self.take(']') {
                return Ok(all);
            }
            if !self.take(',') {
                return Err(self.unexpected("',' or ']'"));
            }
        }
    }
}
