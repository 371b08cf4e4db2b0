//! Where logical clusters are: for the gate, which looks references up, and for the authorizer, which climbs the tree.

use std::sync::Arc;

use kcp_apimachinery::{Status, UserInfo};
use kcp_apis::core::{self, LOGICAL_CLUSTER};
use kcp_apiserver::{ClusterResolver, Resolved};
use kcp_logicalcluster::{ClusterName, ClusterPath, ClusterRef};
use kcp_registry::Registry;
use kcp_storage::Key;
use serde_json::Value;

use crate::authorizer::Tree;

pub(crate) struct WorkspaceTree(pub(crate) Arc<Registry>);

impl Tree for WorkspaceTree {
    fn parent(&self, cluster: &ClusterName) -> Option<(ClusterName, String)> {
        self.0.tenancy().parent(cluster)
    }

    fn child(&self, parent: &ClusterName, name: &str) -> Option<ClusterName> {
        self.0.tenancy().child(parent, name)
    }

    fn is_owner(&self, cluster: &ClusterName, user: &UserInfo) -> bool {
        self.0.tenancy().is_owner(cluster, user)
    }

    fn initializers(&self, cluster: &ClusterName) -> Vec<(ClusterName, String)> {
        let tenancy = self.0.tenancy();
        // Most workspaces are past that; nothing is read for them.
        if !tenancy.is_initializing(cluster) {
            return Vec::new();
        }
        let (resource, name) = (LOGICAL_CLUSTER.group_resource(), core::LOGICAL_CLUSTER_NAME);
        let entry = Key::object(&resource, cluster, "", name).ok().and_then(|key| self.0.store().get(&key));
        let object: Value = entry.and_then(|e| serde_json::from_slice(&e.value).ok()).unwrap_or_default();
        let names = object.pointer("/status/initializers").and_then(Value::as_array).into_iter().flatten();
        names
            .filter_map(|n| {
                let (path, name) = n.as_str()?.rsplit_once(':')?;
                let holder = tenancy.resolve(&ClusterRef::Path(ClusterPath::new(path).ok()?))?;
                Some((holder.name, name.to_owned()))
            })
            .collect()
    }
}

pub(crate) struct ServerResolver {
    pub(crate) registry: Arc<Registry>,
    pub(crate) workspaces: bool,
}

impl ClusterResolver for ServerResolver {
    fn resolve(&self, reference: &ClusterRef) -> Result<Option<Resolved>, Status> {
        // What is shown is what was asked for: whoever is refused learns no other name of it.
        let found =
            |name: ClusterName, path: &ClusterPath| Resolved { name, path: path.as_str().into(), warning: None };
        let tenancy = self.registry.tenancy();
        match reference {
            ClusterRef::Wildcard => Ok(None),
            // The only system cluster there is: no reference must make up another.
            ClusterRef::System(name) => {
                Ok((*name == ClusterName::system_admin()).then(|| Resolved::named(name.clone())))
            }
            ClusterRef::Path(_) if !self.workspaces => Ok(None),
            ClusterRef::Path(path) => {
                if let Some(r) = tenancy.resolve(reference) {
                    return Ok(Some(found(r.name, path)));
                }
                // A path without its root was the custom once.
                let rooted = ClusterPath::new(&format!("root:{path}"))
                    .ok()
                    .filter(|_| path.segments().next() != Some(ClusterName::ROOT));
                let rooted = rooted.and_then(|p| tenancy.resolve(&ClusterRef::Path(p)));
                Ok(rooted.map(|r| Resolved {
                    warning: Some(format!("accessing workspaces via /clusters/<org>:<workspace> is deprecated, use /clusters/root:{path} instead")),
                    ..found(r.name, path)
                }))
            }
        }
    }
}
