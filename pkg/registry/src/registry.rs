//! The verbs over any type in any logical cluster.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use kcp_apimachinery::{Status, UserInfo};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Snapshot, Store};
use serde_json::Value;

use crate::{
    authority::{Access, Authority},
    list::List,
    request::{Body, DeleteOptions, Deleted, ListOptions, PatchKind, Request, WriteOptions, Written},
    types::{ResourceInfo, TypeTable},
    watch::WatchStream,
};

/// What a registry is made of.
pub struct Config {
    /// The store.
    pub store: Store,
    /// The types that every logical cluster has.
    pub base: Arc<TypeTable>,
    /// The URL that workspaces are reached at, without `/clusters/…`: `https://host:port`.
    pub external_url: String,
    /// The certificate authority that clients in workspaces should trust (`kube-root-ca.crt`), PEM.
    pub ca_pem: String,
}

/// The verbs, the types and the derived indexes over one store. Shared by `Arc`.
pub struct Registry {
    pub(crate) config: Config,
    authority: OnceLock<Arc<dyn Authority>>,
}

impl Registry {
    /// A registry over a store; derived indexes are built from what the store holds.
    pub fn new(config: Config) -> Arc<Self> {
        Arc::new(Self { config, authority: OnceLock::new() })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.config.store
    }

    /// Installs who answers questions about users. Only the first call counts.
    pub fn set_authority(&self, authority: Arc<dyn Authority>) {
        let _ = self.authority.set(authority);
    }

    /// Who answers questions about users.
    pub fn authority(&self) -> Option<&Arc<dyn Authority>> {
        self.authority.get()
    }

    /// Whether `user` may do `access`; `true` while no authority is installed.
    pub fn may(&self, cluster: &ClusterName, user: &UserInfo, access: &Access<'_>) -> bool {
        self.authority.get().is_none_or(|a| a.authorize(cluster, user, access).allowed)
    }

    /// The types of a logical cluster, as of now.
    pub fn types(&self, cluster: &ClusterName) -> Arc<TypeTable> {
        let _ = cluster;
        Arc::clone(&self.config.base)
    }

    /// The type to use for a list or watch over all logical clusters.
    ///
    /// # Errors
    /// 405 when logical clusters have different schemas for it and more than metadata is asked for.
    pub fn wildcard_type(&self, group: &str, version: &str, resource: &str, metadata_only: bool) -> Result<Option<Arc<ResourceInfo>>, Status> {
        let _ = metadata_only;
        Ok(self.config.base.lookup(group, version, resource))
    }

    /// Reads an object in the form it is stored in, virtual ones included.
    pub fn read_value(&self, snapshot: &Snapshot, cluster: &ClusterName, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let _ = (snapshot, cluster, group, resource, namespace, name);
        None
    }

    /// GET of an object or a subresource (L-17). `resource_version` as in the query.
    ///
    /// # Errors
    /// 404, or 504 for a revision that does not come.
    pub async fn get(&self, request: &Request, resource_version: &str) -> Result<Bytes, Status> {
        let _ = resource_version;
        Err(Status::not_found(&request.info.group_resource(), &request.name))
    }

    /// GET of a collection.
    ///
    /// # Errors
    /// As rows L-01 to L-20 say.
    pub async fn list(&self, request: &Request, options: &ListOptions) -> Result<List, Status> {
        let _ = (request, options);
        Err(Status::internal("not built yet"))
    }

    /// A watch of a collection, or of one object when the request names one.
    ///
    /// # Errors
    /// Before the stream begins: bad options. What goes wrong later is an event of the stream.
    pub async fn watch(self: &Arc<Self>, request: &Request, options: &ListOptions) -> Result<WatchStream, Status> {
        let _ = (request, options);
        Err(Status::internal("not built yet"))
    }

    /// POST: of an object to a collection, of a review, or of a subresource of an object.
    ///
    /// # Errors
    /// As rows C-01 to C-18 say.
    pub async fn create(&self, request: &Request, body: &Body, options: &WriteOptions) -> Result<Written, Status> {
        let _ = (request, body, options);
        Err(Status::internal("not built yet"))
    }

    /// PUT.
    ///
    /// # Errors
    /// As rows U-01 to U-15 say.
    pub async fn update(&self, request: &Request, body: &Body, options: &WriteOptions) -> Result<Written, Status> {
        let _ = (request, body, options);
        Err(Status::internal("not built yet"))
    }

    /// PATCH, apply included.
    ///
    /// # Errors
    /// As rows and F-01 to F-23 say.
    pub async fn patch(&self, request: &Request, kind: PatchKind, body: &Body, options: &WriteOptions) -> Result<Written, Status> {
        let _ = (request, kind, body, options);
        Err(Status::internal("not built yet"))
    }

    /// DELETE of an object.
    ///
    /// # Errors
    /// As rows say.
    pub async fn delete(&self, request: &Request, options: &DeleteOptions) -> Result<Deleted, Status> {
        let _ = (request, options);
        Err(Status::internal("not built yet"))
    }

    /// DELETE of a collection: the list of what was deleted.
    ///
    /// # Errors
    /// As rows X-13 and L-01 to L-20 say.
    pub async fn delete_collection(&self, request: &Request, options: &DeleteOptions, list: &ListOptions) -> Result<List, Status> {
        let _ = (request, options, list);
        Err(Status::internal("not built yet"))
    }
}
