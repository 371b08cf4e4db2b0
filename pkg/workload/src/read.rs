//! Reading events and the index.

use kcp_apimachinery::GroupResource;
use kcp_controller::Found;
use kcp_logicalcluster::ClusterName;
use kcp_storage::{EventKind, Key, KeyParts, Prefix, Store};
use serde::Deserialize;
use serde_json::Value;
use std::{borrow::Cow, collections::HashMap};

/// A change or an object that exists.
pub(crate) struct Seen<'a> {
    pub(crate) parts: KeyParts<'a>,
    /// The value; for a deletion the last one.
    pub(crate) value: &'a [u8],
    /// The value before, of an update.
    pub(crate) before: Option<&'a [u8]>,
    pub(crate) deleted: bool,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(found: &'a Found<'a>) -> Self {
        match found {
            Found::Existing(key, value) => Self { parts: key.parts(), value, before: None, deleted: false },
            Found::Event(event) => Self {
                parts: event.key.parts(),
                value: &event.value,
                before: event.prev.as_deref(),
                deleted: event.kind == EventKind::Delete,
            },
        }
    }

    pub(crate) fn is(&self, resource: &GroupResource) -> bool {
        self.parts.resource == resource.resource && self.parts.group == resource.group
    }

    /// `None` for a malformed name, which no writer makes.
    pub(crate) fn cluster(&self) -> Option<ClusterName> {
        ClusterName::new(self.parts.cluster).ok()
    }

    pub(crate) fn object(&self) -> Value {
        parse(self.value)
    }
}

/// The labels of an object, read without building a tree.
pub(crate) fn labels(bytes: &[u8]) -> HashMap<Cow<'_, str>, Cow<'_, str>> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Envelope<'a> {
        #[serde(borrow)]
        metadata: Meta<'a>,
    }
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Meta<'a> {
        #[serde(borrow)]
        labels: Option<HashMap<Cow<'a, str>, Cow<'a, str>>>,
    }
    serde_json::from_slice::<Envelope<'_>>(bytes).ok().and_then(|e| e.metadata.labels).unwrap_or_default()
}

/// What is stored is JSON; anything else reads as null.
pub(crate) fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

pub(crate) fn get(
    store: &Store,
    resource: &GroupResource,
    cluster: &ClusterName,
    namespace: &str,
    name: &str,
) -> Option<Value> {
    let key = Key::object(resource, cluster, namespace, name).ok()?;
    store.get(&key).map(|entry| parse(&entry.value))
}

/// All objects of a resource in a logical cluster, by name.
pub(crate) fn list(store: &Store, resource: &GroupResource, cluster: &ClusterName) -> Vec<Value> {
    let Ok(prefix) = Prefix::cluster(resource, cluster) else { return Vec::new() };
    store.snapshot().range(&prefix, None).map(|(_, entry)| parse(&entry.value)).collect()
}

/// The names of all objects of a resource in a logical cluster or one of its namespaces.
pub(crate) fn names(store: &Store, prefix: &Prefix) -> Vec<String> {
    store.snapshot().range(prefix, None).map(|(key, _)| key.parts().name.to_owned()).collect()
}

pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read() {
        assert_eq!(labels(br#"{"a":1,"metadata":{"name":"x","labels":{"k":"v\n"}}}"#)["k"], "v\n");
        for none in [&b"{}"[..], b"", br#"{"metadata":{"labels":null}}"#, br#"{"metadata":{}}"#] {
            assert!(labels(none).is_empty());
        }
    }
}
