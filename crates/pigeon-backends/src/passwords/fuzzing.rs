//! What must hold for any stored hash and any password: the entry functions of the fuzz targets.

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

use super::cost::Limits;
use super::{MAX_PASSWORD_OCTETS, Protection, check_form, protection, verify, verify_within};

/// A fuzz target's name and its entry function.
pub type Entry = (&'static str, fn(&[u8]));

/// The entry functions of this module.
pub const ENTRIES: &[Entry] = &[("password_hash", password_hash)];

/// Small enough for thousands of runs in a second.
const SMALL: Limits = Limits { memory_kib: 64, work_kib: 128, rounds: 1000, bcrypt: 4 };

/// The first line is what is stored, the rest a password: what may be stored can be verified, nothing else can,
/// and schemes agree about the password.
pub fn password_hash(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (stored, password) = text.split_once('\n').unwrap_or((&*text, ""));
    let is_allowed = check_form(stored).is_ok();
    match verify_within(stored, password, &SMALL) {
        Ok(is_right) => {
            assert!(is_allowed, "verified, but may not be stored: {stored:?}");
            let is_plain = protection(stored) == Ok(Protection::None);
            assert!(!is_right || !is_plain || !password.is_empty(), "no password is let in: {stored:?}");
        }
        // Whoever asks for less work than the usual limit is allowed, and may still be too much here.
        Err(error) => assert!(!is_allowed || error.0.contains("too much"), "{stored:?}: {error}"),
    }
    if password.is_empty() || password.len() > MAX_PASSWORD_OCTETS {
        return;
    }
    let digest = Sha256::digest(password);
    for made in [
        format!("{{PLAIN}}{password}"),
        format!("{{plain.hex}}{}", HEXLOWER.encode(password.as_bytes())),
        format!("{{SHA256}}{}", BASE64.encode(&digest)),
        format!("{{SHA256.hex}}{}", HEXLOWER.encode(&digest)),
        format!("{{SSHA256}}{}", BASE64.encode(&digest)),
    ] {
        assert_eq!(verify(&made, password), Ok(true), "{made:?}");
        assert_eq!(verify(&made, &format!("{password}x")), Ok(false), "{made:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_and_their_beginnings_keep_the_rules() {
        pigeon_testkit::seeds::replay(ENTRIES);
    }
}
