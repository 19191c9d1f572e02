//! Says in plain words what kind of value a setting takes, where a value of another kind was written.

/// Names of types, as the deserializer writes them, and what they are to people.
const KINDS: [(&str, &str); 16] = [
    ("f32", "a number"),
    ("f64", "a number"),
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", WHOLE),
    ("u64", WHOLE),
    ("usize", WHOLE),
    ("a nonzero u32", "a whole number above 0"),
    ("a nonzero u64", "a whole number above 0"),
    ("i32", "a whole number"),
    ("i64", "a whole number"),
    ("a boolean", "yes or no"),
    ("a string", "a text"),
    ("string or map", "a text"),
    ("a sequence", "a list, like [\"one\", \"two\"]"),
    ("a map", "a group of named values, like {\"name\": \"value\"}"),
];
const WHOLE: &str = "a whole number, 0 or above";

/// What the deserializer says, in plain words where it says that a value is of the wrong kind.
pub(super) fn plain(said: &str) -> String {
    let is_of_kind =
        ["invalid type: ", "invalid value: "].iter().any(|beginning| said.starts_with(beginning));
    let kind = said.rsplit_once(", expected ").filter(|_| is_of_kind).map(|(_, kind)| kind);
    let known = kind.and_then(|kind| KINDS.iter().find(|(name, _)| *name == kind));
    known.map_or_else(|| said.to_owned(), |(_, words)| format!("it must be {words}"))
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    fn check<T: DeserializeOwned>(value: Value, expect: &str) {
        let error = serde_json::from_value::<T>(value).err().unwrap();
        assert_eq!(plain(&error.to_string()), expect);
    }

    #[test]
    fn people_are_not_told_names_of_types() {
        check::<f64>(json!("nan"), "it must be a number");
        check::<u32>(json!(-3), "it must be a whole number, 0 or above");
        check::<u32>(json!(1.5), "it must be a whole number, 0 or above");
        check::<u16>(json!(70_000), "it must be a whole number from 0 to 65535");
        check::<bool>(json!("maybe"), "it must be yes or no");
        check::<String>(json!(17), "it must be a text");
        check::<Vec<String>>(json!(17), "it must be a list, like [\"one\", \"two\"]");
        check::<std::num::NonZeroU32>(json!(0), "it must be a whole number above 0");
    }

    #[test]
    fn what_says_more_stays_as_it_is() {
        assert_eq!(
            plain("unknown variant `x`, expected `a` or `b`"),
            "unknown variant `x`, expected `a` or `b`"
        );
        assert_eq!(plain("\"x\" is no server, expected f64"), "\"x\" is no server, expected f64");
    }
}
