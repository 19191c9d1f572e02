//! Vectors of other programs, and what must never let anybody in.

use super::*;

/// What other programs made, with the commands.
const VECTORS: &str = include_str!("vectors.txt");

#[test]
fn what_is_hashed_verifies() {
    let stored = hash("correct horse").unwrap();
    assert!(stored.starts_with("{ARGON2ID}$argon2id$"), "{stored}");
    assert_eq!(verify(&stored, "correct horse"), Ok(true));
    assert_eq!(verify(&stored, "correct horsf"), Ok(false));
    assert_ne!(hash("correct horse").unwrap(), stored);
    assert_eq!(protection(&stored), Ok(Protection::Slow));
}

#[test]
fn keys_for_scram_verify_the_password_too() {
    let stored = hash_scram("correct horse").unwrap();
    assert!(stored.starts_with("{SCRAM-SHA-256}4096,"), "{stored}");
    assert_eq!(verify(&stored, "correct horse"), Ok(true));
    assert_eq!(verify(&stored, "correct horsf"), Ok(false));
    assert_ne!(hash_scram("correct horse").unwrap(), stored);
    let ScramMaterial::Keys(keys) = scram_material(&stored).unwrap() else { panic!("{stored}") };
    assert!(keys.verify("correct horse"));
    assert!(
        matches!(scram_material("{PLAIN}x").unwrap(), ScramMaterial::Password(password) if password == "x")
    );
    assert!(matches!(scram_material(&hash("x").unwrap()).unwrap(), ScramMaterial::Nothing));
}

#[test]
fn hashes_of_other_programs_verify() {
    let mut password = "";
    let mut counts = (0, 0);
    for line in VECTORS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(line) = line.strip_prefix("> ") {
            password = line;
        } else if let Some(stored) = line.strip_prefix('!') {
            assert!(check_form(stored).is_err() && verify(stored, password).is_err(), "{stored}");
            counts.1 += 1;
        } else {
            assert_eq!(check_form(line), Ok(()), "{line}");
            assert_eq!(verify(line, password), Ok(true), "{line}");
            let truncates = line.contains("$2") && password.len() > 72;
            assert_eq!(verify(line, &format!("{password}x")), Ok(truncates), "{line}");
            if protection(line) != Ok(Protection::Slow) {
                assert_eq!(verify(line, ""), Ok(false), "{line}");
            }
            counts.0 += 1;
        }
    }
    assert_eq!(counts, (75, 14), "are the vectors read?");
}

#[test]
fn every_scheme_has_a_vector() {
    for scheme in [
        "SSHA",
        "SSHA256",
        "SSHA512",
        "SHA512-CRYPT",
        "SHA256-CRYPT",
        "BLF-CRYPT",
        "ARGON2I",
        "ARGON2ID",
        "PBKDF2",
        "MD5-CRYPT",
        "CRYPT",
        "PLAIN",
        "SHA",
        "SHA1",
        "SHA256",
        "SHA512",
        "MD5",
        "SMD5",
        "PLAIN-MD5",
        "LDAP-MD5",
        "SCRAM-SHA-256",
    ] {
        assert!(VECTORS.lines().any(|line| line.starts_with(&format!("{{{scheme}}}"))), "{scheme}");
    }
}

#[test]
fn how_well_a_password_is_protected_is_known() {
    let check = |stored: &str, expect: Protection| assert_eq!(protection(stored), Ok(expect), "{stored}");
    check("{PLAIN}secret", Protection::None);
    check("{CLEARTEXT.b64}c2VjcmV0", Protection::None);
    check("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", Protection::Fast);
    check("{SSHA}BR/KHTJntX6b1QS9f4p82h+54HEwMTIz", Protection::Fast);
    check("$1$3azHgidD$SrJPt7B.9rekpmwJwtON31", Protection::Fast);
    check("$2y$05$qtaNz2gwAwLeiinXlv4NKuqR7BwnwKp.dFZqgkczO0cPyePjSjPvG", Protection::Slow);
    assert!(Protection::None.to_string().contains("plain text"));
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
    for stored in [
        "",
        "secret",
        "{CRYPT}abJnggxhB/yWI",
        "{ROT13}frperg",
        "{",
        "{}",
        "$7$x",
        "{CRYPT}",
        "{SHA.NONE}x",
        "{PLAIN}",
        "{PLAIN.HEX}",
        "{PLAIN.HEX}7",
        "{SSHA}AAAA",
        "{SHA}!",
        "$6$x",
        "$2y$",
        "{ARGON2ID}$argon2id$v=19",
        "$y$",
        "$1$",
        "{PBKDF2}$1$x",
        "{SCRAM-SHA-256}4096,x",
        "{SCRAM-SHA-256}0,oly8naANut7GdezS2qlKxg==,iTj6nWM9/nFKztvRXSi79jvE98vcmbBJMX1KHMRjn6E=,5oRZlR2TkKL4XPfVE9NcOf1l6bBsPYfGJ4lkHNk8HCY=",
        "{SCRAM-SHA-256}4096,,iTj6nWM9/nFKztvRXSi79jvE98vcmbBJMX1KHMRjn6E=,5oRZlR2TkKL4XPfVE9NcOf1l6bBsPYfGJ4lkHNk8HCY=",
        "{SCRAM-SHA-256}4096,oly8naANut7GdezS2qlKxg==,iTj6nWM9/nFKztvRXSi79jvE98vcmbBJMX1KHMRjn6E=,AAAA",
        "{PBKDF2}$1$salt$1$",
        "{PBKDF2}$1$salt$0$4d7ffe1007cf7ecda5941e2902dc61e0064f5506",
        "{SHA256}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "{SHA512-CRYPT.B64}////",
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    ] {
        assert!(check_form(stored).is_err(), "{stored}");
        assert!(verify(stored, "secret").is_err(), "{stored}");
    }
}

/// An empty hash would be equal to the empty beginning of every password's hash.
#[test]
fn hashes_that_are_cut_short_let_nobody_in() {
    for line in VECTORS.lines().filter(|line| line.contains('$') && line.starts_with(['{', '$'])) {
        for end in line.find('$').unwrap()..line.len() {
            let beginning = line.get(..end).unwrap();
            assert!(check_form(beginning).is_err(), "{beginning}");
        }
    }
}

#[test]
fn hashes_that_ask_for_too_much_are_refused() {
    let salt = "$MTIzNDU2Nzg$fsvcBJWRPJ3BNqJzDV5E6Y4O3cfDkwlU7jT3CLLfT7I";
    for stored in [
        format!("{{ARGON2ID}}$argon2id$v=19$m=4294967295,t=1,p=1{salt}"),
        format!("{{ARGON2ID}}$argon2id$v=19$m=65536,t=4294967295,p=1{salt}"),
        "$2y$31$qtaNz2gwAwLeiinXlv4NKuqR7BwnwKp.dFZqgkczO0cPyePjSjPvG".to_owned(),
        format!("$5$rounds=999999999$salt${}D", "a".repeat(42)),
        format!("{{PBKDF2}}$1$salt$4294967295${}", "a".repeat(40)),
        hash_scram("secret").unwrap().replace("4096,", "4294967295,"),
        format!("$y$jzT$salt${}D", "a".repeat(42)),
        format!("$y$jOT$hS33gCQBnq.ucHEwpMuR71${}D", "a".repeat(42)),
    ] {
        let error = check_form(&stored).unwrap_err();
        assert_eq!(verify(&stored, "secret"), Err(error), "{stored}");
    }
}

#[test]
fn passwords_have_a_limit() {
    let long = "a".repeat(MAX_PASSWORD_OCTETS);
    assert_eq!(verify(&format!("{{PLAIN}}{long}"), &long), Ok(true));
    assert_eq!(verify(&format!("{{PLAIN}}{long}x"), &format!("{long}x")), Ok(false));
    assert!(hash(&format!("{long}x")).is_err());
}

#[test]
fn refusals_say_why() {
    let check = |stored: &str, expect: &str| {
        let error = check_form(stored).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    check("{CRYPT}abJnggxhB/yWI", "traditional DES");
    check("{DES-CRYPT}UKJlSbRpiHvko", "set a new password");
    check("{SCRAM-SHA-1}4096,x", "one login mechanism");
    check("{ROT13}frperg", "use ARGON2ID");
    check("frperg", "{SCHEME}");
    check("{CRYPT}secret", "no crypt string");
}
