//! What the workspace is told of the syncer: that it lives, what it syncs, and what it cannot.

use std::sync::atomic::Ordering;

use kcp_apimachinery::{object, time::Timestamp};
use kcp_apis::{
    conditions::{self, Condition, ConditionStatus},
    workload::{self, WORKLOAD_CLUSTER, condition, severity},
};
use kcp_client::{Error, Patch, WriteParams};
use serde_json::{Value, json};

use crate::sync::Sync;

/// A state of one of the syncer's parts, for its condition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Health {
    /// `None` when all is well; else the reason and the message.
    pub(crate) trouble: Option<(String, String)>,
}

/// What is reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Report {
    pub(crate) syncer: Health,
    pub(crate) importer: Health,
    pub(crate) synced_resources: Vec<String>,
}

impl Report {
    /// Writes itself into a WorkloadCluster; says whether anything but the heartbeat changed.
    fn write(&self, cluster: &mut Value, now: &str) -> bool {
        let mut changed = false;
        for (kind, health) in [(condition::SYNCER_READY, &self.syncer), (condition::API_IMPORTER_READY, &self.importer)]
        {
            let condition = match &health.trouble {
                None => Condition::holds(kind),
                Some((reason, message)) => {
                    Condition { kind, status: ConditionStatus::False, severity: severity::WARNING, reason, message }
                }
            };
            changed |= conditions::set(cluster, &condition, now);
        }
        let resources = json!(self.synced_resources);
        let status = object::child_mut(cluster, "status");
        if status.get("syncedResources") != Some(&resources) {
            status.insert("syncedResources".into(), resources);
            changed = true;
        }
        changed
    }
}

impl Sync {
    /// Tells the workspace that we live, and what has changed since it was last told.
    pub(crate) async fn heartbeat(&self, report: &Report) -> Result<(), Error> {
        let gvr = WORKLOAD_CLUSTER.gvr();
        let name = &self.workload_cluster;
        let params = WriteParams::manager(workload::SYNCER_FIELD_MANAGER);
        let now = Timestamp::now().rfc3339();
        let current = self.up_gate.pass(self.up.get(&gvr, "", name)).await?;
        let mut changed = current.clone();
        let patch = if report.write(&mut changed, &now) {
            object::child_mut(&mut changed, "status").insert("lastSyncerHeartbeatTime".into(), now.into());
            // The conditions are shared with the server, so the version is checked.
            json!({"metadata": {"resourceVersion": object::resource_version(&current)}, "status": changed["status"]})
        } else {
            json!({"status": {"lastSyncerHeartbeatTime": now}})
        };
        self.up_gate.pass(self.up.patch(&gvr, "", name, "status", &Patch::Merge(&patch), &params)).await?;
        Ok(())
    }

    /// Keeps the WorkloadCluster, while it is deleted, until nothing of ours is left in the physical cluster; `true`
    /// when it was let go.
    pub(crate) async fn hold_or_leave(&self, cluster: &Value) -> Result<bool, Error> {
        let held = object::finalizers(cluster).any(|f| f == workload::SYNCER_FINALIZER);
        let gvr = WORKLOAD_CLUSTER.gvr();
        let params = WriteParams::manager(workload::SYNCER_FIELD_MANAGER);
        let mut finalizers: Vec<&str> =
            object::finalizers(cluster).filter(|f| *f != workload::SYNCER_FINALIZER).collect();
        if !object::is_deleting(cluster) {
            // Deleting cannot be taken back: this is another WorkloadCluster of the same name.
            if self.leaving.swap(false, Ordering::Relaxed) {
                tracing::info!("the WorkloadCluster was made anew: what is assigned to it is brought down again");
                self.queue_all_namespaces();
            }
            if held {
                return Ok(false);
            }
            finalizers.push(workload::SYNCER_FINALIZER);
        } else {
            if !self.leaving.swap(true, Ordering::Relaxed) {
                tracing::info!("the WorkloadCluster is being deleted: removing everything that came from it");
                for namespace in self.down_namespaces.all() {
                    if let Some(locator) = self.our_locator(&namespace) {
                        self.queue.add(crate::sync::Work::Namespace(locator.namespace));
                    }
                }
            }
            if !held || !self.down_namespaces.is_synced() || self.namespaces_left() > 0 {
                return Ok(!held);
            }
        }
        let patch =
            json!({"metadata": {"resourceVersion": object::resource_version(cluster), "finalizers": finalizers}});
        match self
            .up_gate
            .pass(self.up.patch(&gvr, "", &self.workload_cluster, "", &Patch::Merge(&patch), &params))
            .await
        {
            Ok(_) => Ok(object::is_deleting(cluster)),
            Err(e) if e.is_not_found() => Ok(true),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_says_nothing_new_changes_nothing() {
        let report = Report {
            syncer: Health { trouble: Some(("R".into(), "m".into())) },
            synced_resources: vec!["configmaps".into()],
            ..Report::default()
        };
        let mut cluster = json!({"metadata": {"name": "c"}});
        assert!(report.write(&mut cluster, "2026-01-01T00:00:00Z"));
        assert!(!report.write(&mut cluster, "2026-01-01T00:01:00Z"));
        assert!(conditions::is_true(&cluster, condition::API_IMPORTER_READY));
        assert!(!conditions::is_true(&cluster, condition::SYNCER_READY));
    }
}
