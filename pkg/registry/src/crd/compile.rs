//! From a definition to the types that it serves.
//!
//! Types are interned by the hash of what they are made of: the same definition in a thousand logical clusters is one
//! value in memory, and its schema is compiled once, when it is first needed.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Weak},
};

use kcp_apimachinery::{GroupResource, GroupVersionKind, object};
use kcp_apis::apiresource::is_learned;
use kcp_schema::{Schema, crd};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    builtin::custom,
    strategy::Plain,
    types::{
        CUSTOM_VERBS, LazySchema, ResourceInfo, ScalePaths, SelectableField, StorageInfo, SubresourceInfo,
        storage_version_hash,
    },
};

type Interned = HashMap<[u8; 32], Weak<ResourceInfo>>;

static INTERNED: LazyLock<Mutex<Interned>> = LazyLock::new(Mutex::default);

/// When so many entries have been added the dead ones are swept out.
const SWEEP: usize = 64;

/// What a type that is going away still offers (D-06).
const TERMINATING_VERBS: [&str; 5] = ["delete", "deletecollection", "get", "list", "watch"];

/// The types that an established definition serves, interned.
pub(super) fn established(definition: &Value) -> Vec<Arc<ResourceInfo>> {
    if !crd::status::is_true(definition, "Established") {
        return Vec::new();
    }
    let names = definition.pointer("/status/acceptedNames").unwrap_or(&Value::Null);
    let deleting = object::is_deleting(definition);
    versions(definition)
        .filter(|version| version.get("served") == Some(&Value::Bool(true)))
        .map(|version| {
            let parts = Parts::new(definition, version, names, deleting);
            let hash = parts.hash();
            intern(hash, || parts.build(hash))
        })
        .collect()
}

/// One version of a definition that is part of the program, whether or not it says that it is established.
pub(crate) fn resource(definition: &Value, version: &Value) -> ResourceInfo {
    let names = definition.pointer("/spec/names").unwrap_or(&Value::Null);
    let parts = Parts::new(definition, version, names, false);
    parts.build(parts.hash())
}

fn versions(definition: &Value) -> impl Iterator<Item = &Value> {
    definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten()
}

fn intern(hash: [u8; 32], build: impl FnOnce() -> ResourceInfo) -> Arc<ResourceInfo> {
    let mut all = INTERNED.lock();
    if let Some(known) = all.get(&hash).and_then(Weak::upgrade) {
        return known;
    }
    if all.len() % SWEEP == SWEEP - 1 {
        all.retain(|_, weak| weak.strong_count() > 0);
    }
    let new = Arc::new(build());
    all.insert(hash, Arc::downgrade(&new));
    new
}

/// What a type is made of.
struct Parts<'a> {
    group: &'a str,
    namespaced: bool,
    version: &'a Value,
    storage: &'a Value,
    names: &'a Value,
    deleting: bool,
    learned: bool,
    warning: Option<String>,
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    let list = value.get(field).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn schema_of(version: &Value) -> &Value {
    version.pointer("/schema/openAPIV3Schema").unwrap_or(&Value::Null)
}

impl<'a> Parts<'a> {
    fn new(definition: &'a Value, version: &'a Value, names: &'a Value, deleting: bool) -> Self {
        let spec = definition.get("spec").unwrap_or(&Value::Null);
        let storage = versions(definition).find(|v| v.get("storage") == Some(&Value::Bool(true))).unwrap_or(version);
        Self {
            group: text(spec, "group"),
            namespaced: text(spec, "scope") != "Cluster",
            version,
            storage,
            names,
            deleting,
            learned: is_learned(definition),
            warning: crd::deprecation_warning(definition, text(version, "name")),
        }
    }

    fn hash(&self) -> [u8; 32] {
        let same = schema_of(self.version) == schema_of(self.storage);
        let all = json!([
            self.group,
            self.namespaced,
            self.version,
            text(self.storage, "name"),
            same,
            self.names,
            self.deleting,
            self.learned,
            self.warning
        ]);
        Sha256::digest(all.to_string()).into()
    }

    fn build(&self, hash: [u8; 32]) -> ResourceInfo {
        let (version, names) = (self.version, self.names);
        let gvk = GroupVersionKind::new(self.group, text(version, "name"), text(names, "kind"));
        let plural = text(names, "plural");
        let openapi = Arc::new(schema_of(version).clone());
        let source = Arc::clone(&openapi);
        // A schema that does not compile was stored before the rules knew better: such a type keeps everything.
        let schema = LazySchema::lazy(move || Schema::compile(&source).unwrap_or_else(|_| Schema::untyped()));
        let mut info = ResourceInfo::new(gvk.clone(), plural, self.namespaced, schema, Arc::new(Plain));
        let stored = GroupVersionKind::new(self.group, text(self.storage, "name"), &gvk.kind);
        text(names, "singular").clone_into(&mut info.singular);
        text(names, "listKind").clone_into(&mut info.list_kind);
        info.short_names = texts(names, "shortNames");
        info.categories = texts(names, "categories");
        info.storage =
            StorageInfo { group_resource: GroupResource::new(self.group, plural), api_version: stored.api_version() };
        info.storage_version_hash = storage_version_hash(&stored);
        info.openapi = openapi;
        let verbs: &[&str] = if self.deleting { &TERMINATING_VERBS } else { &CUSTOM_VERBS };
        info.verbs = verbs.iter().map(|&v| v.to_owned()).collect();
        let part = |name: &str, kind: GroupVersionKind| SubresourceInfo {
            name: name.to_owned(),
            kind,
            verbs: ["get", "patch", "update"].map(str::to_owned).to_vec(),
        };
        let subresources = version.get("subresources").unwrap_or(&Value::Null);
        info.has_status = subresources.get("status").is_some_and(|s| !s.is_null());
        if info.has_status {
            info.subresources.push(part("status", gvk));
        }
        if let Some(scale) = subresources.get("scale").filter(|s| s.is_object()) {
            info.subresources.push(part("scale", GroupVersionKind::new("autoscaling", "v1", "Scale")));
            info.scale = Some(ScalePaths {
                spec_replicas: text(scale, "specReplicasPath").to_owned(),
                status_replicas: text(scale, "statusReplicasPath").to_owned(),
                label_selector: Some(text(scale, "labelSelectorPath").to_owned()).filter(|p| !p.is_empty()),
                structured_selector: false,
            });
        }
        info.has_generation = true;
        info.columns = custom::columns(version);
        let selectable = version.get("selectableFields").and_then(Value::as_array).into_iter().flatten();
        info.selectable =
            selectable.map(|f| SelectableField::at(text(f, "jsonPath").trim_start_matches('.'))).collect();
        info.custom = true;
        info.strategic_merge = self.learned;
        info.reads_by_schema = schema_of(version) != schema_of(self.storage);
        info.deprecated_warning.clone_from(&self.warning);
        info.content_hash = hash;
        info
    }
}
