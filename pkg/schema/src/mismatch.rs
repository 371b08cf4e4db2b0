//! Whether a value can be decoded at all: what Go's decoder would refuse with 400 before any validation.
//!
//! Built-in types have Go structs upstream: a number where a text belongs is a malformed request, not an invalid
//! object. The same holds for the metadata of every object.

use std::fmt;

use serde_json::Value;

use crate::node::{MAX_DEPTH, NodeRef, Origin, Schema, ValueKind};

/// The first value of a wrong type in an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Where, without indices: `spec.ports.name`.
    pub path: String,
    /// The JSON type found.
    pub found: &'static str,
    /// The Go type that was to be filled.
    pub expected: &'static str,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "json: cannot unmarshal {} into Go struct field {} of type {}", self.found, self.path, self.expected)
    }
}

impl Schema {
    /// The first value that has another type than the schema says, if any. Custom objects are checked in their
    /// metadata only; the rest of them is validated.
    pub fn mismatch(&self, object: &Value) -> Option<Mismatch> {
        let mut path = Vec::new();
        match self.origin {
            Origin::Builtin => walk(self.root(), object, &mut path, 0),
            Origin::Custom | Origin::Untyped => {
                path.push("metadata");
                walk(self.root().property("metadata")?, object.get("metadata")?, &mut path, 0)
            }
        }
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn expected(node: NodeRef<'_>) -> &'static str {
    match (node.value_kind(), node.format()) {
        (ValueKind::Integer, "int32") => "int32",
        (ValueKind::Integer, _) => "int64",
        (ValueKind::Number, _) => "float64",
        (ValueKind::Boolean, _) => "bool",
        (ValueKind::String, "byte") => "[]uint8",
        (ValueKind::String, "date-time") => "time.Time",
        (ValueKind::String, _) => "string",
        (ValueKind::Array, _) => "slice",
        (ValueKind::Object, _) => "map",
        (ValueKind::Any, _) => "value",
    }
}

fn walk<'a>(node: NodeRef<'_>, value: &'a Value, path: &mut Vec<&'a str>, depth: usize) -> Option<Mismatch> {
    if value.is_null() || depth > MAX_DEPTH {
        return None;
    }
    let fits = match node.value_kind() {
        ValueKind::Any => !node.is_int_or_string() || value.is_string() || value.is_number(),
        ValueKind::Object => value.is_object(),
        ValueKind::Array => value.is_array(),
        ValueKind::String => value.is_string(),
        ValueKind::Boolean => value.is_boolean(),
        ValueKind::Number => value.is_number(),
        ValueKind::Integer => match value {
            Value::Number(n) if node.format() == "int32" => n.as_i64().is_some_and(|i| i32::try_from(i).is_ok()),
            Value::Number(n) => n.is_i64() || n.as_f64().is_some_and(|f| f.fract() == 0.0 && f.abs() < 9.3e18),
            _ => false,
        },
    };
    if !fits {
        return Some(Mismatch { path: path.join("."), found: found(value), expected: expected(node) });
    }
    match value {
        Value::Object(map) => map.iter().find_map(|(name, field)| {
            let below = node.field(name)?;
            path.push(name);
            let mismatch = walk(below, field, path, depth + 1);
            path.pop();
            mismatch
        }),
        Value::Array(items) => {
            let below = node.items()?;
            items.iter().find_map(|item| walk(below, item, path, depth + 1))
        }
        _ => None,
    }
}

/// The first value below a node that has another type than it says.
pub(crate) fn of(node: NodeRef<'_>, value: &Value) -> Option<Mismatch> {
    walk(node, value, &mut Vec::new(), 0)
}
