//! The command lines of the MDA interface: our own, and those that MTAs' stock configurations pass to
//! procmail, maildrop and dovecot-lda.

use thiserror::Error;

/// The help text of `pigeon deliver`.
pub const HELP: &str = "\
Deliver one message from standard input (the Unix MDA interface).

Usage: pigeon deliver [OPTIONS] [RECIPIENT]...

  -d, --recipient ADDRESS   a recipient; may be given several times
  -f, --sender ADDRESS      the envelope sender; <> or nothing is the null sender
  -a, --mailbox DETAIL      the extension: delivers to RECIPIENT+DETAIL
      --original ADDRESS    the recipient before aliases, for X-Original-To
      --strip-from-line     take off an mbox \"From \" line at the top
  -c, --config FILE         the configuration of this node
  -h, --help                this text

What is not given is taken from the environment, where MTAs put it:
  sender      SENDER
  recipient   RECIPIENT; or LOCAL_PART + LOCAL_PART_SUFFIX @ DOMAIN (Exim);
              or LOCAL @ DOMAIN (OpenSMTPD, Postfix local); or LOGNAME, USER
  extension   EXTENSION (Postfix local)

Exit: 0 done, 67 no such recipient, 73 over quota, 75 try again, 77 refused by policy, 69 refused.
Started as procmail, maildrop, dovecot-lda or deliver it takes their options:
  procmail     -d RECIPIENT...  -f SENDER  -a DETAIL  (-o -t -Y are accepted)
  maildrop     -d RECIPIENT  -f SENDER  (-V LEVEL -w PERCENT are accepted)
  dovecot-lda  -d RECIPIENT  -f SENDER  -a ORIGINAL  -m FOLDER  (-e -k are accepted)
";

/// Whose command line is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `pigeon deliver`
    Pigeon,
    /// `procmail`
    Procmail,
    /// `maildrop`
    Maildrop,
    /// `dovecot-lda`, `deliver`
    DovecotLda,
}

impl Dialect {
    /// The dialect that a program name asks for, if it is one of these.
    #[must_use]
    pub fn of_program(path: &str) -> Option<Self> {
        match path.rsplit('/').next()? {
            "pigeon-deliver" => Some(Self::Pigeon),
            "procmail" => Some(Self::Procmail),
            "maildrop" => Some(Self::Maildrop),
            "dovecot-lda" | "deliver" => Some(Self::DovecotLda),
            _ => None,
        }
    }

    fn short_option(self, letter: char) -> Option<Opt> {
        match (self, letter) {
            (_, 'd') => Some(Opt::Recipient),
            (_, 'f') => Some(Opt::Sender),
            (Self::Pigeon | Self::Procmail, 'a') | (Self::DovecotLda, 'm') => Some(Opt::Detail),
            (Self::DovecotLda, 'a') => Some(Opt::Original),
            (Self::Pigeon, 'c') => Some(Opt::Config),
            (Self::Pigeon, 'h') => Some(Opt::Help),
            (Self::Procmail, 'o' | 't' | 'Y') | (Self::DovecotLda, 'e' | 'k') => Some(Opt::Ignored),
            (Self::Maildrop, 'V' | 'w') => Some(Opt::IgnoredWithValue),
            _ => None,
        }
    }

    fn long_option(self, name: &str) -> Option<Opt> {
        if self != Self::Pigeon {
            return None;
        }
        Some(match name {
            "recipient" => Opt::Recipient,
            "sender" => Opt::Sender,
            "mailbox" => Opt::Detail,
            "original" => Opt::Original,
            "strip-from-line" => Opt::StripFromLine,
            "config" => Opt::Config,
            "help" => Opt::Help,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opt {
    Recipient,
    Sender,
    Detail,
    Original,
    Config,
    StripFromLine,
    Help,
    Ignored,
    IgnoredWithValue,
}

impl Opt {
    const fn takes_value(self) -> bool {
        !matches!(self, Self::StripFromLine | Self::Help | Self::Ignored)
    }
}

/// What a command line and the environment say together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The recipients, at least one.
    pub recipients: Vec<String>,
    /// The sender; none: nobody said.
    pub sender: Option<String>,
    /// The extension of the recipient.
    pub detail: Option<String>,
    /// The recipient before aliases.
    pub original_recipient: Option<String>,
    /// The MTA's queue id.
    pub queue_id: Option<String>,
    /// Whether an mbox `From ` line at the top is taken off.
    pub is_from_line_stripped: bool,
    /// The configuration file that was named.
    pub config: Option<String>,
    /// Whether only the help text is wanted.
    pub is_help: bool,
}

/// A command line that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UsageError {
    /// An option that there is not.
    #[error("there is no option {0}: see pigeon deliver --help")]
    Unknown(String),
    /// An option without its value.
    #[error("the option {0} needs a value: see pigeon deliver --help")]
    NoValue(String),
    /// Nobody to deliver to.
    #[error("no recipient: name one, or have the MTA set RECIPIENT in the environment")]
    NoRecipient,
}

/// The environment, as far as MTAs put an envelope there.
pub trait Environment {
    /// The value of a variable.
    fn get(&self, name: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Environment for F {
    fn get(&self, name: &str) -> Option<String> {
        self(name).filter(|value| !value.is_empty())
    }
}

impl Arguments {
    /// Reads a command line (without the program's name), completed from the environment.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn parse(
        dialect: Dialect,
        arguments: impl IntoIterator<Item = String>,
        environment: &dyn Environment,
    ) -> Result<Self, UsageError> {
        let mut parsed = Self { is_from_line_stripped: dialect != Dialect::Pigeon, ..Self::default() };
        let mut rest = arguments.into_iter();
        let mut is_literal = false;
        while let Some(argument) = rest.next() {
            match argument.strip_prefix('-') {
                _ if is_literal => parsed.recipients.push(argument),
                None | Some("") => parsed.recipients.push(argument),
                Some("-") => is_literal = true,
                Some(option) => parsed.take_option(dialect, option, &mut rest)?,
            }
        }
        if parsed.is_help {
            return Ok(parsed);
        }
        parsed.complete(environment);
        if parsed.recipients.is_empty() { Err(UsageError::NoRecipient) } else { Ok(parsed) }
    }

    fn take_option(
        &mut self,
        dialect: Dialect,
        option: &str,
        rest: &mut impl Iterator<Item = String>,
    ) -> Result<(), UsageError> {
        let unknown = || UsageError::Unknown(format!("-{option}"));
        if let Some(long) = option.strip_prefix('-') {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let opt = dialect.long_option(name).ok_or_else(unknown)?;
            let value = value.map(str::to_owned);
            return self.set(opt, &format!("-{option}"), || value.or_else(|| rest.next()));
        }
        let mut letters = option.chars();
        while let Some(letter) = letters.next() {
            let opt = dialect.short_option(letter).ok_or_else(unknown)?;
            if opt.takes_value() {
                let attached = letters.as_str().to_owned();
                let value = || if attached.is_empty() { rest.next() } else { Some(attached) };
                return self.set(opt, &format!("-{letter}"), value);
            }
            self.set(opt, "", || None)?;
        }
        Ok(())
    }

    fn set(
        &mut self,
        opt: Opt,
        shown: &str,
        value: impl FnOnce() -> Option<String>,
    ) -> Result<(), UsageError> {
        if !opt.takes_value() {
            match opt {
                Opt::StripFromLine => self.is_from_line_stripped = true,
                Opt::Help => self.is_help = true,
                _ => {}
            }
            return Ok(());
        }
        let value = value().ok_or_else(|| UsageError::NoValue(shown.to_owned()))?;
        match opt {
            Opt::Recipient => self.recipients.push(value),
            Opt::Sender => self.sender = Some(value),
            Opt::Detail => self.detail = Some(value),
            Opt::Original => self.original_recipient = Some(value),
            Opt::Config => self.config = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn complete(&mut self, environment: &dyn Environment) {
        if self.sender.is_none() {
            self.sender = environment.get("SENDER");
        }
        if self.recipients.is_empty() {
            self.recipients.extend(recipient_of(environment));
            // Postfix local(8): RECIPIENT has the extension already, and `-a "$EXTENSION"` gives it once more.
            if environment.get("RECIPIENT").is_some() && self.detail == environment.get("EXTENSION") {
                self.detail = None;
            }
        } else if self.detail.is_none() {
            // Postfix local(8) names the user and passes the extension beside it.
            self.detail = environment.get("EXTENSION");
        }
        if self.original_recipient.is_none() {
            self.original_recipient = environment.get("ORIGINAL_RECIPIENT");
        }
        // Exim calls its queue id MESSAGE_ID.
        self.queue_id = environment.get("MESSAGE_ID").or_else(|| environment.get("QUEUEID"));
    }
}

fn recipient_of(environment: &dyn Environment) -> Option<String> {
    let joined = |local: String| match environment.get("DOMAIN") {
        Some(domain) => format!("{local}@{domain}"),
        None => local,
    };
    let exim = || {
        let local = environment.get("LOCAL_PART")?;
        let suffix = environment.get("LOCAL_PART_SUFFIX").unwrap_or_default();
        Some(joined(local + &suffix))
    };
    environment
        .get("RECIPIENT")
        .or_else(exim)
        .or_else(|| environment.get("LOCAL").map(joined))
        .or_else(|| environment.get("LOGNAME"))
        .or_else(|| environment.get("USER"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(dialect: Dialect, line: &str, environment: &[(&str, &str)]) -> Result<Arguments, UsageError> {
        let words = line.split_whitespace().map(str::to_owned);
        let look_up = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Arguments::parse(dialect, words, &look_up)
    }

    fn check(dialect: Dialect, line: &str, environment: &[(&str, &str)], expect: (&str, &str, &str)) {
        let got = parse(dialect, line, environment).unwrap();
        let shown = (
            got.recipients.join(","),
            got.sender.unwrap_or_else(|| "-".into()),
            got.detail.unwrap_or_else(|| "-".into()),
        );
        assert_eq!((shown.0.as_str(), shown.1.as_str(), shown.2.as_str()), expect, "{line}");
    }

    #[test]
    fn command_lines_of_stock_configurations_are_read() {
        use Dialect::{DovecotLda, Maildrop, Pigeon, Procmail};
        check(Pigeon, "-f a@example.net -d b@example.org", &[], ("b@example.org", "a@example.net", "-"));
        check(
            Pigeon,
            "-fa@example.net b@example.org c@example.org",
            &[],
            ("b@example.org,c@example.org", "a@example.net", "-"),
        );
        check(Pigeon, "--sender= --mailbox=x -- -b@example.org", &[], ("-b@example.org", "", "x"));
        check(Procmail, "-Y -a lists -d ann", &[], ("ann", "-", "lists"));
        check(Procmail, "-tYf a@example.net -d ann", &[], ("ann", "a@example.net", "-"));
        check(
            Procmail,
            "",
            &[("LOGNAME", "ann"), ("SENDER", "a@example.net")],
            ("ann", "a@example.net", "-"),
        );
        check(Maildrop, "-V 0 -d ann@example.org", &[], ("ann@example.org", "-", "-"));
        check(
            DovecotLda,
            "-e -f a@example.net -d ann@example.org -m Junk",
            &[],
            ("ann@example.org", "a@example.net", "Junk"),
        );
    }

    #[test]
    fn the_environment_completes() {
        let exim = [
            ("SENDER", "a@example.net"),
            ("LOCAL_PART", "ann"),
            ("LOCAL_PART_SUFFIX", "+x"),
            ("DOMAIN", "example.org"),
        ];
        check(Dialect::Pigeon, "", &exim, ("ann+x@example.org", "a@example.net", "-"));
        let opensmtpd = [
            ("SENDER", "a@example.net"),
            ("RECIPIENT", "ann@example.org"),
            ("LOCAL", "ann"),
            ("DOMAIN", "example.org"),
        ];
        check(Dialect::Pigeon, "", &opensmtpd, ("ann@example.org", "a@example.net", "-"));
        check(
            Dialect::Pigeon,
            "",
            &[("LOCAL", "ann"), ("DOMAIN", "example.org")],
            ("ann@example.org", "-", "-"),
        );
    }

    #[test]
    fn an_extension_counts_once() {
        let local = [("RECIPIENT", "ann+x@example.org"), ("EXTENSION", "x"), ("LOGNAME", "ann")];
        check(Dialect::Procmail, "-a x", &local, ("ann+x@example.org", "-", "-"));
        check(Dialect::Procmail, "-d ann -a x", &local, ("ann", "-", "x"));
        check(Dialect::Procmail, "-a y", &local, ("ann+x@example.org", "-", "y"));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse(Dialect::Pigeon, "-Z", &[]), Err(UsageError::Unknown("-Z".into())));
        assert_eq!(parse(Dialect::Procmail, "-m /etc/rc", &[]), Err(UsageError::Unknown("-m".into())));
        assert_eq!(parse(Dialect::Pigeon, "-d", &[]), Err(UsageError::NoValue("-d".into())));
        assert_eq!(parse(Dialect::Pigeon, "", &[]), Err(UsageError::NoRecipient));
        assert!(parse(Dialect::Pigeon, "--help", &[]).unwrap().is_help);
    }
}
