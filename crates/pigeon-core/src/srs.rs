//! The Sender Rewriting Scheme: redirected mail gets a sender of the redirecting site, so that the next
//! server's SPF check passes and bounces still find their way back.
//!
//! Source: Meng Weng Wong and Shevek, *The Sender Rewriting Scheme* (2004), in the form that libsrs2, postsrsd
//! and `Mail::SRS` share: `SRS0=hash=day=domain=local` for a sender, `SRS1=hash=first=…` for a sender that an
//! earlier forwarder rewrote. The hash is the beginning of the HMAC-SHA1 over the lower-cased parts.

use data_encoding::BASE64_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use thiserror::Error;

use crate::address::{Address, AddressError, DomainName};
use crate::timestamp::Timestamp;

/// Characters of the hash that are written, and that must be there at least.
const HASH_LETTERS: usize = 4;
/// For how many days a rewritten address is taken back.
const MAX_AGE_DAYS: i64 = 21;
/// After so many days the time stamps begin anew: two letters of base32.
const DAY_SLOTS: i64 = 1024;
const SECONDS_PER_DAY: i64 = 86_400;
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Stands between the parts; after the tag `+` and `-` are read, too.
const SEPARATOR: char = '=';

/// Why an address could not be turned back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SrsError {
    /// Not an SRS address, or broken.
    #[error("this is not a rewritten address")]
    NotRewritten,
    /// The hash does not match any secret.
    #[error("the hash of the rewritten address is wrong")]
    Forged,
    /// The time stamp is too old.
    #[error("the rewritten address has expired")]
    Expired,
}

/// Whether an address has the form of a rewritten one, whoever rewrote it.
#[must_use]
pub fn is_rewritten(address: &Address) -> bool {
    let tag = address.local().get(..4);
    tag.is_some_and(|tag| tag.eq_ignore_ascii_case("SRS0") || tag.eq_ignore_ascii_case("SRS1"))
}

/// Rewrites a sender to an address of `domain`, signed with `secret`.
///
/// A sender that is rewritten already becomes an SRS1 address, which does not grow with more forwarders.
///
/// # Errors
/// When the result is too long for an address.
pub fn rewrite(
    sender: &Address,
    domain: &DomainName,
    secret: &str,
    now: Timestamp,
) -> Result<Address, AddressError> {
    let local = match (parts_of_second(sender.local()), behind_tag(sender.local(), "SRS0")) {
        (Some((_, first, rest)), _) => second(first, rest, secret),
        (None, Some(rest)) => second(sender.domain().as_str(), rest, secret),
        (None, None) => {
            let (host, day) = (sender.domain().as_str(), day_letters(now));
            let hash = sign(secret, &[&day, host, sender.local()]);
            format!("SRS0={}={day}={host}={}", first_letters(&hash), sender.local())
        }
    };
    Address::from_parts(&local, domain.clone())
}

/// The address behind a rewritten one: the original sender of an SRS0 address, the SRS0 address at the first
/// forwarder of an SRS1 address. Any of `secrets` may have signed it.
///
/// # Errors
/// [`SrsError::NotRewritten`] for any other address, [`SrsError::Forged`] for a hash that none of the secrets
/// makes, [`SrsError::Expired`] for a time stamp of more than 21 days ago.
pub fn restore(address: &Address, secrets: &[String], now: Timestamp) -> Result<Address, SrsError> {
    if let Some((hash, first, rest)) = parts_of_second(address.local()) {
        verify(hash, secrets, &[first, rest])?;
        return address_of(&format!("SRS0{rest}"), first);
    }
    let parts = behind_tag(address.local(), "SRS0").and_then(|rest| rest.get(1..));
    let mut parts = parts.ok_or(SrsError::NotRewritten)?.splitn(4, SEPARATOR);
    let mut part = || parts.next().filter(|part| !part.is_empty()).ok_or(SrsError::NotRewritten);
    let (hash, day, host, local) = (part()?, part()?, part()?, part()?);
    verify(hash, secrets, &[day, host, local])?;
    if !is_recent(day, now).ok_or(SrsError::NotRewritten)? {
        return Err(SrsError::Expired);
    }
    address_of(local, host)
}

fn address_of(local: &str, host: &str) -> Result<Address, SrsError> {
    let domain = DomainName::parse(host).map_err(|_| SrsError::NotRewritten)?;
    Address::from_parts(local, domain).map_err(|_| SrsError::NotRewritten)
}

/// `rest` begins with the separator that the first forwarder wrote behind its tag.
fn second(first: &str, rest: &str, secret: &str) -> String {
    format!("SRS1={}={first}={rest}", first_letters(&sign(secret, &[first, rest])))
}

/// What stands behind `tag`, with the separator that must follow it.
fn behind_tag<'a>(local: &'a str, tag: &str) -> Option<&'a str> {
    let (found, rest) = local.split_at_checked(tag.len())?;
    (found.eq_ignore_ascii_case(tag) && rest.starts_with(['=', '+', '-'])).then_some(rest)
}

/// The hash, the first forwarder and the rest (with its leading separator) of an SRS1 local part.
fn parts_of_second(local: &str) -> Option<(&str, &str, &str)> {
    let (hash, rest) = behind_tag(local, "SRS1")?.get(1..)?.split_once(SEPARATOR)?;
    let (first, rest) = rest.split_once(SEPARATOR)?;
    let is_whole = !hash.is_empty() && !first.is_empty() && rest.starts_with(['=', '+', '-']);
    is_whole.then_some((hash, first, rest))
}

fn sign(secret: &str, parts: &[&str]) -> String {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret.as_bytes()) else { return String::new() };
    for part in parts {
        mac.update(part.to_ascii_lowercase().as_bytes());
    }
    BASE64_NOPAD.encode(&mac.finalize().into_bytes())
}

fn first_letters(hash: &str) -> &str {
    hash.get(..HASH_LETTERS).unwrap_or(hash)
}

/// Compares without regard to case: some servers change the case of local parts on the way.
fn verify(hash: &str, secrets: &[String], parts: &[&str]) -> Result<(), SrsError> {
    let is_it = |secret: &String| {
        sign(secret, parts).get(..hash.len()).is_some_and(|expected| expected.eq_ignore_ascii_case(hash))
    };
    if hash.len() >= HASH_LETTERS && secrets.iter().any(is_it) { Ok(()) } else { Err(SrsError::Forged) }
}

fn day_slot(now: Timestamp) -> i64 {
    now.seconds().div_euclid(SECONDS_PER_DAY).rem_euclid(DAY_SLOTS)
}

fn day_letters(now: Timestamp) -> String {
    let slot = usize::try_from(day_slot(now)).unwrap_or(0);
    [slot / 32, slot % 32]
        .iter()
        .filter_map(|digit| BASE32.get(*digit))
        .map(|letter| char::from(*letter))
        .collect()
}

/// Whether the time stamp is of the last days; nothing when it is none.
fn is_recent(day: &str, now: Timestamp) -> Option<bool> {
    let value = |letter: u8| BASE32.iter().position(|digit| *digit == letter.to_ascii_uppercase());
    let &[high, low] = day.as_bytes() else { return None };
    let slot = i64::try_from(value(high)? * 32 + value(low)?).ok()?;
    Some((day_slot(now) - slot).rem_euclid(DAY_SLOTS) <= MAX_AGE_DAYS)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_467_600);
    const LONG: &str = "another secret that is longer than one block of SHA-1, which is sixty-four octets";

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn ours(text: &str, secret: &str, now: Timestamp) -> String {
        rewrite(&address(text), &DomainName::parse("forward.example.org").unwrap(), secret, now)
            .unwrap()
            .to_string()
    }

    // Made by Mail::SRS 0.31 (Guarded); postsrsd 1.10 gives the same for those that it was asked for.
    #[test]
    fn senders_are_rewritten_as_mail_srs_and_postsrsd_do() {
        let check = |sender: &str, local: &str| {
            assert_eq!(ours(sender, "tops3cr3t", NOW), format!("{local}@forward.example.org"), "{sender}");
        };
        check("user@example.com", "SRS0=2IR4=JM=example.com=user");
        check("user+tag=x@example.com", "SRS0=WwP0=JM=example.com=user+tag=x");
        check("a@b.example", "SRS0=8Cah=JM=b.example=a");
        check("o'neil/x@example.com", "SRS0=SZo/=JM=example.com=o'neil/x");
        check(
            "SRS0=AbCd=EF=example.com=user@first.example.net",
            "SRS1=62fo=first.example.net==AbCd=EF=example.com=user",
        );
        check(
            "SRS0+AbCd=EF=example.com=user@first.example.net",
            "SRS1=Hsp6=first.example.net=+AbCd=EF=example.com=user",
        );
        check(
            "SRS1=WxYz=first.example.net==AbCd=EF=example.com=user@second.example.net",
            "SRS1=62fo=first.example.net==AbCd=EF=example.com=user",
        );
        let check = |secret: &str, seconds: i64, local: &str| {
            let got = ours("user@example.com", secret, Timestamp::from_seconds(seconds));
            assert_eq!(got, format!("{local}@forward.example.org"));
        };
        check(LONG, 1_600_000_000, "SRS0=nwYm=CW=example.com=user");
        check("s", 0, "SRS0=najU=AA=example.com=user");
    }

    #[test]
    fn rewritten_addresses_are_restored() {
        let secrets = ["newer".to_owned(), "tops3cr3t".to_owned()];
        let check = |local: &str, expect: Result<&str, SrsError>| {
            let got = restore(&address(&format!("{local}@forward.example.org")), &secrets, NOW);
            assert_eq!(got.map(|address| address.to_string()), expect.map(str::to_owned), "{local}");
        };
        check("SRS0=2IR4=JM=example.com=user", Ok("user@example.com"));
        check("srs0=2ir4=jm=example.com=user", Ok("user@example.com"));
        check("SRS0+2IR4=JM=example.com=user", Ok("user@example.com"));
        // A sender whose domain was written in capitals: the hash does not depend on case.
        check("SRS0=vDxz=JM=Example.NET=User.Name", Ok("User.Name@example.net"));
        check(
            "SRS1=62fo=first.example.net==AbCd=EF=example.com=user",
            Ok("SRS0=AbCd=EF=example.com=user@first.example.net"),
        );
        check(
            "SRS1=Hsp6=first.example.net=+AbCd=EF=example.com=user",
            Ok("SRS0+AbCd=EF=example.com=user@first.example.net"),
        );
        check("SRS0=2IR5=JM=example.com=user", Err(SrsError::Forged));
        check("SRS0=2IR=JM=example.com=user", Err(SrsError::Forged));
        check("SRS0=2IR4=JN=example.com=user", Err(SrsError::Forged));
        check("SRS0=2IR4=JM=example.com=other", Err(SrsError::Forged));
        check("SRS1=62fx=first.example.net==AbCd=EF=example.com=user", Err(SrsError::Forged));
        check("SRS0=2IR4=JM=example.com", Err(SrsError::NotRewritten));
        check("SRS1=62fo=first.example.net", Err(SrsError::NotRewritten));
        check("SRS0", Err(SrsError::NotRewritten));
        check("user", Err(SrsError::NotRewritten));
        assert_eq!(
            restore(&address("SRS0=2IR4=JM=example.com=user@forward.example.org"), &[], NOW),
            Err(SrsError::Forged)
        );
    }

    #[test]
    fn addresses_expire_and_cannot_come_from_the_future() {
        let day = Duration::from_secs(86_400);
        let check = |now: Timestamp, expect: bool| {
            let rewritten = address("SRS0=2IR4=JM=example.com=user@forward.example.org");
            let got = restore(&rewritten, &["tops3cr3t".to_owned()], now);
            assert_eq!(
                got,
                if expect { Ok(address("user@example.com")) } else { Err(SrsError::Expired) },
                "{now}"
            );
        };
        check(NOW.plus(day * 21), true);
        check(NOW.plus(day * 22), false);
        check(NOW.minus(day), false);
        check(NOW.plus(day * 1024), true);
    }

    #[test]
    fn a_sender_too_long_to_rewrite_is_an_error() {
        let long = format!("{}@example.org", "x".repeat(250));
        let domain = DomainName::parse("forward.example.org").unwrap();
        assert_eq!(rewrite(&address(&long), &domain, "s", NOW), Err(AddressError::TooLong));
    }

    proptest! {
        #[test]
        fn what_is_rewritten_comes_back(
            local in "[^\\p{C}]{1,60}",
            host in "[a-z0-9]{1,10}(\\.[a-z]{2,5}){1,3}",
            secret in ".{1,80}",
            seconds in 0_i64..4_000_000_000,
            days in 0_u64..21,
        ) {
            let now = Timestamp::from_seconds(seconds);
            let sender = Address::from_parts(&local, DomainName::parse(&host).unwrap()).unwrap();
            prop_assume!(behind_tag(&local, "SRS0").is_none() && parts_of_second(&local).is_none());
            let (first, second) = ("first.example.net", "second.example.org");
            let (first, second) = (DomainName::parse(first).unwrap(), DomainName::parse(second).unwrap());
            let once = rewrite(&sender, &first, &secret, now).unwrap();
            let twice = rewrite(&once, &second, &secret, now).unwrap();
            let later = now.plus(Duration::from_secs(days * 86_400));
            let secrets = [secret];
            prop_assert_eq!(restore(&twice, &secrets, later), Ok(once.clone()));
            prop_assert_eq!(restore(&once, &secrets, later), Ok(sender));
        }

        #[test]
        fn no_address_panics(local in "(?i)srs[01][=+-][^\\p{C}]{0,60}") {
            let address = Address::from_parts(&local, DomainName::parse("example.org").unwrap()).unwrap();
            prop_assert!(restore(&address, &["s".to_owned()], NOW).is_err());
            drop(rewrite(&address, &DomainName::parse("example.net").unwrap(), "s", NOW));
        }
    }
}
