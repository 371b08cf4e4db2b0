//! What all controllers here need.

use std::{sync::Arc, time::Duration};

use kcp_apimachinery::{GroupResource, GroupVersionResource, Status};
use kcp_client::{Client, Error};
use kcp_controller::Kinds;
use kcp_logicalcluster::ClusterName;
use kcp_storage::Store;

/// Signs the tokens of service accounts that are kept in Secrets; the server knows how.
pub trait TokenIssuer: Send + Sync {
    /// A token of the account that is good while it is in `secret`; `None` when none can be made now.
    fn mint(&self, cluster: &ClusterName, namespace: &str, account: &str, uid: &str, secret: &str) -> Option<String>;
}

/// What all controllers here need.
pub struct Context {
    /// The index they read and the log they follow.
    pub store: Store,
    /// Writes, with the rights of the server itself; its prefix is replaced.
    pub client: Client,
    /// The types of each logical cluster.
    pub kinds: Arc<dyn Kinds>,
    /// PEM of the CA that clients in pods are to trust.
    pub root_ca: String,
    /// Makes the tokens that are kept in Secrets.
    pub tokens: Arc<dyn TokenIssuer>,
    /// How long events are kept.
    pub event_ttl: Duration,
}

impl Context {
    /// The client of one logical cluster.
    pub(crate) fn client(&self, cluster: &ClusterName) -> Client {
        self.client.cluster(cluster.as_str())
    }

    /// How the objects of a resource are reached, whichever version they are stored in.
    pub(crate) fn served(
        &self,
        cluster: &ClusterName,
        resource: &GroupResource,
    ) -> Result<GroupVersionResource, Error> {
        let none = || Status::internal(format!("{resource} is served in no version, so its objects cannot be reached"));
        Ok(self.kinds.served(cluster, resource).ok_or_else(none)?)
    }
}
