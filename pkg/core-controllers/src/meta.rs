//! The few facts about an object that decide whether a controller cares, read without building a tree.

use std::{borrow::Cow, cell::OnceCell};

use kcp_controller::Found;
use kcp_storage::{EventKind, Key, KeyParts};
use serde::Deserialize;

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
    pub(crate) finalizers: Vec<String>,
    pub(crate) owner_references: Vec<OwnerReference>,
    pub(crate) managed_fields: Vec<ManagedFields>,
}

/// When someone last wrote.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(default)]
pub(crate) struct ManagedFields {
    pub(crate) time: String,
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
