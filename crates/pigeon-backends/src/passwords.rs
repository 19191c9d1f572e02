//! Passwords: hashed anew with Argon2id, verified in the schemes that mail systems have left behind.
//!
//! A stored hash has its scheme before it in braces, as Dovecot writes it (`{SSHA}…`), or is a bare crypt
//! string (`$6$…`). Comparisons take the same time wherever the difference lies.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error as HashError, PasswordHasher, PasswordVerifier};
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use thiserror::Error;

mod md5_crypt;
mod pbkdf2;

/// A password could not be hashed, or a stored hash is of no use.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct PasswordError(String);

/// Hashes a password with Argon2id and a random salt: `{ARGON2ID}$argon2id$…`.
///
/// # Errors
/// The system gave no randomness.
pub fn hash(password: &str) -> Result<String, PasswordError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash = hash.map_err(|error| PasswordError(format!("the password cannot be hashed: {error}")))?;
    Ok(format!("{{ARGON2ID}}{hash}"))
}

/// Whether `password` is the one that was stored.
///
/// # Errors
/// The stored hash is of a scheme that is not known here, or is damaged.
pub fn verify(stored: &str, password: &str) -> Result<bool, PasswordError> {
    let (scheme, rest) = split(stored)?;
    let password = password.as_bytes();
    let is_right = match scheme {
        Scheme::Plain => Some(is_equal(rest.as_bytes(), password)),
        Scheme::Argon2 => argon2(rest, password),
        Scheme::Bcrypt => bcrypt::verify(password, rest).ok(),
        Scheme::ShaCrypt => answer(&sha_crypt::ShaCrypt::default().verify_password(password, rest)),
        Scheme::Yescrypt => answer(&yescrypt::Yescrypt::default().verify_password(password, rest)),
        Scheme::Md5Crypt => {
            md5_crypt::hash(rest, password).map(|hash| is_equal(hash.as_bytes(), rest.as_bytes()))
        }
        Scheme::Pbkdf2 => pbkdf2::verify(rest, password),
        Scheme::Sha1(form) => digest::<Sha1>(rest, password, form),
        Scheme::Sha256(form) => digest::<Sha256>(rest, password, form),
        Scheme::Sha512(form) => digest::<Sha512>(rest, password, form),
    };
    is_right.ok_or_else(|| PasswordError("the stored password hash is damaged".to_owned()))
}

/// Whether something may be stored as a password hash: has a scheme that can be verified.
///
/// # Errors
/// It has not; says which schemes there are.
pub fn check_form(stored: &str) -> Result<(), PasswordError> {
    split(stored).map(drop)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Plain,
    Argon2,
    Bcrypt,
    ShaCrypt,
    Yescrypt,
    Md5Crypt,
    Pbkdf2,
    Sha1(Form),
    Sha256(Form),
    Sha512(Form),
}

/// How a plain digest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Form {
    is_salted: bool,
    is_hex: bool,
}

fn split(stored: &str) -> Result<(Scheme, &str), PasswordError> {
    let unknown = |name: &str| {
        PasswordError(format!(
            "the password scheme {name} is not known: use ARGON2ID, BLF-CRYPT, SHA512-CRYPT, SHA256-CRYPT, CRYPT ($y$), \
             PBKDF2, SSHA, SSHA256, SSHA512, SHA, SHA256, SHA512, MD5-CRYPT or PLAIN"
        ))
    };
    let Some((name, rest)) = stored.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
        return Ok((crypt_scheme(stored).ok_or_else(|| unknown("of a text without {SCHEME}"))?, stored));
    };
    let upper = name.to_ascii_uppercase();
    let (base, is_hex) = match upper.strip_suffix(".HEX") {
        Some(base) => (base, true),
        None => (upper.strip_suffix(".B64").unwrap_or(&upper), false),
    };
    let form = Form { is_salted: base.starts_with("SSHA"), is_hex };
    let scheme = match base {
        "PLAIN" | "CLEARTEXT" | "PLAINTEXT" => Scheme::Plain,
        "SHA" | "SHA1" | "SSHA" => Scheme::Sha1(form),
        "SHA256" | "SSHA256" => Scheme::Sha256(form),
        "SHA512" | "SSHA512" => Scheme::Sha512(form),
        "PBKDF2" => Scheme::Pbkdf2,
        "CRYPT" | "ARGON2ID" | "ARGON2I" | "BLF-CRYPT" | "SHA512-CRYPT" | "SHA256-CRYPT" | "MD5-CRYPT"
        | "MD5" | "YESCRYPT" => crypt_scheme(rest).ok_or_else(|| unknown(&upper))?,
        _ => return Err(unknown(&upper)),
    };
    Ok((scheme, rest))
}

/// Source: crypt(5), "available hashing methods".
fn crypt_scheme(hash: &str) -> Option<Scheme> {
    let prefixes = [
        ("$argon2id$", Scheme::Argon2),
        ("$argon2i$", Scheme::Argon2),
        ("$2", Scheme::Bcrypt),
        ("$6$", Scheme::ShaCrypt),
        ("$5$", Scheme::ShaCrypt),
        ("$y$", Scheme::Yescrypt),
        ("$1$", Scheme::Md5Crypt),
    ];
    prefixes.iter().find(|(prefix, _)| hash.starts_with(prefix)).map(|(_, scheme)| *scheme)
}

fn argon2(stored: &str, password: &[u8]) -> Option<bool> {
    let hash = PasswordHash::new(stored).ok()?;
    // One that is cut off would count as a wrong password.
    (hash.salt.is_some() && hash.hash.is_some())
        .then(|| answer(&Argon2::default().verify_password(password, &hash)))
        .flatten()
}

fn answer(result: &Result<(), HashError>) -> Option<bool> {
    match result {
        Ok(()) => Some(true),
        Err(HashError::PasswordInvalid) => Some(false),
        Err(_) => None,
    }
}

/// `base64(digest(password + salt) + salt)`; source: RFC 2307 §5.3 as extended by `OpenLDAP` for salts.
fn digest<D: Digest>(stored: &str, password: &[u8], form: Form) -> Option<bool> {
    let bytes = if form.is_hex {
        HEXLOWER_PERMISSIVE.decode(stored.as_bytes()).ok()?
    } else {
        let stored = stored.as_bytes();
        BASE64.decode(stored).or_else(|_| BASE64_NOPAD.decode(stored)).ok()?
    };
    let (expected, salt) = bytes.split_at_checked(<D as Digest>::output_size())?;
    if !form.is_salted && !salt.is_empty() {
        return None;
    }
    let mut hasher = D::new();
    hasher.update(password);
    hasher.update(salt);
    Some(is_equal(&hasher.finalize(), expected))
}

fn is_equal(one: &[u8], two: &[u8]) -> bool {
    one.ct_eq(two).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hashed_verifies() {
        let stored = hash("correct horse").unwrap();
        assert!(stored.starts_with("{ARGON2ID}$argon2id$"), "{stored}");
        assert_eq!(verify(&stored, "correct horse"), Ok(true));
        assert_eq!(verify(&stored, "correct horsf"), Ok(false));
        assert_ne!(hash("correct horse").unwrap(), stored);
    }

    #[test]
    fn schemes_of_other_systems_verify() {
        let sha512 = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1";
        let rounds = "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA";
        let check = |stored: &str, password: &str| {
            assert_eq!(verify(stored, password), Ok(true), "{stored}");
            assert_eq!(verify(stored, &format!("{password}x")), Ok(false), "{stored}");
            assert_eq!(verify(stored, ""), Ok(false), "{stored}");
        };
        check(sha512, "Hello world!");
        check(&format!("{{SHA512-CRYPT}}{sha512}"), "Hello world!");
        check(&format!("{{CRYPT}}{rounds}"), "Hello world!");
        check("{BLF-CRYPT}$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U");
        check("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U");
        check("{MD5-CRYPT}$1$3azHgidD$SrJPt7B.9rekpmwJwtON31", "password");
        check("{PBKDF2}$1$salt$2$ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957", "password");
        check("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "password");
        check("{sha1.hex}5BAA61e4c9b93f3f0682250b6cf8331b7ee68fd8", "password");
        check("{SHA256}XohImNooBHFR0OVvjcYpJ3NgPQ1qq73WKhHvch0VQtg=", "password");
        check("{SSHA}BR/KHTJntX6b1QS9f4p82h+54HEwMTIz", "password");
        check("{PLAIN}password", "password");
    }

    #[test]
    fn salted_digests_of_each_size_verify() {
        fn stored<D: Digest>(name: &str) -> String {
            let mut bytes = D::digest(b"secretpepper").to_vec();
            bytes.extend_from_slice(b"pepper");
            format!("{{{name}}}{}", BASE64.encode(&bytes))
        }
        for stored in [stored::<Sha1>("SSHA"), stored::<Sha256>("SSHA256"), stored::<Sha512>("SSHA512")] {
            assert_eq!(verify(&stored, "secret"), Ok(true), "{stored}");
            assert_eq!(verify(&stored, "secretpepper"), Ok(false), "{stored}");
        }
    }

    #[test]
    fn unknown_and_damaged_hashes_are_errors_and_never_right() {
        for stored in ["", "secret", "{CRYPT}abJnggxhB/yWI", "{ROT13}frperg", "{", "{}", "$7$x", "{CRYPT}"] {
            assert!(check_form(stored).is_err(), "{stored}");
            assert!(verify(stored, "secret").is_err(), "{stored}");
        }
        for stored in
            ["{SSHA}AAAA", "{SHA}!", "$6$x", "$2y$", "{ARGON2ID}$argon2id$v=19", "$y$", "$1$", "{PBKDF2}$1$x"]
        {
            assert!(verify(stored, "secret").is_err(), "{stored}");
        }
    }
}
