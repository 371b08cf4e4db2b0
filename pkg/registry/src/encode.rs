//! Writing objects: the one place where an object's tree becomes its final bytes.
//!
//! The form is fixed so that readers can cut it without parsing: `{"kind":K,"apiVersion":V,"metadata":{…}` first, then
//! the other fields; `metadata.resourceVersion` is left open and filled in by the store when it commits.

use bytes::Bytes;
use kcp_storage::{Revision, Stamped};
use serde_json::Value;

/// Writes `object` with its resourceVersion left open for the store.
pub fn encode(object: &Value) -> Stamped {
    let (bytes, at) = write(object, "");
    Stamped { bytes: bytes.into(), revision_at: at }
}

/// Writes `object` with a given resourceVersion; without one when it is 0.
pub fn encode_at(object: &Value, revision: Revision) -> Bytes {
    if revision == 0 {
        return write_plain(object).into();
    }
    write(object, &revision.to_string()).0.into()
}

fn head(object: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    out.push(b'{');
    for field in ["kind", "apiVersion"] {
        if let Some(text) = object.get(field) {
            entry(&mut out, field, text);
        }
    }
    out
}

fn entry(out: &mut Vec<u8>, key: &str, value: &Value) {
    name(out, key);
    json(out, value);
}

fn name(out: &mut Vec<u8>, key: &str) {
    if !matches!(out.last(), Some(b'{') | None) {
        out.push(b',');
    }
    json(out, key);
    out.push(b':');
}

fn json<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing a tree or a text to memory cannot fail.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(out, Numbers));
}

/// Compact JSON with floating-point numbers as Go prints them: `2`, not `2.0`; `1e+21` (N-04, F-17).
struct Numbers;

impl serde_json::ser::Formatter for Numbers {
    fn write_f64<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, value: f64) -> std::io::Result<()> {
        let magnitude = value.abs();
        if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
            let text = format!("{value:e}");
            let text = if text.contains("e-") { text } else { text.replace('e', "e+") };
            return writer.write_all(text.as_bytes());
        }
        write!(writer, "{value}")
    }
}

/// The compact JSON of a value in the form in which objects are written.
pub fn compact(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    json(&mut out, value);
    out
}

fn rest(out: &mut Vec<u8>, object: &Value) {
    for (key, value) in object.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "kind" | "apiVersion" | "metadata") {
            entry(out, key, value);
        }
    }
    out.push(b'}');
}

fn write(object: &Value, revision: &str) -> (Vec<u8>, u32) {
    let mut out = head(object);
    name(&mut out, "metadata");
    out.push(b'{');
    let mut at = 0;
    let mut stamp = |out: &mut Vec<u8>| {
        name(out, "resourceVersion");
        out.push(b'"');
        at = u32::try_from(out.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(revision.as_bytes());
        out.push(b'"');
    };
    let mut stamped = false;
    for (key, value) in object.get("metadata").and_then(Value::as_object).into_iter().flatten() {
        if key == "resourceVersion" {
            continue;
        }
        if !stamped && key.as_str() > "resourceVersion" {
            stamp(&mut out);
            stamped = true;
        }
        entry(&mut out, key, value);
    }
    if !stamped {
        stamp(&mut out);
    }
    out.push(b'}');
    rest(&mut out, object);
    (out, at)
}

fn write_plain(object: &Value) -> Vec<u8> {
    let mut out = head(object);
    if let Some(meta) = object.get("metadata") {
        name(&mut out, "metadata");
        out.push(b'{');
        for (key, value) in meta.as_object().into_iter().flatten() {
            if key != "resourceVersion" {
                entry(&mut out, key, value);
            }
        }
        out.push(b'}');
    }
    rest(&mut out, object);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_form_is_fixed() {
        let object = json!({"apiVersion": "v1", "data": {"a": "1"}, "kind": "ConfigMap",
            "metadata": {"name": "x", "resourceVersion": "9", "uid": "u"}});
        let stamped = encode(&object);
        let want = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","resourceVersion":"42","uid":"u"},"data":{"a":"1"}}"#;
        assert_eq!(text(&stamped.render(42)), want);
        assert_eq!(text(&encode_at(&object, 42)), want);
        let plain = encode_at(&object, 0);
        assert_eq!(
            text(&plain),
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x","uid":"u"},"data":{"a":"1"}}"#
        );
        let bare = encode_at(&json!({"kind": "K", "metadata": {}}), 1);
        assert_eq!(text(&bare), r#"{"kind":"K","metadata":{"resourceVersion":"1"}}"#);
    }

    #[test]
    fn numbers_are_printed_as_go_does() {
        for (value, want) in [
            (json!(2.0), "2"),
            (json!(1.5), "1.5"),
            (json!(0.0), "0"),
            (json!(1e21), "1e+21"),
            (json!(1e-7), "1e-7"),
            (json!(9_223_372_036_854_775_807_i64), "9223372036854775807"),
            (json!(123_456_789.25), "123456789.25"),
        ] {
            assert_eq!(text(&compact(&value)), want);
        }
    }
}
