//! The cells of server-side tables (P-07): what `kubectl get` shows of a built-in object.
//!
//! kubectl prints whatever the server sends, so the words and their form are part of the interface. One function per
//! kind takes the object as stored and the time, and gives a cell for each column of its row in `super::table`.

mod access;
mod cluster;
mod custom;
mod helpers;
mod pods;
mod workloads;

use kcp_apimachinery::time::Timestamp;
use serde_json::Value;

pub use custom::{CustomColumn, custom_cells};

/// Makes the cells of one object.
pub type Cells = fn(&Value, Timestamp) -> Vec<Value>;

/// The printer of a built-in resource; `None` for those that have no columns of their own.
pub fn cells(group: &str, resource: &str) -> Option<Cells> {
    Some(match (group, resource) {
        ("", "configmaps") => access::config_map,
        ("", "secrets") => access::secret,
        ("", "serviceaccounts") => access::age_only,
        ("", "namespaces") => access::namespace,
        ("", "resourcequotas") => access::resource_quota,
        ("", "events") => access::event,
        ("events.k8s.io", "events") => access::event,
        ("", "limitranges")
        | ("rbac.authorization.k8s.io", "roles" | "clusterroles")
        | ("apiextensions.k8s.io", "customresourcedefinitions")
        | ("storage.k8s.io", "csistoragecapacities") => access::created_at,
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => access::binding,
        ("certificates.k8s.io", "certificatesigningrequests") => access::signing_request,
        ("coordination.k8s.io", "leases") => access::lease,
        ("", "pods") => pods::pod,
        ("", "podtemplates") => workloads::pod_template,
        ("", "replicationcontrollers") => workloads::replication_controller,
        ("apps", "deployments") => workloads::deployment,
        ("apps", "replicasets") => workloads::replica_set,
        ("apps", "statefulsets") => workloads::stateful_set,
        ("apps", "daemonsets") => workloads::daemon_set,
        ("apps", "controllerrevisions") => workloads::controller_revision,
        ("batch", "jobs") => workloads::job,
        ("batch", "cronjobs") => workloads::cron_job,
        ("autoscaling", "horizontalpodautoscalers") => workloads::autoscaler,
        ("policy", "poddisruptionbudgets") => workloads::disruption_budget,
        ("", "services") => cluster::service,
        ("", "endpoints") => cluster::endpoints,
        ("", "nodes") => cluster::node,
        ("", "persistentvolumes") => cluster::volume,
        ("", "persistentvolumeclaims") => cluster::claim,
        ("discovery.k8s.io", "endpointslices") => cluster::endpoint_slice,
        ("networking.k8s.io", "ingresses") => cluster::ingress,
        ("networking.k8s.io", "ingressclasses") => cluster::ingress_class,
        ("networking.k8s.io", "networkpolicies") => cluster::network_policy,
        ("networking.k8s.io", "ipaddresses") => cluster::ip_address,
        ("networking.k8s.io", "servicecidrs") => cluster::service_cidr,
        ("node.k8s.io", "runtimeclasses") => cluster::runtime_class,
        ("scheduling.k8s.io", "priorityclasses") => cluster::priority_class,
        ("storage.k8s.io", "csidrivers") => cluster::csi_driver,
        ("storage.k8s.io", "csinodes") => cluster::csi_node,
        ("storage.k8s.io", "storageclasses") => cluster::storage_class,
        ("storage.k8s.io", "volumeattachments") => cluster::volume_attachment,
        ("storage.k8s.io", "volumeattributesclasses") => cluster::volume_attributes_class,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::builtin::table;

    /// P-07: a printer for every resource with columns, and a cell for every column, even of an empty object.
    #[test]
    fn cells_match_columns() {
        let now = Timestamp::now();
        for row in table::rows() {
            let printer = cells(row.group, row.plural);
            assert_eq!(printer.is_some(), !row.columns.is_empty(), "{} {}", row.group, row.plural);
            if let Some(printer) = printer {
                for object in [json!({}), json!({"metadata": {"name": "x"}, "spec": {}, "status": {}})] {
                    assert_eq!(printer(&object, now).len(), row.columns.len(), "{} {}", row.group, row.plural);
                }
            }
        }
    }
}
