//! Passwords on their way from a person to a hash: never shown, never on a command line.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use pigeon_backends::passwords;
use pigeon_core::address::Address;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::Scheme;

/// Fewest letters of a password.
const MIN_LETTERS: usize = 8;

/// Asks for a new password twice, without echo.
pub(super) fn ask(address: &Address) -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        bail!("nobody can be asked for a password here: pass it with --password-stdin");
    }
    let first = ask_once(&format!("New password for {address}: "))?;
    let second = ask_once("The same again: ")?;
    if first == second { checked(first) } else { bail!("the two passwords differ: nothing was changed") }
}

/// The first line of standard input.
pub(super) fn from_stdin() -> anyhow::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("the password cannot be read from standard input")?;
    checked(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The hash of a new password, with its scheme.
pub(super) fn hash(password: &str, scheme: Scheme) -> anyhow::Result<String> {
    Ok(match scheme {
        Scheme::Argon2id => passwords::hash(password)?,
        Scheme::ScramSha256 => passwords::hash_scram(password)?,
    })
}

/// A hash that exists already, if its scheme is one that can be verified.
pub(super) fn check_hash(hash: &str) -> anyhow::Result<String> {
    passwords::check_form(hash)?;
    Ok(hash.to_owned())
}

/// The scheme of a stored hash: all that is shown of it.
pub(super) fn scheme(stored: &str) -> &str {
    let braced = stored.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(scheme, _)| scheme);
    braced.or_else(|| stored.strip_prefix('$')?.split('$').next()).unwrap_or("set")
}

fn checked(password: String) -> anyhow::Result<String> {
    if password.chars().count() < MIN_LETTERS {
        bail!("the password is too short: take at least {MIN_LETTERS} letters");
    }
    Ok(password)
}

fn ask_once(question: &str) -> anyhow::Result<String> {
    let mut screen = anstream::stderr();
    write!(screen, "{question}").and_then(|()| screen.flush()).context("standard error cannot be written")?;
    let mut line = String::new();
    {
        let _quiet = Quiet::new().context("the terminal's echo cannot be switched off")?;
        io::stdin().lock().read_line(&mut line).context("the password cannot be read")?;
    }
    writeln!(screen).context("standard error cannot be written")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The terminal without echo, until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nothing better can be done when the terminal is gone.
        tcsetattr(io::stdin(), OptionalActions::Flush, &self.0).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_scheme_of_a_hash_is_shown() {
        assert_eq!(scheme("{ARGON2ID}$argon2id$v=19$secret"), "ARGON2ID");
        assert_eq!(scheme("$6$salt$secret"), "6");
        assert_eq!(scheme("secret"), "set");
    }

    #[test]
    fn short_passwords_are_refused() {
        assert!(checked("1234567".to_owned()).unwrap_err().to_string().contains("at least 8"));
        assert!(checked("dépêches".to_owned()).is_ok());
    }

    #[test]
    fn hashes_need_a_known_scheme() {
        assert!(check_hash("{SSHA}BR/KHTJntX6b1QS9f4p82h+54HEwMTIz").is_ok());
        assert!(check_hash("secret").is_err());
    }
}
