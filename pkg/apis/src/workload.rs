//! `workload.kcp.dev/v1alpha1`: physical clusters seen from a workspace, and the labels by which workloads reach them.

use crate::Kind;

/// The API group.
pub const GROUP: &str = "workload.kcp.dev";
/// Its version.
pub const VERSION: &str = "v1alpha1";

/// A physical cluster that workloads of the workspace can run on.
pub const WORKLOAD_CLUSTER: Kind = Kind {
    group: GROUP,
    version: VERSION,
    resource: "workloadclusters",
    singular: "workloadcluster",
    kind: "WorkloadCluster",
};

/// Label of a namespace and of what is in it: the WorkloadCluster that it is assigned to.
pub const CLUSTER_LABEL: &str = "workloads.kcp.dev/cluster";
/// Label of a Workspace: `true` when namespaces in it are assigned to physical clusters.
pub const SCHEDULABLE_LABEL: &str = "workloads.kcp.dev/schedulable";
/// Label of a namespace whose presence, whatever its value, leaves the assignment to people.
pub const SCHEDULING_DISABLED_LABEL: &str = "experimental.workloads.kcp.dev/scheduling-disabled";

/// Annotation of a physical namespace: where its content comes from, as [`crate::identity::Locator`] writes it.
pub const NAMESPACE_LOCATOR_ANNOTATION: &str = "kcp.dev/namespace-locator";
/// Annotation of an object in a physical cluster: a hash of what the syncer applied, so that a restart writes nothing.
pub const APPLIED_HASH_ANNOTATION: &str = "internal.workload.kcp.dev/applied-hash";
/// Annotation of an object in a physical cluster: the uid of the object in the workspace that it was made from.
pub const UPSTREAM_UID_ANNOTATION: &str = "internal.workload.kcp.dev/upstream-uid";
/// Annotation of a syncer's pod: a hash of its kubeconfig, so that a new registration starts it anew.
pub const KUBECONFIG_HASH_ANNOTATION: &str = "internal.workload.kcp.dev/kubeconfig-hash";
/// Finalizer of a WorkloadCluster: its syncer still has objects in the physical cluster. The syncer takes it away when
/// they are gone; the server does when the syncer has not been heard for too long.
pub const SYNCER_FINALIZER: &str = "workload.kcp.dev/syncer";

/// Label of the syncer's own physical namespace: the logical cluster's path with `_` for `:`.
pub const LOGICAL_CLUSTER_LABEL: &str = "workload.kcp.io/logical-cluster";
/// Label of the syncer's own physical namespace: the WorkloadCluster's name.
pub const WORKLOAD_CLUSTER_LABEL: &str = "workload.kcp.io/workload-cluster";

/// Namespaces that are never assigned to a physical cluster.
pub const UNSCHEDULED_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];
/// Namespaced types that describe the workspace itself and run nowhere, as `<plural>[.<group>]`.
const NEVER_SYNCED: [&str; 7] = [
    "events",
    "events.events.k8s.io",
    "leases.coordination.k8s.io",
    "limitranges",
    "resourcequotas",
    "rolebindings.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
];
/// The types that are synced whatever else is asked for, as `<plural>[.<group>]`, sorted.
pub const ALWAYS_SYNCED: [&str; 4] = ["configmaps", "deployments.apps", "secrets", "serviceaccounts"];

/// The field manager under which the syncer applies objects in the physical cluster.
pub const SYNCER_FIELD_MANAGER: &str = "syncer";
/// The names of the syncer's ServiceAccount, ClusterRole and binding in the workspace are this and the
/// WorkloadCluster's name.
pub const SYNCER_NAME_PREFIX: &str = "syncer-";
/// The name of the syncer's objects in the physical cluster.
pub const SYNCER_DOWNSTREAM_NAME: &str = "kcp-syncer";
/// Annotation of a ClusterRole: a label selector to which every request that its rules allow is limited. A list or
/// watch must carry the selector, and an object that is read or written by name must match it.
pub const REQUIRED_SELECTOR_ANNOTATION: &str = "authorization.kcp.io/required-label-selector";

/// The condition types of a WorkloadCluster.
pub mod condition {
    /// The summary of the others.
    pub const READY: &str = "Ready";
    /// The syncer runs and syncs every type that it was asked to.
    pub const SYNCER_READY: &str = "SyncerReady";
    /// The types of the physical cluster are learned.
    pub const API_IMPORTER_READY: &str = "APIImporterReady";
    /// The syncer was heard lately.
    pub const HEARTBEAT_HEALTHY: &str = "HeartbeatHealthy";
    /// Of a namespace: it is assigned to a physical cluster.
    pub const NAMESPACE_SCHEDULED: &str = "NamespaceScheduled";
}

/// The reasons in those conditions.
pub mod reason {
    /// The syncer was not heard for too long, or never.
    pub const ERROR_HEARTBEAT: &str = "ErrorHeartbeat";
    /// Types that were asked for are missing in the workspace or the physical cluster.
    pub const RESOURCES_MISSING: &str = "ResourcesMissing";
    /// Learning the types failed.
    pub const ERROR_IMPORTING: &str = "ErrorImportingAPIs";
    /// No WorkloadCluster takes the namespace.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// The namespace opted out.
    pub const SCHEDULING_DISABLED: &str = "SchedulingDisabled";
}

/// The severities of conditions that are not True.
pub mod severity {
    /// Something is broken.
    pub const ERROR: &str = "Error";
    /// Something may break.
    pub const WARNING: &str = "Warning";
    /// Something to know.
    pub const INFO: &str = "Info";
}

/// Whether objects of a namespaced type get their namespace's label and with it reach a physical cluster.
pub fn is_synced(group: &str, resource: &str) -> bool {
    !NEVER_SYNCED.iter().any(|name| match name.split_once('.') {
        None => group.is_empty() && *name == resource,
        Some((plural, of)) => plural == resource && of == group,
    })
}

/// The name of the objects in the workspace that give the syncer of WorkloadCluster `name` its rights.
pub fn syncer_name(name: &str) -> String {
    format!("{SYNCER_NAME_PREFIX}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_synced() {
        for (group, resource, want) in [
            ("", "configmaps", true),
            ("", "events", false),
            ("events.k8s.io", "events", false),
            ("example.io", "events", true),
            ("apps", "deployments", true),
            ("networking.k8s.io", "ingresses", true),
            ("rbac.authorization.k8s.io", "roles", false),
        ] {
            assert_eq!(is_synced(group, resource), want, "{resource}.{group}");
        }
    }
}
