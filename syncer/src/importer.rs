//! Teaches the workspace the physical cluster's APIs: one APIResourceImport for each requested type.
//!
//! What the server has by itself (config maps, secrets, …) is not imported. Imports belong to the WorkloadCluster and
//! go with it, not with the syncer: a restart must not take types, and with them objects, out of the workspace.

use std::collections::BTreeSet;

use kcp_apimachinery::{GroupResource, GroupVersionKind, object};
use kcp_apis::{
    apiresource::{self, API_RESOURCE_IMPORT, SchemaUpdateStrategy},
    workload::{self, WORKLOAD_CLUSTER},
};
use kcp_client::{Error, WriteParams};
use kcp_schema::compat::import as import_schema;
use serde_json::{Value, json};

use crate::{
    resources::{self, Served},
    sync::Sync,
};

/// Groups whose types every server has by itself, and the like in the core group.
const OWN_GROUPS: [&str; 12] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "rbac.authorization.k8s.io",
    "storagemigration.k8s.io",
    "internal.apiserver.k8s.io",
];
const OWN_CORE: [&str; 7] =
    ["configmaps", "events", "limitranges", "namespaces", "resourcequotas", "secrets", "serviceaccounts"];

fn is_own(resource: &GroupResource) -> bool {
    if resource.group.is_empty() {
        OWN_CORE.contains(&resource.resource.as_str())
    } else {
        OWN_GROUPS.contains(&resource.group.as_str())
    }
}

/// Brings the imports of all requested types up to date. One that fails does not keep the others from it.
///
/// # Errors
/// What failed, for people.
pub(crate) async fn import(sync: &Sync, requested: &BTreeSet<GroupResource>) -> Result<(), String> {
    let owner = match sync.up_gate.pass(sync.up.get(&WORKLOAD_CLUSTER.gvr(), "", &sync.workload_cluster)).await {
        Ok(owner) if object::is_deleting(&owner) => return Ok(()),
        Ok(owner) => owner,
        Err(e) => return Err(e.to_string()),
    };
    let mut failures = Vec::new();
    for resource in requested.iter().filter(|r| !is_own(r)) {
        match sync.down_gate.pass(resources::discover(&sync.down, resource)).await {
            Ok(versions) => {
                // Only the version that the physical cluster prefers: the one that its own tools use.
                if let Some(served) = versions.first()
                    && let Err(e) = import_one(sync, served, &owner).await
                {
                    failures.push(format!("{resource}: {e}"));
                }
            }
            Err(e) => failures.push(format!("{resource}: {e}")),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

async fn import_one(sync: &Sync, served: &Served, owner: &Value) -> Result<(), String> {
    let text = |e: Error| e.to_string();
    let gvk = GroupVersionKind::new(&served.gvr.group, &served.gvr.version, &served.kind);
    let document = openapi(sync, served).await.map_err(text)?;
    let schema = import_schema(&document, &gvk).map_err(|e| e.to_string())?;
    let wanted = manifest(served, schema, owner, &sync.workload_cluster);
    let (gvr, name) = (API_RESOURCE_IMPORT.gvr(), object::name(&wanted));
    let params = WriteParams::manager(workload::SYNCER_FIELD_MANAGER);
    match sync.up_gate.pass(sync.up.find(&gvr, "", name)).await.map_err(text)? {
        None => {
            tracing::info!(import = name, "importing");
            sync.up_gate.pass(sync.up.create(&gvr, "", &wanted, &params)).await.map_err(text)?;
        }
        Some(mut current)
            if current["spec"] != wanted["spec"]
                || object::label(&current, workload::CLUSTER_LABEL) != Some(&sync.workload_cluster) =>
        {
            tracing::info!(import = name, "the physical cluster's type has changed");
            current["spec"] = wanted["spec"].clone();
            object::set_label(&mut current, workload::CLUSTER_LABEL, &sync.workload_cluster);
            sync.up_gate.pass(sync.up.update(&gvr, "", name, "", &current, &params)).await.map_err(text)?;
        }
        Some(_) => {}
    }
    Ok(())
}

/// The document that describes a type: OpenAPI v3 of its group and version, or v2 of everything from older servers.
async fn openapi(sync: &Sync, served: &Served) -> Result<Value, Error> {
    let gvr = &served.gvr;
    let path = if gvr.group.is_empty() {
        format!("/openapi/v3/api/{}", gvr.version)
    } else {
        format!("/openapi/v3/apis/{}/{}", gvr.group, gvr.version)
    };
    match sync.down_gate.pass(sync.down.get_path(&path)).await {
        Err(e) if e.is_not_found() => sync.down_gate.pass(sync.down.get_path("/openapi/v2")).await,
        other => other,
    }
}

fn manifest(served: &Served, schema: Value, owner: &Value, location: &str) -> Value {
    let gvr = &served.gvr;
    let subresources: Vec<Value> =
        ["scale", "status"].iter().filter(|s| served.subresources.contains(**s)).map(|s| json!({"name": s})).collect();
    let mut spec = json!({
        "groupVersion": {"version": gvr.version},
        "scope": if served.namespaced { "Namespaced" } else { "Cluster" },
        "plural": gvr.resource,
        "singular": served.singular,
        "kind": served.kind,
        "listKind": format!("{}List", served.kind),
        "openAPIV3Schema": schema,
        "location": location,
        "schemaUpdateStrategy": SchemaUpdateStrategy::default().as_str(),
    });
    if !gvr.group.is_empty() {
        spec["groupVersion"]["group"] = gvr.group.as_str().into();
    }
    for (field, list) in [
        ("shortNames", json!(served.short_names)),
        ("categories", json!(served.categories)),
        ("subResources", json!(subresources)),
    ] {
        if list.as_array().is_some_and(|l| !l.is_empty()) {
            spec[field] = list;
        }
    }
    json!({
        "apiVersion": API_RESOURCE_IMPORT.api_version(),
        "kind": API_RESOURCE_IMPORT.kind,
        "metadata": {
            "name": apiresource::import_name(gvr, location),
            "labels": {workload::CLUSTER_LABEL: location},
            "annotations": {apiresource::API_VERSION_ANNOTATION: gvr.group_version().to_string()},
            "ownerReferences": [{
                "apiVersion": WORKLOAD_CLUSTER.api_version(),
                "kind": WORKLOAD_CLUSTER.kind,
                "name": object::name(owner),
                "uid": object::uid(owner),
                "controller": true,
            }],
        },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::GroupVersionResource;

    use super::*;

    #[test]
    fn what_servers_have_by_themselves_is_not_imported() {
        for (group, resource, own) in [
            ("", "secrets", true),
            ("", "pods", false),
            ("apps", "deployments", false),
            ("rbac.authorization.k8s.io", "roles", true),
        ] {
            assert_eq!(is_own(&GroupResource::new(group, resource)), own, "{resource}.{group}");
        }
    }

    #[test]
    fn an_import_belongs_to_its_workload_cluster() {
        let served = Served {
            gvr: GroupVersionResource::new("apps", "v1", "deployments"),
            kind: "Deployment".into(),
            singular: "deployment".into(),
            short_names: vec!["deploy".into()],
            categories: vec!["all".into()],
            namespaced: true,
            subresources: ["scale".to_owned(), "status".to_owned()].into(),
        };
        let owner = json!({"metadata": {"name": "east", "uid": "u"}});
        let m = manifest(&served, json!({"type": "object"}), &owner, "east");
        assert_eq!(m["metadata"]["name"], "deployments.east.v1.apps");
        assert_eq!(m["metadata"]["ownerReferences"][0]["uid"], "u");
        assert_eq!(m["spec"]["shortNames"], json!(["deploy"]));
        assert_eq!(m["spec"]["subResources"], json!([{"name": "scale"}, {"name": "status"}]));
    }
}
