//! Parameters of statements from the command line.

use serde_json::Value;

/// The value that a text stands for: JSON where it is a number, `true`, `false`, `null` or a text in double quotes, and
/// else the text itself.
pub(super) fn value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_))) => value,
        _ => Value::from(text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_looks_like_a_number_is_one_unless_it_is_quoted() {
        for (text, expected) in [
            ("42", json!(42)),
            ("-1.5", json!(-1.5)),
            ("true", json!(true)),
            ("null", json!(null)),
            ("1995-01-01", json!("1995-01-01")),
            ("\"42\"", json!("42")),
            ("[1]", json!("[1]")),
            ("", json!("")),
            ("a b", json!("a b")),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }
}
