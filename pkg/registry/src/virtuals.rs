//! Objects that exist in a logical cluster without being stored: bootstrap RBAC, the default WorkspaceTypes.
//!
//! A stored object of the same name hides the virtual one. Virtual objects never change while the server runs, so they
//! have one resourceVersion. A watch shows them among its initial events, and under the revision of the change when one
//! is covered or uncovered.

use std::sync::Arc;

use bytes::Bytes;
use kcp_logicalcluster::ClusterName;
use kcp_storage::Revision;

/// The resourceVersion of every virtual object: older than anything that was ever written.
pub const VIRTUAL_REVISION: Revision = 1;

/// One virtual object.
#[derive(Debug, Clone)]
pub struct VirtualObject {
    /// Its namespace, empty when it has none.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its final JSON in the storage version, written by [`crate::encode::encode_at`] with [`VIRTUAL_REVISION`].
    pub value: Bytes,
}

/// The virtual objects of one resource.
pub trait VirtualObjects: Send + Sync + std::fmt::Debug {
    /// Those of a logical cluster, by namespace and name.
    fn objects(&self, cluster: &ClusterName) -> Arc<[VirtualObject]>;

    /// One of them.
    fn get(&self, cluster: &ClusterName, namespace: &str, name: &str) -> Option<VirtualObject> {
        let all = self.objects(cluster);
        let at = all.binary_search_by(|o| (o.namespace.as_str(), o.name.as_str()).cmp(&(namespace, name))).ok()?;
        all.get(at).cloned()
    }
}
