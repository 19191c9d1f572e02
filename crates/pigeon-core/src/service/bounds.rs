//! Holds numbers against the bounds that their help texts and schemas name.

use serde_json::Value;

/// Whether a value lies within `minimum` and `maximum` of its key's schema; values that are no numbers do.
pub(super) fn check(schema: Option<&Value>, value: &Value) -> Result<(), String> {
    let bound = |name: &str| schema.and_then(|schema| schema.get(name));
    let (minimum, maximum) = (bound("minimum"), bound("maximum"));
    let Some(number) = value.as_f64() else { return Ok(()) };
    let is_below = minimum.and_then(Value::as_f64).is_some_and(|minimum| number < minimum);
    let is_above = maximum.and_then(Value::as_f64).is_some_and(|maximum| number > maximum);
    match (minimum, maximum) {
        _ if !is_below && !is_above => Ok(()),
        (Some(minimum), Some(maximum)) => Err(format!("it must be {minimum} to {maximum}")),
        (Some(minimum), None) => Err(format!("it must be {minimum} or above")),
        (None, Some(maximum)) => Err(format!("it must be {maximum} or below")),
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_lie_within_their_bounds() {
        let run = |schema: Value, value: Value, expect: &str| {
            assert_eq!(check(Some(&schema), &value).err().unwrap_or_default(), expect, "{schema} {value}");
        };
        let both = || json!({ "minimum": 1, "maximum": 600_000 });
        run(both(), json!(1), "");
        run(both(), json!(600_000), "");
        run(both(), json!(0), "it must be 1 to 600000");
        run(both(), json!(600_001), "it must be 1 to 600000");
        run(json!({ "minimum": 0.1 }), json!(0.05), "it must be 0.1 or above");
        run(json!({ "maximum": 9 }), json!(10), "it must be 9 or below");
        run(both(), json!("0"), "");
        run(both(), json!(null), "");
        run(json!({ "type": "string" }), json!(-5), "");
        assert_eq!(check(None, &json!(5)), Ok(()));
    }
}
