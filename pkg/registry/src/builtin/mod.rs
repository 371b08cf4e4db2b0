//! The built-in kinds: what is served without any definition, and everything that is special to each kind.
//!
//! Two profiles: workspaces get the kinds that need no pods and our own; physical clusters get the workload pack.
//! `admissionregistration.k8s.io`, `flowcontrol.apiserver.k8s.io` and `apiregistration.k8s.io` are in neither: discovery
//! lists what works, and nothing would act on their objects.
//!
//! Static facts come first ([`table`]), recorded ones when they are needed ([`data`]); a strategy per kind says what is
//! peculiar to it. Nothing is parsed when a table of types is put together except our own definitions.

pub mod bootstrap;
mod codec;
pub mod custom;
pub mod data;
mod descriptions;
mod fields;
mod info;
mod kinds;
mod own;
pub mod print;
pub mod table;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use kcp_apimachinery::GroupResource;
use kcp_apis::Kind;

pub use info::subresource_schema;

use crate::{
    strategy::Strategy,
    types::{TypeTable, TypeTableBuilder},
};

/// Which built-in kinds are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Those of a workspace (R-01, R-02 as far as they work, and our own).
    Workspace,
    /// Those of a physical cluster: the workload pack.
    Physical,
}

/// Strategies from outside this module, by group and resource.
pub type Strategies = HashMap<GroupResource, Arc<dyn Strategy>>;

/// The table of the types that every logical cluster has. `strategies` are used for the resources that they name.
pub fn base_table(profile: Profile, strategies: &Strategies) -> Arc<TypeTable> {
    let pack = match profile {
        Profile::Workspace => table::WORKSPACE,
        Profile::Physical => table::PHYSICAL,
    };
    let given = |group: &str, resource: &str| strategies.get(&GroupResource::new(group, resource)).cloned();
    let mut builder = TypeTableBuilder::new(table::GROUP_ORDER.map(str::to_owned));
    for row in table::rows().filter(|r| r.packs & pack != 0) {
        let mut resource = info::resource(row, given(row.group, row.plural));
        if row.group == kcp_authorization::GROUP {
            resource.virtuals = bootstrap::virtuals(row.plural);
        }
        builder.add(Arc::new(resource));
    }
    if profile == Profile::Workspace {
        for kind in &Kind::ALL {
            for resource in own::resources(kind, given(kind.group, kind.resource)) {
                builder.add(Arc::new(resource));
            }
        }
    }
    Arc::new(builder.build())
}

/// Writes the metadata of an object as every kind has it, custom ones too: times in canonical form, nothing that is
/// empty. What has the wrong type stays as it is, for validation to refuse.
pub fn tidy_metadata(object: &mut serde_json::Value) {
    if let Some(serde_json::Value::Object(meta)) = object.get_mut("metadata") {
        codec::complete("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", meta);
    }
}

#[cfg(test)]
mod table_tests {
    use super::*;

    fn names(table: &TypeTable) -> Vec<String> {
        table
            .groups()
            .iter()
            .flat_map(|g| g.versions.iter().flat_map(|v| v.resources.iter().map(|r| r.gvr().to_string())))
            .collect()
    }

    /// D-08, R-02: what a fresh workspace serves, in order.
    #[test]
    fn workspaces() {
        let table = base_table(Profile::Workspace, &Strategies::new());
        let groups: Vec<String> = table.groups().into_iter().map(|g| g.name).collect();
        assert_eq!(
            groups,
            [
                "",
                "events.k8s.io",
                "authentication.k8s.io",
                "authorization.k8s.io",
                "certificates.k8s.io",
                "rbac.authorization.k8s.io",
                "apiextensions.k8s.io",
                "coordination.k8s.io",
                "apiresource.kcp.dev",
                "core.kcp.io",
                "tenancy.kcp.io",
                "workload.kcp.dev"
            ]
        );
        assert!(table.lookup("apps", "v1", "deployments").is_none());
        let workspaces = table.lookup("tenancy.kcp.io", "v1alpha1", "workspaces").unwrap();
        assert!(workspaces.custom);
    }

    /// the kinds that a physical cluster adds, without ours.
    #[test]
    fn physical_clusters() {
        let all = names(&base_table(Profile::Physical, &Strategies::new()));
        for want in [
            "v1, Resource=pods",
            "apps/v1, Resource=deployments",
            "autoscaling/v1, Resource=horizontalpodautoscalers",
            "autoscaling/v2, Resource=horizontalpodautoscalers",
            "batch/v1, Resource=jobs",
            "discovery.k8s.io/v1, Resource=endpointslices",
            "networking.k8s.io/v1, Resource=ingresses",
            "node.k8s.io/v1, Resource=runtimeclasses",
            "policy/v1, Resource=poddisruptionbudgets",
            "scheduling.k8s.io/v1, Resource=priorityclasses",
            "storage.k8s.io/v1, Resource=csinodes",
        ] {
            assert!(all.iter().any(|r| r == want), "{want}");
        }
        assert!(!all.iter().any(|r| r.contains("kcp")), "{all:?}");
    }

    #[test]
    fn metadata_is_tidied() {
        let mut object = serde_json::json!({"metadata": {"name": "a", "labels": {}, "annotations": null, "finalizers": []}, "spec": {"x": {}}});
        tidy_metadata(&mut object);
        assert_eq!(object, serde_json::json!({"metadata": {"name": "a"}, "spec": {"x": {}}}));
    }

    /// X-10, U-02, U-04: the kinds that differ.
    #[test]
    fn peculiarities() {
        let table = base_table(Profile::Physical, &Strategies::new());
        let of = |want: fn(&crate::ResourceInfo) -> bool| -> Vec<String> {
            let mut found: Vec<String> =
                table.iter().filter(|i| i.is_stored() && want(i)).map(|i| i.group_resource().to_string()).collect();
            found.sort();
            found.dedup();
            found
        };
        assert_eq!(
            of(|i| i.strategy.returns_object_on_delete()),
            [
                "csidrivers.storage.k8s.io",
                "csinodes.storage.k8s.io",
                "namespaces",
                "persistentvolumeclaims",
                "persistentvolumes",
                "pods",
                "podtemplates",
                "resourcequotas",
                "serviceaccounts",
                "services",
                "storageclasses.storage.k8s.io",
                "volumeattachments.storage.k8s.io",
                "volumeattributesclasses.storage.k8s.io"
            ]
        );
        assert_eq!(
            of(|i| !i.strategy.allow_unconditional_update(i)),
            [
                "csidrivers.storage.k8s.io",
                "csinodes.storage.k8s.io",
                "customresourcedefinitions.apiextensions.k8s.io",
                "leases.coordination.k8s.io",
                "poddisruptionbudgets.policy",
                "runtimeclasses.node.k8s.io",
                "volumeattachments.storage.k8s.io"
            ]
        );
        assert_eq!(
            of(|i| i.strategy.allow_create_on_update()),
            [
                "clusterrolebindings.rbac.authorization.k8s.io",
                "clusterroles.rbac.authorization.k8s.io",
                "endpoints",
                "events",
                "events.events.k8s.io",
                "leases.coordination.k8s.io",
                "limitranges",
                "rolebindings.rbac.authorization.k8s.io",
                "roles.rbac.authorization.k8s.io",
                "runtimeclasses.node.k8s.io",
                "services"
            ]
        );
    }
}
