//! Walking the schemas inside a schema.

use kcp_apimachinery::FieldPath;
use serde_json::Value;

use super::view::text;
use crate::node::MAX_DEPTH;

/// Where a schema stands within another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Items,
    /// One of a list of `items`.
    ItemsAt(usize),
    Property(&'a str),
    Additional,
    /// A keyword with a map of schemas that CRDs may not use.
    Map(&'static str, &'a str),
    Junctor(&'static str, usize),
    Not,
}

impl Place<'_> {
    /// The path of the child of the schema at `path`.
    pub(crate) fn below(self, path: &FieldPath) -> FieldPath {
        match self {
            Self::Items => path.child("items"),
            Self::ItemsAt(index) => path.child("items").index(index),
            Self::Property(name) => path.child("properties").key(name),
            Self::Additional => path.child("additionalProperties"),
            Self::Map(keyword, name) => path.child(keyword).key(name),
            Self::Junctor(keyword, index) => path.child(keyword).index(index),
            Self::Not => path.child("not"),
        }
    }
}

/// A schema inside another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Child<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) schema: &'a Value,
}

/// All schemas directly inside `schema`.
pub(crate) fn children(schema: &Value) -> impl Iterator<Item = Child<'_>> {
    let map = |keyword: &str| schema.get(keyword).and_then(Value::as_object).into_iter().flatten();
    let list = |keyword: &str| schema.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate();
    let one = |keyword: &str| schema.get(keyword).filter(|value| value.is_object());
    let properties = map("properties").map(|(name, schema)| Child { place: Place::Property(name), schema });
    let maps = ["definitions", "dependencies"].into_iter().flat_map(move |keyword| {
        map(keyword).map(move |(name, schema)| Child { place: Place::Map(keyword, name), schema })
    });
    let junctors = ["allOf", "oneOf", "anyOf"].into_iter().flat_map(move |keyword| {
        list(keyword).map(move |(index, schema)| Child { place: Place::Junctor(keyword, index), schema })
    });
    let items = one("items").map(|schema| Child { place: Place::Items, schema });
    let lists = list("items").map(|(index, schema)| Child { place: Place::ItemsAt(index), schema });
    let additional = one("additionalProperties").map(|schema| Child { place: Place::Additional, schema });
    let not = one("not").map(|schema| Child { place: Place::Not, schema });
    let all = additional.into_iter().chain(properties).chain(not).chain(junctors).chain(maps).chain(items).chain(lists);
    all.filter(|child| child.schema.is_object())
}

/// Whether a keyword is there and says something.
pub(crate) fn says(schema: &Value, keyword: &str) -> bool {
    match schema.get(keyword) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    }
}

/// SC-01: whether keywords that no structural schema can have occur anywhere.
pub(crate) fn unsupported(schema: &Value, depth: usize) -> bool {
    let words = ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];
    depth > MAX_DEPTH
        || words.iter().any(|word| says(schema, word))
        || schema.get("dependencies").is_some_and(|d| !d.is_null())
        || text(schema, "type") == "null"
        || schema.get("items").is_some_and(Value::is_array)
        || children(schema).any(|child| unsupported(child.schema, depth + 1))
}
