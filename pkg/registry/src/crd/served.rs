//! The type tables of logical clusters.
//!
//! A table is derived from the definitions of its logical cluster, kept while it is used, and forgotten by an observer
//! of the store when a definition changes: before whoever changed it is answered. So the first request after a
//! definition was established is served by it (D-16, CRD-05).

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use kcp_apimachinery::{GroupResource, Status, object, status::reason};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Event, EventKind, KeyParts, Observer, Prefix, Revision, Store};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use super::{GROUP, RESOURCE, compile, group_resource};
use crate::{
    cache::PerCluster,
    types::{DefinitionState, ResourceInfo, TypeTable, TypeTableBuilder},
};

/// How many tables are kept.
const TABLES: usize = 1024;
/// Of so many logical clusters, those whose definitions changed last, what each definition came to is kept: a table is
/// then made anew without looking at what has not changed.
const CHANGING: usize = 64;

/// What one definition came to.
struct Compiled {
    storage: GroupResource,
    state: DefinitionState,
    types: Vec<Arc<ResourceInfo>>,
}

/// By the definition's name; with the revision of the definition. `None`: it serves nothing.
type ByName = HashMap<Box<str>, (Revision, Option<Compiled>)>;

/// The tables of all logical clusters.
pub(crate) struct Served {
    base: Arc<TypeTable>,
    /// How many definitions each logical cluster has; those without are served by the base.
    counts: RwLock<HashMap<ClusterName, usize>>,
    tables: PerCluster<TypeTable>,
    changing: Mutex<HashMap<ClusterName, ByName>>,
}

impl Compiled {
    fn of(definition: &[u8], revision: Revision) -> Option<Self> {
        let definition: Value = serde_json::from_slice(definition).ok()?;
        let types = compile::established(&definition);
        let state = DefinitionState {
            uid: object::uid(&definition).to_owned(),
            terminating: object::is_deleting(&definition),
            revision,
            fixup_before: if object::generation(&definition) > 1 { revision } else { 0 },
        };
        Some(Self { storage: types.first()?.storage.group_resource.clone(), state, types })
    }
}

impl Served {
    /// Over `base`; follows the store's definitions.
    pub(crate) fn new(base: Arc<TypeTable>, store: &Store) -> Arc<Self> {
        let served = Arc::new(Self {
            base,
            counts: RwLock::default(),
            tables: PerCluster::new(TABLES),
            changing: Mutex::default(),
        });
        let snapshot = store.observe(Arc::new(Follower(Arc::downgrade(&served))));
        if let Ok(prefix) = Prefix::resource(&group_resource()) {
            let mut counts = served.counts.write();
            for (key, _) in snapshot.range(&prefix, None) {
                if let Ok(cluster) = ClusterName::new(key.parts().cluster) {
                    *counts.entry(cluster).or_default() += 1;
                }
            }
        }
        served
    }

    /// The types that every logical cluster has.
    pub(crate) fn base(&self) -> &Arc<TypeTable> {
        &self.base
    }

    /// The types of a logical cluster.
    pub(crate) fn table(&self, cluster: &ClusterName, store: &Store) -> Arc<TypeTable> {
        if !self.counts.read().contains_key(cluster) {
            return Arc::clone(&self.base);
        }
        self.tables.get(cluster, || Arc::new(self.build(cluster, store)))
    }

    fn build(&self, cluster: &ClusterName, store: &Store) -> TypeTable {
        let mut builder = TypeTableBuilder::over(Arc::clone(&self.base));
        let Ok(prefix) = Prefix::cluster(&group_resource(), cluster) else { return builder.build() };
        let snapshot = store.snapshot();
        let mut before = self.changing.lock().remove(cluster).unwrap_or_default();
        let mut after = ByName::with_capacity(before.len() + 1);
        for (key, entry) in snapshot.range(&prefix, None) {
            let name = key.parts().name;
            let known = before.remove(name).filter(|(revision, _)| *revision == entry.revision);
            let known = known.unwrap_or_else(|| (entry.revision, Compiled::of(&entry.value, entry.revision)));
            let (_, compiled) = after.entry(name.into()).or_insert(known);
            let Some(Compiled { storage, state, types }) = compiled else { continue };
            builder.define(storage.clone(), state.clone());
            for info in types {
                builder.add(Arc::clone(info));
            }
        }
        let alive = self.counts.read().contains_key(cluster);
        if alive {
            let mut changing = self.changing.lock();
            if changing.len() >= CHANGING {
                changing.clear();
            }
            changing.insert(cluster.clone(), after);
        }
        builder.build()
    }

    /// The type for requests to all logical clusters: the base's, or the one that all agree on.
    pub(crate) fn wildcard(
        &self,
        group: &str,
        version: &str,
        resource: &str,
        metadata_only: bool,
        store: &Store,
    ) -> Result<Option<Arc<ResourceInfo>>, Status> {
        if let Some(info) = self.base.lookup(group, version, resource) {
            return Ok(Some(info));
        }
        let clusters: Vec<ClusterName> = self.counts.read().keys().cloned().collect();
        let mut found: Option<Arc<ResourceInfo>> = None;
        for cluster in clusters {
            let Some(info) = self.table(&cluster, store).lookup(group, version, resource) else { continue };
            match &found {
                None => found = Some(info),
                Some(_) if metadata_only => {}
                Some(other) if other.openapi == info.openapi => {}
                Some(_) => {
                    // LC-04: fail loudly rather than show objects of another schema.
                    let text = "cannot watch across logical clusters for a resource type with several distinct schemas";
                    return Err(Status::failure(405, reason::METHOD_NOT_ALLOWED, text));
                }
            }
        }
        Ok(found)
    }

    fn changed(&self, parts: &KeyParts<'_>, kind: EventKind) {
        let Ok(cluster) = ClusterName::new(parts.cluster) else { return };
        let mut gone = false;
        {
            let mut counts = self.counts.write();
            match kind {
                EventKind::Create => *counts.entry(cluster.clone()).or_default() += 1,
                EventKind::Update => {}
                EventKind::Delete => {
                    if let Some(count) = counts.get_mut(&cluster) {
                        *count = count.saturating_sub(1);
                        if *count == 0 {
                            counts.remove(&cluster);
                            gone = true;
                        }
                    }
                }
            }
        }
        if gone {
            self.changing.lock().remove(&cluster);
        }
        self.tables.invalidate(&cluster);
    }
}

/// Tells the tables of changes; outlives them without keeping them.
struct Follower(Weak<Served>);

impl Observer for Follower {
    fn applied(&self, events: &[Arc<Event>]) {
        let Some(served) = self.0.upgrade() else { return };
        for event in events {
            let parts = event.key.parts();
            if parts.resource == RESOURCE && parts.group == GROUP {
                served.changed(&parts, event.kind);
            }
        }
    }
}

/// The group and resource of the instances of a definition, by its name. Learned types of the core group, which has no
/// name of its own, are called `<plural>.core`.
pub(super) fn defined(name: &str) -> Option<GroupResource> {
    let (resource, group) = name.split_once('.')?;
    Some(GroupResource::new(if group == "core" { "" } else { group }, resource))
}
