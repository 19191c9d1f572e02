//! What is stored: its scheme, how it is written, and whether it is whole.
//!
//! Source: the Dovecot manual, "Password Schemes", compared with what `doveadm pw -t` takes; crypt(5).

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};

use pigeon_core::sasl::ScramKeys;

use super::pbkdf2::Pbkdf2;
use super::{PasswordError, Protection};

/// A digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    const fn octets(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A stored password, read.
#[derive(Debug)]
pub(super) enum Stored {
    Plain(Vec<u8>),
    /// The digest and behind it the salt, where there is one.
    Digest(Algorithm, Vec<u8>),
    Pbkdf2(Pbkdf2),
    Argon2(String),
    Bcrypt(String),
    ShaCrypt(String),
    Yescrypt(String),
    Md5Crypt(String),
    Scram(ScramKeys),
}

/// How the part behind the scheme is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// As the scheme has it.
    Usual,
    Hex,
    Base64,
}

impl Stored {
    pub(super) fn read(stored: &str) -> Result<Self, PasswordError> {
        let Some((name, rest)) = stored.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            return crypt("", stored.to_owned());
        };
        let upper = name.to_ascii_uppercase();
        let (base, encoding) = match upper.split_once('.') {
            None => (&*upper, Encoding::Usual),
            Some((base, "HEX")) => (base, Encoding::Hex),
            Some((base, "B64" | "BASE64")) => (base, Encoding::Base64),
            Some(_) => return Err(unknown(&upper)),
        };
        match base {
            "PLAIN" | "CLEAR" | "CLEARTEXT" | "PLAINTEXT" => plain(rest, encoding),
            // Without $1$ it is the MD5 of RFC 2307.
            "MD5" if !rest.starts_with("$1$") => digest(Algorithm::Md5, rest, encoding),
            "PLAIN-MD5" | "LDAP-MD5" => digest(Algorithm::Md5, rest, encoding),
            "SHA" | "SHA1" => digest(Algorithm::Sha1, rest, encoding),
            "SHA256" => digest(Algorithm::Sha256, rest, encoding),
            "SHA512" => digest(Algorithm::Sha512, rest, encoding),
            "SMD5" => salted(Algorithm::Md5, rest, encoding),
            "SSHA" => salted(Algorithm::Sha1, rest, encoding),
            "SSHA256" => salted(Algorithm::Sha256, rest, encoding),
            "SSHA512" => salted(Algorithm::Sha512, rest, encoding),
            "PBKDF2" => {
                let read = Pbkdf2::read(&text(rest, encoding)?);
                read.map(Self::Pbkdf2).ok_or_else(damaged)
            }
            "SCRAM-SHA-256" => scram(&text(rest, encoding)?).map(Self::Scram).ok_or_else(damaged),
            "CRYPT" | "ARGON2ID" | "ARGON2I" | "BLF-CRYPT" | "SHA512-CRYPT" | "SHA256-CRYPT"
            | "MD5-CRYPT" | "MD5" | "YESCRYPT" => crypt(&upper, text(rest, encoding)?),
            _ => Err(unknown(&upper)),
        }
    }

    pub(super) const fn protection(&self) -> Protection {
        match self {
            Self::Plain(_) => Protection::None,
            Self::Digest(..) | Self::Md5Crypt(_) => Protection::Fast,
            Self::Pbkdf2(_)
            | Self::Argon2(_)
            | Self::Bcrypt(_)
            | Self::ShaCrypt(_)
            | Self::Yescrypt(_)
            | Self::Scram(_) => Protection::Slow,
        }
    }
}

pub(super) fn damaged() -> PasswordError {
    PasswordError("the stored password hash is damaged".to_owned())
}

/// Schemes that are known and not verified, with the reason.
const REFUSED: [(&str, &str); 11] = [
    ("DES-CRYPT", DES),
    ("CRAM-MD5", CHALLENGE),
    ("HMAC-MD5", CHALLENGE),
    ("DIGEST-MD5", CHALLENGE),
    ("SCRAM-SHA-1", CHALLENGE),
    ("OTP", CHALLENGE),
    ("SKEY", CHALLENGE),
    ("PLAIN-TRUNC", "it keeps a part of the password in plain text"),
    ("PLAIN-MD4", "MD4 is broken"),
    ("LANMAN", "it is broken"),
    ("NTLM", "it is MD4, which is broken"),
];
const DES: &str = "traditional DES keeps eight letters of a password, and all of them can be tried in hours";
const CHALLENGE: &str = "it serves one login mechanism only";

fn unknown(name: &str) -> PasswordError {
    let base = name.split('.').next().unwrap_or_default();
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == base) {
        return PasswordError(format!(
            "the password scheme {name} is not supported ({why}): set a new password"
        ));
    }
    PasswordError(format!(
        "the password scheme {name} is not known: use ARGON2ID, ARGON2I, BLF-CRYPT, SHA512-CRYPT, SHA256-CRYPT, CRYPT, \
         PBKDF2, SSHA512, SSHA256, SSHA, SHA512, SHA256, SHA, MD5-CRYPT, SMD5, PLAIN-MD5, SCRAM-SHA-256 or PLAIN"
    ))
}

fn plain(rest: &str, encoding: Encoding) -> Result<Stored, PasswordError> {
    let bytes = bytes(rest, encoding)?;
    if bytes.is_empty() {
        // It would let in whoever types nothing.
        return Err(PasswordError("the stored password is empty: set one".to_owned()));
    }
    Ok(Stored::Plain(bytes))
}

fn digest(algorithm: Algorithm, rest: &str, encoding: Encoding) -> Result<Stored, PasswordError> {
    // Only digests of one length can be told from base64 by it.
    let is_hex = encoding == Encoding::Usual && rest.len() == 2 * algorithm.octets();
    let encoding = if is_hex { Encoding::Hex } else { base64_unless(encoding) };
    let bytes = bytes(rest, encoding)?;
    if bytes.len() == algorithm.octets() { Ok(Stored::Digest(algorithm, bytes)) } else { Err(damaged()) }
}

fn salted(algorithm: Algorithm, rest: &str, encoding: Encoding) -> Result<Stored, PasswordError> {
    let bytes = bytes(rest, base64_unless(encoding))?;
    if bytes.len() >= algorithm.octets() { Ok(Stored::Digest(algorithm, bytes)) } else { Err(damaged()) }
}

const fn base64_unless(encoding: Encoding) -> Encoding {
    match encoding {
        Encoding::Hex => Encoding::Hex,
        Encoding::Usual | Encoding::Base64 => Encoding::Base64,
    }
}

fn bytes(rest: &str, encoding: Encoding) -> Result<Vec<u8>, PasswordError> {
    let rest = rest.as_bytes();
    match encoding {
        Encoding::Usual => Ok(rest.to_vec()),
        Encoding::Hex => HEXLOWER_PERMISSIVE.decode(rest).map_err(|_| damaged()),
        Encoding::Base64 => BASE64.decode(rest).or_else(|_| BASE64_NOPAD.decode(rest)).map_err(|_| damaged()),
    }
}

fn text(rest: &str, encoding: Encoding) -> Result<String, PasswordError> {
    String::from_utf8(bytes(rest, encoding)?).map_err(|_| damaged())
}

/// `rounds,salt,stored key,server key`, all but the rounds in base64.
fn scram(text: &str) -> Option<ScramKeys> {
    let mut fields = text.split(',');
    let iterations: u32 = fields.next()?.parse().ok().filter(|rounds| *rounds > 0)?;
    let mut octets = || BASE64.decode(fields.next()?.as_bytes()).ok();
    let salt = octets().filter(|salt| !salt.is_empty())?;
    let (stored_key, server_key) = (octets()?.try_into().ok()?, octets()?.try_into().ok()?);
    fields.next().is_none().then_some(ScramKeys { iterations, salt, stored_key, server_key })
}

/// Source: crypt(5), "available hashing methods".
fn crypt(name: &str, hash: String) -> Result<Stored, PasswordError> {
    type Make = fn(String) -> Stored;
    let prefixes: [(&str, Make); 9] = [
        ("$argon2id$", Stored::Argon2),
        ("$argon2i$", Stored::Argon2),
        ("$2a$", Stored::Bcrypt),
        ("$2b$", Stored::Bcrypt),
        ("$2y$", Stored::Bcrypt),
        ("$6$", Stored::ShaCrypt),
        ("$5$", Stored::ShaCrypt),
        ("$y$", Stored::Yescrypt),
        ("$1$", Stored::Md5Crypt),
    ];
    if let Some((_, make)) = prefixes.iter().find(|(prefix, _)| hash.starts_with(prefix)) {
        return Ok(make(hash));
    }
    let is_des = hash.len() == 13 && hash.bytes().all(is_crypt_digit);
    Err(match name {
        _ if is_des => unknown("DES-CRYPT"),
        "" => unknown("of a text without {SCHEME}"),
        _ => PasswordError(format!(
            "behind {{{name}}} there is no crypt string that is known: $argon2id$, $argon2i$, $2y$, $2b$, $2a$, $y$, $6$, $5$ or $1$"
        )),
    })
}

/// The digits of crypt strings: `./0-9A-Za-z`.
pub(super) const fn is_crypt_digit(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'/')
}
