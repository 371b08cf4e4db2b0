//! What all controllers here need.

use std::time::Duration;

use kcp_apimachinery::{GroupVersionKind, GroupVersionResource};
use kcp_client::Client;
use kcp_logicalcluster::ClusterName;
use kcp_storage::Store;

/// A resource as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// How URLs name it.
    pub gvr: GroupVersionResource,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// Which types a logical cluster serves; the server knows.
pub trait Kinds: Send + Sync {
    /// The resource of a kind; `None` when the cluster does not serve it.
    fn resource_of(&self, cluster: &ClusterName, kind: &GroupVersionKind) -> Option<Resource>;
}

/// What all controllers here need.
pub struct Context {
    /// The index they read and the log they follow.
    pub store: Store,
    /// Writes, with the rights of the server itself; its prefix is replaced.
    pub client: Client,
    /// The types of each logical cluster.
    pub kinds: Box<dyn Kinds>,
    /// PEM of the CA that clients in pods are to trust.
    pub root_ca: String,
    /// How long events are kept.
    pub event_ttl: Duration,
}

impl Context {
    /// The client of one logical cluster.
    pub(crate) fn client(&self, cluster: &ClusterName) -> Client {
        self.client.cluster(cluster.as_str())
    }
}
