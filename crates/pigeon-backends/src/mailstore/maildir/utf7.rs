//! Modified UTF-7: how IMAP servers write folder names into the file system.
//!
//! Source: RFC 3501 §5.1.3. Printable ASCII stands for itself, `&` is `&-`, everything else is UTF-16 in
//! base64 with `,` for `/`, between `&` and `-`.

/// The base64 of modified UTF-7.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Encodes a name.
pub(super) fn encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    let mut shifted = String::new();
    for letter in name.chars() {
        if !matches!(letter, ' '..='~') {
            shifted.push(letter);
            continue;
        }
        push_shifted(&mut text, &mut shifted);
        text.push(letter);
        if letter == '&' {
            text.push('-');
        }
    }
    push_shifted(&mut text, &mut shifted);
    text
}

fn push_shifted(text: &mut String, shifted: &mut String) {
    if shifted.is_empty() {
        return;
    }
    text.push('&');
    let (mut bits, mut count) = (0_u32, 0_u32);
    for unit in shifted.encode_utf16() {
        bits = (bits << 16) | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            push_digit(text, bits >> count);
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        push_digit(text, bits << (6 - count));
    }
    text.push('-');
    shifted.clear();
}

fn push_digit(text: &mut String, value: u32) {
    let digit = ALPHABET.get((value & 63) as usize).copied().unwrap_or(b'A');
    text.push(char::from(digit));
}

/// Decodes a name; nothing when it is no modified UTF-7.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('&') {
        push_plain(&mut name, plain)?;
        let (digits, after) = after.split_once('-')?;
        if digits.is_empty() {
            name.push('&');
        } else {
            push_units(&mut name, digits)?;
        }
        rest = after;
    }
    push_plain(&mut name, rest)?;
    Some(name)
}

fn push_plain(name: &mut String, plain: &str) -> Option<()> {
    let is_plain = plain.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_plain.then(|| name.push_str(plain))
}

fn push_units(name: &mut String, digits: &str) -> Option<()> {
    let (mut bits, mut count) = (0_u32, 0_u32);
    let mut units = Vec::with_capacity(digits.len());
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(u16::try_from(bits >> count).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    // What is left over is padding: less than one digit, and zero.
    if count >= 6 || bits != 0 {
        return None;
    }
    let letters: Result<Vec<char>, _> = char::decode_utf16(units).collect();
    name.extend(letters.ok()?);
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_the_standard_and_of_daily_life() {
        let check = |name: &str, text: &str| {
            assert_eq!(encode(name), text, "{name}");
            assert_eq!(decode(text).as_deref(), Some(name), "{text}");
        };
        // RFC 3501 §5.1.3
        check("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        check("Entwürfe", "Entw&APw-rfe");
        check("Gelöschte Objekte", "Gel&APY-schte Objekte");
        check("A&B", "A&-B");
        check("🕊", "&2D3dSg-");
        check("", "");
    }

    #[test]
    fn what_is_no_modified_utf7_is_refused() {
        for text in ["&", "&A", "&AP", "Entwürfe", "&AP!-", "&APw", "&2D0-", "&APx-", "&APwA-", "a\tb"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in any::<String>()) {
            let text = encode(&name);
            prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            prop_assert_eq!(decode(&text), Some(name));
        }

        #[test]
        fn no_text_panics(text in "[&A-Za-z0-9+,\\-é.]{0,40}") {
            if let Some(name) = decode(&text) {
                prop_assert_eq!(decode(&encode(&name)), Some(name));
            }
        }
    }
}
