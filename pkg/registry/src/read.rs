//! GET of objects and collections.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kcp_apimachinery::Status;
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Entry, HistoryError, Key, Prefix, Revision, Snapshot};
use serde_json::Value;

use crate::{
    list::{Found, Items, List},
    options::{At, parse_revision},
    registry::Registry,
    render::Renderer,
    request::{ListMeta, ListOptions, Request, Scope},
    selection::Selection,
    token::Token,
    types::ResourceInfo,
    virtuals::VIRTUAL_REVISION,
    write::scale,
};

/// How long a reader waits for a revision that has not been reached (L-06).
const FRESHNESS: Duration = Duration::from_secs(3);

/// An object as found: stored, or virtual.
#[derive(Debug, Clone)]
pub(crate) struct Existing {
    /// Its bytes as stored.
    pub(crate) value: Bytes,
    /// The revision that wrote it.
    pub(crate) revision: Revision,
    /// What is stored; `None` for a virtual object.
    pub(crate) entry: Option<Entry>,
}

/// The key of an object; a name that cannot be stored is one that does not exist.
pub(crate) fn key_of(info: &ResourceInfo, cluster: &ClusterName, namespace: &str, name: &str) -> Result<Key, Status> {
    let namespace = if info.namespaced { namespace } else { "" };
    Key::object(&info.storage.group_resource, cluster, namespace, name)
        .map_err(|_| Status::not_found(&info.group_resource(), name))
}

/// The object at `key`, virtual ones included.
pub(crate) fn find(info: &ResourceInfo, snapshot: &Snapshot, cluster: &ClusterName, key: &Key) -> Option<Existing> {
    if let Some(entry) = snapshot.get(key) {
        return Some(Existing { value: entry.value.clone(), revision: entry.revision, entry: Some(entry.clone()) });
    }
    let parts = key.parts();
    let object = info.virtuals.as_ref()?.get(cluster, parts.namespace, parts.name)?;
    Some(Existing { value: object.value, revision: VIRTUAL_REVISION, entry: None })
}

impl Registry {
    pub(crate) fn renderer(&self, request: &Request) -> Renderer {
        match &request.scope {
            Scope::Cluster(cluster) => Renderer::new(&request.info, &self.types(cluster)),
            Scope::Wildcard => Renderer::wildcard(&request.info, self.base()),
        }
    }

    pub(crate) fn read_one(&self, request: &Request) -> Result<Bytes, Status> {
        let (cluster, info) = (request.cluster()?, &request.info);
        let key = key_of(info, cluster, &request.namespace, &request.name)?;
        let missing = || Status::not_found(&info.group_resource(), &request.name);
        // Most reads are of a stored object: one look into the index, no snapshot.
        let (value, revision) = match self.store().get(&key) {
            Some(entry) => (entry.value, entry.revision),
            None => {
                let virtuals = info.virtuals.as_ref().ok_or_else(missing)?;
                let namespace = if info.namespaced { request.namespace.as_str() } else { "" };
                (virtuals.get(cluster, namespace, &request.name).ok_or_else(missing)?.value, VIRTUAL_REVISION)
            }
        };
        let renderer = self.renderer(request);
        if request.subresource == "scale"
            && let Some(paths) = &info.scale
        {
            let object = renderer.tree(revision, &value);
            return scale::render(&object, paths);
        }
        Ok(renderer.render(cluster.as_str(), revision, &value))
    }

    /// Waits until the store has reached `revision`, for a while.
    pub(crate) async fn reach(&self, revision: Revision) -> Result<(), Status> {
        let current = self.store().revision();
        if revision <= current {
            return Ok(());
        }
        let wait = async {
            let Ok(mut watcher) = self.store().watch(&Prefix::all(), current) else { return };
            while self.store().revision() < revision {
                if watcher.next().await.is_err() {
                    return;
                }
            }
        };
        // The outcome of the wait does not matter: what counts is where the store is afterwards.
        let _ = tokio::time::timeout(FRESHNESS, wait).await;
        let current = self.store().revision();
        if revision <= current { Ok(()) } else { Err(Status::too_large_resource_version(revision, current)) }
    }

    pub(crate) async fn read_at_least(&self, request: &Request, resource_version: &str) -> Result<Bytes, Status> {
        if !matches!(resource_version, "" | "0") {
            let revision = parse_revision(resource_version)
                .map_err(|e| Status::failure(500, kcp_apimachinery::status::reason::UNKNOWN, e))?;
            self.reach(revision).await?;
        }
        self.read_one(request)
    }

    /// The range of keys that a collection is, as narrow as selectors allow; `None` when nothing can be in it.
    pub(crate) fn range_of(&self, request: &Request, selection: &Selection) -> Result<Option<Prefix>, Status> {
        let (info, resource) = (&request.info, &request.info.storage.group_resource);
        let bad = |e: kcp_storage::KeyError| Status::bad_request(e.to_string());
        let Scope::Cluster(cluster) = &request.scope else {
            return Prefix::resource(resource).map(Some).map_err(bad);
        };
        let mut namespace = if info.namespaced { request.namespace.as_str() } else { "" };
        if info.namespaced
            && namespace.is_empty()
            && let Some(only) = &selection.namespace
        {
            namespace = only;
        }
        if let Some(name) = &selection.name
            && (!info.namespaced || !namespace.is_empty())
        {
            return Ok(Key::object(resource, cluster, namespace, name).ok().map(|key| Prefix::object(&key)));
        }
        if info.namespaced && namespace.is_empty() {
            return Prefix::cluster(resource, cluster).map(Some).map_err(bad);
        }
        // A namespace that cannot exist is an empty one (L-19).
        Ok(Prefix::namespace(resource, cluster, namespace).ok())
    }

    pub(crate) async fn read_list(&self, request: &Request, options: &ListOptions) -> Result<List, Status> {
        let (meta, items) = self.read_items(request, options, |items, found| items.render(found)).await?;
        Ok(List::new(Arc::clone(&request.info), meta, items))
    }

    /// The page of a list that `options` asks for, each object as `shown` has it.
    pub(crate) async fn read_items<T: Send + 'static>(
        &self,
        request: &Request,
        options: &ListOptions,
        shown: impl Fn(&Items, &Found) -> T + Send + 'static,
    ) -> Result<(ListMeta, Box<dyn Iterator<Item = T> + Send>), Status> {
        let at = options.check_list()?;
        let selection = Arc::new(Selection::new(options, &request.info, &request.name)?);
        let renderer = Arc::new(self.renderer(request));
        let scope = scope_text(request);
        let token = match options.continue_token.as_str() {
            "" => None,
            text => Some(Token::decode(text, &scope)?),
        };
        let prefix = self.range_of(request, &selection)?;
        let everything = prefix.clone().unwrap_or_else(Prefix::all);
        let snapshot = match &token {
            Some(token) => self.continued(token, &everything)?,
            None => self.snapshot_for(at, &everything).await?,
        };
        let revision = snapshot.revision();
        let mut meta = ListMeta { resource_version: revision, ..ListMeta::default() };
        let Some(prefix) = prefix else { return Ok((meta, Box::new(std::iter::empty()))) };
        let after = token.as_ref().map(|t| start_key(t, request)).transpose()?;
        let mut items = Items::new(snapshot, prefix, after, Arc::clone(&selection), renderer);
        if let Scope::Cluster(cluster) = &request.scope {
            let namespace = if request.info.namespaced { request.namespace.as_str() } else { "" };
            items = items.with_virtuals(cluster, namespace);
        }
        let limit = usize::try_from(options.limit).unwrap_or(0);
        if limit == 0 || at == At::Any {
            let all = std::iter::from_fn(move || items.next_found().map(|found| shown(&items, &found)));
            return Ok((meta, Box::new(all)));
        }
        let mut page = Vec::new();
        let mut last = None;
        while page.len() < limit
            && let Some(found) = items.next_found()
        {
            page.push(shown(&items, &found));
            last = Some(found.key);
        }
        if let Some(last) = last.filter(|_| page.len() == limit && items.has_more()) {
            let parts = last.parts();
            let rv = i64::try_from(revision).unwrap_or(i64::MAX);
            meta.continue_token = Token::after(rv, &scope, parts.cluster, parts.namespace, parts.name).encode();
            meta.remaining = if selection.is_everything() { items.remaining() } else { None };
        }
        Ok((meta, Box::new(page.into_iter())))
    }

    async fn snapshot_for(&self, at: At, prefix: &Prefix) -> Result<Snapshot, Status> {
        match at {
            At::Latest | At::Any => Ok(self.store().snapshot()),
            At::NotOlder(revision) => {
                self.reach(revision).await?;
                Ok(self.store().snapshot())
            }
            At::Exact(revision) => self.store().snapshot_at(revision, prefix).map_err(|e| match e {
                HistoryError::Future { current } => Status::too_large_resource_version(revision, current),
                HistoryError::Compacted { .. } => {
                    Status::expired("The resourceVersion for the provided list is too old.")
                }
            }),
        }
    }

    /// The state that a continued list goes on showing (L-10, L-13).
    fn continued(&self, token: &Token, prefix: &Prefix) -> Result<Snapshot, Status> {
        let Ok(revision) = Revision::try_from(token.rv) else { return Ok(self.store().snapshot()) };
        self.store().snapshot_at(revision, prefix).map_err(|e| match e {
            HistoryError::Future { current } => Status::too_large_resource_version(revision, current),
            HistoryError::Compacted { .. } => {
                let mut status = Status::expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a new list \
                     without the continue parameter, or use the continue token in this response to retrieve the remainder of \
                     the results. Continuing with the provided token results in an inconsistent list - objects that were \
                     created, modified, or deleted between the time the first chunk was returned and now may show up in the \
                     list.",
                );
                status.continue_token = Some(token.clone().inconsistent().encode().into());
                status
            }
        })
    }

    /// Reads an object in the form it is stored in, virtual ones included.
    pub fn read_value(
        &self,
        snapshot: &Snapshot,
        cluster: &ClusterName,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let resource = kcp_apimachinery::GroupResource::new(group, resource);
        let key = Key::object(&resource, cluster, namespace, name).ok()?;
        if let Some(entry) = snapshot.get(&key) {
            return serde_json::from_slice(&entry.value).ok();
        }
        let info = self.base().lookup_any_version(group, &resource.resource)?;
        let object = info.virtuals.as_ref()?.get(cluster, namespace, name)?;
        serde_json::from_slice(&object.value).ok()
    }
}

/// What a continue token is bound to.
fn scope_text(request: &Request) -> String {
    let cluster = match &request.scope {
        Scope::Cluster(cluster) => cluster.as_str(),
        Scope::Wildcard => "*",
    };
    format!("{cluster}/{}/{}", request.info.storage.group_resource, request.namespace)
}

fn start_key(token: &Token, request: &Request) -> Result<Key, Status> {
    let bad =
        || Status::bad_request("invalid continue token: continue key is not valid: the key is not one of this list");
    let (cluster, namespace, name) = token.parts().ok_or_else(bad)?;
    let cluster = ClusterName::new(cluster).map_err(|_| bad())?;
    let inside = match &request.scope {
        Scope::Cluster(own) => *own == cluster,
        Scope::Wildcard => true,
    };
    if !inside || (!request.namespace.is_empty() && request.namespace != namespace) {
        return Err(bad());
    }
    Key::object(&request.info.storage.group_resource, &cluster, namespace, name).map_err(|_| bad())
}
