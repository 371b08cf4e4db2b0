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
    let mut out = Vec::with_capacity(1024);
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
    let _ = serde_json::to_writer(out, value);
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
