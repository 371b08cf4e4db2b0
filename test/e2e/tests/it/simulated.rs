//! What pods of a simulated cluster, whose programs run on this machine, cannot do.

use anyhow::ensure;
use kcp_test_framework::{Cluster, poll, until};
use serde_json::{Value, json};

use crate::support::{Result, gvr};

/// The files of the machine are not for whoever may make pods.
#[tokio::test]
async fn pods_do_not_reach_the_files_of_the_machine() -> Result {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::start(dir.path(), &[]).await?;
    let (client, kubectl) = (cluster.client()?, cluster.kubectl()?);
    let pod = |name: &str, kubeconfig: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {
                "containers": [{
                    "name": "c", "image": "i", "command": ["/ko-app/syncer"],
                    "args": [format!("--from-kubeconfig={kubeconfig}"), "--from-cluster=root:a", "--workload-cluster-name=a"],
                    "volumeMounts": [{"name": "v", "mountPath": "/kcp"}],
                }],
                "volumes": [{"name": "v", "secret": {"secretName": "s"}}],
            },
        })
        .to_string()
    };
    let config = "{current-context: c, contexts: [{name: c, context: {cluster: c, user: c}}], \
                  clusters: [{name: c, cluster: {server: \"https://127.0.0.1:1\"}}], users: [{name: c, user: {tokenFile: /etc/hostname}}]}";
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"kubeconfig": config}});
    kubectl.apply(&secret.to_string())?;

    kubectl.apply(&pod("outside", "/kcp/../etc/hostname"))?;
    let refused = |o: Option<&Value>| {
        let waiting = o.and_then(|o| o.pointer("/status/containerStatuses/0/state/waiting"));
        waiting.is_some_and(|w| {
            w["reason"] == "CreateContainerConfigError" && w.to_string().contains("/kcp/../etc/hostname")
        })
    };
    until(&client, &gvr("", "pods"), "default", "outside", refused).await?;
    ensure!(cluster.syncers().is_empty(), "it was started nevertheless");

    kubectl.apply(&pod("through", "/kcp/kubeconfig"))?;
    poll("the syncer refusing its kubeconfig", async || {
        Ok(cluster.syncer_logs().contains("/etc/hostname is not in its folder").then_some(()))
    })
    .await
}
