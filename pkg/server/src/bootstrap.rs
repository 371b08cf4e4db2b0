//! What there is before anyone has made anything: the logical cluster `root`, and the organisation `root:default` in it.
//!
//! Each thing is made when it is not there, so a start after the first writes nothing, unless the server has moved to
//! another address: that is part of what workspaces say of themselves.

use std::sync::Arc;

use kcp_apimachinery::{GroupResource, Status, UserInfo, object, time::Timestamp, user};
use kcp_apis::{core, tenancy};
use kcp_logicalcluster::{ClusterName, ClusterPath};
use kcp_registry::{Body, Registry, Request, WriteOptions, encode, tenancy::Birth};
use kcp_storage::{Batch, Expect, Key, Prefix};
use serde_json::{Value, json};

use crate::error::StartError;

/// The organisation that exists after the first start.
const DEFAULT_ORGANIZATION: &str = "default";
/// How many URLs are rewritten in one commit.
const URLS_AT_A_TIME: usize = 512;
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
    move_urls(registry, &key, base_url).await?;
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

/// Rewrites the URLs of all workspaces when the server is reached at another address than before. The one of `root` says
/// at which, and is rewritten last: what is cut short begins anew.
async fn move_urls(registry: &Arc<Registry>, root: &Key, base_url: &str) -> Result<(), Status> {
    let store = registry.store();
    let Some(own) = store.get(root) else { return Ok(()) };
    let own: Value = serde_json::from_slice(&own.value).map_err(Status::internal)?;
    let wanted = format!("{base_url}/clusters/root");
    let before = own.pointer("/status/URL").and_then(Value::as_str).unwrap_or_default();
    if before == wanted {
        return Ok(());
    }
    tracing::info!(before, now = wanted, "the address has changed: rewriting the URLs of all workspaces");
    let tenancy = registry.tenancy();
    let url = |cluster: &ClusterName| Some(format!("{base_url}/clusters/{}", tenancy.path(cluster)?));
    let kinds = [(&tenancy::WORKSPACE, "spec"), (&core::LOGICAL_CLUSTER, "status")];
    for (kind, part) in kinds {
        let prefix = Prefix::resource(&kind.group_resource()).map_err(Status::internal)?;
        let snapshot = store.snapshot();
        let mut batch = Batch::new();
        for (key, entry) in snapshot.range(&prefix, None).filter(|(key, _)| *key != root) {
            let mut object: Value = serde_json::from_slice(&entry.value).map_err(Status::internal)?;
            let behind = match part {
                "spec" => object.pointer("/spec/cluster").and_then(Value::as_str).unwrap_or_default().to_owned(),
                _ => key.parts().cluster.to_owned(),
            };
            let Some(url) = ClusterName::new(&behind).ok().and_then(|c| url(&c)) else { continue };
            object::child_mut(&mut object, part).insert("URL".into(), url.into());
            batch = batch.put(key.clone(), encode::encode(&object), Expect::Revision(entry.revision));
            if batch.ops.len() >= URLS_AT_A_TIME {
                store.commit(std::mem::take(&mut batch)).await.map_err(Status::internal)?;
            }
        }
        if !batch.ops.is_empty() {
            store.commit(batch).await.map_err(Status::internal)?;
        }
    }
    let mut own = own;
    object::child_mut(&mut own, "status").insert("URL".into(), wanted.into());
    let batch = Batch::new().put(root.clone(), encode::encode(&own), Expect::Any);
    store.commit(batch).await.map_err(Status::internal)?;
    Ok(())
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
    new: &Value,
) -> Result<(), Status> {
    let name = object::name(new);
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
    registry.create(&request, &Body::from(new), &options).await.map(drop)
}
