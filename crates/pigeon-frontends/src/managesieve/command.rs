//! Commands of the client (RFC 5804 §2).

use pigeon_core::ports::scripts::ScriptName;

use super::line::Word;
use super::reply::Refusal;

const NOT_KNOWN: Refusal = Refusal::plain("The command is not known");
const NO_COMMAND: Refusal = Refusal::plain("A command begins with its name");
const ARGUMENTS: Refusal = Refusal::plain("The command has other arguments");
const NOT_TEXT: Refusal = Refusal::plain("The argument is not text in UTF-8");

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Authenticate { mechanism: String, initial: Option<Vec<u8>> },
    StartTls,
    Logout,
    Capability,
    HaveSpace { name: String, octets: u64 },
    PutScript { name: String, source: Vec<u8> },
    ListScripts,
    SetActive { name: String },
    GetScript { name: String },
    DeleteScript { name: String },
    RenameScript { from: String, to: String },
    CheckScript { source: Vec<u8> },
    Noop { tag: Option<Vec<u8>> },
    Unauthenticate,
}

impl Command {
    /// Reads the words of a command.
    pub(super) fn read(words: Vec<Word>) -> Result<Self, Refusal> {
        let mut words = words.into_iter();
        let Some(Word::Atom(name)) = words.next() else { return Err(NO_COMMAND) };
        let arguments: Vec<Word> = words.collect();
        let mut arguments = Arguments(arguments.into_iter());
        let command = match name.to_ascii_uppercase().as_str() {
            "AUTHENTICATE" => {
                Self::Authenticate { mechanism: arguments.text()?, initial: arguments.optional()? }
            }
            "STARTTLS" => Self::StartTls,
            "LOGOUT" => Self::Logout,
            "CAPABILITY" => Self::Capability,
            "HAVESPACE" => Self::HaveSpace { name: arguments.text()?, octets: arguments.number()? },
            "PUTSCRIPT" => Self::PutScript { name: arguments.text()?, source: arguments.string()? },
            "LISTSCRIPTS" => Self::ListScripts,
            "SETACTIVE" => Self::SetActive { name: arguments.text()? },
            "GETSCRIPT" => Self::GetScript { name: arguments.text()? },
            "DELETESCRIPT" => Self::DeleteScript { name: arguments.text()? },
            "RENAMESCRIPT" => Self::RenameScript { from: arguments.text()?, to: arguments.text()? },
            "CHECKSCRIPT" => Self::CheckScript { source: arguments.string()? },
            "NOOP" => Self::Noop { tag: arguments.optional()? },
            "UNAUTHENTICATE" => Self::Unauthenticate,
            _ => return Err(NOT_KNOWN),
        };
        match arguments.0.next() {
            None => Ok(command),
            Some(_) => Err(ARGUMENTS),
        }
    }

    /// Whether the next string of a command that came in so far is a script; with the script's name.
    pub(super) fn awaits_script(words: &[Word]) -> Option<Option<ScriptName>> {
        let Some((Word::Atom(command), arguments)) = words.split_first() else { return None };
        match (command.to_ascii_uppercase().as_str(), arguments) {
            ("CHECKSCRIPT", []) => Some(None),
            ("PUTSCRIPT", [Word::Text(name)]) => {
                Some(std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()))
            }
            _ => None,
        }
    }
}

/// What is left of the arguments.
struct Arguments(std::vec::IntoIter<Word>);

impl Arguments {
    fn string(&mut self) -> Result<Vec<u8>, Refusal> {
        match self.0.next() {
            Some(Word::Text(text)) => Ok(text),
            _ => Err(ARGUMENTS),
        }
    }

    fn optional(&mut self) -> Result<Option<Vec<u8>>, Refusal> {
        if self.0.len() == 0 { Ok(None) } else { self.string().map(Some) }
    }

    fn text(&mut self) -> Result<String, Refusal> {
        String::from_utf8(self.string()?).map_err(|_| NOT_TEXT)
    }

    fn number(&mut self) -> Result<u64, Refusal> {
        match self.0.next() {
            Some(Word::Atom(digits)) if digits.bytes().all(|octet| octet.is_ascii_digit()) => {
                digits.parse().map_err(|_| ARGUMENTS)
            }
            _ => Err(ARGUMENTS),
        }
    }
}

/// The client's answer to a challenge; none where it gives up (RFC 5804 §2.1).
pub(super) fn response(words: Vec<Word>) -> Result<Option<Vec<u8>>, Refusal> {
    let mut arguments = Arguments(words.into_iter());
    let response = arguments.string()?;
    match arguments.0.next() {
        None if response == b"*" => Ok(None),
        None => Ok(Some(response)),
        Some(_) => Err(ARGUMENTS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Word {
        Word::Text(text.as_bytes().to_vec())
    }

    fn atom(text: &str) -> Word {
        Word::Atom(text.to_owned())
    }

    #[test]
    fn commands_are_read_or_refused() {
        let check = |words: &[Word], expect: Result<Command, Refusal>| {
            assert_eq!(Command::read(words.to_vec()), expect, "{words:?}");
        };
        check(&[atom("noop")], Ok(Command::Noop { tag: None }));
        check(&[atom("NOOP"), text("x")], Ok(Command::Noop { tag: Some(b"x".to_vec()) }));
        check(&[atom("NOOP"), atom("x")], Err(ARGUMENTS));
        check(&[atom("Logout"), text("x")], Err(ARGUMENTS));
        let space = Command::HaveSpace { name: "a".to_owned(), octets: 12 };
        check(&[atom("HAVESPACE"), text("a"), atom("12")], Ok(space));
        check(&[atom("HAVESPACE"), text("a"), atom("-1")], Err(ARGUMENTS));
        check(&[atom("HAVESPACE"), text("a"), atom("99999999999999999999")], Err(ARGUMENTS));
        check(&[atom("HAVESPACE"), text("a"), text("12")], Err(ARGUMENTS));
        check(&[atom("GETSCRIPT"), Word::Text(vec![0xff])], Err(NOT_TEXT));
        check(&[atom("GETSCRIPT")], Err(ARGUMENTS));
        check(&[atom("XYZZY")], Err(NOT_KNOWN));
        check(&[text("NOOP")], Err(NO_COMMAND));
        check(&[], Err(NO_COMMAND));
    }

    #[test]
    fn scripts_are_told_from_other_strings() {
        let name = "a".parse().unwrap();
        assert_eq!(Command::awaits_script(&[atom("putscript"), text("a")]), Some(Some(name)));
        assert_eq!(Command::awaits_script(&[atom("PUTSCRIPT"), text("")]), Some(None));
        assert_eq!(Command::awaits_script(&[atom("CHECKSCRIPT")]), Some(None));
        for words in [&[atom("PUTSCRIPT")][..], &[], &[text("PUTSCRIPT"), text("a")], &[atom("GETSCRIPT")]] {
            assert_eq!(Command::awaits_script(words), None, "{words:?}");
        }
    }

    #[test]
    fn a_star_gives_up() {
        assert_eq!(response(vec![text("*")]), Ok(None));
        assert_eq!(response(vec![text("")]), Ok(Some(Vec::new())));
        assert!(response(vec![atom("*")]).is_err() && response(vec![]).is_err());
    }
}
