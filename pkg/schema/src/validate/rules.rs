//! The value rules of a node: everything beside its type and structure.

use serde_json::Value;

use super::formats::Format;
use super::pattern::Pattern;
use crate::node::NodeId;

/// A bound of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bound {
    pub(crate) value: f64,
    pub(crate) exclusive: bool,
}

/// Compiled value rules.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    pub(crate) format: Option<Format>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) values: Vec<Value>,
    pub(crate) minimum: Option<Bound>,
    pub(crate) maximum: Option<Bound>,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<i64>,
    pub(crate) max_length: Option<i64>,
    pub(crate) min_items: Option<i64>,
    pub(crate) max_items: Option<i64>,
    pub(crate) min_properties: Option<i64>,
    pub(crate) max_properties: Option<i64>,
    pub(crate) required: Vec<Box<str>>,
    pub(crate) all_of: Vec<NodeId>,
    pub(crate) any_of: Vec<NodeId>,
    pub(crate) one_of: Vec<NodeId>,
    pub(crate) not: Option<NodeId>,
    /// `additionalProperties: false`, which only rules out keys.
    pub(crate) closed: bool,
    /// Unique items, which only junctors may still demand.
    pub(crate) unique: bool,
}

fn integer(schema: &Value, name: &str) -> Option<i64> {
    let value = schema.get(name)?;
    value.as_i64().or_else(|| value.as_f64().filter(|f| f.fract() == 0.0).map(|f| f as i64))
}

fn bound(schema: &Value, name: &str, exclusive: &str) -> Option<Bound> {
    let value = schema.get(name)?.as_f64()?;
    Some(Bound { value, exclusive: super::super::compile::flag(schema, exclusive) })
}

impl Rules {
    /// Reads the rules of `schema`, without its junctors. Fails with the reason when the pattern is no regular
    /// expression.
    pub(crate) fn read(schema: &Value) -> Result<Self, String> {
        let text = |name: &str| schema.get(name).and_then(Value::as_str).filter(|s| !s.is_empty());
        let list = |name: &str| schema.get(name).and_then(Value::as_array);
        Ok(Self {
            format: text("format").and_then(Format::from_name),
            pattern: text("pattern").map(Pattern::new).transpose()?,
            values: list("enum").cloned().unwrap_or_default(),
            minimum: bound(schema, "minimum", "exclusiveMinimum"),
            maximum: bound(schema, "maximum", "exclusiveMaximum"),
            multiple_of: schema.get("multipleOf").and_then(Value::as_f64),
            min_length: integer(schema, "minLength"),
            max_length: integer(schema, "maxLength"),
            min_items: integer(schema, "minItems"),
            max_items: integer(schema, "maxItems"),
            min_properties: integer(schema, "minProperties"),
            max_properties: integer(schema, "maxProperties"),
            required: list("required")
                .map(|names| names.iter().filter_map(Value::as_str).map(Box::from).collect())
                .unwrap_or_default(),
            closed: schema.get("additionalProperties").and_then(Value::as_bool) == Some(false),
            unique: super::super::compile::flag(schema, "uniqueItems"),
            ..Self::default()
        })
    }

    /// Gives back spare memory.
    pub(crate) fn settle(&mut self) {
        self.values.shrink_to_fit();
        self.required.shrink_to_fit();
        self.all_of.shrink_to_fit();
        self.any_of.shrink_to_fit();
        self.one_of.shrink_to_fit();
    }

    /// Whether there is nothing to check.
    pub(crate) fn is_empty(&self) -> bool {
        self.format.is_none()
            && self.pattern.is_none()
            && self.values.is_empty()
            && self.minimum.is_none()
            && self.maximum.is_none()
            && self.multiple_of.is_none()
            && self.min_length.is_none()
            && self.max_length.is_none()
            && self.min_items.is_none()
            && self.max_items.is_none()
            && self.min_properties.is_none()
            && self.max_properties.is_none()
            && self.required.is_empty()
            && self.all_of.is_empty()
            && self.any_of.is_empty()
            && self.one_of.is_empty()
            && self.not.is_none()
            && !self.closed
            && !self.unique
    }
}
