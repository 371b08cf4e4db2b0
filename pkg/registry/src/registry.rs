//! The verbs over any type in any logical cluster.

use std::{
    panic::resume_unwind,
    sync::{Arc, OnceLock, Weak},
};

use bytes::Bytes;
use kcp_apimachinery::{Status, UserInfo};
use kcp_logicalcluster::ClusterName;
use kcp_storage::Store;

use crate::{
    authority::{Access, Authority},
    crd::{self, Served},
    list::List,
    quota,
    rbac::RbacSource,
    request::{Body, DeleteOptions, Deleted, ListOptions, PatchKind, Request, WriteOptions, Written},
    tenancy::{Tenancy, home},
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
    /// Opinions on writes beyond those of the registry itself.
    pub admission: kcp_admission::Chain,
}

/// The verbs, the types and the derived indexes over one store. Shared by `Arc`.
pub struct Registry {
    pub(crate) config: Config,
    served: Arc<Served>,
    rbac: Arc<RbacSource>,
    tenancy: Arc<Tenancy>,
    authority: OnceLock<Arc<dyn Authority>>,
    turns: quota::Turns,
    /// For writes that go on when whoever asked is gone.
    this: Weak<Self>,
}

impl Registry {
    /// A registry over a store; derived indexes are built from what the store holds.
    pub fn new(config: Config) -> Arc<Self> {
        let served = Served::new(Arc::clone(&config.base), &config.store);
        let rbac = Arc::new(RbacSource::new(&config.store, crate::builtin::bootstrap::layer()));
        let tenancy = Tenancy::new(&config.store);
        Arc::new_cyclic(|this| Self {
            config,
            served,
            rbac,
            tenancy,
            authority: OnceLock::new(),
            turns: quota::Turns::default(),
            this: this.clone(),
        })
    }

    /// Finishes what a crash has left half done: definitions whose status is not that of what they ask for. To be called
    /// once, before requests are served.
    pub async fn recover(&self) {
        for (cluster, name) in crd::unsettled(&self.config.store) {
            crd::settle(self, &cluster, &name).await;
        }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.config.store
    }

    /// The order in which creates are charged to quotas.
    pub(crate) fn turns(&self) -> &quota::Turns {
        &self.turns
    }

    /// The types that every logical cluster has.
    pub fn base(&self) -> &Arc<TypeTable> {
        self.served.base()
    }

    /// Whether a type is one of those that every logical cluster has.
    pub(crate) fn is_base(&self, info: &ResourceInfo) -> bool {
        let found = self.base().lookup(&info.gvk.group, &info.gvk.version, &info.resource);
        found.is_some_and(|f| std::ptr::eq(&raw const *f, info))
    }

    /// The workspaces: their paths and the logical clusters behind them.
    pub fn tenancy(&self) -> &Arc<Tenancy> {
        &self.tenancy
    }

    /// The roles and bindings of logical clusters, compiled.
    pub fn rbac(&self) -> &Arc<RbacSource> {
        &self.rbac
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
        self.served.table(cluster, &self.config.store)
    }

    /// The type to use for a list or watch over all logical clusters.
    ///
    /// # Errors
    /// 405 when logical clusters have different schemas for it and more than metadata is asked for.
    pub fn wildcard_type(
        &self,
        group: &str,
        version: &str,
        resource: &str,
        metadata_only: bool,
    ) -> Result<Option<Arc<ResourceInfo>>, Status> {
        self.served.wildcard(group, version, resource, metadata_only, &self.config.store)
    }

    /// GET of an object or a subresource (L-17). `resource_version` as in the query.
    ///
    /// # Errors
    /// 404, or 504 for a revision that does not come.
    pub async fn get(&self, request: &Request, resource_version: &str) -> Result<Bytes, Status> {
        if home::is_meant(request) {
            return home::get(self, request).await;
        }
        self.read_at_least(request, resource_version).await
    }

    /// GET of a collection.
    ///
    /// # Errors
    /// As rows L-01 to L-20 say.
    pub async fn list(&self, request: &Request, options: &ListOptions) -> Result<List, Status> {
        self.read_list(request, options).await
    }

    /// A watch of a collection, or of one object when the request names one.
    ///
    /// # Errors
    /// Before the stream begins: bad options. What goes wrong later is an event of the stream.
    pub async fn watch(self: &Arc<Self>, request: &Request, options: &ListOptions) -> Result<WatchStream, Status> {
        self.open_watch(request, options).await
    }

    /// POST: of an object to a collection, of a review, or of a subresource of an object.
    ///
    /// # Errors
    /// As rows C-01 to C-18 say.
    pub async fn create(&self, request: &Request, body: &Body, options: &WriteOptions) -> Result<Written, Status> {
        let Some(this) = self.sequel(request) else { return self.create_now(request, body, options).await };
        let (request, body, options) = (request.clone(), body.clone(), options.clone());
        to_the_end(async move { this.create_now(&request, &body, &options).await }).await
    }

    /// PUT.
    ///
    /// # Errors
    /// As rows U-01 to U-15 say.
    pub async fn update(&self, request: &Request, body: &Body, options: &WriteOptions) -> Result<Written, Status> {
        let Some(this) = self.sequel(request) else { return self.update_now(request, body, options).await };
        let (request, body, options) = (request.clone(), body.clone(), options.clone());
        to_the_end(async move { this.update_now(&request, &body, &options).await }).await
    }

    /// PATCH, apply included.
    ///
    /// # Errors
    /// As rows and F-01 to F-23 say.
    pub async fn patch(
        &self,
        request: &Request,
        kind: PatchKind,
        body: &Body,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let Some(this) = self.sequel(request) else { return self.patch_now(request, kind, body, options).await };
        let (request, body, options) = (request.clone(), body.clone(), options.clone());
        to_the_end(async move { this.patch_now(&request, kind, &body, &options).await }).await
    }

    /// DELETE of an object.
    ///
    /// # Errors
    /// As rows say.
    pub async fn delete(&self, request: &Request, options: &DeleteOptions) -> Result<Deleted, Status> {
        let Some(this) = self.sequel(request) else { return self.delete_now(request, options).await };
        let (request, options) = (request.clone(), options.clone());
        to_the_end(async move { this.delete_now(&request, &options).await }).await
    }

    /// DELETE of a collection: the list of what was deleted.
    ///
    /// # Errors
    /// As rows X-13 and L-01 to L-20 say.
    pub async fn delete_collection(
        &self,
        request: &Request,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<List, Status> {
        let Some(this) = self.sequel(request) else { return self.delete_all_now(request, options, list).await };
        let (request, options, list) = (request.clone(), options.clone(), list.clone());
        to_the_end(async move { this.delete_all_now(&request, &options, &list).await }).await
    }

    async fn create_now(&self, request: &Request, body: &Body, options: &WriteOptions) -> Result<Written, Status> {
        let written = self.write_new(request, body, options).await?;
        self.after_write(request, &written.object).await;
        Ok(written)
    }

    async fn update_now(&self, request: &Request, body: &Body, options: &WriteOptions) -> Result<Written, Status> {
        let written = self.write_over(request, body, options).await?;
        self.after_write(request, &written.object).await;
        Ok(written)
    }

    async fn patch_now(
        &self,
        request: &Request,
        kind: PatchKind,
        body: &Body,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let written = self.write_patch(request, kind, body, options).await?;
        self.after_write(request, &written.object).await;
        Ok(written)
    }

    async fn delete_now(&self, request: &Request, options: &DeleteOptions) -> Result<Deleted, Status> {
        let deleted = self.remove_one(request, options).await?;
        self.after_write(request, b"").await;
        self.recount(request).await;
        Ok(deleted)
    }

    async fn delete_all_now(
        &self,
        request: &Request,
        options: &DeleteOptions,
        list: &ListOptions,
    ) -> Result<List, Status> {
        let list = self.remove_many(request, options, list).await?;
        self.recount(request).await;
        Ok(list)
    }

    /// This registry, when something follows from a write of `request` in a commit of its own. A client that goes away
    /// takes its request with it, between the two commits too: the definition would be there and never served.
    fn sequel(&self, request: &Request) -> Option<Arc<Self>> {
        let counted = || match request.cluster() {
            Ok(cluster) if request.info.namespaced => {
                request.info.storage.group_resource == quota::group_resource()
                    || quota::is_any(self.store(), cluster, &request.namespace)
            }
            _ => false,
        };
        if is_definition(request) || counted() { self.this.upgrade() } else { None }
    }

    /// Brings the quotas of a namespace up to date: after deletes, and after writes of quotas.
    async fn recount(&self, request: &Request) {
        if let (Ok(cluster), true) = (request.cluster(), request.info.namespaced && !request.namespace.is_empty()) {
            quota::recount(self, cluster, &request.namespace).await;
        }
    }

    /// What follows from a write. A changed definition may have won names or let them go: decided before the client is
    /// answered, so that what it defines is served by then. A changed quota is counted.
    async fn after_write(&self, request: &Request, object: &[u8]) {
        let counts = request.info.storage.group_resource == quota::group_resource() && request.subresource.is_empty();
        // The last finalizer may have gone, and the object with it.
        if counts || crate::scan::is_deleting(object) {
            self.recount(request).await;
        }
        if !is_definition(request) {
            return;
        }
        let Ok(cluster) = request.cluster() else { return };
        let named = crate::scan::of_metadata(object, "name").and_then(crate::scan::text);
        let name = if request.name.is_empty() { named.unwrap_or_default() } else { &request.name };
        crd::settle(self, cluster, name).await;
    }
}

fn is_definition(request: &Request) -> bool {
    request.info.resource == crd::RESOURCE && request.info.gvk.group == crd::GROUP
}

/// Carries a write to its end, whether or not somebody still waits for it.
async fn to_the_end<T: Send + 'static>(
    write: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    match tokio::spawn(write).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => Err(Status::internal(error)),
        },
    }
}
