//! Printing values as Go does in error texts, and comparing them as Go's `DeepEqual` does.

use serde_json::{Number, Value};

use kcp_apimachinery::field::go_quote;
use kcp_apimachinery::{FieldError, FieldErrorKind, FieldPath};

/// A float as `%v` prints it: the shortest form, with an exponent outside of 1e-4 … 1e6.
pub(crate) fn float(value: f64) -> String {
    let (digits, exponent) = scientific(value);
    if (-4..6).contains(&exponent) || !value.is_finite() {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// A float as `encoding/json` prints it: with an exponent outside of 1e-6 … 1e21.
fn json_float(value: f64) -> String {
    let (digits, exponent) = scientific(value);
    if (-6..21).contains(&exponent) || !value.is_finite() {
        return value.to_string();
    }
    if exponent < 0 { format!("{digits}e{exponent}") } else { format!("{digits}e+{exponent:02}") }
}

/// The shortest digits of a float and its decimal exponent.
fn scientific(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (digits.to_owned(), exponent.parse().unwrap_or(0))
}

/// A number as Go prints one that came from JSON: an int64 when it fits, else a float.
pub(crate) fn number(number: &Number) -> String {
    match (number.as_i64(), number.as_f64()) {
        (Some(integer), _) => integer.to_string(),
        (None, Some(value)) => float(value),
        (None, None) => number.to_string(),
    }
}

/// A value as an error text shows it: scalars plain, texts quoted, the rest as Go's JSON.
pub(crate) fn display(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => go_quote(text),
        Value::Number(n) => number(n),
        other => json(other),
    }
}

/// A value as Go's `encoding/json` writes it, with `<`, `>` and `&` escaped.
pub(crate) fn json(value: &Value) -> String {
    let mut out = String::new();
    write_json(value, &mut out, 0);
    out
}

fn write_json(value: &Value, out: &mut String, depth: usize) {
    if depth > crate::node::MAX_DEPTH {
        return;
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (None, Some(float)) => out.push_str(&json_float(float)),
            _ => out.push_str(&n.to_string()),
        },
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(item, out, depth + 1);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (name, field)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write_json(field, out, depth + 1);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    let quoted = Value::String(text.to_owned()).to_string();
    for c in quoted.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}

/// `Invalid value: <shown>: <detail>`, with the value as Go shows it.
pub(crate) fn invalid(path: &FieldPath, value: &Value, detail: &str) -> FieldError {
    FieldError::plain(FieldErrorKind::Invalid, path, &format!("Invalid value: {}", display(value)), detail)
}

/// Whether two values are equal, numbers by value.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, field)| b.get(name).is_some_and(|other| equal(field, other)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prints_numbers_as_go() {
        for (value, text) in [
            (json!(5), "5"),
            (json!(5.0), "5"),
            (json!(0.7), "0.7"),
            (json!(1e21), "1e+21"),
            (json!(1e6), "1e+06"),
            (json!(123456.5), "123456.5"),
            (json!([1e6, 1e-7, 1e21]), "[1000000,1e-7,1e+21]"),
            (json!(1.5e-7), "1.5e-07"),
            (json!(9_223_372_036_854_775_807i64), "9223372036854775807"),
            (json!("a\"b"), "\"a\\\"b\""),
            (json!({"a": "<x>"}), "{\"a\":\"\\u003cx\\u003e\"}"),
            (json!([1, null, true]), "[1,null,true]"),
        ] {
            assert_eq!(display(&value), text);
        }
    }
}
