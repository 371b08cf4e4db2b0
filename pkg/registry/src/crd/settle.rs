//! Who holds which names: done in the request that changes a definition, in a commit of its own right after (CRD-03 to
//! CRD-05), so that nobody waits for a controller.

use std::collections::HashMap;

use kcp_apimachinery::time::Timestamp;
use kcp_logicalcluster::ClusterName;
use kcp_schema::crd::{
    approval,
    status::{self, NamesInUse},
};
use kcp_storage::{Entry, Expect, Key, Op, Prefix, Store};
use serde_json::{Value, json};

use super::{group_resource, served::defined};
use crate::{encode, registry::Registry, scan, write};

const ATTEMPTS: usize = 16;

/// Decides anew about the names of all definitions of the group of `name` in a logical cluster, and stores what has
/// changed. What cannot be stored now is decided at the next change of a definition.
pub(crate) async fn settle(registry: &Registry, cluster: &ClusterName, name: &str) {
    let Some(group) = defined(name).map(|d| d.group) else { return };
    if let Err(status) = write::derive(registry, ATTEMPTS, || decide(registry, cluster, &group, name)).await {
        tracing::warn!(%cluster, group, error = %status, "the names of definitions were not settled");
    }
}

/// One definition for each group of a logical cluster in which some may have a status that is not theirs: the process
/// ended between the two commits of a change.
pub(crate) fn unsettled(store: &Store) -> Vec<(ClusterName, String)> {
    let Ok(prefix) = Prefix::resource(&group_resource()) else { return Vec::new() };
    let snapshot = store.snapshot();
    let open = snapshot.range(&prefix, None).filter(|(_, entry)| !status::is_settled(&outline(&entry.value)));
    let groups: HashMap<_, _> = open
        .filter_map(|(key, _)| {
            let parts = key.parts();
            Some(((ClusterName::new(parts.cluster).ok()?, defined(parts.name)?.group), parts.name.to_owned()))
        })
        .collect();
    groups.into_iter().map(|((cluster, _), name)| (cluster, name)).collect()
}

/// What [`status::is_settled`] reads of a definition; the schemas, which are nearly all of it, are not parsed.
fn outline(definition: &[u8]) -> Value {
    let parsed = |raw: Option<&[u8]>| raw.and_then(|raw| serde_json::from_slice::<Value>(raw).ok()).unwrap_or_default();
    let spec = scan::member(definition, "spec").unwrap_or_default();
    let annotations = scan::of_metadata(definition, "annotations").unwrap_or_default();
    json!({
        "metadata": {"annotations": {approval::ANNOTATION: parsed(scan::member(annotations, approval::ANNOTATION))}},
        "spec": {"group": parsed(scan::member(spec, "group")), "names": parsed(scan::member(spec, "names"))},
        "status": parsed(scan::member(definition, "status")),
    })
}

fn decide(registry: &Registry, cluster: &ClusterName, group: &str, changed: &str) -> Vec<Op> {
    let Ok(prefix) = Prefix::cluster(&group_resource(), cluster) else { return Vec::new() };
    let snapshot = registry.store().snapshot();
    let of_group = |key: &Key| defined(key.parts().name).is_some_and(|d| d.group == group);
    let entries: Vec<(Key, Entry)> = snapshot
        .range(&prefix, None)
        .filter(|(key, _)| of_group(key))
        .map(|(key, entry)| (key.clone(), entry.clone()))
        .collect();
    let mut all: Vec<Value> =
        entries.iter().map(|(_, e)| serde_json::from_slice(&e.value).unwrap_or_default()).collect();
    let now = Timestamp::now().rfc3339();
    let mut ops = Vec::new();
    for (index, (key, entry)) in entries.into_iter().enumerate() {
        // Whoever has all the names that it wants keeps them, whatever the others do.
        if key.parts().name != changed && all.get(index).is_some_and(status::is_settled) {
            continue;
        }
        let mut used = NamesInUse::collect(all.iter(), group, key.parts().name);
        for info in registry.base().iter().filter(|i| i.gvk.group == group) {
            let short: Vec<&str> = info.short_names.iter().map(String::as_str).collect();
            used.add(&info.resource, &info.singular, &short, &info.gvk.kind, &info.list_kind);
        }
        let Some(definition) = all.get_mut(index) else { continue };
        if status::reconcile(definition, &used, &now) {
            let expect = Expect::Revision(entry.revision);
            ops.push(Op::Put { key, value: encode::encode(definition), expect });
        }
    }
    ops
}
