//! ResourceQuotas: how many objects of a kind a namespace may hold.
//!
//! A create is charged in its own batch, and its batch is refused when the quota has changed: two creates never both take
//! the last place. Those that are charged take turns in each namespace, so that none is refused again and again. After a
//! delete, and after a write of a quota, the objects are counted. Only numbers of objects are limited
//! (`count/<resource>.<group>`, and the short names of some core kinds); amounts of computing resources are not, as
//! nothing runs here.

use std::{collections::HashMap, sync::Arc};

use kcp_apimachinery::{GroupResource, Status, object, quantity::Quantity};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Entry, Expect, Key, Op, Prefix, Snapshot, Store};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::OwnedMutexGuard;

use crate::{encode, registry::Registry, types::ResourceInfo, write};

/// Core kinds that may be named without `count/`.
const SHORT: [&str; 7] =
    ["configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas", "secrets", "services"];

const ATTEMPTS: usize = 32;

/// The resource of quotas.
pub(crate) fn group_resource() -> GroupResource {
    GroupResource::new("", "resourcequotas")
}

/// The resource that an entry of `spec.hard` counts.
fn counted(name: &str) -> Option<GroupResource> {
    match name.strip_prefix("count/") {
        Some(rest) => {
            let (resource, group) = rest.split_once('.').unwrap_or((rest, ""));
            Some(GroupResource::new(group, resource))
        }
        None => SHORT.contains(&name).then(|| GroupResource::new("", name)),
    }
}

/// Whether a namespace has any quotas.
pub(crate) fn is_any(store: &Store, cluster: &ClusterName, namespace: &str) -> bool {
    Prefix::namespace(&group_resource(), cluster, namespace)
        .is_ok_and(|prefix| store.snapshot().range(&prefix, None).next().is_some())
}

fn quotas(snapshot: &Snapshot, cluster: &ClusterName, namespace: &str) -> Vec<(Key, Entry, Value)> {
    let Ok(prefix) = Prefix::namespace(&group_resource(), cluster, namespace) else { return Vec::new() };
    let found = snapshot.range(&prefix, None);
    let parsed =
        found.filter_map(|(key, entry)| Some((key.clone(), entry.clone(), serde_json::from_slice(&entry.value).ok()?)));
    // Scopes select pods; a quota with scopes counts nothing else.
    parsed
        .filter(|(_, _, quota): &(Key, Entry, Value)| quota.pointer("/spec/scopes").is_none_or(Value::is_null))
        .collect()
}

fn amount(map: &Value, name: &str) -> Option<i64> {
    map.get(name)?.as_str().and_then(Quantity::parse).map(|q| q.value())
}

type Namespace = (ClusterName, String);

/// Who charges to the quotas of which namespace: one at a time, the others wait in their order. Nothing is kept of a
/// namespace in which nobody does.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<Namespace, Line>>);

/// Those who hold or wait for the turn of one namespace: how many they are, and what they wait for.
#[derive(Debug, Default)]
struct Line(usize, Arc<tokio::sync::Mutex<()>>);

/// One's turn, or the place in the queue for it, until it is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    namespace: Namespace,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for one's turn.
    pub(crate) async fn take(&self, cluster: &ClusterName, namespace: &str) -> Turn<'_> {
        let namespace = (cluster.clone(), namespace.to_owned());
        let lock = {
            let mut all = self.0.lock();
            let Line(count, lock) = all.entry(namespace.clone()).or_default();
            *count += 1;
            Arc::clone(lock)
        };
        // Who stops waiting leaves the queue too.
        let mut turn = Turn { turns: self, namespace, held: None };
        turn.held = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.held.take());
        let mut all = self.turns.0.lock();
        if let Some(Line(count, _)) = all.get_mut(&self.namespace) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.namespace);
            }
        }
    }
}

/// Charges the creation of one object of `info` to the quotas of its namespace; says whether there was anything to be
/// charged to.
///
/// # Errors
/// 403 when one of them is used up.
pub(crate) fn charge(
    snapshot: &Snapshot,
    cluster: &ClusterName,
    namespace: &str,
    info: &ResourceInfo,
    name: &str,
    ops: &mut Vec<Op>,
) -> Result<bool, Status> {
    let resource = &info.storage.group_resource;
    let mut charged = false;
    for (key, entry, mut quota) in quotas(snapshot, cluster, namespace) {
        let hard = quota.pointer("/status/hard").cloned().unwrap_or(Value::Null);
        let names: Vec<String> = hard.as_object().into_iter().flatten().map(|(k, _)| k.clone()).collect();
        let mut changed = false;
        for entry_name in names.iter().filter(|n| counted(n).as_ref() == Some(resource)) {
            let Some(limit) = amount(&hard, entry_name) else { continue };
            let status = object::child_mut(&mut quota, "status");
            let used = object::as_map(status.entry("used").or_insert(Value::Null));
            let now = used.get(entry_name).and_then(Value::as_str).and_then(Quantity::parse).map_or(0, |q| q.value());
            if now >= limit {
                let detail = format!(
                    "exceeded quota: {}, requested: {entry_name}=1, used: {entry_name}={now}, limited: {entry_name}={limit}",
                    key.parts().name
                );
                return Err(Status::forbidden(&info.group_resource(), name, detail));
            }
            used.insert(entry_name.clone(), (now + 1).to_string().into());
            changed = true;
        }
        if changed {
            ops.push(Op::Put { key, value: encode::encode(&quota), expect: Expect::Revision(entry.revision) });
            charged = true;
        }
    }
    Ok(charged)
}

/// Counts what the quotas of a namespace limit, and stores what has changed. What cannot be stored now is counted after
/// the next delete.
pub(crate) async fn recount(registry: &Registry, cluster: &ClusterName, namespace: &str) {
    let ops = || count(&registry.store().snapshot(), cluster, namespace);
    if let Err(status) = write::derive(registry, ATTEMPTS, ops).await {
        tracing::warn!(%cluster, namespace, error = %status, "quotas were not recounted");
    }
}

fn count(snapshot: &Snapshot, cluster: &ClusterName, namespace: &str) -> Vec<Op> {
    let mut ops = Vec::new();
    for (key, entry, mut quota) in quotas(snapshot, cluster, namespace) {
        let hard = quota.pointer("/spec/hard").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut used = Map::new();
        for (name, resource) in hard.keys().filter_map(|name| Some((name, counted(name)?))) {
            let prefix = Prefix::namespace(&resource, cluster, namespace);
            let objects = prefix.map_or(0, |prefix| snapshot.count(&prefix, None));
            used.insert(name.clone(), objects.to_string().into());
        }
        let before = quota.get("status").cloned();
        let status = object::child_mut(&mut quota, "status");
        status.insert("hard".into(), hard.into());
        status.insert("used".into(), used.into());
        if quota.get("status") != before.as_ref() {
            ops.push(Op::Put { key, value: encode::encode(&quota), expect: Expect::Revision(entry.revision) });
        }
    }
    ops
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{DeleteOptions, testing::Fixture};

    #[test]
    fn entries_name_resources() {
        for (name, want) in [
            ("secrets", Some(GroupResource::new("", "secrets"))),
            ("count/secrets", Some(GroupResource::new("", "secrets"))),
            ("count/bolts.example.dev", Some(GroupResource::new("example.dev", "bolts"))),
            ("requests.cpu", None),
        ] {
            assert_eq!(counted(name), want);
        }
    }

    #[tokio::test]
    async fn the_last_place_is_taken_once() {
        //
        let f = Fixture::new().await;
        f.make("v1/secrets", "a", json!({"metadata": {"name": "zero"}})).await.unwrap();
        let made = f
            .make(
                "v1/resourcequotas",
                "a",
                json!({"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "2", "cpu": "1"}}}),
            )
            .await
            .unwrap();
        assert_eq!(made["status"], json!({}));
        let used =
            || async { f.get("v1/resourcequotas", "a", "q").await.unwrap()["status"]["used"]["secrets"].clone() };
        assert_eq!(used().await, "1");
        f.make("v1/secrets", "a", json!({"metadata": {"name": "one"}})).await.unwrap();
        let error = f.make("v1/secrets", "a", json!({"metadata": {"name": "two"}})).await.unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (
                403,
                "secrets \"two\" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=2, limited: secrets=2"
            )
        );
        f.make("v1/configmaps", "a", json!({"metadata": {"name": "not-counted"}})).await.unwrap();
        f.registry.delete(&f.request("v1/secrets", "a").named("one"), &DeleteOptions::default()).await.unwrap();
        assert_eq!(used().await, "1");
        f.make("v1/secrets", "a", json!({"metadata": {"name": "two"}})).await.unwrap();
        assert_eq!(used().await, "2");
    }

    #[tokio::test]
    async fn creates_take_turns() {
        let f = Arc::new(Fixture::new().await);
        f.make("v1/resourcequotas", "a", json!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "80"}}}))
            .await
            .unwrap();
        let make = |i: usize| {
            let f = Arc::clone(&f);
            tokio::spawn(
                async move { f.make("v1/configmaps", "a", json!({"metadata": {"name": format!("m{i}")}})).await },
            )
        };
        let turn = f.registry.turns().take(&f.cluster, "a").await;
        let before = f.registry.store().revision();
        let tasks: Vec<_> = (0..120).map(make).collect();
        while f.registry.turns().0.lock().values().next().unwrap().0 <= tasks.len() {
            assert!(!tasks.iter().any(tokio::task::JoinHandle::is_finished), "nobody overtakes");
            tokio::task::yield_now().await;
        }
        assert_eq!(f.registry.store().revision(), before, "all of them wait");
        drop(turn);
        let (mut made, mut refused) = (0_u64, Vec::new());
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => made += 1,
                Err(status) => refused.push(status),
            }
        }
        assert!(refused.iter().all(|s| s.code == 403 && s.message.contains("exceeded quota: q")), "{refused:?}");
        assert_eq!((made, refused.len()), (80, 40));
        assert_eq!(f.registry.store().revision(), before + made, "each batch was the only one");
        assert_eq!(f.get("v1/resourcequotas", "a", "q").await.unwrap()["status"]["used"]["configmaps"], "80");
        assert!(f.registry.turns().0.lock().is_empty());
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_nothing_behind() {
        let (turns, cluster) = (Turns::default(), ClusterName::root());
        let first = turns.take(&cluster, "a").await;
        let other = turns.take(&cluster, "b").await;
        let wait = tokio::time::timeout(std::time::Duration::from_millis(5), turns.take(&cluster, "a"));
        assert!(wait.await.is_err());
        assert_eq!(turns.0.lock().len(), 2);
        drop(first);
        drop(turns.take(&cluster, "a").await);
        drop(other);
        assert!(turns.0.lock().is_empty());
    }
}
