//! What a new logical cluster holds: written in the same batch as the Workspace that it belongs to, so that it can be
//! used when the request is answered.

use kcp_apimachinery::{GroupResource, Status, names::new_uid, object, time::Timestamp};
use kcp_apis::{
    conditions::{self, ConditionStatus},
    core::{self, LOGICAL_CLUSTER, phase},
    tenancy::{self, condition, reason},
};
use kcp_logicalcluster::{ClusterName, ClusterPath};
use kcp_storage::{Expect, Key, Op};
use serde_json::{Value, json};

use crate::encode;

/// The object that a logical cluster belongs to.
#[derive(Debug, Clone)]
pub struct Owner<'a> {
    /// The logical cluster that holds the Workspace.
    pub cluster: &'a ClusterName,
    /// The Workspace's name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// A logical cluster to be born.
#[derive(Debug, Clone)]
pub struct Birth<'a> {
    /// Its name.
    pub cluster: &'a ClusterName,
    /// Its path.
    pub path: &'a ClusterPath,
    /// Where it is served.
    pub url: &'a str,
    /// `<path>:<name>` of its WorkspaceType.
    pub workspace_type: &'a str,
    /// What it belongs to; `None` for roots.
    pub owner: Option<Owner<'a>>,
    /// The user who becomes its admin, if any, by the name that he has in it.
    pub admin: &'a str,
    /// Whether who administers it may delete it from inside.
    pub directly_deletable: bool,
    /// What must be done before it is ready.
    pub initializers: &'a [String],
    /// The certificate authority for clients in it, PEM.
    pub ca_pem: &'a str,
    /// The time.
    pub now: Timestamp,
}

impl Birth<'_> {
    /// The writes. Each expects that its object does not exist.
    ///
    /// # Errors
    /// When a name cannot be a key, which no valid cluster's can.
    pub fn ops(&self) -> Result<Vec<Op>, Status> {
        let mut ops = Vec::with_capacity(5);
        let mut put = |group: &str, resource: &str, namespace: &str, value: Value| {
            let resource = GroupResource::new(group, resource);
            let key =
                Key::object(&resource, self.cluster, namespace, object::name(&value)).map_err(Status::internal)?;
            ops.push(Op::Put { key, value: encode::encode(&value), expect: Expect::Absent });
            Ok::<(), Status>(())
        };
        put(LOGICAL_CLUSTER.group, LOGICAL_CLUSTER.resource, "", self.logical_cluster())?;
        put("", "namespaces", "", self.namespace())?;
        put("", "serviceaccounts", "default", self.service_account())?;
        put("", "configmaps", "default", self.root_ca())?;
        if !self.admin.is_empty() {
            put(kcp_authorization::GROUP, "clusterrolebindings", "", self.binding())?;
        }
        Ok(ops)
    }

    fn meta(&self, name: &str, namespace: &str) -> Value {
        let mut meta = json!({"name": name, "uid": new_uid(), "creationTimestamp": self.now.rfc3339()});
        if !namespace.is_empty() {
            meta["namespace"] = namespace.into();
        }
        meta
    }

    fn logical_cluster(&self) -> Value {
        let mut meta = self.meta(core::LOGICAL_CLUSTER_NAME, "");
        meta["generation"] = 1.into();
        meta["annotations"] =
            json!({core::PATH_ANNOTATION: self.path.as_str(), tenancy::TYPE_ANNOTATION: self.workspace_type});
        let mut spec = json!({});
        if let Some(owner) = &self.owner {
            spec["owner"] = json!({
                "apiVersion": tenancy::WORKSPACE.api_version(),
                "resource": tenancy::WORKSPACE.resource,
                "name": owner.name,
                "cluster": owner.cluster.as_str(),
                "uid": owner.uid,
            });
        }
        if self.directly_deletable {
            spec["directlyDeletable"] = true.into();
        }
        if !self.initializers.is_empty() {
            spec["initializers"] = json!(self.initializers);
        }
        let mut object = json!({
            "kind": LOGICAL_CLUSTER.kind,
            "apiVersion": LOGICAL_CLUSTER.api_version(),
            "metadata": meta,
            "spec": spec,
            "status": {"URL": self.url},
        });
        self.state(&mut object);
        object
    }

    /// Phase, initializers and conditions: the same for the Workspace and its logical cluster.
    pub(super) fn state(&self, object: &mut Value) {
        let now = self.now.rfc3339();
        let ready = self.initializers.is_empty();
        let status = object::child_mut(object, "status");
        status.insert("phase".into(), if ready { phase::READY } else { phase::INITIALIZING }.into());
        if !ready {
            status.insert("initializers".into(), json!(self.initializers));
        }
        conditions::set_condition(object, condition::WORKSPACE_SCHEDULED, ConditionStatus::True, "", "", &now);
        if ready {
            conditions::set_condition(object, condition::WORKSPACE_INITIALIZED, ConditionStatus::True, "", "", &now);
        } else {
            let message = format!("Initializers still exist: {}", self.initializers.join(", "));
            let (kind, why) = (condition::WORKSPACE_INITIALIZED, reason::INITIALIZER_EXISTS);
            conditions::set_condition(object, kind, ConditionStatus::False, why, &message, &now);
        }
    }

    fn namespace(&self) -> Value {
        let mut meta = self.meta("default", "");
        meta["labels"] = json!({"kubernetes.io/metadata.name": "default"});
        json!({"kind": "Namespace", "apiVersion": "v1", "metadata": meta, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}})
    }

    fn service_account(&self) -> Value {
        json!({"kind": "ServiceAccount", "apiVersion": "v1", "metadata": self.meta("default", "default")})
    }

    fn root_ca(&self) -> Value {
        let mut meta = self.meta("kube-root-ca.crt", "default");
        meta["annotations"] = json!({
            "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
        });
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta, "data": {"ca.crt": self.ca_pem}})
    }

    fn binding(&self) -> Value {
        json!({
            "kind": "ClusterRoleBinding",
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "metadata": self.meta("workspace-admin", ""),
            "subjects": [{"kind": "User", "apiGroup": kcp_authorization::GROUP, "name": self.admin}],
            "roleRef": {"apiGroup": kcp_authorization::GROUP, "kind": "ClusterRole", "name": "cluster-admin"},
        })
    }
}
