//! Where logical clusters are: for the gate, which looks references up, and for the authorizer, which climbs the tree.

use std::sync::Arc;

use kcp_apimachinery::Status;
use kcp_apiserver::{ClusterResolver, Resolved};
use kcp_logicalcluster::{ClusterName, ClusterPath, ClusterRef};
use kcp_registry::Registry;

use crate::authorizer::Tree;

pub(crate) struct WorkspaceTree(pub(crate) Arc<Registry>);

impl Tree for WorkspaceTree {
    fn parent(&self, cluster: &ClusterName) -> Option<(ClusterName, String)> {
        self.0.tenancy().parent(cluster)
    }
    fn child(&self, parent: &ClusterName, name: &str) -> Option<ClusterName> {
        self.0.tenancy().child(parent, name)
    }
    fn owner(&self, cluster: &ClusterName) -> Option<String> {
        self.0.tenancy().owner(cluster)
    }
}

pub(crate) struct ServerResolver {
    pub(crate) registry: Arc<Registry>,
    pub(crate) workspaces: bool,
}

impl ClusterResolver for ServerResolver {
    fn resolve(&self, reference: &ClusterRef) -> Result<Option<Resolved>, Status> {
        let found = |name: ClusterName, path: &str| Resolved { name, path: path.into(), warning: None };
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
                    return Ok(Some(found(r.name, r.path.as_str())));
                }
                // A path without its root was the custom once.
                let rooted = ClusterPath::new(&format!("root:{path}"))
                    .ok()
                    .filter(|_| path.segments().next() != Some(ClusterName::ROOT));
                let rooted = rooted.and_then(|p| tenancy.resolve(&ClusterRef::Path(p)));
                Ok(rooted.map(|r| Resolved {
                    warning: Some(format!("accessing workspaces via /clusters/<org>:<workspace> is deprecated, use /clusters/root:{path} instead")),
                    ..found(r.name, r.path.as_str())
                }))
            }
        }
    }
}
