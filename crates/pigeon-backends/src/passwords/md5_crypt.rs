//! The MD5-based crypt of FreeBSD and glibc, for hashes of the nineties that are still around.

use md5::{Digest, Md5};

const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ROUNDS: usize = 1000;

/// Hashes with the salt of a stored `$1$salt$…`; none when that has not this form.
pub(super) fn hash(stored: &str, password: &[u8]) -> Option<String> {
    let (salt, known) = stored.strip_prefix("$1$")?.split_once('$')?;
    if known.is_empty() || salt.len() > 8 {
        return None;
    }
    let salt_bytes = salt.as_bytes();
    let mut digest = first(password, salt_bytes);
    for round in 0..ROUNDS {
        let mut hasher = Md5::new();
        let is_odd = round % 2 == 1;
        hasher.update(if is_odd { password } else { &digest });
        if round % 3 != 0 {
            hasher.update(salt_bytes);
        }
        if round % 7 != 0 {
            hasher.update(password);
        }
        hasher.update(if is_odd { &digest[..] } else { password });
        digest = hasher.finalize().into();
    }
    Some(format!("$1${salt}${}", encode(&digest)))
}

fn first(password: &[u8], salt: &[u8]) -> [u8; 16] {
    let mut other = Md5::new();
    for part in [password, salt, password] {
        other.update(part);
    }
    let other = other.finalize();
    let mut hasher = Md5::new();
    for part in [password, b"$1$", salt] {
        hasher.update(part);
    }
    for (_, octet) in password.iter().zip(other.iter().cycle()) {
        hasher.update([*octet]);
    }
    let mut length = password.len();
    while length > 0 {
        hasher.update(if length % 2 == 1 { &[0][..] } else { password.get(..1).unwrap_or_default() });
        length /= 2;
    }
    hasher.finalize().into()
}

/// The digest's octets in the order of the original, three at a time, least significant six bits first.
fn encode(digest: &[u8; 16]) -> String {
    let groups = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    let octet = |at: usize| digest.get(at).copied().map_or(0, u32::from);
    let mut text = String::new();
    for [high, middle, low] in groups {
        push(&mut text, octet(high) << 16 | octet(middle) << 8 | octet(low), 4);
    }
    push(&mut text, octet(11), 2);
    text
}

fn push(text: &mut String, mut bits: u32, letters: usize) {
    for _ in 0..letters {
        let letter = usize::try_from(bits & 63).ok().and_then(|at| LETTERS.get(at));
        text.push(letter.map_or('.', |letter| char::from(*letter)));
        bits >>= 6;
    }
}
