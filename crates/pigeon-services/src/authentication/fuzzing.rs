//! Rules that hold whatever stands in Authentication-Results fields.

use super::trusted::parse;

/// What is read of a field stands in it, in small letters where names are compared.
///
/// # Panics
/// When it is otherwise.
pub fn results(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(results) = parse(&text) {
        assert!(!results.authserv_id.is_empty());
        for method in results.methods {
            assert_eq!(method.name, method.name.to_ascii_lowercase());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_are_read_whatever_they_hold(text in "[a-z.]{0,4}(; ?[a-zA-Z/1]{0,6}=[a-z\"( ]{0,6}[)\"]{0,2}( [a-z.]{1,4}=[ -~]{0,5})?){0,3}") {
            super::results(text.as_bytes());
        }
    }
}
