//! Nothing is made in a logical cluster that is gone, or going.
//!
//! A request that was authorised before a workspace's end may be decided after it. So every create is committed
//! together with a check that the LogicalCluster is as the decision has seen it: a purge takes that object away, and the
//! deletion of a Workspace marks it in the same batch (see [`super::Workspaces`]). What is in a workspace that is being
//! deleted can therefore only become less.

use kcp_apimachinery::{GroupResource, Status, object, status::reason, time::Timestamp};
use kcp_apis::core::{self, LOGICAL_CLUSTER, phase};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Expect, Key, Op, Snapshot};
use serde_json::Value;

use crate::{encode, scan};

/// What may still be made in a workspace that is being deleted: controllers report and take turns while they work
/// finalizers off.
const ALLOWED: [(&str, &str); 3] = [("", "events"), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")];

/// The key of the LogicalCluster of a logical cluster; `None` for those that nothing ends.
fn key(cluster: &ClusterName) -> Option<Key> {
    if super::is_root(cluster) {
        return None;
    }
    Key::object(&LOGICAL_CLUSTER.group_resource(), cluster, "", core::LOGICAL_CLUSTER_NAME).ok()
}

/// Adds to `ops` what makes a create of `name` in `cluster` fail when the logical cluster has ended meanwhile.
///
/// # Errors
/// 404 when it has ended already, 403 when it is being deleted.
pub(crate) fn guard(
    snapshot: &Snapshot,
    cluster: &ClusterName,
    resource: &GroupResource,
    name: &str,
    ops: &mut Vec<Op>,
) -> Result<(), Status> {
    let Some(key) = key(cluster) else { return Ok(()) };
    let Some(entry) = snapshot.get(&key) else {
        let text = format!("logical cluster {:?} not found", cluster.as_str());
        return Err(Status::failure(404, reason::NOT_FOUND, text));
    };
    let allowed = || ALLOWED.contains(&(resource.group.as_str(), resource.resource.as_str()));
    if scan::is_deleting(&entry.value) && !allowed() {
        let detail = "unable to create new content in the workspace because it is being deleted";
        return Err(Status::forbidden(resource, name, detail));
    }
    ops.push(Op::Check { key, expect: Expect::Revision(entry.revision) });
    Ok(())
}

/// Marks a logical cluster as being deleted, with the Workspace that it belongs to.
pub(super) fn mark_deleting(
    snapshot: &Snapshot,
    cluster: &ClusterName,
    now: Timestamp,
    ops: &mut Vec<Op>,
) -> Result<(), Status> {
    let Some(key) = key(cluster) else { return Ok(()) };
    let Some(entry) = snapshot.get(&key) else { return Ok(()) };
    let mut value: Value = serde_json::from_slice(&entry.value).map_err(Status::internal)?;
    if object::is_deleting(&value) {
        return Ok(());
    }
    let generation = object::generation(&value) + 1;
    let meta = object::meta_mut(&mut value);
    meta.insert("deletionTimestamp".into(), now.rfc3339().into());
    meta.insert("generation".into(), generation.into());
    object::child_mut(&mut value, "status").insert("phase".into(), phase::DELETING.into());
    ops.push(Op::Put { key, value: encode::encode(&value), expect: Expect::Revision(entry.revision) });
    Ok(())
}

/// Whether the logical cluster still holds anything that a Workspace must be kept for.
pub(super) fn exists(snapshot: &Snapshot, cluster: &ClusterName) -> bool {
    key(cluster).is_some_and(|key| snapshot.get(&key).is_some())
}
