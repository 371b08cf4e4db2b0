//! What controllers must know of types, from the registry.

use std::sync::Arc;

use kcp_apimachinery::{GroupResource, GroupVersionKind, GroupVersionResource, object};
use kcp_controller::{Kinds, Resource};
use kcp_logicalcluster::ClusterName;
use kcp_registry::Registry;

pub(crate) struct RegistryKinds(pub(crate) Arc<Registry>);

impl Kinds for RegistryKinds {
    fn resource_of(&self, cluster: &ClusterName, kind: &GroupVersionKind) -> Option<Resource> {
        let info = self.0.types(cluster).by_kind(kind)?;
        Some(Resource { storage: info.storage.group_resource.clone(), namespaced: info.namespaced })
    }

    fn served(&self, cluster: &ClusterName, resource: &GroupResource) -> Option<GroupVersionResource> {
        let info = self.0.types(cluster).lookup_any_version(&resource.group, &resource.resource)?;
        Some(info.gvr())
    }

    fn virtual_uid(
        &self,
        cluster: &ClusterName,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Option<String> {
        let info = self.0.base().lookup_any_version(&resource.group, &resource.resource)?;
        let object = info.virtuals.as_ref()?.get(cluster, namespace, name)?;
        let object: serde_json::Value = serde_json::from_slice(&object.value).ok()?;
        Some(object::uid(&object).to_owned())
    }
}
