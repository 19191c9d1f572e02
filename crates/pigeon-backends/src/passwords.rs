//! Passwords: hashed anew with Argon2id, verified in the schemes that mail systems have left behind.
//!
//! A stored hash has its scheme before it in braces, as Dovecot writes it (`{SSHA}…`, `{SHA256.HEX}…`), or is a
//! bare crypt string (`$6$…`). Comparisons take the same time wherever the difference lies. How much work a
//! stored hash may ask for is limited, for hashes come from outside, too.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher, PasswordVerifier};
use data_encoding::BASE64;
use md5::Md5;
use pigeon_core::sasl::{DEFAULT_ITERATIONS, ScramKeys};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use thiserror::Error;

use self::cost::Limits;
use self::stored::{Algorithm, Stored};

mod cost;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod md5_crypt;
mod pbkdf2;
mod stored;
#[cfg(test)]
mod tests;

/// Longest password in octets: some schemes take the square of it in time.
pub const MAX_PASSWORD_OCTETS: usize = 1024;

/// A password could not be hashed, or a stored hash is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct PasswordError(String);

/// How well a stored password is kept from whoever reads the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// In plain text.
    None,
    /// By a digest that is quick to compute: weak passwords are soon guessed.
    Fast,
    /// By a hash that is made to take long.
    Slow,
}

impl fmt::Display for Protection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "plain text: whoever reads the directory knows the password",
            Self::Fast => "a quick digest: whoever reads the directory soon guesses a weak password",
            Self::Slow => "a slow hash",
        })
    }
}

/// Hashes a password with Argon2id and a random salt: `{ARGON2ID}$argon2id$…`.
///
/// # Errors
/// The password is longer than [`MAX_PASSWORD_OCTETS`], or the system gave no randomness.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    if password.len() > MAX_PASSWORD_OCTETS {
        return Err(PasswordError(format!("a password may have {MAX_PASSWORD_OCTETS} octets")));
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash = hash.map_err(|error| PasswordError(format!("the password cannot be hashed: {error}")))?;
    Ok(format!("{{ARGON2ID}}{hash}"))
}

/// The keys of a password for SCRAM-SHA-256 with a random salt, as Dovecot writes them (RFC 5803 has the same parts):
/// `{SCRAM-SHA-256}rounds,salt,stored key,server key`.
///
/// # Errors
/// As [`hash`].
pub fn hash_scram(password: &str) -> Result<String, PasswordError> {
    if password.len() > MAX_PASSWORD_OCTETS {
        return Err(PasswordError(format!("a password may have {MAX_PASSWORD_OCTETS} octets")));
    }
    let salt: [u8; 16] = random()?;
    let keys = ScramKeys::derive(password, &salt, DEFAULT_ITERATIONS);
    let [salt, stored, server] =
        [&keys.salt[..], &keys.stored_key, &keys.server_key].map(|octets| BASE64.encode(octets));
    Ok(format!("{{SCRAM-SHA-256}}{},{salt},{stored},{server}", keys.iterations))
}

/// Random octets of the system.
///
/// # Errors
/// The system gives none.
pub(crate) fn random<const OCTETS: usize>() -> Result<[u8; OCTETS], PasswordError> {
    let mut octets = [0; OCTETS];
    let filled = rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut octets);
    filled.map_err(|_| PasswordError("the system gives no randomness".to_owned()))?;
    Ok(octets)
}

/// What of a stored password SCRAM-SHA-256 can work with.
#[derive(Debug)]
pub(crate) enum ScramMaterial {
    /// Its keys.
    Keys(ScramKeys),
    /// The password itself, from which they are made.
    Password(String),
    /// Nothing: it is a hash of another kind.
    Nothing,
}

/// What SCRAM-SHA-256 can work with.
///
/// # Errors
/// As [`check_form`].
pub(crate) fn scram_material(stored: &str) -> Result<ScramMaterial, PasswordError> {
    let stored = Stored::read(stored)?;
    stored.check_cost(&Limits::USUAL)?;
    Ok(match stored {
        Stored::Scram(keys) => ScramMaterial::Keys(keys),
        Stored::Plain(octets) => {
            String::from_utf8(octets).map_or(ScramMaterial::Nothing, ScramMaterial::Password)
        }
        _ => ScramMaterial::Nothing,
    })
}

/// Whether `password` is the one that was stored.
///
/// # Errors
/// The stored hash is of a scheme that is not known here, asks for too much work, or is damaged.
pub fn verify(stored: &str, password: &str) -> Result<bool, PasswordError> {
    verify_within(stored, password, &Limits::USUAL)
}

/// Whether something may be stored as a password hash: it can be verified.
///
/// # Errors
/// It cannot: says why, and which schemes there are.
pub fn check_form(stored: &str) -> Result<(), PasswordError> {
    protection(stored).map(drop)
}

/// How well something that may be stored as a password hash protects the password.
///
/// # Errors
/// As [`check_form`].
pub fn protection(stored: &str) -> Result<Protection, PasswordError> {
    let stored = Stored::read(stored)?;
    stored.check_cost(&Limits::USUAL)?;
    Ok(stored.protection())
}

fn verify_within(stored: &str, password: &str, limits: &Limits) -> Result<bool, PasswordError> {
    let stored = Stored::read(stored)?;
    stored.check_cost(limits)?;
    if password.len() > MAX_PASSWORD_OCTETS {
        return Ok(false);
    }
    let password = password.as_bytes();
    let is_right = match &stored {
        Stored::Plain(plain) => Some(is_equal(plain, password)),
        Stored::Digest(Algorithm::Md5, bytes) => digest::<Md5>(bytes, password),
        Stored::Digest(Algorithm::Sha1, bytes) => digest::<Sha1>(bytes, password),
        Stored::Digest(Algorithm::Sha256, bytes) => digest::<Sha256>(bytes, password),
        Stored::Digest(Algorithm::Sha512, bytes) => digest::<Sha512>(bytes, password),
        Stored::Pbkdf2(hash) => Some(hash.verify(password)),
        Stored::Scram(keys) => std::str::from_utf8(password).ok().map(|password| keys.verify(password)),
        Stored::Argon2(text) => argon2(text, password),
        Stored::Bcrypt(text) => bcrypt::verify(password, text).ok(),
        Stored::ShaCrypt(text) => answer(&sha_crypt::ShaCrypt::default().verify_password(password, &**text)),
        Stored::Yescrypt(text) => answer(&yescrypt::Yescrypt::default().verify_password(password, &**text)),
        Stored::Md5Crypt(text) => {
            md5_crypt::hash(text, password).map(|hash| is_equal(hash.as_bytes(), text.as_bytes()))
        }
    };
    is_right.ok_or_else(stored::damaged)
}

fn argon2(stored: &str, password: &[u8]) -> Option<bool> {
    let hash = PasswordHash::new(stored).ok()?;
    answer(&Argon2::default().verify_password(password, &hash))
}

fn answer(result: &Result<(), HashError>) -> Option<bool> {
    match result {
        Ok(()) => Some(true),
        Err(HashError::PasswordInvalid) => Some(false),
        Err(_) => None,
    }
}

/// `digest(password + salt) + salt`; source: RFC 2307 §5.3 as extended by `OpenLDAP` for salts.
fn digest<D: Digest>(stored: &[u8], password: &[u8]) -> Option<bool> {
    let (expected, salt) = stored.split_at_checked(<D as Digest>::output_size())?;
    let mut hasher = D::new();
    hasher.update(password);
    hasher.update(salt);
    Some(is_equal(&hasher.finalize(), expected))
}

fn is_equal(one: &[u8], two: &[u8]) -> bool {
    one.ct_eq(two).into()
}
