//! Served types as values: what a resource in a version is.
//!
//! Invariants: a [`ResourceInfo`] never changes after it was put together and is shared by `Arc`; the types of a
//! CustomResourceDefinition are interned by the hash of its content, so a thousand logical clusters with the same
//! definition share one.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use kcp_apimachinery::{
    GroupKind, GroupResource, GroupVersionKind, GroupVersionResource, table::ColumnDefinition, time::Timestamp,
};
use kcp_schema::Schema;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub use crate::type_table::{DefinitionState, GroupInfo, TypeTable, TypeTableBuilder, VersionInfo};
use crate::{encode, strategy::Strategy, virtuals::VirtualObjects};

/// A schema that is compiled when it is first asked for.
pub struct LazySchema {
    once: OnceLock<Arc<Schema>>,
    load: Option<Box<dyn Fn() -> Arc<Schema> + Send + Sync>>,
}

impl LazySchema {
    /// A schema that is there already.
    pub fn ready(schema: Arc<Schema>) -> Self {
        Self { once: OnceLock::from(schema), load: None }
    }
    /// A schema that `load` makes at its first use.
    pub fn lazy(load: impl Fn() -> Arc<Schema> + Send + Sync + 'static) -> Self {
        Self { once: OnceLock::new(), load: Some(Box::new(load)) }
    }
    /// The schema.
    pub fn get(&self) -> &Arc<Schema> {
        self.once.get_or_init(|| self.load.as_ref().map_or_else(Schema::untyped, |load| load()))
    }
}

impl fmt::Debug for LazySchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.once.get().is_some() { "LazySchema(ready)" } else { "LazySchema" })
    }
}

/// Where and how the objects of a resource are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageInfo {
    /// What their keys start with (the same for all versions, and for `events` of both groups).
    pub group_resource: GroupResource,
    /// The `apiVersion` in the stored bytes.
    pub api_version: String,
}

/// A subresource of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubresourceInfo {
    /// `status`, `scale`, `token`, …
    pub name: String,
    /// What it reads and writes.
    pub kind: GroupVersionKind,
    /// Its verbs, in the order of discovery.
    pub verbs: Vec<String>,
}

/// Where `/scale` finds its numbers; each is a path such as `.spec.replicas` (B-02).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ScalePaths {
    /// The wanted replicas.
    pub spec_replicas: String,
    /// The replicas that there are.
    pub status_replicas: String,
    /// The label selector in text form, if the type has one.
    pub label_selector: Option<String>,
    /// Whether the selector there is a `metav1.LabelSelector` rather than a text (built-in kinds).
    pub structured_selector: bool,
}

/// How a selectable field is read from an object.
#[derive(Clone)]
pub enum FieldGetter {
    /// The field at this path of keys; scalars only, absent is the empty text.
    Path(Vec<String>),
    /// Computed.
    Fn(fn(&Value) -> Cow<'_, str>),
}

/// A field that field selectors may name besides `metadata.name` and `metadata.namespace` (S-04, S-05).
#[derive(Clone)]
pub struct SelectableField {
    /// Its name in selectors, such as `status.phase`.
    pub path: String,
    /// How to read it.
    pub get: FieldGetter,
}

impl SelectableField {
    /// A field whose name is its path.
    pub fn at(path: &str) -> Self {
        Self { path: path.to_owned(), get: FieldGetter::Path(path.split('.').map(str::to_owned).collect()) }
    }
    /// A field that is computed.
    pub fn computed(path: &str, get: fn(&Value) -> Cow<'_, str>) -> Self {
        Self { path: path.to_owned(), get: FieldGetter::Fn(get) }
    }
    /// The field's value in `object`, empty when absent.
    pub fn value<'a>(&self, object: &'a Value) -> Cow<'a, str> {
        match &self.get {
            FieldGetter::Fn(get) => get(object),
            FieldGetter::Path(path) => match path.iter().try_fold(object, |at, key| at.get(key)) {
                Some(Value::String(s)) => Cow::Borrowed(s),
                Some(v @ (Value::Bool(_) | Value::Number(_))) => Cow::Owned(v.to_string()),
                _ => Cow::Borrowed(""),
            },
        }
    }
}

impl fmt::Debug for SelectableField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// Makes the cells of a row (P-02, P-07). Never fails: what cannot be shown is a null cell.
pub trait Printer: Send + Sync {
    /// The cells for `object`, one for each column.
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value>;
}

/// The columns of a resource's table and what fills them.
#[derive(Clone)]
pub struct Columns {
    /// The columns.
    pub definitions: Arc<[ColumnDefinition]>,
    /// What fills them.
    pub printer: Arc<dyn Printer>,
}

impl Columns {
    /// Columns and their printer.
    pub fn new(definitions: impl Into<Arc<[ColumnDefinition]>>, printer: Arc<dyn Printer>) -> Self {
        Self { definitions: definitions.into(), printer }
    }
}

impl Default for Columns {
    /// Name and age.
    fn default() -> Self {
        struct NameAge;
        impl Printer for NameAge {
            fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
                use kcp_apimachinery::{object::meta_str, time::age};
                vec![meta_str(object, "name").into(), age(meta_str(object, "creationTimestamp"), now).into()]
            }
        }
        let mut name = ColumnDefinition::new("Name", "string");
        name.format = "name".to_owned();
        Self::new(vec![name, ColumnDefinition::new("Age", "date")], Arc::new(NameAge))
    }
}

impl fmt::Debug for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.definitions.iter().map(|c| &c.name)).finish()
    }
}

/// One resource in one version.
#[derive(Debug)]
pub struct ResourceInfo {
    /// The kind that it serves.
    pub gvk: GroupVersionKind,
    /// The plural, as in URLs.
    pub resource: String,
    /// The name for one of them (D-05).
    pub singular: String,
    /// The kind of lists.
    pub list_kind: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories, such as `all`.
    pub categories: Vec<String>,
    /// Whether it lives in namespaces.
    pub namespaced: bool,
    /// Its verbs, in the order of discovery.
    pub verbs: Vec<String>,
    /// How it is stored.
    pub storage: StorageInfo,
    /// The hash of the storage version (D-07); empty for what is not stored.
    pub storage_version_hash: String,
    /// The schema of this version.
    pub schema: LazySchema,
    /// The OpenAPI v3 schema of this version as the definition has it; `Null` for built-in kinds.
    pub openapi: Arc<Value>,
    /// The name of the component in OpenAPI documents for built-in kinds (`io.k8s.api.core.v1.ConfigMap`).
    pub openapi_name: String,
    /// Its subresources.
    pub subresources: Vec<SubresourceInfo>,
    /// Whether `status` is a world of its own (U-11, U-12).
    pub has_status: bool,
    /// Whether writes of this kind keep `metadata.generation` (C-07, U-07).
    pub has_generation: bool,
    /// Where `/scale` finds its numbers.
    pub scale: Option<ScalePaths>,
    /// The printer columns.
    pub columns: Columns,
    /// The selectable fields beyond name and namespace.
    pub selectable: Vec<SelectableField>,
    /// The rules of custom resources hold: no unconditional update, no strategic merge patch, list items carry their
    /// kind.
    pub custom: bool,
    /// A custom resource that takes strategic merge patches all the same: a built-in type learned from another cluster,
    /// whose schema has what they need.
    pub strategic_merge: bool,
    /// The hooks of this kind.
    pub strategy: Arc<dyn Strategy>,
    /// Objects that were stored in another version are pruned and defaulted by the schema when they are read: its
    /// schema differs from that of the storage version.
    pub reads_by_schema: bool,
    /// Objects that exist without being stored.
    pub virtuals: Option<Arc<dyn VirtualObjects>>,
    /// The text of the Warning that every use of this version earns (CRD-09).
    pub deprecated_warning: Option<String>,
    /// A hash of everything above that comes from a definition; what OpenAPI fragments are cached by.
    pub content_hash: [u8; 32],
    /// How objects of this version, and stored ones, begin; written at the first use.
    pub(crate) heads: OnceLock<Heads>,
}

/// The first bytes of objects: `{"kind":K,"apiVersion":V,`.
#[derive(Debug, Clone)]
pub(crate) struct Heads {
    /// In the version of the resource.
    pub(crate) shown: Bytes,
    /// In the version that is stored.
    pub(crate) stored: Bytes,
}

impl ResourceInfo {
    /// A built-in resource with nothing special: all fields can be changed before it is shared.
    pub fn new(
        gvk: GroupVersionKind,
        resource: &str,
        namespaced: bool,
        schema: LazySchema,
        strategy: Arc<dyn Strategy>,
    ) -> Self {
        let storage =
            StorageInfo { group_resource: GroupResource::new(&gvk.group, resource), api_version: gvk.api_version() };
        let hash = storage_version_hash(&gvk);
        Self {
            resource: resource.to_owned(),
            singular: gvk.kind.to_lowercase(),
            list_kind: format!("{}List", gvk.kind),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced,
            verbs: ALL_VERBS.iter().map(|&v| v.to_owned()).collect(),
            storage,
            storage_version_hash: hash,
            schema,
            openapi: Arc::new(Value::Null),
            openapi_name: String::new(),
            subresources: Vec::new(),
            has_status: false,
            has_generation: false,
            scale: None,
            columns: Columns::default(),
            selectable: Vec::new(),
            custom: false,
            strategic_merge: false,
            strategy,
            reads_by_schema: false,
            virtuals: None,
            deprecated_warning: None,
            content_hash: [0; 32],
            heads: OnceLock::new(),
            gvk,
        }
    }

    /// How objects begin. Asked for only once the value is shared: kind and versions do not change any more.
    pub(crate) fn heads(&self) -> &Heads {
        self.heads.get_or_init(|| {
            let head = |version: &str| {
                let mut out = b"{\"kind\":".to_vec();
                out.extend(encode::compact(&self.gvk.kind.as_str().into()));
                out.extend_from_slice(b",\"apiVersion\":");
                out.extend(encode::compact(&version.into()));
                out.push(b',');
                Bytes::from(out)
            };
            Heads { shown: head(&self.gvk.api_version()), stored: head(&self.storage.api_version) }
        })
    }

    /// Group and resource of this resource: what error texts and authorisation name.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.gvk.group, &self.resource)
    }
    /// The resource in its version.
    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource::new(&self.gvk.group, &self.gvk.version, &self.resource)
    }
    /// Group and kind.
    pub fn group_kind(&self) -> GroupKind {
        self.gvk.group_kind()
    }
    /// Whether the resource offers `verb`.
    pub fn offers(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
    /// A subresource by its name.
    pub fn subresource(&self, name: &str) -> Option<&SubresourceInfo> {
        self.subresources.iter().find(|s| s.name == name)
    }
    /// Whether objects of this kind are stored (reviews are not).
    pub fn is_stored(&self) -> bool {
        self.offers("get")
    }
}

/// The verbs of an ordinary resource, in the order of discovery.
pub const ALL_VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The same of a custom resource, in the order that its discovery has (D-06).
pub const CUSTOM_VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// The hash of a storage version in discovery: base64 of the first 8 bytes of the SHA-256 of `group/version/kind` (D-07).
pub fn storage_version_hash(gvk: &GroupVersionKind) -> String {
    use base64::Engine as _;
    let digest = Sha256::digest(format!("{}/{}/{}", gvk.group, gvk.version, gvk.kind));
    base64::engine::general_purpose::STANDARD.encode(digest.get(..8).unwrap_or_default())
}
