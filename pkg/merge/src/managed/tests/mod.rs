//! Tables of what a real server answered, in our own words, and properties that hold for any input.

mod builtin;
mod custom;
mod properties;
mod timing;
mod tracking;

use std::sync::Arc;

use kcp_schema::Schema;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use kcp_apimachinery::Status;

pub(crate) const NOW: &str = "2026-01-01T00:00:00Z";

/// JSON as clients may send it.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        prop_oneof![Just(1.0), Just(2.5), Just(1e300)].prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::btree_map("[abc]|\\$patch|name|f:a|k:\\{\\}|v:1", inner, 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Well-formed FieldsV1.
pub(crate) fn any_fields() -> impl Strategy<Value = Value> {
    let leaf = Just(json!({})).boxed();
    let level = |inner: BoxedStrategy<Value>| {
        proptest::collection::btree_map("f:[abc]|k:\\{\"n\":[123]\\}|v:[12]|v:\"x\"|i:[01]|\\.", inner, 0..4)
            .prop_map(|m| {
                let dotted = |(k, v): (String, Value)| if k == "." { (k, json!({})) } else { (k, v) };
                Value::Object(m.into_iter().map(dotted).collect::<Map<_, _>>())
            })
            .boxed()
    };
    level(level(level(leaf)))
}

/// A custom resource with a field of every kind.
pub(crate) fn schema() -> Arc<Schema> {
    let text = json!({"type": "string"});
    Schema::compile(&json!({
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {
                "replicas": {"type": "integer"},
                "title": text,
                "on": {"type": "boolean"},
                "tags": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
                "ports": {
                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "proto"],
                    "items": {"type": "object", "required": ["port"], "properties": {
                        "port": {"type": "integer"},
                        "proto": {"type": "string", "default": "TCP"},
                        "note": text,
                    }},
                },
                "names": {
                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "required": ["name"], "properties": {"name": text, "x": {"type": "integer"}}},
                },
                "plain": {"type": "array", "items": text},
                "sel": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": text},
                "opts": {"type": "object", "additionalProperties": text},
                "mode": {"type": "string", "default": "auto"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "any": {"x-kubernetes-int-or-string": true},
            }},
            "status": {"type": "object", "properties": {
                "replicas": {"type": "integer"}, "selector": text, "seen": {"type": "integer"},
            }},
        },
    }))
    .unwrap()
}

/// A server's write path in small: what the registry does around the merge, without a store.
struct Bench {
    schema: Arc<Schema>,
    api_version: &'static str,
    live: Option<Value>,
    reset: ResetFields,
    subresource: &'static str,
    clock: u32,
    now: String,
}

impl Bench {
    fn new(schema: Arc<Schema>, api_version: &'static str) -> Self {
        let reset = ResetFields::new(["status"]);
        Self { schema, api_version, live: None, reset, subresource: "", clock: 0, now: NOW.to_owned() }
    }

    fn custom() -> Self {
        Self::new(schema(), "example.dev/v1")
    }

    fn through(&mut self, subresource: &'static str, reset: &[&str]) -> &mut Self {
        self.subresource = subresource;
        self.reset = ResetFields::new(reset);
        self
    }

    fn tick(&mut self) {
        self.clock += 1;
        self.now = format!("2026-01-01T00:{:02}:{:02}Z", self.clock / 60, self.clock % 60);
    }

    fn writer<'a>(&'a self, manager: &'a str) -> Writer<'a> {
        Writer { manager, api_version: self.api_version, subresource: self.subresource, now: &self.now }
    }

    /// Applies; the live object becomes the result unless it fails.
    fn apply(&mut self, manager: &str, body: Value, force: bool) -> Result<(), Status> {
        self.tick();
        let writer = self.writer(manager);
        let new = apply(self.live.as_ref(), body, force, &writer, self.schema.root(), &self.reset)?;
        self.live = Some(new);
        Ok(())
    }

    /// Stores `new` as an update does.
    fn update(&mut self, manager: &str, mut new: Value) {
        self.tick();
        let writer = self.writer(manager);
        track_update(self.live.as_ref(), &mut new, &writer, self.schema.root(), &self.reset);
        self.live = Some(new);
    }

    fn merge(&mut self, manager: &str, patch: &Value) {
        let mut new = self.live.clone().unwrap();
        crate::merge_patch(&mut new, patch);
        self.update(manager, new);
    }

    fn object(&self) -> &Value {
        self.live.as_ref().unwrap()
    }

    /// The fields of a manager's entry, by manager and operation.
    fn fields(&self, manager: &str, operation: &str) -> Value {
        let list = managed_fields(self.object()).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .find(|e| e["manager"] == manager && e["operation"] == operation)
            .map_or(Value::Null, |e| e["fieldsV1"].clone())
    }

    /// `manager/operation` of all entries in their order.
    fn owners(&self) -> Vec<String> {
        let list = managed_fields(self.object()).and_then(Value::as_array);
        let text = |e: &Value| format!("{}/{}", e["manager"].as_str().unwrap(), e["operation"].as_str().unwrap());
        list.into_iter().flatten().map(text).collect()
    }
}
