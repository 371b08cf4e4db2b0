//! Whether a value can be decoded at all: what Go's decoder would refuse with 400 before any validation.
//!
//! Built-in types have Go structs upstream: a number where a text belongs is a malformed request, not an invalid
//! object. The same holds for the metadata of every object.

use std::fmt;

use serde_json::Value;

use crate::node::{MAX_DEPTH, NodeRef, Origin, Schema, ValueKind};

/// The first value of a wrong type in an object. Its text is that of Go's decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The Go struct that holds the field, without its package.
    pub holder: String,
    /// The names of the fields that lead there, without indices and map keys: `spec.ports.name`.
    pub path: String,
    /// The JSON type found.
    pub found: &'static str,
    /// The Go type that was to be filled.
    pub expected: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "json: cannot unmarshal {} into Go ", self.found)?;
        if self.path.is_empty() {
            return write!(f, "value of type {}", self.expected);
        }
        write!(f, "struct field {}.{} of type {}", self.holder, self.path, self.expected)
    }
}

impl Schema {
    /// The first value that has another type than the schema says, if any. Custom objects are checked in their
    /// metadata only; the rest of them is validated.
    pub fn mismatch(&self, object: &Value) -> Option<Mismatch> {
        match self.origin {
            Origin::Builtin => of(self.root(), object),
            Origin::Custom | Origin::Untyped => of(self.root().property("metadata")?, object.get("metadata")?),
        }
    }
}

/// The first value at or below a node that has another type than it says.
pub(crate) fn of(node: NodeRef<'_>, value: &Value) -> Option<Mismatch> {
    walk(node, value, "", &mut Vec::new(), 0)
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

/// The Go type behind a node, as far as the schema tells.
fn expected(node: NodeRef<'_>, depth: usize) -> String {
    if let Some(name) = &node.node().go_name {
        return name.to_string();
    }
    let plain = match (node.value_kind(), node.format()) {
        (ValueKind::Integer, "int32") => "int32",
        (ValueKind::Integer, _) => "int64",
        (ValueKind::Number, _) => "float64",
        (ValueKind::Boolean, _) => "bool",
        (ValueKind::String, "byte") => "[]uint8",
        (ValueKind::String, _) => "string",
        (ValueKind::Any, _) => "interface {}",
        (kind @ (ValueKind::Array | ValueKind::Object), _) => {
            let list = kind == ValueKind::Array;
            let below = if list { node.items() } else { node.additional() }.filter(|_| depth < 8);
            let below = below.map_or_else(|| "interface {}".to_owned(), |below| expected(below, depth + 1));
            return format!("{}{below}", if list { "[]" } else { "map[string]" });
        }
    };
    plain.to_owned()
}

fn fits(node: NodeRef<'_>, value: &Value) -> bool {
    match node.value_kind() {
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
    }
}

fn walk<'a>(
    node: NodeRef<'a>,
    value: &'a Value,
    holder: &'a str,
    path: &mut Vec<&'a str>,
    depth: usize,
) -> Option<Mismatch> {
    if value.is_null() || depth > MAX_DEPTH {
        return None;
    }
    if !fits(node, value) {
        return Some(Mismatch {
            holder: holder.to_owned(),
            path: path.join("."),
            found: found(value),
            expected: expected(node, 0),
        });
    }
    match value {
        Value::Object(map) => {
            let own = node.node().go_name.as_deref();
            let holder = own.map_or(holder, |name| name.rsplit('.').next().unwrap_or(name));
            map.iter().find_map(|(name, field)| {
                let Some(below) = node.property(name) else {
                    return walk(node.additional()?, field, holder, path, depth + 1);
                };
                path.push(name);
                let mismatch = walk(below, field, holder, path, depth + 1);
                path.pop();
                mismatch
            })
        }
        Value::Array(items) => {
            let below = node.items()?;
            items.iter().find_map(|item| walk(below, item, holder, path, depth + 1))
        }
        _ => None,
    }
}
