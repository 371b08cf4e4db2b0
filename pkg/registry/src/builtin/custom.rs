//! From a CustomResourceDefinition to a served type: what custom resources and our own kinds have in common.

use std::sync::Arc;

use kcp_apimachinery::{FieldErrors, GroupResource, GroupVersionKind, table::ColumnDefinition, time::Timestamp};
use kcp_schema::{Schema, crd::deprecation_warning};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::print::{CustomColumn, custom_cells};
use crate::{
    strategy::Strategy,
    types::{Columns, LazySchema, Printer, ResourceInfo, ScalePaths, SelectableField, StorageInfo, SubresourceInfo, storage_version_hash},
};

struct CustomPrinter(Vec<CustomColumn>);

impl Printer for CustomPrinter {
    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        custom_cells(&self.0, object, now)
    }
}

/// The columns of one version of a definition (P-04).
pub fn columns(version: &Value) -> Columns {
    let columns = CustomColumn::of_version(version);
    let name = ColumnDefinition {
        name: "Name".into(),
        kind: "string".into(),
        format: "name".into(),
        description: super::info::NAME.into(),
        priority: 0,
    };
    let definitions: Vec<ColumnDefinition> = std::iter::once(name)
        .chain(columns.iter().map(|c| ColumnDefinition {
            name: c.name.clone(),
            kind: c.ty.clone(),
            format: c.format.clone(),
            description: c.description.clone(),
            priority: c.priority,
        }))
        .collect();
    Columns::new(definitions, Arc::new(CustomPrinter(columns)))
}

/// One served version of a definition as a type, under the rules of custom resources.
///
/// # Errors
/// When the schema does not compile; it was checked when the definition was written, so that is a definition which
/// must not be served.
pub fn resource(crd: &Value, version: &Value, strategy: Arc<dyn Strategy>) -> Result<ResourceInfo, FieldErrors> {
    let open_api = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or_else(|| serde_json::json!({"type": "object"}));
    let schema = Schema::compile(&open_api)?;
    let hash = schema.content_hash();
    Ok(with_schema(crd, version, LazySchema::ready(schema), &hash, open_api, strategy))
}

/// The same with a schema that is compiled when it is first needed: for definitions that are part of the program.
pub(super) fn lazy(crd: &'static Value, version: &'static Value, strategy: Arc<dyn Strategy>) -> ResourceInfo {
    let open_api = &version["schema"]["openAPIV3Schema"];
    let schema = LazySchema::lazy(move || {
        Schema::compile(open_api).unwrap_or_else(|errors| {
            // A test compiles each.
            tracing::error!(?errors, "an embedded definition does not compile");
            Schema::untyped()
        })
    });
    let hash: [u8; 32] = Sha256::digest(open_api.to_string()).into();
    with_schema(crd, version, schema, &hash, open_api.clone(), strategy)
}

fn with_schema(
    crd: &Value,
    version: &Value,
    schema: LazySchema,
    schema_hash: &[u8; 32],
    open_api: Value,
    strategy: Arc<dyn Strategy>,
) -> ResourceInfo {
    let spec = crd.get("spec").unwrap_or(&Value::Null);
    let text = |o: &Value, pointer: &str| o.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |pointer: &str| -> Vec<String> {
        let list = spec.pointer(pointer).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let (group, kind, plural) = (text(spec, "/group"), text(spec, "/names/kind"), text(spec, "/names/plural"));
    let version_name = text(version, "/name");
    let gvk = GroupVersionKind::new(&group, &version_name, &kind);
    let namespaced = text(spec, "/scope") != "Cluster";
    let mut info = ResourceInfo::new(gvk.clone(), &plural, namespaced, schema, strategy);

    let versions = spec.get("versions").and_then(Value::as_array);
    let stored = versions.into_iter().flatten().find(|v| v.get("storage") == Some(&Value::Bool(true)));
    let stored = GroupVersionKind::new(&group, stored.map_or(version_name.clone(), |v| text(v, "/name")), &kind);
    info.storage = StorageInfo { group_resource: GroupResource::new(&group, &plural), api_version: stored.api_version() };
    info.storage_version_hash = storage_version_hash(&stored);

    for (field, pointer) in [(&mut info.singular, "/names/singular"), (&mut info.list_kind, "/names/listKind")] {
        let given = text(spec, pointer);
        if !given.is_empty() {
            *field = given;
        }
    }
    info.short_names = texts("/names/shortNames");
    info.categories = texts("/names/categories");
    let verbs = ["get", "patch", "update"].map(str::to_owned).to_vec();
    if version.pointer("/subresources/status").is_some() {
        info.has_status = true;
        info.subresources.push(SubresourceInfo { name: "status".into(), kind: gvk.clone(), verbs: verbs.clone() });
    }
    if let Some(paths) = kcp_schema::ScalePaths::of_version(version) {
        let kind = GroupVersionKind::new("autoscaling", "v1", "Scale");
        info.subresources.push(SubresourceInfo { name: "scale".into(), kind, verbs });
        info.scale = Some(ScalePaths {
            spec_replicas: paths.spec_replicas.as_str().to_owned(),
            status_replicas: paths.status_replicas.as_str().to_owned(),
            label_selector: paths.label_selector.map(|p| p.as_str().to_owned()),
            structured_selector: false,
        });
    }
    info.has_generation = true;
    info.columns = columns(version);
    info.selectable = kcp_schema::SelectableField::of_version(version)
        .iter()
        .map(|f| SelectableField::at(&f.name))
        .collect();
    info.custom = true;
    info.deprecated_warning = deprecation_warning(crd, &version_name);
    let mut hash = Sha256::new();
    hash.update(schema_hash);
    for part in [&spec["names"], &spec["scope"], &version["additionalPrinterColumns"], &version["subresources"], &version["selectableFields"], &version["deprecated"]] {
        hash.update(part.to_string());
        hash.update([0]);
    }
    hash.update(gvk.to_string());
    hash.update(&info.storage.api_version);
    info.content_hash = hash.finalize().into();
    info.openapi = Arc::new(open_api);
    info
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::strategy::Plain;

    /// CRD-02, D-04, D-06: what a definition says is what is served.
    #[test]
    fn definitions_become_types() {
        let crd = json!({"spec": {"group": "example.dev", "scope": "Namespaced",
            "names": {"plural": "bolts", "singular": "bolt", "kind": "Bolt", "listKind": "BoltList", "shortNames": ["bo"], "categories": ["all"]},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}},
                {"name": "v1beta1", "served": true, "storage": false, "deprecated": true, "selectableFields": [{"jsonPath": ".spec.color"}],
                    "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"color": {"type": "string"}}}}}}}
            ]}});
        let info = resource(&crd, &crd["spec"]["versions"][1], Arc::new(Plain)).unwrap();
        assert_eq!(info.storage.api_version, "example.dev/v1");
        assert_eq!(info.short_names, ["bo"]);
        assert!(info.custom && info.has_status && info.namespaced && info.has_generation);
        assert_eq!(info.subresources.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["status", "scale"]);
        assert_eq!(info.scale.as_ref().map(|s| s.spec_replicas.as_str()), Some(".spec.n"));
        assert_eq!(info.selectable[0].path, "spec.color");
        assert_eq!(info.deprecated_warning.as_deref(), Some("example.dev/v1beta1 Bolt is deprecated; use example.dev/v1 Bolt"));
        let stable = resource(&crd, &crd["spec"]["versions"][0], Arc::new(Plain)).unwrap();
        assert_eq!(stable.storage_version_hash, info.storage_version_hash);
        assert_ne!(stable.content_hash, info.content_hash);
        assert!(!stable.has_status);
    }
}
