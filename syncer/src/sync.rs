//! Bringing objects down and their status up: one reconcile over one key, whichever side has changed.
//!
//! Nothing is deleted before complete lists of both sides are held, and only what carries our own locator and label.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use kcp_apimachinery::{GroupResource, GroupVersionResource, Status, object};
use kcp_apis::{
    identity::{Locator, physical_namespace},
    workload,
};
use kcp_client::{Client, DeleteParams, Error, Patch, WriteParams, gone_or_changed_is_fine};
use kcp_controller::{Action, Cache, Change, Queue};
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};

use crate::{
    gate::Gate,
    names,
    resources::Served,
    transform::{self, Surroundings},
};

/// What is worked on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Work {
    /// A namespace of the workspace.
    Namespace(String),
    /// An object of the workspace and what it is in the physical cluster.
    Object(GroupResource, String, String),
}

/// A type that is synced.
pub(crate) struct Synced {
    pub(crate) up: Served,
    pub(crate) down: Served,
    pub(crate) upstream: Cache,
    pub(crate) downstream: Cache,
}

impl Synced {
    pub(crate) fn is_ready(&self) -> bool {
        self.upstream.is_synced() && self.downstream.is_synced()
    }
}

/// Counts of what was done, for `/metrics`.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) applied: AtomicU64,
    pub(crate) deleted: AtomicU64,
    pub(crate) statuses: AtomicU64,
    pub(crate) failures: AtomicU64,
}

/// What was applied and what came of it: a server that fills in or rewrites what we sent is not sent it again.
#[derive(PartialEq, Eq)]
struct Settled {
    hash: String,
    uid: String,
    version: String,
}

/// Both sides of the sync.
pub(crate) struct Sync {
    pub(crate) up: Client,
    pub(crate) down: Client,
    pub(crate) up_gate: Gate,
    pub(crate) down_gate: Gate,
    pub(crate) path: String,
    pub(crate) cluster: String,
    pub(crate) workload_cluster: String,
    pub(crate) host: String,
    pub(crate) port: String,
    /// Namespaces of the workspace that are assigned to us.
    pub(crate) up_namespaces: Cache,
    /// Namespaces of the physical cluster with our label, which other workspaces' clusters of the same name have too.
    pub(crate) down_namespaces: Cache,
    pub(crate) types: RwLock<BTreeMap<GroupResource, Arc<Synced>>>,
    pub(crate) queue: Queue<Work>,
    pub(crate) counters: Counters,
    settled: Mutex<BTreeMap<(GroupResource, String, String), Settled>>,
    /// The WorkloadCluster is being deleted: everything goes.
    pub(crate) leaving: std::sync::atomic::AtomicBool,
}

/// The parts of a [`Sync`] that are given.
pub(crate) struct Sides {
    pub(crate) up: Client,
    pub(crate) down: Client,
    pub(crate) path: String,
    pub(crate) cluster: String,
    pub(crate) workload_cluster: String,
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) up_namespaces: Cache,
    pub(crate) down_namespaces: Cache,
}

fn namespaces() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "namespaces")
}

pub(crate) fn secrets() -> GroupResource {
    GroupResource::new("", "secrets")
}

pub(crate) fn deployments() -> GroupResource {
    GroupResource::new("apps", "deployments")
}

impl Sync {
    pub(crate) fn new(s: Sides) -> Self {
        Self {
            up: s.up,
            down: s.down,
            up_gate: Gate::new(),
            down_gate: Gate::new(),
            path: s.path,
            cluster: s.cluster,
            workload_cluster: s.workload_cluster,
            host: s.host,
            port: s.port,
            up_namespaces: s.up_namespaces,
            down_namespaces: s.down_namespaces,
            types: RwLock::default(),
            queue: Queue::default(),
            counters: Counters::default(),
            settled: Mutex::default(),
            leaving: false.into(),
        }
    }

    /// Works on one key.
    pub(crate) async fn reconcile(&self, work: Work) -> Result<Action, Error> {
        let result = match &work {
            Work::Namespace(name) => self.namespace(name).await,
            Work::Object(resource, namespace, name) => self.object(resource, namespace, name).await,
        };
        if result.is_err() {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
        }
        // A server that says when to come back is obeyed.
        match result {
            Err(e) if e.retry_after().is_some() => {
                Ok(Action::After(std::time::Duration::from_secs(e.retry_after().unwrap_or(1).into())))
            }
            other => other,
        }
    }

    fn lists_complete(&self) -> bool {
        self.up_namespaces.is_synced() && self.down_namespaces.is_synced()
    }

    /// Our locator of a namespace of the workspace.
    fn locator(&self, namespace: &Value) -> Locator {
        Locator {
            path: self.path.clone(),
            namespace: object::name(namespace).to_owned(),
            cluster: self.cluster.clone(),
            uid: object::uid(namespace).to_owned(),
            workload_cluster: self.workload_cluster.clone(),
        }
    }

    /// The namespace of the workspace, if it is assigned to us and stays.
    fn wanted_namespace(&self, name: &str) -> Option<Arc<Value>> {
        let leaving = self.leaving.load(Ordering::Relaxed);
        self.up_namespaces.get("", name).filter(|n| !leaving && !object::is_deleting(n))
    }

    /// The locator of a physical namespace, if it is one of this workspace, in this life of it, and of this
    /// WorkloadCluster. Only such a namespace, and what is in it, is ever deleted for its origin being gone: another
    /// server may well have a workspace of the same path, and its syncer in the same physical cluster.
    pub(crate) fn our_locator(&self, physical: &Value) -> Option<Locator> {
        let locator = Locator::parse(object::annotation(physical, workload::NAMESPACE_LOCATOR_ANNOTATION)?)?;
        let ours = locator.path == self.path
            && locator.cluster == self.cluster
            && locator.workload_cluster == self.workload_cluster
            && object::name(physical) == locator.physical_namespace();
        ours.then_some(locator)
    }

    /// Removes the physical namespace of one that is no longer ours to run.
    async fn namespace(&self, name: &str) -> Result<Action, Error> {
        if !self.lists_complete() {
            return Ok(Action::Done);
        }
        let physical_name = physical_namespace(&self.path, name);
        let physical = self.down_namespaces.get("", &physical_name);
        match (self.wanted_namespace(name), physical) {
            (None, Some(physical)) => {
                if self.our_locator(&physical).is_some() && !object::is_deleting(&physical) {
                    self.delete_namespace(&physical).await?;
                }
            }
            (Some(_), _) => self.queue_namespace_content(name),
            (None, None) => {}
        }
        Ok(Action::Done)
    }

    async fn delete_namespace(&self, physical: &Value) -> Result<(), Error> {
        let name = object::name(physical);
        tracing::info!(namespace = name, "deleting a physical namespace whose origin is gone");
        let params = DeleteParams { uid: Some(object::uid(physical).to_owned()), ..DeleteParams::default() };
        self.counters.deleted.fetch_add(1, Ordering::Relaxed);
        gone_or_changed_is_fine(self.down_gate.pass(self.down.delete(&namespaces(), "", name, &params)).await)
    }

    /// Queues everything that either side has in a namespace of the workspace: what was deleted before its physical
    /// namespace was known has nothing else that brings it back.
    fn queue_namespace_content(&self, namespace: &str) {
        let physical = physical_namespace(&self.path, namespace);
        let types: Vec<(GroupResource, Arc<Synced>)> =
            self.types.read().iter().map(|(r, s)| (r.clone(), s.clone())).collect();
        for (resource, synced) in types {
            let up = synced.upstream.in_namespace(namespace);
            let down = synced.downstream.in_namespace(&physical);
            let up = up.iter().map(|o| object::name(o).to_owned());
            let names = up.chain(down.iter().map(|o| names::up(&resource, object::name(o))));
            self.queue.add_all(names.map(|name| Work::Object(resource.clone(), namespace.to_owned(), name)));
        }
    }

    /// Makes sure that the physical namespace exists and is ours; `false` when it must be waited for.
    async fn ensure_namespace(&self, namespace: &Value) -> Result<bool, Error> {
        let locator = self.locator(namespace);
        let name = locator.physical_namespace();
        let physical = match self.down_namespaces.get("", &name) {
            Some(found) => found,
            None => match self.create_namespace(&name, &locator).await? {
                Some(found) => Arc::new(found),
                None => return Ok(true),
            },
        };
        let found = object::annotation(&physical, workload::NAMESPACE_LOCATOR_ANNOTATION).and_then(Locator::parse);
        match found {
            Some(found) if locator.is_same(&found) => Ok(!object::is_deleting(&physical)),
            // An earlier life of the same path left it: it is cleaned away, never adopted.
            Some(found) if found.path == locator.path && found.namespace == locator.namespace => {
                if !object::is_deleting(&physical) {
                    tracing::warn!(namespace = name, of = %found.to_annotation(), "the physical namespace is of an earlier life of ours");
                    self.delete_namespace(&physical).await?;
                }
                Ok(false)
            }
            _ => Err(Status::failure(
                409,
                "Conflict",
                format!(
                    "the physical namespace {name} exists and is not ours: it has no locator of {} in its annotations",
                    self.path
                ),
            )
            .into()),
        }
    }

    /// Creates the physical namespace; gives the one that is there already, if so.
    async fn create_namespace(&self, name: &str, locator: &Locator) -> Result<Option<Value>, Error> {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name,
            "labels": {workload::CLUSTER_LABEL: self.workload_cluster},
            "annotations": {workload::NAMESPACE_LOCATOR_ANNOTATION: locator.to_annotation()},
        }});
        let params = WriteParams::manager(workload::SYNCER_FIELD_MANAGER);
        match self.down_gate.pass(self.down.create(&namespaces(), "", &body, &params)).await {
            Ok(_) => {
                tracing::info!(namespace = name, from = %locator.namespace, "created a physical namespace");
                Ok(None)
            }
            Err(e) if e.is_already_exists() => self.down_gate.pass(self.down.find(&namespaces(), "", name)).await,
            Err(e) => Err(e),
        }
    }

    async fn object(&self, resource: &GroupResource, namespace: &str, name: &str) -> Result<Action, Error> {
        let Some(synced) = self.types.read().get(resource).cloned() else { return Ok(Action::Done) };
        if !self.lists_complete() || !synced.is_ready() || *resource == deployments() && !self.tokens_known() {
            return Ok(Action::Done);
        }
        let physical_namespace = physical_namespace(&self.path, namespace);
        let physical_name = names::down(resource, name);
        let upstream = synced.upstream.get(namespace, name).filter(|o| !object::is_deleting(o));
        let current = synced.downstream.get(&physical_namespace, &physical_name);
        let Some(wanted_namespace) = self.wanted_namespace(namespace) else {
            // The whole namespace goes, or was never ours.
            self.queue.add(Work::Namespace(namespace.to_owned()));
            return Ok(Action::Done);
        };
        match (upstream, current) {
            (None, None) => {}
            (None, Some(current)) => self.remove(&synced, resource, &current).await?,
            (Some(upstream), current) => {
                if !self.ensure_namespace(&wanted_namespace).await? {
                    // Its deletion brings everything in it back.
                    return Ok(Action::Done);
                }
                self.bring_down(&synced, resource, &upstream, current.as_deref(), &physical_namespace).await?;
                if let Some(current) = current {
                    self.bring_up(&synced, &upstream, &current).await?;
                }
            }
        }
        Ok(Action::Done)
    }

    /// Deletes an object whose origin is gone. Only what we applied, only the very object that was looked at.
    async fn remove(&self, synced: &Synced, resource: &GroupResource, current: &Value) -> Result<(), Error> {
        let (namespace, name) = (object::namespace(current), object::name(current));
        let ours = object::annotation(current, workload::UPSTREAM_UID_ANNOTATION).is_some()
            && object::label(current, workload::CLUSTER_LABEL) == Some(&self.workload_cluster)
            && self.down_namespaces.get("", namespace).is_some_and(|n| self.our_locator(&n).is_some());
        if !ours || object::is_deleting(current) {
            return Ok(());
        }
        tracing::info!(%resource, namespace, name, "deleting an object whose origin is gone");
        self.settled.lock().remove(&(resource.clone(), namespace.to_owned(), name.to_owned()));
        self.counters.deleted.fetch_add(1, Ordering::Relaxed);
        let params = DeleteParams { uid: Some(object::uid(current).to_owned()), ..DeleteParams::default() };
        gone_or_changed_is_fine(self.down_gate.pass(self.down.delete(&synced.down.gvr, namespace, name, &params)).await)
    }

    async fn bring_down(
        &self,
        synced: &Synced,
        resource: &GroupResource,
        upstream: &Value,
        current: Option<&Value>,
        physical_namespace: &str,
    ) -> Result<(), Error> {
        let token_secret = |account: &str| self.token_secret(object::namespace(upstream), account);
        let around = Surroundings { host: &self.host, port: &self.port, token_secret: &token_secret };
        let desired = transform::desired(resource, upstream, physical_namespace, &around);
        let hash = object::annotation(&desired, workload::APPLIED_HASH_ANNOTATION).unwrap_or_default().to_owned();
        let name = object::name(&desired).to_owned();
        let key = (resource.clone(), physical_namespace.to_owned(), name.clone());
        if let Some(current) = current {
            let same = object::annotation(current, workload::APPLIED_HASH_ANNOTATION) == Some(&hash);
            let settled = || self.settled.lock().get(&key).is_some_and(|s| *s == settled(&hash, current));
            if same && (transform::is_within(&desired, current) || settled()) {
                return Ok(());
            }
        }
        let params = WriteParams { force: true, ..WriteParams::manager(workload::SYNCER_FIELD_MANAGER) };
        let applied = self
            .down_gate
            .pass(self.down.patch(&synced.down.gvr, physical_namespace, &name, "", &Patch::Apply(&desired), &params))
            .await;
        match applied {
            Ok(now) => {
                tracing::debug!(%resource, namespace = physical_namespace, name, "applied");
                self.counters.applied.fetch_add(1, Ordering::Relaxed);
                self.settled.lock().insert(key, settled(&hash, &now));
                Ok(())
            }
            // A field that may not change there was changed here: only a new object can have it.
            Err(e) if e.is_invalid() && e.to_string().contains("immutable") && is_replaceable(resource) => {
                match current {
                    Some(current) => {
                        tracing::info!(%resource, namespace = physical_namespace, name, "replacing an object because an immutable field has changed");
                        self.remove(synced, resource, current).await
                    }
                    None => Err(e),
                }
            }
            Err(e) => Err(e),
        }
    }

    /// The secret in a namespace of the workspace that holds the token of a service account: one without a token in it
    /// would keep pods from starting.
    fn token_secret(&self, namespace: &str, account: &str) -> Option<String> {
        let synced = self.types.read().get(&secrets()).cloned()?;
        let found = synced.upstream.in_namespace(namespace).into_iter().find(|s| {
            s["type"] == transform::TOKEN_TYPE
                && object::annotation(s, "kubernetes.io/service-account.name") == Some(account)
                && s.pointer("/data/token").and_then(Value::as_str).is_some_and(|token| !token.is_empty())
        })?;
        Some(object::name(&found).to_owned())
    }

    /// Whether the secrets are listed: a deployment that came before would be brought down without its token, and
    /// started anew with it. Where no secrets are synced there is nothing to wait for.
    fn tokens_known(&self) -> bool {
        self.types.read().get(&secrets()).is_none_or(|secrets| secrets.is_ready())
    }

    /// Queues the deployments of a namespace when one of its token secrets has changed: they mount it, or do no more.
    pub(crate) fn queue_users(&self, secret: &Change) {
        let holds_token = |o: &Option<Arc<Value>>| o.as_ref().is_some_and(|o| o["type"] == transform::TOKEN_TYPE);
        if (holds_token(&secret.old) || holds_token(&secret.new))
            && let Some(synced) = self.types.read().get(&deployments())
        {
            let users = synced.upstream.in_namespace(&secret.namespace);
            let key =
                |o: &Arc<Value>| Work::Object(deployments(), secret.namespace.clone(), object::name(o).to_owned());
            self.queue.add_all(users.iter().map(key));
        }
    }

    async fn bring_up(&self, synced: &Synced, upstream: &Value, current: &Value) -> Result<(), Error> {
        if !synced.up.subresources.contains("status")
            || object::annotation(current, workload::UPSTREAM_UID_ANNOTATION) != Some(object::uid(upstream))
        {
            return Ok(());
        }
        let in_step = self.is_in_step(synced, upstream, current);
        let Some(status) = transform::status(upstream, current, in_step) else { return Ok(()) };
        if upstream.get("status") == Some(&status) {
            return Ok(());
        }
        let patch = json!([
            {"op": "test", "path": "/metadata/uid", "value": object::uid(upstream)},
            {"op": "add", "path": "/status", "value": status},
        ]);
        let (namespace, name) = (object::namespace(upstream), object::name(upstream));
        let params = WriteParams::manager(workload::SYNCER_FIELD_MANAGER);
        let written = self
            .up_gate
            .pass(self.up.patch(&synced.up.gvr, namespace, name, "status", &Patch::Json(&patch), &params))
            .await;
        self.counters.statuses.fetch_add(1, Ordering::Relaxed);
        gone_or_changed_is_fine(written)
    }

    /// Whether what was applied is the present state of the workspace.
    fn is_in_step(&self, synced: &Synced, upstream: &Value, current: &Value) -> bool {
        let token_secret = |account: &str| self.token_secret(object::namespace(upstream), account);
        let around = Surroundings { host: &self.host, port: &self.port, token_secret: &token_secret };
        let desired =
            transform::desired(&synced.up.gvr.group_resource(), upstream, object::namespace(current), &around);
        object::annotation(&desired, workload::APPLIED_HASH_ANNOTATION)
            == object::annotation(current, workload::APPLIED_HASH_ANNOTATION)
    }

    /// How many physical namespaces of ours are left.
    pub(crate) fn namespaces_left(&self) -> usize {
        self.down_namespaces.all().iter().filter(|n| self.our_locator(n).is_some()).count()
    }
}

/// Whether an object of this type can be deleted and made anew with nothing lost. What holds data or has done work (a
/// volume claim, a job) must not go for a mistake in the workspace.
fn is_replaceable(resource: &GroupResource) -> bool {
    matches!(
        (resource.group.as_str(), resource.resource.as_str()),
        ("", "configmaps" | "secrets" | "services") | ("apps", "deployments")
    )
}

fn settled(hash: &str, object: &Value) -> Settled {
    // Where there is a generation, status changes do not matter.
    let version = match object::generation(object) {
        0 => object::resource_version(object).to_owned(),
        g => format!("g{g}"),
    };
    Settled { hash: hash.to_owned(), uid: object::uid(object).to_owned(), version }
}

#[cfg(test)]
#[path = "sync_tests.rs"]
mod tests;
