//! PBKDF2 with HMAC-SHA1 as Dovecot writes it: `$1$salt$rounds$hex`.
//!
//! Source: RFC 8018 §5.2, RFC 2104.

use data_encoding::HEXLOWER_PERMISSIVE;
use sha1::{Digest, Sha1};

const BLOCK: usize = 64;

/// A stored hash.
#[derive(Debug)]
pub(super) struct Pbkdf2 {
    salt: String,
    pub(super) rounds: u32,
    expected: [u8; 20],
}

impl Pbkdf2 {
    /// None when the hash has not this form.
    pub(super) fn read(stored: &str) -> Option<Self> {
        let mut fields = stored.strip_prefix("$1$")?.split('$');
        let salt = fields.next()?.to_owned();
        let rounds: u32 = fields.next()?.parse().ok()?;
        let expected = HEXLOWER_PERMISSIVE.decode(fields.next()?.as_bytes()).ok()?;
        let is_whole = fields.next().is_none() && rounds > 0;
        is_whole.then_some(Self { salt, rounds, expected: expected.try_into().ok()? })
    }

    /// Whether `password` is the one.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        super::is_equal(&derive(password, self.salt.as_bytes(), self.rounds), &self.expected)
    }
}

/// The first block, which is all that Dovecot keeps.
fn derive(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 20] {
    let (inner, outer) = keyed(password);
    let hmac = |parts: [&[u8]; 2]| -> [u8; 20] {
        let mut hasher = inner.clone();
        parts.iter().for_each(|part| hasher.update(part));
        let digest = hasher.finalize();
        outer.clone().chain_update(digest).finalize().into()
    };
    let mut last = hmac([salt, &1u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..rounds {
        last = hmac([&last, &[]]);
        sum.iter_mut().zip(last).for_each(|(sum, octet)| *sum ^= octet);
    }
    sum
}

/// The two hashers of HMAC with the key taken in.
fn keyed(password: &[u8]) -> (Sha1, Sha1) {
    let mut key = [0; BLOCK];
    let short = Sha1::digest(password);
    let source: &[u8] = if password.len() > BLOCK { &short } else { password };
    key.iter_mut().zip(source).for_each(|(key, octet)| *key = *octet);
    let padded = |pad: u8| Sha1::new().chain_update(key.map(|octet| octet ^ pad));
    (padded(0x36), padded(0x5c))
}
