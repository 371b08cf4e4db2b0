//! The API groups that this project defines: every name, label, annotation, finalizer, condition type and reason once,
//! the manifests of the kinds, and pure helpers over their objects.
//!
//! Layer 0: no I/O and no clock. Objects are JSON trees; the manifests under `crds/` are the only definition of their
//! shape, and the server serves the kinds from them like any other custom resource.

pub mod apiresource;
pub mod conditions;
pub mod core;
pub mod identity;
pub mod manifests;
pub mod tenancy;
pub mod workload;

use kcp_apimachinery::{GroupKind, GroupResource, GroupVersionKind, GroupVersionResource};

/// The names of one kind of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The API group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The plural, as in URLs.
    pub resource: &'static str,
    /// The singular, as on the command line.
    pub singular: &'static str,
    /// The kind, as in objects.
    pub kind: &'static str,
}

impl Kind {
    /// All kinds, in the order of their groups.
    pub const ALL: [Self; 6] = [
        apiresource::API_RESOURCE_IMPORT,
        apiresource::NEGOTIATED_API_RESOURCE,
        core::LOGICAL_CLUSTER,
        tenancy::WORKSPACE,
        tenancy::WORKSPACE_TYPE,
        workload::WORKLOAD_CLUSTER,
    ];

    /// `group/version`, as in an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }
    /// The resource in its version.
    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource::new(self.group, self.version, self.resource)
    }
    /// The kind in its version.
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(self.group, self.version, self.kind)
    }
    /// The resource, as in storage keys.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.group, self.resource)
    }
    /// The kind without its version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind::new(self.group, self.kind)
    }
    /// `<plural>.<group>`: the name of the CustomResourceDefinition.
    pub fn crd_name(&self) -> String {
        format!("{}.{}", self.resource, self.group)
    }
    /// The kind's manifest.
    pub fn crd(&self) -> &'static serde_json::Value {
        manifests::crd(self)
    }
}
