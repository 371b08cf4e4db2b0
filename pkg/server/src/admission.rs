//! Opinions on writes that come with workspaces.

use std::sync::Arc;

use kcp_admission::{Attributes, Chain, Operation, Plugin};
use kcp_apimachinery::{GroupResource, Status, object};
use kcp_apis::workload::{CLUSTER_LABEL, WORKLOAD_CLUSTER, is_synced};
use kcp_storage::{Key, Store};
use serde_json::Value;

/// The opinions of a server with workspaces.
pub(crate) fn chain(store: &Store) -> Chain {
    Chain::new(vec![Arc::new(PhysicalClusterLabel(store.clone())), Arc::new(crate::imports::OwnImports)])
}

/// Gives a new object the physical cluster of its namespace. The controller of labels would do so with a second write;
/// this way the syncer sees the object at once.
struct PhysicalClusterLabel(Store);

impl Plugin for PhysicalClusterLabel {
    fn name(&self) -> &'static str {
        "PhysicalClusterLabel"
    }

    fn handles(&self, operation: Operation) -> bool {
        operation == Operation::Create
    }

    fn admit(&self, attributes: &Attributes<'_>, object: &mut Value, _: Option<&Value>) -> Result<(), Status> {
        let a = attributes;
        if a.namespace.is_empty()
            || !a.subresource.is_empty()
            || !is_synced(&a.kind.group, a.resource)
            || is_credential(object)
        {
            return Ok(());
        }
        let key =
            Key::object(&GroupResource::new("", "namespaces"), a.cluster, "", a.namespace).map_err(Status::internal)?;
        let Some(namespace) = self.0.get(&key) else { return Ok(()) };
        // Most namespaces have no physical cluster: the word is looked for before anything is parsed.
        if memchr::memmem::find(&namespace.value, CLUSTER_LABEL.as_bytes()).is_none() {
            return Ok(());
        }
        let namespace: Value = serde_json::from_slice(&namespace.value).map_err(Status::internal)?;
        if let Some(cluster) = object::label(&namespace, CLUSTER_LABEL) {
            object::set_label(object, CLUSTER_LABEL, cluster);
        }
        Ok(())
    }
}

/// A syncer's own account and credentials stay where they are.
fn is_credential(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    owners.into_iter().any(|o| o["kind"] == WORKLOAD_CLUSTER.kind)
}

#[cfg(test)]
mod tests {
    use kcp_apimachinery::{GroupVersionKind, UserInfo};
    use kcp_logicalcluster::ClusterName;
    use kcp_storage::{Batch, Expect, Options, Stamped};
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_get_the_cluster_of_their_namespace() {
        let store = Store::open(Options::memory()).unwrap();
        let cluster = ClusterName::root();
        for (name, labels) in [("with", json!({CLUSTER_LABEL: "east"})), ("without", json!({}))] {
            let key = Key::object(&GroupResource::new("", "namespaces"), &cluster, "", name).unwrap();
            let value = Stamped::plain(json!({"metadata": {"name": name, "labels": labels}}).to_string());
            store.commit_blocking(Batch::new().put(key, value, Expect::Absent)).unwrap();
        }
        let plugin = PhysicalClusterLabel(store);
        let label = |namespace: &str, resource: &str, mut object: Value| {
            let (kind, user) = (GroupVersionKind::new("", "v1", "X"), UserInfo::default());
            let attributes = Attributes {
                operation: Operation::Create,
                cluster: &cluster,
                kind: &kind,
                resource,
                subresource: "",
                namespace,
                name: "",
                user: &user,
                dry_run: false,
            };
            plugin.admit(&attributes, &mut object, None).unwrap();
            object::label(&object, CLUSTER_LABEL).map(str::to_owned)
        };
        let plain = json!({"metadata": {"name": "a"}});
        assert_eq!(label("with", "configmaps", plain.clone()).as_deref(), Some("east"));
        assert_eq!(
            label("with", "configmaps", json!({"metadata": {"labels": {CLUSTER_LABEL: "west"}}})).as_deref(),
            Some("east")
        );
        assert_eq!(label("without", "configmaps", plain.clone()), None);
        assert_eq!(label("with", "events", plain), None);
        let credential = json!({"metadata": {"ownerReferences": [{"kind": WORKLOAD_CLUSTER.kind}]}});
        assert_eq!(label("with", "secrets", credential), None);
    }
}
