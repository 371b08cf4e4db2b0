//! Fills ClusterRoles that are made of others (AZ-05).

use std::sync::Arc;

use kcp_apimachinery::{GroupVersionResource, object};
use kcp_authorization::aggregate;
use kcp_client::{Error, ListParams, Patch, WriteParams};
use kcp_controller::{Action, Queue, run};
use kcp_logicalcluster::ClusterName;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{CONCURRENCY, context::Context, meta::Seen};

pub(crate) struct Controller {
    context: Arc<Context>,
    /// Logical clusters whose roles have changed.
    queue: Queue<ClusterName>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default() }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        if seen.is("rbac.authorization.k8s.io", "clusterroles")
            && let Ok(cluster) = ClusterName::new(seen.parts.cluster)
        {
            self.queue.add(cluster);
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("clusterrole-aggregation", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    async fn reconcile(&self, cluster: ClusterName) -> Result<Action, Error> {
        let client = self.context.client(&cluster);
        let gvr = GroupVersionResource::new("rbac.authorization.k8s.io", "v1", "clusterroles");
        // Through the client, because the roles that every cluster has by default are served, not stored.
        let roles = match client.list_all(&gvr, "", &ListParams::default()).await {
            // The roles went with their logical cluster.
            Err(e) if e.is_not_found() => return Ok(Action::Done),
            other => other?.items,
        };
        for role in &roles {
            let Some(rules) = aggregate(role, &roles) else { continue };
            if rules != role["rules"] {
                let patch = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": object::name(role)}, "rules": rules});
                client
                    .patch(
                        &gvr,
                        "",
                        object::name(role),
                        "",
                        &Patch::Apply(&patch),
                        &WriteParams { force: true, ..WriteParams::manager("clusterrole-aggregation-controller") },
                    )
                    .await?;
            }
        }
        Ok(Action::Done)
    }
}
