//! What there is before anyone has made anything: the logical cluster `root`, and the organisation `root:default` in it.
//!
//! Each thing is made when it is not there, so a start after the first writes nothing.

use std::sync::Arc;

use kcp_apimachinery::{GroupResource, Status, UserInfo, time::Timestamp, user};
use kcp_apis::{core, tenancy};
use kcp_logicalcluster::{ClusterName, ClusterPath};
use kcp_registry::{Body, Registry, Request, WriteOptions, tenancy::Birth};
use kcp_storage::{Batch, Key};
use serde_json::json;

use crate::error::StartError;

/// The organisation that exists after the first start.
const DEFAULT_ORGANIZATION: &str = "default";
/// The namespaces of a cluster that is not a workspace.
const NAMESPACES: [&str; 3] = ["default", "kube-public", "kube-system"];

pub(crate) async fn run(
    registry: &Arc<Registry>,
    workspaces: bool,
    base_url: &str,
    ca_pem: &str,
) -> Result<(), StartError> {
    let outcome = if workspaces {
        roots(registry, base_url, ca_pem).await
    } else {
        namespaces(registry, &ClusterName::system_admin()).await
    };
    outcome.map_err(|status| StartError::Internal(format!("the first objects could not be made: {status}")))
}

async fn roots(registry: &Arc<Registry>, base_url: &str, ca_pem: &str) -> Result<(), Status> {
    let root = ClusterName::root();
    let resource = core::LOGICAL_CLUSTER.group_resource();
    let key = Key::object(&resource, &root, "", core::LOGICAL_CLUSTER_NAME).map_err(Status::internal)?;
    if registry.store().get(&key).is_none() {
        let path = ClusterPath::root();
        let birth = Birth {
            cluster: &root,
            path: &path,
            url: &format!("{base_url}/clusters/root"),
            workspace_type: &format!("root:{}", tenancy::types::ROOT),
            owner: None,
            admin: "",
            directly_deletable: false,
            initializers: &[],
            ca_pem,
            now: Timestamp::now(),
        };
        let batch = Batch { ops: birth.ops()? };
        registry.store().commit(batch).await.map_err(Status::internal)?;
    }
    let organization = json!({
        "apiVersion": tenancy::WORKSPACE.api_version(), "kind": tenancy::WORKSPACE.kind,
        "metadata": {"name": DEFAULT_ORGANIZATION},
        "spec": {"type": {"name": tenancy::types::ORGANIZATION, "path": "root"}},
    });
    create(registry, &root, &tenancy::WORKSPACE.group_resource(), &tenancy::WORKSPACE.gvk().version, &organization)
        .await
}

async fn namespaces(registry: &Arc<Registry>, cluster: &ClusterName) -> Result<(), Status> {
    for name in NAMESPACES {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        create(registry, cluster, &GroupResource::new("", "namespaces"), "v1", &namespace).await?;
    }
    Ok(())
}

/// Creates an object of cluster scope unless there is one of that name.
async fn create(
    registry: &Arc<Registry>,
    cluster: &ClusterName,
    resource: &GroupResource,
    version: &str,
    object: &serde_json::Value,
) -> Result<(), Status> {
    let name = kcp_apimachinery::object::name(object);
    let key = Key::object(resource, cluster, "", name).map_err(Status::internal)?;
    if registry.store().get(&key).is_some() {
        return Ok(());
    }
    let info = registry
        .types(cluster)
        .lookup(&resource.group, version, &resource.resource)
        .ok_or_else(|| Status::internal(format!("{resource} is not served")))?;
    let user = UserInfo {
        username: "system:kcp-bootstrap".into(),
        groups: vec![user::MASTERS.into(), user::AUTHENTICATED.into()],
        ..UserInfo::default()
    };
    let request = Request::new(cluster.clone(), info, Arc::new(user));
    let options = WriteOptions { field_manager: "kcp-bootstrap".into(), ..WriteOptions::default() };
    registry.create(&request, &Body::from(object), &options).await.map(drop)
}
