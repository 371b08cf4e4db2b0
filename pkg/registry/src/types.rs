//! Served types as values: what a resource in a version is, and the table of all types of one logical cluster.
//!
//! Invariants: a [`ResourceInfo`] never changes after it was put together and is shared by `Arc`; the types of a
//! CustomResourceDefinition are interned by the hash of its content, so a thousand logical clusters with the same
//! definition share one. A [`TypeTable`] is a base shared by all logical clusters plus what is special to one.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use kcp_apimachinery::{
    GroupKind, GroupResource, GroupVersion, GroupVersionKind, GroupVersionResource, gvk::compare_versions, table::ColumnDefinition,
    time::Timestamp,
};
use kcp_schema::Schema;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{strategy::Strategy, virtuals::VirtualObjects};

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
            FieldGetter::Path(path) => {
                match path.iter().try_fold(object, |at, key| at.get(key)) {
                    Some(Value::String(s)) => Cow::Borrowed(s),
                    Some(v @ (Value::Bool(_) | Value::Number(_))) => Cow::Owned(v.to_string()),
                    _ => Cow::Borrowed(""),
                }
            }
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
}

impl ResourceInfo {
    /// A built-in resource with nothing special: all fields can be changed before it is shared.
    pub fn new(gvk: GroupVersionKind, resource: &str, namespaced: bool, schema: LazySchema, strategy: Arc<dyn Strategy>) -> Self {
        let storage = StorageInfo { group_resource: GroupResource::new(&gvk.group, resource), api_version: gvk.api_version() };
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
            gvk,
        }
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

/// The hash of a storage version in discovery: base64 of the first 8 bytes of the SHA-256 of `group/version/kind` (D-07).
pub fn storage_version_hash(gvk: &GroupVersionKind) -> String {
    use base64::Engine as _;
    let digest = Sha256::digest(format!("{}/{}/{}", gvk.group, gvk.version, gvk.kind));
    base64::engine::general_purpose::STANDARD.encode(digest.get(..8).unwrap_or_default())
}

/// A group as discovery shows it.
#[derive(Debug, Clone)]
pub struct GroupInfo {
    /// Its name, empty for core.
    pub name: String,
    /// Its versions, the preferred one first (D-08), each with its resources in the order of discovery.
    pub versions: Vec<VersionInfo>,
}

/// A version of a group as discovery shows it.
#[derive(Debug, Clone)]
pub struct VersionInfo {
    /// Its name.
    pub version: String,
    /// Its resources, by name.
    pub resources: Vec<Arc<ResourceInfo>>,
}

/// What a table knows about the definition behind a custom type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinitionState {
    /// The uid of the CustomResourceDefinition.
    pub uid: String,
    /// The definition is being deleted: nothing may be created (CRD-10).
    pub terminating: bool,
    /// The revision of the definition itself. A create checks that it has not changed.
    pub revision: kcp_storage::Revision,
    /// Objects written before this revision may have been written under another schema: they are pruned and
    /// defaulted when read (SC-04, SC-06). 0 when the schema has never changed.
    pub fixup_before: kcp_storage::Revision,
}

/// All types of one logical cluster.
#[derive(Debug, Default)]
pub struct TypeTable {
    base: Option<Arc<Self>>,
    /// group → version → resource.
    own: HashMap<String, HashMap<String, HashMap<String, Arc<ResourceInfo>>>>,
    /// By the storage's group and resource.
    definitions: HashMap<GroupResource, DefinitionState>,
    /// The order of groups that comes before the alphabetical one.
    group_order: Vec<String>,
    generation: [u8; 32],
}

impl TypeTable {
    /// A resource in a version.
    pub fn lookup(&self, group: &str, version: &str, resource: &str) -> Option<Arc<ResourceInfo>> {
        self.get(group, version, resource).cloned()
    }

    fn get(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<ResourceInfo>> {
        self.own
            .get(group)
            .and_then(|g| g.get(version)?.get(resource))
            .or_else(|| self.base.as_ref().and_then(|b| b.get(group, version, resource)))
    }

    /// A resource in the version that its group prefers.
    pub fn lookup_any_version(&self, group: &str, resource: &str) -> Option<Arc<ResourceInfo>> {
        let mut found: Option<&Arc<ResourceInfo>> = None;
        for info in self.iter().filter(|i| i.gvk.group == group && i.resource == resource) {
            if found.is_none_or(|f| compare_versions(&info.gvk.version, &f.gvk.version).is_lt()) {
                found = Some(info);
            }
        }
        found.cloned()
    }

    /// The resource of a kind.
    pub fn by_kind(&self, gvk: &GroupVersionKind) -> Option<Arc<ResourceInfo>> {
        self.iter().find(|i| i.gvk == *gvk && i.is_stored()).cloned()
    }

    /// Whether any resource of `group` is served in `version`.
    pub fn has_version(&self, group: &str, version: &str) -> bool {
        self.own.get(group).is_some_and(|g| g.get(version).is_some_and(|v| !v.is_empty()))
            || self.base.as_ref().is_some_and(|b| b.has_version(group, version))
    }

    /// Every resource in every version, in no order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = &Arc<ResourceInfo>> + '_> {
        let own = self.own.values().flat_map(HashMap::values).flat_map(HashMap::values);
        match &self.base {
            None => Box::new(own),
            Some(base) => Box::new(own.chain(base.iter())),
        }
    }

    /// Every group in the order of discovery (D-08): the built-in ones as their table says, the others by name.
    pub fn groups(&self) -> Vec<GroupInfo> {
        let mut groups: HashMap<&str, HashMap<&str, Vec<Arc<ResourceInfo>>>> = HashMap::new();
        for info in self.iter() {
            groups.entry(&info.gvk.group).or_default().entry(&info.gvk.version).or_default().push(Arc::clone(info));
        }
        let mut groups: Vec<GroupInfo> = groups
            .into_iter()
            .map(|(name, versions)| {
                let mut versions: Vec<VersionInfo> = versions
                    .into_iter()
                    .map(|(version, mut resources)| {
                        resources.sort_by(|a, b| a.resource.cmp(&b.resource));
                        VersionInfo { version: version.to_owned(), resources }
                    })
                    .collect();
                versions.sort_by(|a, b| compare_versions(&a.version, &b.version));
                GroupInfo { name: name.to_owned(), versions }
            })
            .collect();
        let order = self.group_order();
        let rank = |name: &str| order.iter().position(|g| g == name).unwrap_or(order.len());
        groups.sort_by(|a, b| (rank(&a.name), &a.name).cmp(&(rank(&b.name), &b.name)));
        groups
    }

    fn group_order(&self) -> &[String] {
        match &self.base {
            Some(base) if self.group_order.is_empty() => base.group_order(),
            _ => &self.group_order,
        }
    }

    /// The versions that a group is served in, the preferred one first.
    pub fn versions(&self, group: &str) -> Vec<GroupVersion> {
        let mut found: Vec<&str> = self.iter().filter(|i| i.gvk.group == group).map(|i| i.gvk.version.as_str()).collect();
        found.sort_by(|a, b| compare_versions(a, b));
        found.dedup();
        found.into_iter().map(|v| GroupVersion::new(group, v)).collect()
    }

    /// The state of the definition behind a custom type; `None` for built-in ones.
    pub fn definition(&self, storage: &GroupResource) -> Option<&DefinitionState> {
        self.definitions.get(storage)
    }

    /// A hash of all that is served: it changes when and only when discovery or a schema does (D-13, O-04).
    pub fn generation(&self) -> &[u8; 32] {
        &self.generation
    }

    /// Whether the table has types beyond its base.
    pub fn is_base_only(&self) -> bool {
        self.own.is_empty()
    }
}

/// Puts a [`TypeTable`] together.
#[derive(Debug, Default)]
pub struct TypeTableBuilder(TypeTable);

impl TypeTableBuilder {
    /// An empty table whose groups stand in the given order, all others after them by name.
    pub fn new(group_order: impl IntoIterator<Item = String>) -> Self {
        Self(TypeTable { group_order: group_order.into_iter().collect(), ..TypeTable::default() })
    }
    /// A table on top of `base`.
    pub fn over(base: Arc<TypeTable>) -> Self {
        Self(TypeTable { base: Some(base), ..TypeTable::default() })
    }
    /// Adds a resource; one of the same group, version and name is replaced.
    pub fn add(&mut self, info: Arc<ResourceInfo>) -> &mut Self {
        let (group, version) = (info.gvk.group.clone(), info.gvk.version.clone());
        self.0.own.entry(group).or_default().entry(version).or_default().insert(info.resource.clone(), info);
        self
    }
    /// Says what is behind the custom types that are stored as `storage`.
    pub fn define(&mut self, storage: GroupResource, state: DefinitionState) -> &mut Self {
        self.0.definitions.insert(storage, state);
        self
    }
    /// The table.
    pub fn build(self) -> TypeTable {
        let mut table = self.0;
        let mut lines: Vec<String> = table
            .own
            .values()
            .flat_map(HashMap::values)
            .flat_map(HashMap::values)
            .map(|i| format!("{} {} {:?} {:?}", i.gvr(), i.gvk.kind, i.content_hash, table.definitions.get(&i.storage.group_resource).map(|d| d.terminating)))
            .collect();
        lines.sort();
        let mut hash = Sha256::new();
        if let Some(base) = &table.base {
            hash.update(base.generation);
        }
        for line in lines {
            hash.update(line);
            hash.update([0]);
        }
        table.generation = hash.finalize().into();
        table
    }
}
