//! Who may do what in which logical cluster.
//!
//! In this order: superusers; public paths; the workspace-content stage (may this user enter this workspace at all? That
//! is decided in its parent); what follows from the tree of workspaces; the powers of a workspace's administrator; RBAC
//! of the logical cluster itself over the bootstrap policy. Nothing else allows anything.
//!
//! Users are seen differently in different logical clusters: a service account has its name at home only; whoever is
//! impersonated with the rights of one logical cluster is nobody in particular in all others.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use kcp_apimachinery::{UserInfo, user};
use kcp_apis::tenancy;
use kcp_apiserver::{Authorizer, Cluster, Resolved};
use kcp_authentication::identity;
use kcp_authorization::{Attributes, Decision, RbacIndex};
use kcp_logicalcluster::ClusterName;
use kcp_registry::{Verdict, builtin::bootstrap, rbac::RbacSource};

/// Where logical clusters are in the tree of workspaces, and whose they are. Answers from memory.
pub(crate) trait Tree: Send + Sync {
    /// The parent of a workspace's logical cluster, and the workspace's name there; `None` for `root` and system clusters.
    fn parent(&self, cluster: &ClusterName) -> Option<(ClusterName, String)>;
    /// The logical cluster of a workspace.
    fn child(&self, parent: &ClusterName, name: &str) -> Option<ClusterName>;
    /// Whether the user made the workspace.
    fn is_owner(&self, cluster: &ClusterName, user: &UserInfo) -> bool;
    /// The types whose initializers the workspace waits for: the logical cluster that holds each, and its name.
    fn initializers(&self, cluster: &ClusterName) -> Vec<(ClusterName, String)>;
}

/// The policies of logical clusters.
pub(crate) trait Policies: Send + Sync {
    /// What is stored in a logical cluster, over the bootstrap policy.
    fn policy(&self, cluster: &ClusterName) -> Arc<RbacIndex>;
}

impl Policies for RbacSource {
    fn policy(&self, cluster: &ClusterName) -> Arc<RbacIndex> {
        Self::policy(self, cluster)
    }
}

/// How many workspaces are looked at to work out the rights in one; whatever needs more is refused.
const MAX_CLUSTERS: usize = 64;
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
    rbac: Arc<dyn Policies>,
    tree: Arc<dyn Tree>,
    /// Whether there are workspaces; without them every cluster is entered by anyone, and RBAC decides.
    workspaces: bool,
    /// What nobody has stored: the powers of administrators and what the public sees rest on it alone.
    bootstrap: RbacIndex,
}

impl Authorizer for ServerAuthorizer {
    fn authorize(&self, cluster: &Cluster, attributes: &Attributes<'_>) -> Verdict {
        if attributes.user.in_group(user::MASTERS) {
            return allow(String::new());
        }
        match cluster {
            Cluster::All => refuse("access to all logical clusters at once is for system:masters"),
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

fn verdict(decision: &Decision) -> Verdict {
    Verdict { allowed: decision.is_allowed(), denied: false, reason: decision.reason().to_string() }
}

impl ServerAuthorizer {
    pub(crate) fn new(rbac: Arc<dyn Policies>, tree: Arc<dyn Tree>, workspaces: bool) -> Self {
        Self { rbac, tree, workspaces, bootstrap: RbacIndex::bootstrap_only(&bootstrap::layer()) }
    }

    fn in_cluster(&self, cluster: &Resolved, attributes: &Attributes<'_>) -> Verdict {
        let name = &cluster.name;
        if is_reserved_impersonation(attributes) {
            return refuse("groups and users of the system itself cannot be impersonated");
        }
        if !attributes.is_resource && is_public(attributes.path) {
            let decision = self.bootstrap.authorize(attributes);
            if decision.is_allowed() {
                return verdict(&decision);
            }
        }
        let user = scoped(attributes.user, name);
        let attributes = &Attributes { user: &user, ..*attributes };
        let entry = self.entry_of(name, &user);
        if entry == Entry::Refused {
            return refuse(format!("\"{}\" workspace access not permitted", cluster.path));
        }
        if self.workspaces
            && let Some(reason) = self.granted_by_tree(name, attributes)
        {
            return allow(reason);
        }
        let seen = self.seen_in(name, &user, entry);
        let attributes = &Attributes { user: &seen, ..*attributes };
        if entry == Entry::Admin {
            // From the bootstrap policy: whatever is stored in the workspace does not lock its administrators out.
            let decision = self.bootstrap.authorize(attributes);
            if decision.is_allowed() {
                return verdict(&decision);
            }
        }
        verdict(&self.rbac.policy(name).authorize(attributes))
    }

    fn entry_of(&self, cluster: &ClusterName, user: &UserInfo) -> Entry {
        if self.workspaces { self.entry(cluster, user, &mut HashMap::new()) } else { Entry::Access }
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
            if self.workspaces {
                own.groups.extend(groups.iter().map(|g| (*g).to_owned()));
            }
        }
        seen
    }

    /// The user as the policy of a logical cluster is asked about it, for whoever asks what a user may do.
    pub(crate) fn effective(&self, cluster: &ClusterName, user: &UserInfo) -> UserInfo {
        let user = scoped(user, cluster);
        self.seen_in(cluster, &user, self.entry_of(cluster, &user)).into_owned()
    }

    /// The policy of a logical cluster.
    pub(crate) fn policy(&self, cluster: &ClusterName) -> Arc<RbacIndex> {
        self.rbac.policy(cluster)
    }

    /// How far a user may enter a workspace: what the RBAC of its parent says of `workspaces/content`, whoever made it as
    /// admin, its own service accounts, and everyone with credentials in `root`.
    ///
    /// `known` holds what was found out already: workspaces and the types that initialise them may lie in each other, so
    /// without it a tenant could build a tree that takes for ever. Who is being looked at is refused until he is known.
    fn entry(&self, cluster: &ClusterName, user: &UserInfo, known: &mut HashMap<ClusterName, Entry>) -> Entry {
        if user.in_group(user::MASTERS) {
            return Entry::Admin;
        }
        if !user.in_group(user::AUTHENTICATED) {
            return Entry::Refused;
        }
        if user.service_account_cluster() == Some(cluster.as_str()) {
            return Entry::Access;
        }
        if cluster.as_str() == ClusterName::ROOT || cluster.is_system() {
            return Entry::Access;
        }
        if self.tree.is_owner(cluster, user) {
            return Entry::Admin;
        }
        if let Some(entry) = known.get(cluster) {
            return *entry;
        }
        if known.len() >= MAX_CLUSTERS {
            return Entry::Refused;
        }
        let Some((parent, name)) = self.tree.parent(cluster) else { return Entry::Refused };
        known.insert(cluster.clone(), Entry::Refused);
        let above = self.entry(&parent, user, known);
        let (resource, subresource) = tenancy::CONTENT_SUBRESOURCE.split_once('/').unwrap_or_default();
        let may = |verb| {
            let question = Attributes { subresource, ..Attributes::resource(user, verb, tenancy::GROUP, resource) };
            self.stored(&parent, above, &question.named("", &name))
        };
        let entry = if may(tenancy::ADMIN_VERB) || self.initializes(cluster, user, known) {
            Entry::Admin
        } else if may(tenancy::ACCESS_VERB) {
            Entry::Access
        } else {
            Entry::Refused
        };
        known.insert(cluster.clone(), entry);
        entry
    }

    /// Whether the workspace waits for an initializer that the user may act as.
    fn initializes(&self, cluster: &ClusterName, user: &UserInfo, known: &mut HashMap<ClusterName, Entry>) -> bool {
        self.tree.initializers(cluster).iter().any(|(holder, name)| {
            let above = self.entry(holder, user, known);
            let (group, resource) = (tenancy::GROUP, tenancy::WORKSPACE_TYPE.resource);
            let question = Attributes::resource(user, tenancy::INITIALIZE_VERB, group, resource).named("", name);
            above > Entry::Refused && self.stored(holder, above, &question)
        })
    }

    /// What roles in a logical cluster say of a user who entered it this far.
    fn stored(&self, cluster: &ClusterName, entry: Entry, question: &Attributes<'_>) -> bool {
        let seen = self.seen_in(cluster, question.user, entry);
        let question = Attributes { user: &seen, ..*question };
        (entry == Entry::Admin && self.bootstrap.authorize(&question).is_allowed())
            || self.rbac.policy(cluster).authorize(&question).is_allowed()
    }

    /// What follows from the tree of workspaces without any role: why it is allowed.
    fn granted_by_tree(&self, cluster: &ClusterName, a: &Attributes<'_>) -> Option<String> {
        if !a.is_resource || a.group != tenancy::GROUP || !a.subresource.is_empty() {
            return None;
        }
        let root = cluster.as_str() == ClusterName::ROOT;
        if root && a.resource == tenancy::WORKSPACE_TYPE.resource {
            let reads = matches!(a.verb, "get" | "list" | "watch");
            if reads || a.verb == tenancy::USE_VERB && USABLE_TYPES.contains(&a.name) {
                return Some("everyone may use the default workspace types".into());
            }
        }
        if a.resource != tenancy::WORKSPACE.resource || a.name.is_empty() {
            return None;
        }
        if root && a.name == tenancy::HOME_ALIAS {
            return (a.verb == "get").then(|| "everyone has a home workspace".into());
        }
        if matches!(a.verb, "get" | "delete" | "list" | "watch") {
            let child = self.tree.child(cluster, a.name)?;
            return self.tree.is_owner(&child, a.user).then(|| format!("{:?} made the workspace", a.user.username));
        }
        None
    }
}

/// The user in a logical cluster outside of which he may not count: nobody in particular, but somebody.
fn scoped<'a>(user: &'a UserInfo, cluster: &ClusterName) -> Cow<'a, UserInfo> {
    if user.is_in_scope(cluster.as_str()) {
        return Cow::Borrowed(user);
    }
    let groups = user.groups.iter().filter(|g| *g == user::AUTHENTICATED).cloned().collect();
    Cow::Owned(UserInfo { username: user::ANONYMOUS.into(), groups, ..UserInfo::default() })
}

/// Paths that the bootstrap policy lets everyone see, whatever the workspace.
fn is_public(path: &str) -> bool {
    ["/healthz", "/livez", "/readyz", "/version"]
        .iter()
        .any(|p| path.strip_prefix(p).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Impersonation is bounded by the workspace: who administers one must not become someone who administers the server, nor
/// say of itself what only the server says (GHSA-c7xh-gjv4-4jgv).
fn is_reserved_impersonation(a: &Attributes<'_>) -> bool {
    if !a.is_resource || !(a.verb == "impersonate" || a.verb.starts_with("impersonate:")) {
        return false;
    }
    match a.resource {
        "groups" => a.name == user::MASTERS || a.name.starts_with("system:kcp:"),
        "users" => {
            ["system:kcp:", "system:kcp-", "system:node:"].iter().any(|p| a.name.starts_with(p))
                || a.name == "system:apiserver"
        }
        "userextras" => a.subresource.contains("kcp.io/"),
        _ => false,
    }
}

#[cfg(test)]
#[path = "authorizer_tests.rs"]
mod tests;
