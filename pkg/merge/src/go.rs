//! Values as Go sees them: equality across number forms, and the texts that `%v`, `%#v`, `%T` and
//! `encoding/json` give, which occur in messages and keys that clients see.

use std::cmp::Ordering;
use std::fmt::Write as _;

use kcp_apimachinery::field::go_quote;
use serde_json::{Number, Value};

/// A number the way Go decodes it: whole numbers of 64 bits, everything else a float.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Num {
    Int(i64),
    Float(f64),
}

impl From<&Number> for Num {
    fn from(n: &Number) -> Self {
        n.as_i64().map_or_else(|| Self::Float(n.as_f64().unwrap_or(0.0)), Self::Int)
    }
}

impl Num {
    pub(crate) fn cmp(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (a, b) => a.float().total_cmp(&b.float()),
        }
    }

    fn float(self) -> f64 {
        match self {
            Self::Int(i) => i as f64,
            // Both zeros are one number.
            Self::Float(f) => f + 0.0,
        }
    }

    pub(crate) fn write(self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Int(i) => write!(out, "{i}"),
            Self::Float(f) if f == 0.0 || (1e-6..1e21).contains(&f.abs()) => write!(out, "{f}"),
            Self::Float(f) => {
                let text = format!("{f:e}");
                match text.split_once('e') {
                    Some((m, e)) if !e.starts_with('-') => write!(out, "{m}e+{e}"),
                    _ => out.write_str(&text),
                }
            }
        };
    }
}

/// Whether two values are the same; `1` and `1.0` are (F-17).
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => Num::from(x).cmp(Num::from(y)).is_eq(),
        (Value::Array(x), Value::Array(y)) => x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y)),
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| equal(v, w)))
        }
        _ => a == b,
    }
}

/// The place of a kind of values in the order of [`compare`].
pub(crate) fn rank(v: &Value) -> u8 {
    match v {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

/// A total order of JSON values: numbers, texts, truth values, lists, maps, null.
pub(crate) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => Num::from(x).cmp(Num::from(y)),
        (Value::String(x), Value::String(y)) => x.cmp(y),
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        (Value::Array(x), Value::Array(y)) => {
            x.iter().zip(y).map(|(x, y)| compare(x, y)).find(|o| o.is_ne()).unwrap_or_else(|| x.len().cmp(&y.len()))
        }
        (Value::Object(x), Value::Object(y)) => {
            let (mut x, mut y): (Vec<_>, Vec<_>) = (x.iter().collect(), y.iter().collect());
            x.sort_unstable_by_key(|(k, _)| *k);
            y.sort_unstable_by_key(|(k, _)| *k);
            let pairs = x.iter().zip(&y).map(|((xk, xv), (yk, yv))| xk.cmp(yk).then_with(|| compare(xv, yv)));
            pairs.into_iter().find(|o| o.is_ne()).unwrap_or_else(|| x.len().cmp(&y.len()))
        }
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Appends `s` as a JSON string, with the characters escaped that Go escapes for HTML's sake.
pub(crate) fn write_json_str(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Appends `v` as Go's `encoding/json` writes it: keys sorted, HTML escaped.
pub(crate) fn write_json(v: &Value, out: &mut String) {
    match v {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => Num::from(n).write(out),
        Value::String(s) => write_json_str(s, out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (i, (k, item)) in sorted(map).into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_json_str(k, out);
                out.push(':');
                write_json(item, out);
            }
            out.push('}');
        }
    }
}

fn sorted(map: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_unstable_by_key(|(k, _)| *k);
    pairs
}

/// `%v`.
pub(crate) fn plain(v: &Value) -> String {
    let mut out = String::new();
    write_plain(v, &mut out);
    out
}

fn write_plain(v: &Value, out: &mut String) {
    match v {
        Value::Null => out.push_str("<nil>"),
        Value::String(s) => out.push_str(s),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => Num::from(n).write(out),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                write_plain(item, out);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("map[");
            for (i, (k, item)) in sorted(map).into_iter().enumerate() {
                if i > 0 {
                    out.push(' ');
                }
                out.push_str(k);
                out.push(':');
                write_plain(item, out);
            }
            out.push(']');
        }
    }
}

/// `%#v`.
pub(crate) fn syntax(v: &Value) -> String {
    match v {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(s) => go_quote(s),
        Value::Bool(_) | Value::Number(_) => plain(v),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(map) => {
            let items: Vec<String> =
                sorted(map).into_iter().map(|(k, v)| format!("{}:{}", go_quote(k), syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", items.join(", "))
        }
    }
}

/// `%T`.
pub(crate) fn type_name(v: &Value) -> &'static str {
    match v {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.as_i64().is_some() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_of_two_forms_are_one() {
        for (a, b, same) in [
            (json!(1), json!(1.0), true),
            (json!(0.0), json!(-0.0), true),
            (json!(1.5), json!(1), false),
            (json!({"a": [1]}), json!({"a": [1.0]}), true),
            (json!({"a": 1}), json!({"b": 1}), false),
            (json!("1"), json!(1), false),
        ] {
            assert_eq!(equal(&a, &b), same, "{a} {b}");
        }
    }

    #[test]
    fn texts() {
        let v = json!({"b": [1, "x", null], "a": 1.5});
        assert_eq!(plain(&v), "map[a:1.5 b:[1 x <nil>]]");
        assert_eq!(syntax(&json!(["a", 1])), "[]interface {}{\"a\", 1}");
        let mut s = String::new();
        write_json(&json!({"k": "<a&b>", "f": 1e21, "w": 2.0}), &mut s);
        assert_eq!(s, r#"{"f":1e+21,"k":"\u003ca\u0026b\u003e","w":2}"#);
    }
}
