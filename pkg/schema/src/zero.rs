//! What built-in objects hold in fields that nobody set.
//!
//! The types behind built-in objects are Go structs. A field of theirs that is neither a pointer nor omitted when
//! empty is always there: as `{}`, `""`, `0`, `false`, or as null. Who owns a field depends on it, because such a
//! field does not come into being with its first sub-field (F-03).

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::node::NodeRef;

static NULL: Value = Value::Null;
static FALSE: Value = Value::Bool(false);
static TEXT: Value = Value::String(String::new());
static NUMBER: LazyLock<Value> = LazyLock::new(|| Value::from(0));

/// The value of a field that nobody set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Zero<'a> {
    /// A struct; its own fields have zero values too.
    Map,
    /// This value.
    Value(&'a Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZeroKind {
    Map,
    Null,
    Text,
    Number,
    False,
}

/// The zero values of the fields of the definition `schema`, sorted by name.
pub(crate) fn read(schema: &Value, fields: &Map<String, Value>) -> Box<[(Box<str>, ZeroKind)]> {
    let required = schema.get("required").and_then(Value::as_array);
    let mut zeros: Vec<(Box<str>, ZeroKind)> = fields
        .iter()
        .filter_map(|(name, field)| {
            let kind = match field.get("default") {
                Some(Value::Object(map)) if map.is_empty() => ZeroKind::Map,
                Some(Value::String(text)) if text.is_empty() => ZeroKind::Text,
                Some(Value::Number(n)) if n.as_f64() == Some(0.0) => ZeroKind::Number,
                Some(Value::Bool(false)) => ZeroKind::False,
                Some(_) => return None,
                // Required sets are omitted when empty all the same (`validationActions` of policy bindings).
                None if field.get("x-kubernetes-list-type").is_some_and(|t| t == "set") => return None,
                None if required.is_some_and(|r| r.iter().any(|n| n == name)) => ZeroKind::Null,
                None => return None,
            };
            Some((Box::from(name.as_str()), kind))
        })
        .collect();
    zeros.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    zeros.into()
}

impl<'a> NodeRef<'a> {
    /// What field `name` of a built-in type holds when nobody has set it; `None` when it is absent then.
    pub fn zero(self, name: &str) -> Option<Zero<'a>> {
        let zeros = &self.node().zeros;
        let found = zeros.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
        Some(match zeros.get(found)?.1 {
            ZeroKind::Map => Zero::Map,
            ZeroKind::Null => Zero::Value(&NULL),
            ZeroKind::Text => Zero::Value(&TEXT),
            ZeroKind::Number => Zero::Value(&NUMBER),
            ZeroKind::False => Zero::Value(&FALSE),
        })
    }
}
