//! JSON patches (RFC 6902), as lenient as the library that Kubernetes uses.
//!
//! Where Kubernetes' own behaviour differs from the RFC, it wins, because clients were built against it:
//! `replace` of a missing last map key acts as `add`, `test` of a missing value succeeds against null, and
//! negative indices count from the end of a list.

use std::fmt;

use kcp_apimachinery::Status;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::{go, unprocessable};

/// How many operations one patch may have (T-07).
pub const MAX_OPERATIONS: usize = 10_000;

/// How many bytes the `copy` operations of one patch may add (T-07).
pub const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// How deep an object may be nested. Parsers read 127 levels, and an object lies in lists and events when it is read
/// again, its managed fields five levels deeper than the fields that they are about.
pub const MAX_DEPTH: usize = 120;

/// A decoded patch.
#[derive(Debug, Clone)]
pub struct JsonPatch {
    operations: Vec<Operation>,
    strict: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Operation {
    op: String,
    path: Option<String>,
    from: Option<String>,
    value: Option<Value>,
    unknown: Vec<String>,
    duplicate: Vec<String>,
}

/// Decodes `patch` and applies it to `doc`.
///
/// Fails with 400 when the patch is no list of operations, with 413 when it is too large and with the generic
/// 422 when it cannot be applied (A-03, E-15).
pub fn json_patch(doc: &Value, patch: &[u8]) -> Result<Value, Status> {
    let patch = JsonPatch::parse(patch)?;
    let mut result = doc.clone();
    patch.apply(&mut result)?;
    Ok(result)
}

impl JsonPatch {
    /// Decodes a patch and checks the number of its operations.
    pub fn parse(patch: &[u8]) -> Result<Self, Status> {
        let mut operations: Vec<Operation> =
            serde_json::from_slice(patch).map_err(|e| Status::bad_request(format!("error decoding patch: {e}")))?;
        if operations.len() > MAX_OPERATIONS {
            return Err(Status::too_large(format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
                operations.len()
            )));
        }
        let mut strict = Vec::new();
        for (i, op) in operations.iter_mut().enumerate() {
            strict.extend(op.unknown.drain(..).map(|f| format!("json patch unknown field \"[{i}].{f}\"")));
            strict.extend(op.duplicate.drain(..).map(|f| format!("json patch duplicate field \"[{i}].{f}\"")));
        }
        Ok(Self { operations, strict })
    }

    /// What a strict decoder has to say about the patch itself.
    pub fn strict_findings(&self) -> &[String] {
        &self.strict
    }

    /// Applies the operations in their order. After a failure `doc` is half changed and of no use.
    pub fn apply(&self, doc: &mut Value) -> Result<(), Status> {
        let mut copied = 0usize;
        for op in &self.operations {
            op.apply(doc, &mut copied)?;
        }
        Ok(())
    }
}

impl Operation {
    fn apply(&self, doc: &mut Value, copied: &mut usize) -> Result<(), Status> {
        let done = match self.op.as_str() {
            "add" => self.value.clone().and_then(|v| add(doc, self.path()?, v)),
            "remove" => self.path().and_then(|p| take(doc, p)).map(drop),
            "replace" => self.replace(doc),
            "move" => self.from().and_then(|from| take(doc, from)).and_then(|v| add(doc, self.path()?, v)),
            "copy" => {
                let Some(value) = self.from().and_then(|from| get(doc, from)) else { return Err(unprocessable()) };
                *copied += value.to_string().len();
                if *copied > MAX_COPIED_BYTES {
                    return Err(Status::too_large(format!(
                        "Request entity too large: Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED_BYTES}"
                    )));
                }
                let value = value.clone();
                self.path().and_then(|p| add(doc, p, value))
            }
            "test" => self.test(doc).then_some(()),
            _ => None,
        };
        done.ok_or_else(unprocessable)
    }

    fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    fn from(&self) -> Option<&str> {
        self.from.as_deref()
    }

    fn replace(&self, doc: &mut Value) -> Option<()> {
        let value = self.value.clone()?;
        let path = self.path()?;
        if !fits(&value, room(path)) {
            return None;
        }
        if path.is_empty() {
            // Only whole documents may stand for the document.
            if !value.is_object() && !value.is_array() {
                return None;
            }
            *doc = value;
            return Some(());
        }
        let (parent, key) = parent(doc, path)?;
        match parent {
            Value::Object(map) => {
                map.insert(key, value);
            }
            Value::Array(items) => {
                let at = index(&key, items.len())?;
                *items.get_mut(at)? = value;
            }
            _ => return None,
        }
        Some(())
    }

    fn test(&self, doc: &Value) -> bool {
        let Some(path) = self.path() else { return false };
        let wanted = self.value.as_ref().unwrap_or(&Value::Null);
        if path.is_empty() {
            return go::equal(doc, wanted);
        }
        let Some((parent, key)) = parent_ref(doc, path) else { return false };
        match parent {
            Value::Object(map) => go::equal(map.get(&key).unwrap_or(&Value::Null), wanted),
            Value::Array(items) => {
                index(&key, items.len()).and_then(|i| items.get(i)).is_some_and(|v| go::equal(v, wanted))
            }
            _ => false,
        }
    }
}

/// Splits a pointer into the segments of the parent and the last key, with `~1` and `~0` decoded.
fn segments(path: &str) -> Option<(impl Iterator<Item = String> + '_, String)> {
    // What stands before the first slash is ignored, as upstream does.
    let (_, path) = path.split_once('/')?;
    let (parents, last) = match path.rsplit_once('/') {
        Some((parents, last)) => (Some(parents), last),
        None => (None, path),
    };
    Some((parents.into_iter().flat_map(|p| p.split('/')).map(decode), decode(last)))
}

fn decode(segment: &str) -> String {
    if segment.contains('~') { segment.replace("~1", "/").replace("~0", "~") } else { segment.to_owned() }
}

/// How many levels are left for a value at `path`.
fn room(path: &str) -> usize {
    MAX_DEPTH.saturating_sub(path.bytes().filter(|b| *b == b'/').count())
}

/// Whether a value has no more than `room` levels. What a patch puts together by copying may grow without end, and then
/// even dropping it needs more stack than there is: nothing deeper is ever attached.
fn fits(value: &Value, room: usize) -> bool {
    let within = |v: &Value| room > 0 && fits(v, room - 1);
    match value {
        Value::Array(items) => room > 0 && items.iter().all(within),
        Value::Object(map) => room > 0 && map.values().all(within),
        _ => true,
    }
}

/// A list index, negative ones counted from the end; `None` when it is outside `0..len`.
fn index(key: &str, len: usize) -> Option<usize> {
    let i: i64 = key.parse().ok()?;
    let i = if i < 0 { i.checked_add(i64::try_from(len).ok()?)? } else { i };
    usize::try_from(i).ok().filter(|i| *i < len)
}

fn parent<'a>(doc: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    let (parents, last) = segments(path)?;
    let mut here = doc;
    for segment in parents {
        here = match here {
            Value::Object(map) => map.get_mut(&segment)?,
            Value::Array(items) => {
                let i = index(&segment, items.len())?;
                items.get_mut(i)?
            }
            _ => return None,
        };
    }
    Some((here, last))
}

fn parent_ref<'a>(doc: &'a Value, path: &str) -> Option<(&'a Value, String)> {
    let (parents, last) = segments(path)?;
    let mut here = doc;
    for segment in parents {
        here = match here {
            Value::Object(map) => map.get(&segment)?,
            Value::Array(items) => items.get(index(&segment, items.len())?)?,
            _ => return None,
        };
    }
    Some((here, last))
}

fn get<'a>(doc: &'a Value, path: &str) -> Option<&'a Value> {
    let (parent, key) = parent_ref(doc, path)?;
    match parent {
        Value::Object(map) => map.get(&key),
        Value::Array(items) => items.get(index(&key, items.len())?),
        _ => None,
    }
}

fn add(doc: &mut Value, path: &str, value: Value) -> Option<()> {
    if !fits(&value, room(path)) {
        return None;
    }
    let (parent, key) = parent(doc, path)?;
    match parent {
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(items) if key == "-" => items.push(value),
        Value::Array(items) => {
            let at = index(&key, items.len() + 1)?;
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn take(doc: &mut Value, path: &str) -> Option<Value> {
    let (parent, key) = parent(doc, path)?;
    match parent {
        Value::Object(map) => map.remove(&key),
        Value::Array(items) => {
            let at = index(&key, items.len())?;
            Some(items.remove(at))
        }
        _ => None,
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OperationVisitor)
    }
}

struct OperationVisitor;

impl<'de> Visitor<'de> for OperationVisitor {
    type Value = Operation;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON patch operation")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Operation, A::Error> {
        let mut op = Operation::default();
        let mut seen: Vec<String> = Vec::with_capacity(4);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "op" => op.op = map.next_value::<Option<String>>()?.unwrap_or_default(),
                "path" => op.path = map.next_value()?,
                "from" => op.from = map.next_value()?,
                // An explicit null is a value; an absent one is not.
                "value" => op.value = Some(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    op.unknown.push(key.clone());
                }
            }
            if seen.contains(&key) {
                op.duplicate.push(key);
            } else {
                seen.push(key);
            }
        }
        Ok(op)
    }
}

#[cfg(test)]
#[path = "json_patch_tests.rs"]
mod tests;
