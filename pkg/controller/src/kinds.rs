//! What a controller must know of the types of a logical cluster.

use kcp_apimachinery::{GroupResource, GroupVersionKind, GroupVersionResource};
use kcp_logicalcluster::ClusterName;

/// Where the objects of a kind are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// What they are stored as: several groups may serve the same objects.
    pub storage: GroupResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// Which types a logical cluster serves; the server knows.
pub trait Kinds: Send + Sync {
    /// The resource of a kind; `None` when the cluster does not serve it.
    fn resource_of(&self, cluster: &ClusterName, kind: &GroupVersionKind) -> Option<Resource>;

    /// A version in which objects of a resource can be reached, whichever they are stored in; `None` when none is served.
    fn served(&self, cluster: &ClusterName, resource: &GroupResource) -> Option<GroupVersionResource>;

    /// The uid of an object that is served without being stored; `None` when there is no such object.
    fn virtual_uid(
        &self,
        cluster: &ClusterName,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Option<String>;
}
