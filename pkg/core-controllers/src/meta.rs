//! The few facts about an object that decide whether a controller cares, read without building a tree.

use std::{borrow::Cow, cell::OnceCell};

use kcp_controller::Found;
use kcp_storage::{EventKind, Key, KeyParts};
use serde::{Deserialize, Deserializer};

/// An owner as an object names it.
#[derive(Debug, Clone, Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct OwnerReference {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) block_owner_deletion: Option<bool>,
}

/// What of an object's metadata the controllers read.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta<'a> {
    #[serde(borrow)]
    pub(crate) uid: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) resource_version: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) creation_timestamp: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) deletion_timestamp: Option<Cow<'a, str>>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) finalizers: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) owner_references: Vec<OwnerReference>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) managed_fields: Vec<ManagedFields>,
}

/// When someone last wrote.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(crate) struct ManagedFields {
    #[serde(deserialize_with = "or_default")]
    pub(crate) time: String,
}

/// Null is as good as nothing.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// The envelope of an object.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) metadata: Meta<'a>,
}

impl<'a> Envelope<'a> {
    /// Reads the envelope; an object that is not JSON of that shape, which the server never stores, gives an empty one.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    pub(crate) fn is_deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    pub(crate) fn has_finalizer(&self, finalizer: &str) -> bool {
        self.metadata.finalizers.iter().any(|f| f == finalizer)
    }
}

/// An object that the cursor came across; its envelope is read at most once for all controllers.
pub(crate) struct Seen<'a> {
    pub(crate) key: &'a Key,
    pub(crate) parts: KeyParts<'a>,
    /// The state; for a deleted object its last one.
    pub(crate) value: &'a [u8],
    pub(crate) deleted: bool,
    envelope: OnceCell<Envelope<'a>>,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(found: &Found<'a>) -> Self {
        let (key, value, deleted) = match found {
            Found::Existing(key, value) => (*key, *value, false),
            Found::Event(event) => (&event.key, &event.value[..], event.kind == EventKind::Delete),
        };
        Self { key, parts: key.parts(), value, deleted, envelope: OnceCell::new() }
    }

    pub(crate) fn envelope(&self) -> &Envelope<'a> {
        self.envelope.get_or_init(|| Envelope::read(self.value))
    }

    /// Whether the object is of this resource.
    pub(crate) fn is(&self, group: &str, resource: &str) -> bool {
        self.parts.group == group && self.parts.resource == resource
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_do_not_hide_the_rest() {
        for null in ["finalizers", "ownerReferences", "managedFields", "creationTimestamp"] {
            let text =
                format!(r#"{{"metadata":{{"uid":"u","{null}":null,"deletionTimestamp":"2026-01-01T00:00:00Z"}}}}"#);
            let envelope = Envelope::read(text.as_bytes());
            assert!(envelope.is_deleting() && envelope.metadata.uid == "u", "{null}");
        }
        let envelope = Envelope::read(br#"{"metadata":{"uid":"u","managedFields":[{"time":null}]}}"#);
        assert_eq!((&*envelope.metadata.uid, envelope.metadata.managed_fields.len()), ("u", 1));
    }
}
