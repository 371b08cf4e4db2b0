//! From a row of the table to a served type.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use kcp_apimachinery::{GroupResource, GroupVersionKind, table::ColumnDefinition, time::Timestamp};
use kcp_schema::{Builtins, Schema};
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{data, descriptions, fields, kinds, print, table::Row};
use crate::{
    strategy::Strategy,
    types::{Columns, LazySchema, Printer, ResourceInfo, ScalePaths, StorageInfo, SubresourceInfo},
};

/// The compiled packages: the kinds of one share their nodes. Facts, shared by everything in the process.
static COMPILED: LazyLock<Mutex<HashMap<&'static str, Arc<Builtins>>>> = LazyLock::new(Mutex::default);

/// The schema of a component, compiled with all others of its package when the first of them is asked for.
fn schema(component: &str) -> Arc<Schema> {
    let found = data::package_of(component).and_then(|package| {
        let mut compiled = COMPILED.lock();
        if let Some(all) = compiled.get(package) {
            return all.schema(component);
        }
        match Builtins::compile([&data::components(component)]) {
            Ok(all) => {
                let found = all.schema(component);
                compiled.insert(package, Arc::new(all));
                found
            }
            Err(error) => {
                // The files are part of the program and a test compiles each.
                tracing::error!(package, error, "an embedded schema does not compile");
                None
            }
        }
    });
    found.unwrap_or_else(Schema::untyped)
}

/// The schema of what is created at a subresource.
pub fn subresource_schema(kind: &GroupVersionKind) -> Option<Arc<Schema>> {
    let token = kind.group == "authentication.k8s.io" && kind.kind == "TokenRequest";
    token.then(|| schema(kinds::TOKEN_REQUEST))
}

struct BuiltIn(print::Cells);

impl Printer for BuiltIn {
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        (self.0)(object, now)
    }
}

fn columns(row: &Row) -> Columns {
    let Some(cells) = print::cells(row.group, row.plural) else { return Columns::default() };
    let definitions: Vec<ColumnDefinition> = row
        .columns
        .iter()
        .map(|c| ColumnDefinition {
            name: c.name.into(),
            kind: c.ty.into(),
            format: c.format.into(),
            description: descriptions::of(row.kind, c.name).into(),
            priority: c.priority,
        })
        .collect();
    Columns::new(definitions, Arc::new(BuiltIn(cells)))
}

/// Where and in which version a resource is stored: two groups share their events, two versions their autoscalers.
fn storage(row: &Row) -> StorageInfo {
    match (row.group, row.plural) {
        ("events.k8s.io", _) => {
            StorageInfo { group_resource: GroupResource::new("", "events"), api_version: "v1".into() }
        }
        ("autoscaling", _) => StorageInfo {
            group_resource: GroupResource::new("autoscaling", row.plural),
            api_version: "autoscaling/v2".into(),
        },
        ("", _) => StorageInfo { group_resource: GroupResource::new("", row.plural), api_version: row.version.into() },
        _ => StorageInfo {
            group_resource: GroupResource::new(row.group, row.plural),
            api_version: format!("{}/{}", row.group, row.version),
        },
    }
}

fn scale(row: &Row) -> Option<ScalePaths> {
    row.subresources.iter().any(|s| s.name == "scale").then(|| ScalePaths {
        spec_replicas: ".spec.replicas".into(),
        status_replicas: ".status.replicas".into(),
        // Replication controllers select by a plain map, which is no selector.
        label_selector: (row.group == "apps").then(|| ".spec.selector".into()),
        structured_selector: row.group == "apps",
    })
}

/// The served type of a row. A given strategy is used instead of this module's own; CustomResourceDefinitions have
/// theirs elsewhere.
pub(super) fn resource(row: &'static Row, strategy: Option<Arc<dyn Strategy>>) -> ResourceInfo {
    let gvk = GroupVersionKind::new(row.group, row.version, row.kind);
    let strategy = strategy
        .or_else(|| kinds::strategy(row.group, row.version, row.plural))
        .unwrap_or_else(crate::crd::Definitions::strategy);
    let component = row.schema;
    let mut info =
        ResourceInfo::new(gvk, row.plural, row.namespaced, LazySchema::lazy(move || schema(component)), strategy);
    let owned = |texts: &[&str]| texts.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
    info.singular = row.singular.into();
    info.short_names = owned(row.short_names);
    info.categories = owned(row.categories);
    info.verbs = owned(row.verbs.list());
    info.storage = storage(row);
    info.storage_version_hash = row.hash.into();
    info.openapi_name = row.schema.into();
    info.subresources = row
        .subresources
        .iter()
        .map(|s| SubresourceInfo {
            name: s.name.into(),
            kind: GroupVersionKind::new(s.group, s.version, s.kind),
            verbs: owned(s.verbs.list()),
        })
        .collect();
    info.has_status = row.subresources.iter().any(|s| s.name == "status");
    info.has_generation = kinds::has_generation(row.group, row.plural);
    info.scale = scale(row);
    info.columns = columns(row);
    info.selectable = fields::selectable(row.group, row.plural);
    info.content_hash = Sha256::digest(format!("{}/{}/{}", row.group, row.version, row.schema)).into();
    info
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::table;

    /// Every schema of the recording compiles, and knows the fields that all objects have.
    #[test]
    fn schemas_compile() {
        for row in table::rows() {
            let info = resource(row, None);
            let mut object = serde_json::json!({"metadata": {"name": "x"}, "no such field": 1});
            let unknown = info.schema.get().prune(&mut object);
            assert_eq!(unknown, ["no such field"], "{}", row.schema);
            assert_eq!(info.columns.definitions.len().min(1), 1, "{}", row.schema);
        }
    }

    #[test]
    fn shared_storage() {
        let of = |group: &str, version: &str, plural: &str| storage(table::row(group, version, plural).unwrap());
        assert_eq!(of("events.k8s.io", "v1", "events"), of("", "v1", "events"));
        assert_eq!(
            of("autoscaling", "v1", "horizontalpodautoscalers"),
            of("autoscaling", "v2", "horizontalpodautoscalers")
        );
        assert_eq!(of("apps", "v1", "deployments").api_version, "apps/v1");
    }
}
