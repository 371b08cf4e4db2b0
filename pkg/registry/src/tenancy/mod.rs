//! Workspaces: the map from paths to logical clusters, and what happens when one is made.

mod birth;
pub(crate) mod home;
pub(crate) mod life;
mod logical;
mod types;
mod workspaces;

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use kcp_apimachinery::UserInfo;
use kcp_apis::{
    core::phase,
    tenancy::{OWNER_ANNOTATION, WORKSPACE},
};
use kcp_logicalcluster::{ClusterName, ClusterPath, ClusterRef};
use kcp_storage::{Event, EventKind, Key, Observer, Prefix, Store};
use parking_lot::RwLock;

use crate::scan;

pub use birth::{Birth, Owner};
pub use logical::LogicalClusters;
pub use workspaces::Workspaces;

/// How deep a tree of workspaces is followed. A bound against damaged data, not a limit that anyone meets.
const DEEPEST: usize = 64;

/// A logical cluster, by name and by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Its immutable name.
    pub name: ClusterName,
    /// Its path, at this time.
    pub path: ClusterPath,
}

#[derive(Debug, Default)]
struct Index {
    /// By parent, then by the Workspace's name.
    children: HashMap<ClusterName, HashMap<Box<str>, ClusterName>>,
    /// The Workspace of a logical cluster.
    parents: HashMap<ClusterName, Above>,
}

/// The Workspace that a logical cluster is behind.
#[derive(Debug)]
struct Above {
    parent: ClusterName,
    name: Box<str>,
    /// The user who made it, empty when nobody knows.
    owner: Box<str>,
    /// The logical cluster of that user, for a service account: its name alone says little.
    home: Option<Box<str>>,
    /// Somebody must still do something before it can be used.
    initializing: bool,
}

/// The tree of workspaces, derived from the Workspace objects of all logical clusters.
///
/// Kept by an observer of the store, so a workspace can be reached by its path when the request that made it is
/// answered. A workspace that is deleted and made again is another logical cluster under the same path.
#[derive(Debug, Default)]
pub struct Tenancy {
    index: RwLock<Index>,
}

impl Tenancy {
    /// The tree of a store; follows its Workspaces.
    pub fn new(store: &Store) -> Arc<Self> {
        let tenancy = Arc::new(Self::default());
        // Events since the snapshot wait for the lock, and find what the snapshot has said before them.
        let mut index = tenancy.index.write();
        let snapshot = store.observe(Arc::new(Follower(Arc::downgrade(&tenancy))));
        if let Ok(prefix) = Prefix::resource(&WORKSPACE.group_resource()) {
            for (key, entry) in snapshot.range(&prefix, None) {
                index.put(key, &entry.value);
            }
        }
        drop(index);
        tenancy
    }

    /// The logical cluster behind the child workspace `name` of `parent`.
    pub fn child(&self, parent: &ClusterName, name: &str) -> Option<ClusterName> {
        self.index.read().children.get(parent)?.get(name).cloned()
    }

    /// The parent of a logical cluster, and the name of its Workspace there; `None` for roots and what does not exist.
    pub fn parent(&self, cluster: &ClusterName) -> Option<(ClusterName, String)> {
        self.index.read().parents.get(cluster).map(|a| (a.parent.clone(), a.name.to_string()))
    }

    /// The user who made the workspace of a logical cluster.
    pub fn owner(&self, cluster: &ClusterName) -> Option<String> {
        self.index.read().parents.get(cluster).map(|a| a.owner.to_string()).filter(|o| !o.is_empty())
    }

    /// Whether `user` made the workspace of a logical cluster. A service account did when it has the name and the home of
    /// who did: elsewhere others have its name.
    pub fn is_owner(&self, cluster: &ClusterName, user: &UserInfo) -> bool {
        let index = self.index.read();
        index.parents.get(cluster).is_some_and(|above| {
            !above.owner.is_empty()
                && *above.owner == *user.username
                && above.home.as_deref() == user.service_account_cluster()
        })
    }

    /// Whether the workspace of a logical cluster waits for initializers.
    pub fn is_initializing(&self, cluster: &ClusterName) -> bool {
        self.index.read().parents.get(cluster).is_some_and(|above| above.initializing)
    }

    /// The child workspaces of a logical cluster: names and logical clusters, in no order.
    pub fn children(&self, cluster: &ClusterName) -> Vec<(String, ClusterName)> {
        let index = self.index.read();
        let found = index.children.get(cluster).into_iter().flatten();
        found.map(|(name, child)| (name.to_string(), child.clone())).collect()
    }

    /// The path of a logical cluster; `None` when it is neither a root nor behind a workspace.
    pub fn path(&self, cluster: &ClusterName) -> Option<ClusterPath> {
        self.index.read().path(cluster)
    }

    /// The logical cluster that a reference means; `None` for the wildcard and for what does not exist.
    pub fn resolve(&self, reference: &ClusterRef) -> Option<Resolved> {
        let index = self.index.read();
        match reference {
            ClusterRef::Wildcard => None,
            ClusterRef::System(name) => Some(Resolved { name: name.clone(), path: index.path(name)? }),
            ClusterRef::Path(path) => {
                let mut segments = path.segments();
                let mut at = ClusterName::new(segments.next()?).ok()?;
                if !is_root(&at) && !index.parents.contains_key(&at) {
                    return None;
                }
                for segment in segments {
                    at = index.children.get(&at)?.get(segment)?.clone();
                }
                let path = index.path(&at)?;
                Some(Resolved { name: at, path })
            }
        }
    }
}

/// Whether a logical cluster is at the top of a tree.
fn is_root(cluster: &ClusterName) -> bool {
    cluster.is_system() || cluster.as_str() == ClusterName::ROOT
}

impl Index {
    fn path(&self, cluster: &ClusterName) -> Option<ClusterPath> {
        let mut names: Vec<&str> = Vec::new();
        let mut at = cluster;
        for _ in 0..DEEPEST {
            if is_root(at) {
                names.push(at.as_str());
                names.reverse();
                return ClusterPath::new(&names.join(":")).ok();
            }
            let above = self.parents.get(at)?;
            names.push(&above.name);
            at = &above.parent;
        }
        None
    }

    fn put(&mut self, key: &Key, workspace: &[u8]) {
        let parts = key.parts();
        let Ok(parent) = ClusterName::new(parts.cluster) else { return };
        let child = scan::member(workspace, "spec").and_then(|spec| scan::member(spec, "cluster")).and_then(scan::text);
        let Some(child) = child.and_then(|c| ClusterName::new(c).ok()) else { return };
        let annotations = scan::of_metadata(workspace, "annotations");
        let owner = annotations
            .and_then(|a| scan::member(a, OWNER_ANNOTATION))
            .and_then(|raw| serde_json::from_slice::<String>(raw).ok())
            .and_then(|text| serde_json::from_str::<UserInfo>(&text).ok())
            .unwrap_or_default();
        let phase = scan::member(workspace, "status").and_then(|s| scan::member(s, "phase")).and_then(scan::text);
        let above = Above {
            parent: parent.clone(),
            name: parts.name.into(),
            home: owner.service_account_cluster().map(Into::into),
            owner: owner.username.into(),
            initializing: phase == Some(phase::INITIALIZING),
        };
        self.parents.insert(child.clone(), above);
        self.children.entry(parent).or_default().insert(parts.name.into(), child);
    }

    fn remove(&mut self, key: &Key) {
        let parts = key.parts();
        let Ok(parent) = ClusterName::new(parts.cluster) else { return };
        let Some(siblings) = self.children.get_mut(&parent) else { return };
        if let Some(child) = siblings.remove(parts.name) {
            self.parents.remove(&child);
        }
        if siblings.is_empty() {
            self.children.remove(&parent);
        }
    }
}

struct Follower(Weak<Tenancy>);

impl Observer for Follower {
    fn applied(&self, events: &[Arc<Event>]) {
        let Some(tenancy) = self.0.upgrade() else { return };
        for event in events {
            let parts = event.key.parts();
            if parts.resource != WORKSPACE.resource || parts.group != WORKSPACE.group {
                continue;
            }
            let mut index = tenancy.index.write();
            match event.kind {
                EventKind::Delete => index.remove(&event.key),
                EventKind::Create | EventKind::Update => index.put(&event.key, &event.value),
            }
        }
    }
}
