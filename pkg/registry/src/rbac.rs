//! Role-based access control of logical clusters: compiled when asked for, forgotten when a role or binding changes.

use std::sync::{Arc, Weak};

use kcp_apimachinery::GroupResource;
use kcp_authorization::{GROUP, Layer, RbacIndex};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Event, Observer, Prefix, Snapshot, Store};
use serde_json::Value;

use crate::cache::PerCluster;

/// How many compiled policies are kept.
const POLICIES: usize = 4096;

/// The compiled policies of all logical clusters, over one shared bootstrap policy.
pub struct RbacSource {
    store: Store,
    bootstrap: Arc<Layer>,
    policies: Arc<PerCluster<RbacIndex>>,
}

impl RbacSource {
    /// Over `bootstrap`; follows the store's roles and bindings.
    pub fn new(store: &Store, bootstrap: Arc<Layer>) -> Self {
        let policies = Arc::new(PerCluster::new(POLICIES));
        store.observe(Arc::new(Follower(Arc::downgrade(&policies))));
        Self { store: store.clone(), bootstrap, policies }
    }

    /// The policy of a logical cluster, as of now.
    pub fn policy(&self, cluster: &ClusterName) -> Arc<RbacIndex> {
        self.policies.get(cluster, || Arc::new(self.compile(cluster)))
    }

    fn compile(&self, cluster: &ClusterName) -> RbacIndex {
        let snapshot = self.store.snapshot();
        let [cluster_roles, roles, cluster_bindings, bindings] =
            ["clusterroles", "roles", "clusterrolebindings", "rolebindings"]
                .map(|resource| objects(&snapshot, cluster, resource));
        if cluster_roles.is_empty() && roles.is_empty() && cluster_bindings.is_empty() && bindings.is_empty() {
            return RbacIndex::bootstrap_only(&self.bootstrap);
        }
        RbacIndex::build(&self.bootstrap, &cluster_roles, &roles, &cluster_bindings, &bindings)
    }
}

fn objects(snapshot: &Snapshot, cluster: &ClusterName, resource: &str) -> Vec<Value> {
    let Ok(prefix) = Prefix::cluster(&GroupResource::new(GROUP, resource), cluster) else { return Vec::new() };
    snapshot.range(&prefix, None).filter_map(|(_, entry)| serde_json::from_slice(&entry.value).ok()).collect()
}

struct Follower(Weak<PerCluster<RbacIndex>>);

impl Observer for Follower {
    fn applied(&self, events: &[Arc<Event>]) {
        let Some(policies) = self.0.upgrade() else { return };
        for event in events {
            let parts = event.key.parts();
            if parts.group == GROUP
                && let Ok(cluster) = ClusterName::new(parts.cluster)
            {
                policies.invalidate(&cluster);
            }
        }
    }
}
