//! The bootstrap roles and bindings: in every logical cluster, stored in none.
//!
//! They are read from the recording when RBAC is first asked, once in the life of the process. The compiled policy is
//! what decides; the objects are what `kubectl get clusterroles` shows, one copy for all logical clusters. Rules of
//! aggregated roles are gathered here from the roles of the recording; what a logical cluster adds is its own matter.

use std::sync::{Arc, LazyLock};

use kcp_apimachinery::object;
use kcp_apis::tenancy;
use kcp_authorization::{Layer, aggregate};
use kcp_logicalcluster::ClusterName;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::data::RBAC_BOOTSTRAP;
use crate::{
    encode::encode_at,
    virtuals::{VIRTUAL_REVISION, VirtualObject, VirtualObjects},
};

/// When virtual objects were born: before any clock that this runs under, the same in every server.
const BORN: &str = "2024-01-01T00:00:00Z";

/// The binding of those who administer a workspace, and their group.
const ADMINS: &str = tenancy::ADMIN_GROUP;

/// The resources that have bootstrap objects, and the kind of each.
const KINDS: [(&str, &str); 4] = [
    ("clusterroles", "ClusterRole"),
    ("clusterrolebindings", "ClusterRoleBinding"),
    ("roles", "Role"),
    ("rolebindings", "RoleBinding"),
];

/// Parses the recording and gathers aggregated rules. Dropped by the callers after use.
fn document() -> Value {
    // Part of the program; a test reads it.
    let mut document: Value = serde_json::from_str(RBAC_BOOTSTRAP).unwrap_or_default();
    if let Some(Value::Array(bindings)) = document.get_mut("clusterrolebindings") {
        bindings.push(workspace_admins());
    }
    let Some(Value::Array(roles)) = document.get_mut("clusterroles") else { return document };
    // Roles feed each other in steps: view feeds edit, edit feeds admin.
    for _ in 0..4 {
        let before = roles.clone();
        for role in roles.iter_mut() {
            if let Some(gathered) = aggregate(role, before.iter()) {
                object::as_map(role).insert("rules".into(), gathered);
            }
        }
    }
    document
}

/// What makes whoever has the verb `admin` on a workspace's content its administrator. The group is given by the
/// authorizer, in one workspace at a time; nobody brings it along.
fn workspace_admins() -> Value {
    json!({
        "metadata": {
            "name": ADMINS,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        },
        "roleRef": {"apiGroup": kcp_authorization::GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "apiGroup": kcp_authorization::GROUP, "name": ADMINS}],
    })
}

/// The compiled bootstrap policy, to put the policies of logical clusters over.
pub fn layer() -> Arc<Layer> {
    static LAYER: LazyLock<Arc<Layer>> = LazyLock::new(|| Arc::new(Layer::from_document(&document())));
    Arc::clone(&LAYER)
}

/// The bootstrap objects of one resource.
#[derive(Debug)]
struct Bootstrap(&'static str);

/// The objects of a resource of `rbac.authorization.k8s.io`.
pub(super) fn virtuals(resource: &str) -> Option<Arc<dyn VirtualObjects>> {
    let (resource, _) = KINDS.iter().find(|(r, _)| *r == resource)?;
    Some(Arc::new(Bootstrap(resource)))
}

type ByResource = Vec<(&'static str, Arc<[VirtualObject]>)>;

static OBJECTS: LazyLock<ByResource> = LazyLock::new(|| {
    let mut document = document();
    KINDS
        .iter()
        .map(|(resource, kind)| {
            let list = document.get_mut(*resource).map(Value::take);
            let Some(Value::Array(list)) = list else { return (*resource, Arc::from([])) };
            let mut objects: Vec<VirtualObject> = list.into_iter().map(|o| finish(o, resource, kind)).collect();
            objects.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
            (*resource, objects.into())
        })
        .collect()
});

fn finish(mut object: Value, resource: &str, kind: &str) -> VirtualObject {
    let (namespace, name) = (object::namespace(&object).to_owned(), object::name(&object).to_owned());
    let map = object::as_map(&mut object);
    map.insert("kind".into(), kind.into());
    map.insert("apiVersion".into(), "rbac.authorization.k8s.io/v1".into());
    let meta = object::meta_mut(&mut object);
    meta.insert("creationTimestamp".into(), BORN.into());
    meta.insert("uid".into(), stable_uid(&format!("{resource}/{namespace}/{name}")).into());
    VirtualObject { namespace, name, value: encode_at(&object, VIRTUAL_REVISION) }
}

/// A uid in the form of the others, the same for the same object in every server and after every start.
pub(super) fn stable_uid(seed: &str) -> String {
    let digest = Sha256::digest(format!("kcp virtual object {seed}"));
    let mut bytes = digest.first_chunk::<16>().copied().unwrap_or_default();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    uuid::Uuid::from_bytes(bytes).to_string()
}

fn of(resource: &str) -> Arc<[VirtualObject]> {
    OBJECTS.iter().find(|(r, _)| *r == resource).map_or_else(|| Arc::from([]), |(_, all)| Arc::clone(all))
}

impl VirtualObjects for Bootstrap {
    fn objects(&self, cluster: &ClusterName) -> Arc<[VirtualObject]> {
        // Physical clusters, and what is beside the tree of workspaces, have no workspace admins.
        let plain = cluster.is_system() && self.0 == "clusterrolebindings";
        if plain {
            static PLAIN: LazyLock<Arc<[VirtualObject]>> =
                LazyLock::new(|| of("clusterrolebindings").iter().filter(|o| o.name != ADMINS).cloned().collect());
            return Arc::clone(&PLAIN);
        }
        of(self.0)
    }
}

/// The default types of workspaces, which every logical cluster can refer to.
#[derive(Debug)]
pub(super) struct WorkspaceTypes;

impl VirtualObjects for WorkspaceTypes {
    fn objects(&self, cluster: &ClusterName) -> Arc<[VirtualObject]> {
        static TYPES: LazyLock<Arc<[VirtualObject]>> = LazyLock::new(|| {
            kcp_apis::tenancy::default_types()
                .into_iter()
                .map(|mut object| {
                    let name = object::name(&object).to_owned();
                    let meta = object::meta_mut(&mut object);
                    meta.insert("creationTimestamp".into(), BORN.into());
                    meta.insert("generation".into(), json!(1));
                    meta.insert("uid".into(), stable_uid(&format!("workspacetypes//{name}")).into());
                    VirtualObject { namespace: String::new(), name, value: encode_at(&object, VIRTUAL_REVISION) }
                })
                .collect()
        });
        // They live in root; others name them by its path.
        if cluster.as_str() == "root" { Arc::clone(&TYPES) } else { Arc::from([]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(resource: &str, namespace: &str, name: &str) -> Value {
        let root = ClusterName::root();
        let found = virtuals(resource).unwrap().get(&root, namespace, name).unwrap();
        serde_json::from_slice(&found.value).unwrap()
    }

    /// the roles that everybody knows, marked as what they are.
    #[test]
    fn objects() {
        let view = read("clusterroles", "", "view");
        assert_eq!(view["kind"], "ClusterRole");
        assert_eq!(view["metadata"]["resourceVersion"], "1");
        assert_eq!(view["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
        assert_eq!(view["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"], "true");
        assert_eq!(
            view["aggregationRule"],
            json!({"clusterRoleSelectors": [{"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}}]})
        );
        assert!(view["rules"].as_array().is_some_and(|r| !r.is_empty()), "AZ-05: rules are gathered");
        let discovery = read("clusterroles", "", "system:discovery");
        assert!(discovery["rules"][0]["nonResourceURLs"].as_array().unwrap().iter().any(|u| u == "/openapi/*"));
        assert_eq!(read("roles", "kube-system", "extension-apiserver-authentication-reader")["kind"], "Role");
    }

    /// AZ-05: what edit may, admin may.
    #[test]
    fn aggregation_reaches_admin() {
        let has = |role: &str, resource: &str| {
            let role = read("clusterroles", "", role);
            role["rules"].as_array().unwrap().iter().any(|r| {
                r["resources"].as_array().is_some_and(|all| all.iter().any(|x| x == resource))
                    && r["verbs"].as_array().is_some_and(|all| all.iter().any(|v| v == "create"))
            })
        };
        assert!(!has("view", "configmaps"));
        assert!(has("edit", "configmaps"));
        assert!(has("admin", "configmaps") && has("admin", "rolebindings"));
    }

    #[test]
    fn workspaces_have_administrators() {
        let binding = read("clusterrolebindings", "", "system:kcp:workspace:admin");
        assert_eq!(binding["roleRef"]["name"], "cluster-admin");
        let all = virtuals("clusterrolebindings").unwrap();
        assert!(all.get(&ClusterName::system_admin(), "", "system:kcp:workspace:admin").is_none());
        assert!(all.get(&ClusterName::system_admin(), "", "cluster-admin").is_some());
    }

    #[test]
    fn uids_are_stable_and_well_formed() {
        assert_eq!(stable_uid("a"), stable_uid("a"));
        assert_ne!(stable_uid("a"), stable_uid("b"));
        assert_eq!(uuid::Uuid::parse_str(&stable_uid("a")).unwrap().get_version_num(), 4);
    }
}
