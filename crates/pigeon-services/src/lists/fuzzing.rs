//! Rules that hold for entries of any text.

use super::Entries;

/// A list that was read is written as a list that reads the same.
///
/// # Panics
/// When it is otherwise.
pub fn entries(data: &[u8]) {
    let Ok(entries) = serde_json::from_slice::<Entries>(data) else { return };
    let written = serde_json::to_value(&entries).unwrap_or_default();
    let again: Entries = serde_json::from_value(written.clone()).unwrap_or_default();
    assert_eq!(serde_json::to_value(&again).unwrap_or_default(), written);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lists_read_as_they_are_written(entry in "[<*.]?[a-z0-9:*-]{0,6}(@[a-z*.]{0,8})?(/[0-9]{1,3})?") {
            super::entries(serde_json::json!([entry]).to_string().as_bytes());
        }
    }
}
