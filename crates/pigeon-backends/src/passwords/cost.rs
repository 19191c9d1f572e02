//! How much work a stored hash may ask for, and whether a crypt string has all its parts.
//!
//! Hashes come with imports and from domain administrators. One that asks for a terabyte must not end the
//! process, and one that is cut short must not let in whoever guesses the few letters that are left.

use argon2::Params;
use argon2::password_hash::phc::PasswordHash;

use super::stored::{Stored, damaged, is_crypt_digit};
use super::{PasswordError, pbkdf2};

/// What verifying one password may cost.
#[derive(Debug)]
pub(super) struct Limits {
    /// Memory in KiB.
    pub(super) memory_kib: u64,
    /// Memory in KiB, times the passes over it.
    pub(super) work_kib: u64,
    /// Rounds of PBKDF2, SHA256-CRYPT, SHA512-CRYPT and SCRAM-SHA-256.
    pub(super) rounds: u32,
    /// The logarithm of bcrypt's rounds.
    pub(super) bcrypt: u32,
}

impl Limits {
    /// Some seconds and a gigabyte: the most that `doveadm pw` and mkpasswd can be told to make.
    pub(super) const USUAL: Self =
        Self { memory_kib: 1 << 20, work_kib: 1 << 23, rounds: 10_000_000, bcrypt: 18 };
}

/// Fewest octets of a hash by Argon2, as all programs make it.
const MIN_ARGON2_OCTETS: usize = 32;
/// Rounds that SHA256-CRYPT and SHA512-CRYPT have when they do not say; source: crypt(5).
const USUAL_ROUNDS: u32 = 5000;

impl Stored {
    /// Refuses what asks for too much, and crypt strings that are not whole.
    pub(super) fn check_cost(&self, limits: &Limits) -> Result<(), PasswordError> {
        let is_affordable = match self {
            Self::Plain(_) | Self::Digest(..) => Some(true),
            Self::Md5Crypt(text) => md5_crypt(text).map(|()| true),
            Self::Pbkdf2(pbkdf2::Pbkdf2 { rounds, .. }) => Some(*rounds <= limits.rounds),
            Self::Scram(keys) => Some(keys.iterations <= limits.rounds),
            Self::ShaCrypt(text) => sha_crypt(text).map(|rounds| rounds <= limits.rounds),
            Self::Bcrypt(text) => {
                text.parse::<bcrypt::HashParts>().ok().map(|parts| parts.get_cost() <= limits.bcrypt)
            }
            Self::Argon2(text) => argon2(text).map(|(memory, passes)| {
                memory <= limits.memory_kib && memory.saturating_mul(passes) <= limits.work_kib
            }),
            Self::Yescrypt(text) => yescrypt(text).map(|memory| memory <= limits.memory_kib),
        };
        match is_affordable {
            Some(true) => Ok(()),
            Some(false) => Err(PasswordError(
                "the stored password hash takes too much memory or too many rounds to verify: set a new password"
                    .to_owned(),
            )),
            None => Err(damaged()),
        }
    }
}

fn md5_crypt(text: &str) -> Option<()> {
    let (salt, hash) = text.strip_prefix("$1$")?.split_once('$')?;
    (salt.len() <= 8 && is_digits(hash, 22)).then_some(())
}

/// The rounds.
fn sha_crypt(text: &str) -> Option<u32> {
    let (octets, rest) = match text.strip_prefix("$6$") {
        Some(rest) => (86, rest),
        None => (43, text.strip_prefix("$5$")?),
    };
    let (rounds, rest) = match rest.strip_prefix("rounds=") {
        Some(rest) => {
            let (rounds, rest) = rest.split_once('$')?;
            (rounds.parse().ok()?, rest)
        }
        None => (USUAL_ROUNDS, rest),
    };
    let (salt, hash) = rest.split_once('$')?;
    let is_salt = (1..=16).contains(&salt.len());
    (is_salt && is_digits(hash, octets)).then_some(rounds)
}

/// Memory in KiB and passes.
fn argon2(text: &str) -> Option<(u64, u64)> {
    let hash = PasswordHash::new(text).ok()?;
    hash.salt.as_ref()?;
    let is_whole = hash.hash.as_ref().is_some_and(|hash| hash.as_bytes().len() >= MIN_ARGON2_OCTETS);
    let params = Params::try_from(&hash).ok()?;
    is_whole.then(|| (params.m_cost().into(), params.t_cost().into()))
}

/// Memory in KiB. Only the form that crypt(5) makes is known: `$y$`, flavour, N, r, salt, hash.
fn yescrypt(text: &str) -> Option<u64> {
    let mut fields = text.strip_prefix("$y$")?.split('$');
    let (params, salt, hash) = (fields.next()?, fields.next()?, fields.next()?);
    // Longer ones have parameters that crypt(5) never sets.
    if fields.next().is_some()
        || params.len() != 3
        || salt.is_empty()
        || !is_base64(salt)
        || !is_digits(hash, 43)
    {
        return None;
    }
    let params: yescrypt::Params = params.parse().ok()?;
    Some(params.n().saturating_mul(u64::from(params.r())) / 8)
}

/// Whether this is crypt's base64 of whole octets, in so many digits.
fn is_digits(text: &str, digits: usize) -> bool {
    text.len() == digits && is_base64(text)
}

fn is_base64(text: &str) -> bool {
    // The last digit of a group that is not full has four or two bits left.
    let is_end = match text.len() % 4 {
        0 => true,
        1 => false,
        2 => text.ends_with(['.', '/', '0', '1']),
        _ => text.ends_with(|last: char| matches!(last, '.' | '/' | '0'..='9' | 'A'..='D')),
    };
    is_end && text.bytes().all(is_crypt_digit)
}
