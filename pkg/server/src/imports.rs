//! A syncer speaks for its own physical cluster only.
//!
//! Its role must let it create APIResourceImports, and a create has no labels yet that a limited role could look at. So
//! what it writes is looked at here: an import in another cluster's name could keep that cluster's out, or bend the
//! types that all of them share.

use kcp_admission::{Attributes, Operation, Plugin};
use kcp_apimachinery::{Status, object};
use kcp_apis::{
    apiresource::API_RESOURCE_IMPORT,
    workload::{CLUSTER_LABEL, SYNCER_NAME_PREFIX},
};
use kcp_authentication::identity;
use serde_json::Value;

/// Refuses imports of a syncer that are not of its own cluster.
pub(crate) struct OwnImports;

impl Plugin for OwnImports {
    fn name(&self) -> &'static str {
        "OwnAPIResourceImports"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn validate(&self, a: &Attributes<'_>, object: Option<&Value>, _: Option<&Value>) -> Result<(), Status> {
        if a.kind.group != API_RESOURCE_IMPORT.group || a.resource != API_RESOURCE_IMPORT.resource {
            return Ok(());
        }
        let account = identity::split_service_account(&a.user.username).map(|(_, name)| name);
        let Some(own) = account.and_then(|name| name.strip_prefix(SYNCER_NAME_PREFIX)) else { return Ok(()) };
        let Some(object) = object else { return Ok(()) };
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (plural, version, group) =
            (text("/spec/plural"), text("/spec/groupVersion/version"), text("/spec/groupVersion/group"));
        let group = if group.is_empty() { "core" } else { group };
        let is_own = text("/spec/location") == own
            && object::label(object, CLUSTER_LABEL) == Some(own)
            && object::name(object) == format!("{plural}.{own}.{version}.{group}");
        if is_own {
            return Ok(());
        }
        let resource = API_RESOURCE_IMPORT.group_resource();
        let detail = format!("the syncer of {own:?} can only import the types of that cluster");
        Err(Status::forbidden(&resource, object::name(object), detail))
    }
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::UserInfo;
    use kcp_logicalcluster::ClusterName;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_syncer_speaks_for_its_own_cluster() {
        let cluster = ClusterName::root();
        let import = |name: &str, label: &str, location: &str| {
            json!({
                "metadata": {"name": name, "labels": {CLUSTER_LABEL: label}},
                "spec": {"plural": "widgets", "groupVersion": {"group": "example.io", "version": "v1"}, "location": location},
            })
        };
        let own = "widgets.east.v1.example.io";
        for (user, object, allowed) in [
            ("system:serviceaccount:default:syncer-east", import(own, "east", "east"), true),
            ("system:serviceaccount:default:syncer-east", import(own, "east", "west"), false),
            ("system:serviceaccount:default:syncer-east", import(own, "west", "east"), false),
            ("system:serviceaccount:default:syncer-east", import("widgets.west.v1.example.io", "east", "east"), false),
            ("system:serviceaccount:default:syncer-west", import(own, "east", "east"), false),
            ("alice", import(own, "west", "west"), true),
            ("system:serviceaccount:default:other", import(own, "west", "west"), true),
        ] {
            let user = UserInfo { username: user.into(), ..UserInfo::default() };
            let attributes = Attributes {
                operation: Operation::Create,
                cluster: &cluster,
                kind: &API_RESOURCE_IMPORT.gvk(),
                resource: API_RESOURCE_IMPORT.resource,
                subresource: "",
                namespace: "",
                name: "",
                user: &user,
                dry_run: false,
            };
            let outcome = OwnImports.validate(&attributes, Some(&object), None);
            assert_eq!(outcome.is_ok(), allowed, "{} {object}", user.username);
        }
    }
}
