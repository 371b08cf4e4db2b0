//! Which physical cluster runs a namespace.
//!
//! Only in workspaces that say so by a label on their Workspace. A namespace keeps its cluster while that takes it;
//! otherwise it gets one of those that do, drawn at random. A cluster that is merely away keeps its namespaces: taking
//! one off it deletes everything there as soon as it is back. Who wants them elsewhere says so with `evictAfter`.

use std::{sync::Arc, time::Duration};

use kcp_apimachinery::{
    GroupResource, GroupVersionResource, object,
    time::{Timestamp, parse_rfc3339},
};
use kcp_apis::{
    conditions::{self, ConditionStatus},
    core::{LOGICAL_CLUSTER, LOGICAL_CLUSTER_NAME},
    tenancy::WORKSPACE,
    workload::{
        CLUSTER_LABEL, SCHEDULABLE_LABEL, SCHEDULING_DISABLED_LABEL, UNSCHEDULED_NAMESPACES, WORKLOAD_CLUSTER,
        condition, reason,
    },
};
use kcp_client::{Error, Patch, WriteParams, gone_is_fine};
use kcp_controller::{Action, ObjectKey, Queue, run};
use kcp_logicalcluster::ClusterName;
use kcp_storage::Prefix;
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    CONCURRENCY, Context,
    read::{Seen, get, labels, list, names, parse, text},
};

const MANAGER: &str = "namespace-scheduler";
const NONE_AVAILABLE: &str = "No clusters are available to schedule Namespaces to.";
const DISABLED: &str =
    "Automatic scheduling is deactivated and can be performed by setting the cluster label manually.";

/// What of a WorkloadCluster decides about scheduling.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    name: String,
    ready: bool,
    unschedulable: bool,
    evict_at: Option<Timestamp>,
}

impl Candidate {
    /// `None` for one that is being deleted: it takes nothing and keeps nothing.
    fn of(cluster: &Value) -> Option<Self> {
        (!object::is_deleting(cluster)).then(|| Self {
            name: object::name(cluster).to_owned(),
            ready: conditions::is_true(cluster, condition::READY),
            unschedulable: cluster.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true),
            evict_at: parse_rfc3339(text(cluster, "/spec/evictAfter")),
        })
    }

    fn is_evicted(&self, now: Timestamp) -> bool {
        self.evict_at.is_some_and(|at| now.seconds_since(at) >= 0)
    }
}

/// What is to be done with a namespace.
#[derive(Debug, PartialEq)]
struct Decision {
    /// The cluster that it shall have.
    assigned: Option<String>,
    /// Why it has none; `None` when it has one.
    trouble: Option<(&'static str, &'static str)>,
    /// When to look again although nothing changes.
    after: Option<Duration>,
}

/// Decides; `pick` draws one of so many.
fn decide(namespace: &Value, clusters: &[Candidate], now: Timestamp, pick: impl FnOnce(usize) -> usize) -> Decision {
    let current = object::label(namespace, CLUSTER_LABEL).filter(|name| !name.is_empty());
    if object::label(namespace, SCHEDULING_DISABLED_LABEL).is_some() {
        let trouble = current.is_none().then_some((reason::SCHEDULING_DISABLED, DISABLED));
        return Decision { assigned: current.map(str::to_owned), trouble, after: None };
    }
    let after = |cluster: &Candidate| {
        let seconds = cluster.evict_at?.seconds_since(now);
        (seconds > 0).then(|| Duration::from_secs(seconds.unsigned_abs()))
    };
    if let Some(kept) = clusters.iter().find(|c| current == Some(&c.name) && !c.is_evicted(now)) {
        return Decision { assigned: Some(kept.name.clone()), trouble: None, after: after(kept) };
    }
    let takers: Vec<&Candidate> =
        clusters.iter().filter(|c| c.ready && !c.unschedulable && !c.is_evicted(now)).collect();
    if let Some(taker) = takers.get(pick(takers.len().max(1))) {
        return Decision { assigned: Some(taker.name.clone()), trouble: None, after: after(taker) };
    }
    Decision { assigned: None, trouble: Some((reason::UNSCHEDULABLE, NONE_AVAILABLE)), after: None }
}

fn namespaces() -> GroupResource {
    GroupResource::new("", "namespaces")
}

pub(crate) struct Controller {
    context: Arc<Context>,
    /// Namespaces.
    queue: Queue<ObjectKey>,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default() }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        if seen.is(&namespaces()) {
            let Some(cluster) = seen.cluster() else { return };
            // The namespace that every workspace is born with: nothing is written to it until there is a cluster.
            let untouched = seen.parts.name == "default" && seen.before.is_none() && !self.has_clusters(&cluster);
            if !seen.deleted && !untouched {
                self.queue.add(ObjectKey { cluster, namespace: String::new(), name: seen.parts.name.to_owned() });
            }
        } else if seen.is(&WORKLOAD_CLUSTER.group_resource()) {
            let changed = match seen.before {
                Some(before) if !seen.deleted => {
                    let (before, now) = (parse(before), seen.object());
                    Candidate::of(&before) != Candidate::of(&now)
                }
                _ => true,
            };
            if changed && let Some(cluster) = seen.cluster() {
                self.add_namespaces(&cluster);
            }
        } else if seen.is(&WORKSPACE.group_resource()) && seen.before.is_some() && !seen.deleted {
            let schedulable = |bytes| labels(bytes).get(SCHEDULABLE_LABEL).map(|v| v.clone().into_owned());
            if seen.before.map(schedulable) != Some(schedulable(seen.value))
                && let Ok(cluster) = ClusterName::new(text(&seen.object(), "/spec/cluster"))
            {
                self.add_namespaces(&cluster);
            }
        }
    }

    fn has_clusters(&self, cluster: &ClusterName) -> bool {
        Prefix::cluster(&WORKLOAD_CLUSTER.group_resource(), cluster)
            .is_ok_and(|prefix| self.context.store.snapshot().range(&prefix, None).next().is_some())
    }

    fn add_namespaces(&self, cluster: &ClusterName) {
        let Ok(prefix) = Prefix::cluster(&namespaces(), cluster) else { return };
        let found = names(&self.context.store, &prefix);
        self.queue.add_all(found.into_iter().map(|name| ObjectKey {
            cluster: cluster.clone(),
            namespace: String::new(),
            name,
        }));
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run(MANAGER, &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    /// Whether the workspace of a logical cluster wants its namespaces scheduled.
    fn is_schedulable(&self, cluster: &ClusterName) -> bool {
        let store = &self.context.store;
        get(store, &LOGICAL_CLUSTER.group_resource(), cluster, "", LOGICAL_CLUSTER_NAME)
            .and_then(|logical| {
                let parent = ClusterName::new(text(&logical, "/spec/owner/cluster")).ok()?;
                get(store, &WORKSPACE.group_resource(), &parent, "", text(&logical, "/spec/owner/name"))
            })
            .is_some_and(|workspace| object::label(&workspace, SCHEDULABLE_LABEL) == Some("true"))
    }

    async fn reconcile(&self, key: ObjectKey) -> Result<Action, Error> {
        let store = &self.context.store;
        if UNSCHEDULED_NAMESPACES.contains(&key.name.as_str()) || !self.is_schedulable(&key.cluster) {
            return Ok(Action::Done);
        }
        let Some(namespace) = get(store, &namespaces(), &key.cluster, "", &key.name) else { return Ok(Action::Done) };
        if object::is_deleting(&namespace) {
            return Ok(Action::Done);
        }
        let clusters: Vec<Candidate> =
            list(store, &WORKLOAD_CLUSTER.group_resource(), &key.cluster).iter().filter_map(Candidate::of).collect();
        let now = Timestamp::now();
        let decision = decide(&namespace, &clusters, now, |n| rand::rng().random_range(0..n));
        self.write(&key, namespace, &decision, &now.rfc3339()).await?;
        Ok(decision.after.map_or(Action::Done, Action::After))
    }

    async fn write(&self, key: &ObjectKey, mut namespace: Value, decision: &Decision, now: &str) -> Result<(), Error> {
        let client = self.context.client.cluster(key.cluster.as_str());
        let gvr = GroupVersionResource::new("", "v1", "namespaces");
        let params = WriteParams::manager(MANAGER);
        let patch_of = |namespace: &Value, mut patch: Value| {
            object::meta_mut(&mut patch).insert("resourceVersion".into(), object::resource_version(namespace).into());
            patch
        };
        if object::label(&namespace, CLUSTER_LABEL) != decision.assigned.as_deref() {
            tracing::info!(
                cluster = %key.cluster, namespace = key.name, workload_cluster = decision.assigned.as_deref(),
                "namespace scheduled"
            );
            let patch = patch_of(&namespace, json!({"metadata": {"labels": {CLUSTER_LABEL: decision.assigned}}}));
            namespace = match client.patch(&gvr, "", &key.name, "", &Patch::Merge(&patch), &params).await {
                Err(e) if e.is_not_found() => return Ok(()),
                other => other?,
            };
        }
        let (status, reason, message) = match decision.trouble {
            None => (ConditionStatus::True, "", ""),
            Some((reason, message)) => (ConditionStatus::False, reason, message),
        };
        if !conditions::set_condition(&mut namespace, condition::NAMESPACE_SCHEDULED, status, reason, message, now) {
            return Ok(());
        }
        let patch = patch_of(&namespace, json!({"status": {"conditions": namespace["status"]["conditions"]}}));
        gone_is_fine(client.patch(&gvr, "", &key.name, "status", &Patch::Merge(&patch), &params).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000)
    }

    fn candidate(name: &str) -> Candidate {
        Candidate { name: name.into(), ready: true, unschedulable: false, evict_at: None }
    }

    fn namespace(labels: Value) -> Value {
        json!({"metadata": {"name": "n", "labels": labels}})
    }

    #[test]
    fn decisions() {
        let away = |name| Candidate { ready: false, ..candidate(name) };
        let cordoned = |name| Candidate { unschedulable: true, ..candidate(name) };
        let evicted = |name| Candidate { evict_at: Some(now()), ..candidate(name) };
        let on = |name: &str| namespace(json!({CLUSTER_LABEL: name}));
        let free = || namespace(json!({}));
        let none = Some((reason::UNSCHEDULABLE, NONE_AVAILABLE));
        for (what, namespace, clusters, assigned, trouble) in [
            ("no cluster at all", free(), vec![], None, none),
            ("one that is ready", free(), vec![candidate("a")], Some("a"), None),
            ("only unusable ones", free(), vec![away("a"), cordoned("b"), evicted("c")], None, none),
            ("the last of several", free(), vec![candidate("a"), away("x"), candidate("b")], Some("b"), None),
            ("it stays", on("a"), vec![candidate("a"), candidate("b")], Some("a"), None),
            ("a cordon keeps what is there", on("a"), vec![cordoned("a"), candidate("b")], Some("a"), None),
            ("eviction moves it", on("a"), vec![evicted("a"), candidate("b")], Some("b"), None),
            ("eviction with nowhere to go", on("a"), vec![evicted("a")], None, none),
            ("its cluster is gone", on("x"), vec![], None, none),
            ("its cluster is gone, another is there", on("x"), vec![candidate("a")], Some("a"), None),
            ("a cluster that is away keeps what it has", on("a"), vec![away("a"), candidate("b")], Some("a"), None),
            ("though no other is there", on("a"), vec![away("a")], Some("a"), None),
            (
                "until it is evicted",
                on("a"),
                vec![Candidate { ready: false, ..evicted("a") }, candidate("b")],
                Some("b"),
                None,
            ),
            (
                "opted out",
                namespace(json!({SCHEDULING_DISABLED_LABEL: ""})),
                vec![candidate("a")],
                None,
                Some((reason::SCHEDULING_DISABLED, DISABLED)),
            ),
            (
                "opted out and assigned by hand",
                namespace(json!({SCHEDULING_DISABLED_LABEL: "", CLUSTER_LABEL: "x"})),
                vec![candidate("a")],
                Some("x"),
                None,
            ),
        ] {
            let got = decide(&namespace, &clusters, now(), |n| n - 1);
            assert_eq!((got.assigned.as_deref(), got.trouble), (assigned, trouble), "{what}");
        }
    }

    #[test]
    fn a_coming_eviction_is_waited_for() {
        let leaving = Candidate { evict_at: Some(now().plus_seconds(90)), ..candidate("a") };
        let got = decide(&namespace(json!({CLUSTER_LABEL: "a"})), &[leaving], now(), |_| 0);
        assert_eq!((got.assigned.as_deref(), got.after), (Some("a"), Some(Duration::from_secs(90))));
    }

    #[test]
    fn clusters_that_are_being_deleted_take_nothing() {
        assert_eq!(
            Candidate::of(&json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}})),
            None
        );
        let c = Candidate::of(&json!({
            "metadata": {"name": "a"}, "spec": {"unschedulable": true, "evictAfter": "2023-11-14T22:13:20Z"},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        }));
        assert_eq!(c, Some(Candidate { unschedulable: true, evict_at: Some(now()), ..candidate("a") }));
    }
}
