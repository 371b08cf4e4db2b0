//! Who may do what in which logical cluster.
//!
//! In this order: superusers; public paths; the workspace-content stage (may this user enter this workspace at all? That
//! is decided in its parent); what the owner of a workspace may do to it; what everyone may do in `root`; RBAC of the logical
//! cluster itself over the bootstrap policy. Nothing else allows anything.

use std::{borrow::Cow, sync::Arc};

use kcp_apimachinery::{UserInfo, user};
use kcp_apis::tenancy;
use kcp_apiserver::{Authorizer, Cluster, Resolved};
use kcp_authentication::identity;
use kcp_authorization::{Attributes, Decision, RbacIndex};
use kcp_logicalcluster::ClusterName;
use kcp_registry::{Verdict, rbac::RbacSource};

/// Where logical clusters are in the tree of workspaces, and whose they are. Answers from memory.
pub(crate) trait Tree: Send + Sync {
    /// The parent of a workspace's logical cluster, and the workspace's name there; `None` for `root` and system clusters.
    fn parent(&self, cluster: &ClusterName) -> Option<(ClusterName, String)>;
    /// The logical cluster of a workspace.
    fn child(&self, parent: &ClusterName, name: &str) -> Option<ClusterName>;
    /// The user who made a workspace.
    fn owner(&self, cluster: &ClusterName) -> Option<String>;
}

/// The deepest workspace whose rights are worked out; deeper ones are refused.
const MAX_DEPTH: usize = 64;
/// The types that everyone may use, besides those that RBAC grants.
const USABLE_TYPES: [&str; 3] = [tenancy::types::ORGANIZATION, tenancy::types::TEAM, tenancy::types::UNIVERSAL];

/// How far a user may enter a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    /// Not at all.
    Refused,
    /// What RBAC inside grants.
    Access,
    /// As its administrator.
    Admin,
}

/// The server's authorizer.
pub(crate) struct ServerAuthorizer {
    pub(crate) rbac: Arc<RbacSource>,
    pub(crate) tree: Arc<dyn Tree>,
    /// Whether there are workspaces; without them every cluster is entered by anyone, and RBAC decides.
    pub(crate) workspaces: bool,
}

impl Authorizer for ServerAuthorizer {
    fn authorize(&self, cluster: &Cluster, attributes: &Attributes<'_>) -> Verdict {
        if attributes.user.in_group(user::MASTERS) {
            return allow(String::new());
        }
        match cluster {
            Cluster::All => Verdict {
                reason: "access to all logical clusters at once is for system:masters".into(),
                ..Verdict::default()
            },
            Cluster::One(cluster) => self.in_cluster(cluster, attributes),
        }
    }
}

fn allow(reason: String) -> Verdict {
    Verdict { allowed: true, denied: false, reason }
}

fn refuse(reason: impl Into<String>) -> Verdict {
    Verdict { reason: reason.into(), ..Verdict::default() }
}

impl ServerAuthorizer {
    fn in_cluster(&self, cluster: &Resolved, attributes: &Attributes<'_>) -> Verdict {
        let name = &cluster.name;
        if is_reserved_impersonation(attributes) {
            return refuse("groups and users of the system itself cannot be impersonated");
        }
        if !attributes.is_resource && is_public(attributes.path) {
            let decision = self.rbac.policy(&ClusterName::system_admin()).authorize(attributes);
            if decision.is_allowed() {
                return verdict(&decision);
            }
        }
        let entry = if self.workspaces { self.entry(name, attributes.user, 0) } else { Entry::Access };
        if entry == Entry::Refused {
            return refuse(format!("\"{}\" workspace access not permitted", cluster.path));
        }
        if self.workspaces
            && let Some(reason) = self.granted_by_tree(name, attributes)
        {
            return allow(reason);
        }
        let user = self.seen_in(name, attributes.user, entry);
        verdict(&self.rbac.policy(name).authorize(&Attributes { user: &user, ..*attributes }))
    }

    /// The user as a logical cluster sees it: service accounts of others under another name, with the groups of how far it may enter.
    fn seen_in<'a>(&self, cluster: &ClusterName, user: &'a UserInfo, entry: Entry) -> Cow<'a, UserInfo> {
        let mut seen = identity::seen_from(user, cluster);
        let groups: &[&str] = match entry {
            Entry::Refused => &[],
            Entry::Access => &[tenancy::ACCESS_GROUP],
            Entry::Admin => &[tenancy::ADMIN_GROUP, tenancy::ACCESS_GROUP],
        };
        // Nobody brings these groups along: they mean something in one workspace only.
        let brings = |g: &String| g == tenancy::ADMIN_GROUP || g == tenancy::ACCESS_GROUP;
        if seen.groups.iter().any(brings) || !groups.is_empty() && self.workspaces {
            let own = seen.to_mut();
            own.groups.retain(|g| !brings(g));
            own.groups.extend(groups.iter().map(|g| (*g).to_owned()));
        }
        seen
    }

    /// As [`ServerAuthorizer::seen_in`], for whoever asks what a user may do.
    pub(crate) fn effective<'a>(&self, cluster: &ClusterName, user: &'a UserInfo) -> Cow<'a, UserInfo> {
        let entry = if self.workspaces { self.entry(cluster, user, 0) } else { Entry::Access };
        self.seen_in(cluster, user, entry)
    }

    /// The policy of a logical cluster.
    pub(crate) fn policy(&self, cluster: &ClusterName) -> Arc<RbacIndex> {
        self.rbac.policy(cluster)
    }

    /// How far a user may enter a workspace: what the RBAC of its parent says of `workspaces/content`, whoever made it as
    /// admin, its own service accounts, and everyone with credentials in `root`.
    fn entry(&self, cluster: &ClusterName, user: &UserInfo, depth: usize) -> Entry {
        if user.in_group(user::MASTERS) {
            return Entry::Admin;
        }
        if !user.in_group(user::AUTHENTICATED) || depth > MAX_DEPTH {
            return Entry::Refused;
        }
        if user.service_account_cluster() == Some(cluster.as_str()) {
            return Entry::Access;
        }
        if cluster.as_str() == ClusterName::ROOT || cluster.is_system() {
            return Entry::Access;
        }
        // A service account is at home in one workspace; that it has a name in common with a person is no reason.
        if user.service_account_cluster().is_none() && self.tree.owner(cluster).as_deref() == Some(&user.username) {
            return Entry::Admin;
        }
        let Some((parent, name)) = self.tree.parent(cluster) else { return Entry::Refused };
        let above = self.entry(&parent, user, depth + 1);
        let in_parent = self.seen_in(&parent, user, above);
        let policy = self.rbac.policy(&parent);
        let may = |verb| {
            let (resource, subresource) = tenancy::CONTENT_SUBRESOURCE.split_once('/').unwrap_or_default();
            let attributes =
                Attributes { subresource, ..Attributes::resource(&in_parent, verb, tenancy::GROUP, resource) }
                    .named("", &name);
            policy.authorize(&attributes).is_allowed()
        };
        if may(tenancy::ADMIN_VERB) {
            Entry::Admin
        } else if may(tenancy::ACCESS_VERB) {
            Entry::Access
        } else {
            Entry::Refused
        }
    }

    /// What follows from the tree of workspaces without any role: why it is allowed.
    fn granted_by_tree(&self, cluster: &ClusterName, a: &Attributes<'_>) -> Option<String> {
        if !a.is_resource || a.group != tenancy::GROUP {
            return None;
        }
        let root = cluster.as_str() == ClusterName::ROOT;
        if root && a.resource == tenancy::WORKSPACE_TYPE.resource {
            let reads = matches!(a.verb, "get" | "list" | "watch");
            if reads || a.verb == tenancy::USE_VERB && USABLE_TYPES.contains(&a.name) {
                return Some("everyone may use the default workspace types".into());
            }
        }
        if a.resource == tenancy::WORKSPACE.resource
            && a.subresource.is_empty()
            && !a.name.is_empty()
            && matches!(a.verb, "get" | "delete" | "list" | "watch")
        {
            let child = self.tree.child(cluster, a.name)?;
            let owner = self.tree.owner(&child)?;
            if a.user.service_account_cluster().is_none() && owner == a.user.username {
                return Some(format!("{owner:?} made the workspace"));
            }
        }
        None
    }
}

fn verdict(decision: &Decision) -> Verdict {
    Verdict { allowed: decision.is_allowed(), denied: false, reason: decision.reason().to_string() }
}

/// Paths that the bootstrap policy lets everyone see, whatever the workspace.
fn is_public(path: &str) -> bool {
    ["/healthz", "/livez", "/readyz", "/version"]
        .iter()
        .any(|p| path.strip_prefix(p).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Impersonation is bounded by the workspace: who administers one must not become someone who administers the server.
fn is_reserved_impersonation(a: &Attributes<'_>) -> bool {
    if !a.is_resource || !a.verb.starts_with("impersonate") {
        return false;
    }
    match a.resource {
        "groups" => a.name == user::MASTERS || a.name.starts_with("system:kcp:"),
        "users" => {
            a.name.starts_with("system:kcp:") || a.name.starts_with("system:node:") || a.name == "system:apiserver"
        }
        "userextras" => a.subresource.contains("kcp.io/"),
        _ => false,
    }
}
