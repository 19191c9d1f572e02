//! PBKDF2 with HMAC-SHA1 as Dovecot writes it: `$1$salt$rounds$hex`.
//!
//! Source: RFC 8018 §5.2, RFC 2104.

use data_encoding::HEXLOWER_PERMISSIVE;
use sha1::{Digest, Sha1};

const BLOCK: usize = 64;
/// More than any real hash has; a damaged one must not keep a thread busy for hours.
const MAX_ROUNDS: u32 = 10_000_000;

/// Whether `password` is the one; none when the hash has not this form.
pub(super) fn verify(stored: &str, password: &[u8]) -> Option<bool> {
    let mut fields = stored.strip_prefix("$1$")?.split('$');
    let salt = fields.next()?;
    let rounds: u32 = fields.next()?.parse().ok()?;
    let expected = HEXLOWER_PERMISSIVE.decode(fields.next()?.as_bytes()).ok()?;
    if fields.next().is_some() || rounds == 0 || rounds > MAX_ROUNDS {
        return None;
    }
    Some(super::is_equal(&derive(password, salt.as_bytes(), rounds), &expected))
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
