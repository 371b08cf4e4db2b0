//! A simulated physical cluster: what makes deployments run where there are no machines.
//!
//! An API server with the workload kinds, plus the controllers here: deployments make replica sets, replica sets make
//! pods, and a kubelet marks pods as running. **Known programs run for real**: a container whose command is one of
//! [`Context::programs`] becomes a process, with its secrets, config maps and service-account token as files. So the YAML of
//! a syncer does here what it does anywhere.
//!
//! Deliberately absent: networking, storage, images, logs, and the other workload controllers.

mod deployment;
mod kubelet;
mod objects;
mod process;
mod replica_set;
mod volumes;

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, sync::Arc};

use kcp_apimachinery::GroupVersionResource;
use kcp_client::{Client, WriteParams};
use kcp_controller::{Found, follow_store, side_by_side};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{EventKind, Prefix, Store};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The name of the one node.
pub const NODE: &str = "sim-node";
/// How many keys of one controller are worked on at a time.
const CONCURRENCY: usize = 16;

/// What a simulated cluster consists of.
pub struct Context {
    /// The index that the controllers read and the log they follow.
    pub store: Store,
    /// Writes, with the rights of the cluster itself.
    pub client: Client,
    /// The logical cluster that the objects are in.
    pub cluster: ClusterName,
    /// Folder for the files and logs of pods.
    pub directory: PathBuf,
    /// Host and port of the API server, for processes that talk to it.
    pub server: (String, u16),
    /// PEM of the CA that its clients trust.
    pub ca_pem: String,
    /// The programs that run for real: the command in a container, and how to start it; the container's arguments follow.
    pub programs: BTreeMap<String, Vec<OsString>>,
}

/// Runs the cluster's controllers until `stop`, then ends the processes that it started.
pub async fn run(context: Context, stop: CancellationToken) {
    let context = Arc::new(context);
    if let Err(error) = register_node(&context).await {
        tracing::warn!(%error, "the node could not be registered");
    }
    let deployments = deployment::Controller::new(context.clone());
    let replica_sets = replica_set::Controller::new(context.clone());
    let kubelet = kubelet::Kubelet::new(context.clone());
    let everything = Prefix::all();
    let cursor = follow_store(&context.store, &everything, &stop, |found| {
        let (key, value, gone) = match &found {
            Found::Existing(key, value) => (*key, *value, false),
            Found::Event(event) => (&event.key, &event.value[..], event.kind == EventKind::Delete),
        };
        let parts = key.parts();
        match (parts.group, parts.resource) {
            ("apps", "deployments") => deployments.observe(parts.namespace, parts.name),
            ("apps", "replicasets") => {
                replica_sets.observe(parts.namespace, parts.name);
                deployments.observe_owned(parts.namespace, value);
            }
            ("", "pods") => {
                kubelet.observe(parts.namespace, parts.name, value, gone);
                replica_sets.observe_owned(parts.namespace, value);
            }
            ("", "secrets" | "configmaps" | "serviceaccounts") => kubelet.observe_source(parts.namespace),
            _ => {}
        }
    });
    side_by_side([
        Box::pin(cursor),
        Box::pin(deployments.run(&stop)),
        Box::pin(replica_sets.run(&stop)),
        Box::pin(kubelet.run(&stop)),
    ])
    .await;
}

async fn register_node(context: &Context) -> Result<(), kcp_client::Error> {
    let nodes = GroupVersionResource::new("", "v1", "nodes");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}}});
    match context.client.create(&nodes, "", &node, &WriteParams::manager("kubelet")).await {
        Ok(_) => {}
        Err(e) if e.is_already_exists() => return Ok(()),
        Err(e) => return Err(e),
    }
    let now = kcp_apimachinery::time::Timestamp::now().rfc3339();
    let status = json!({"status": {
        "capacity": {"cpu": "4", "memory": "16Gi", "pods": "110"},
        "allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"},
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": NODE}],
        "nodeInfo": {"architecture": "amd64", "bootID": "", "containerRuntimeVersion": "sim://0", "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": concat!("v1.36.0-sim-", env!("CARGO_PKG_VERSION")), "machineID": "", "operatingSystem": "linux", "osImage": "simulated", "systemUUID": ""},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "the simulated kubelet is ready", "lastHeartbeatTime": now, "lastTransitionTime": now}],
    }});
    let patch = kcp_client::Patch::Merge(&status);
    context.client.patch(&nodes, "", NODE, "status", &patch, &WriteParams::manager("kubelet")).await.map(drop)
}

/// The name of the controller of `kind` that owns an object.
fn controller_of<'a>(object: &'a Value, kind: &str) -> Option<(&'a str, &'a str)> {
    let owners = object.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|o| o["controller"] == true && o["kind"] == kind)?;
    Some((owner["name"].as_str()?, owner["uid"].as_str()?))
}
