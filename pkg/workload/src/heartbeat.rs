//! Whether a physical cluster is there: conditions `HeartbeatHealthy` and `Ready` of its WorkloadCluster.
//!
//! Each WorkloadCluster that is well waits in the queue for the moment in which it no longer would be, and for one on
//! the way there; a heartbeat moves both. There is one timer for all of them.

use std::{sync::Arc, time::Duration};

use kcp_apimachinery::{
    object,
    time::{Timestamp, parse_rfc3339},
};
use kcp_apis::{
    conditions::{self, Condition},
    workload::{SYNCER_FINALIZER, WORKLOAD_CLUSTER, condition, reason},
};
use kcp_client::{Error, Patch, WriteParams, gone_is_fine};
use kcp_controller::{Action, ObjectKey, Queue, run};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    CONCURRENCY, Context,
    listening::Listening,
    read::{Seen, get, text},
};

const MANAGER: &str = "workload-cluster-heartbeat";

/// What [`evaluate`] found.
#[derive(Debug, PartialEq)]
struct Health {
    /// Whether the conditions changed.
    changed: bool,
    /// Whether the syncer was heard lately, or could not have been.
    alive: bool,
    /// When to look again.
    after: Option<Duration>,
}

/// Brings the conditions of a WorkloadCluster up to date. Silence counts only from `since`, when this server began to
/// listen: after a restart of kcp, what was well stays so until its syncer had the time to come back.
fn evaluate(cluster: &mut Value, now: Timestamp, since: Timestamp, threshold: Duration) -> Health {
    let heard = text(cluster, "/status/lastSyncerHeartbeatTime").to_owned();
    let limit = i64::try_from(threshold.as_secs()).unwrap_or(i64::MAX);
    // A clock that runs ahead of ours is no reason to trust a heartbeat for longer than the threshold from now.
    let left_since = |at: Timestamp| Some((limit - now.seconds_since(at)).min(limit)).filter(|left| *left > 0);
    let heard_at = parse_rfc3339(&heard);
    let left = heard_at.and_then(left_since);
    let patience = left.max(left_since(since));
    let was_well = heard_at.is_some() && conditions::is_true(cluster, condition::HEARTBEAT_HEALTHY);
    let message = match heard_at {
        None => "No heartbeat yet seen".to_owned(),
        Some(_) => format!("No heartbeat since {heard}"),
    };
    let healthy = if left.is_some() || was_well && patience.is_some() {
        Condition::holds(condition::HEARTBEAT_HEALTHY)
    } else {
        Condition::fails(condition::HEARTBEAT_HEALTHY, reason::ERROR_HEARTBEAT, &message)
    };
    let now = now.rfc3339();
    let mut changed = conditions::set(cluster, &healthy, &now);
    // Types that cannot be synced or learned do not keep the others from running, so they do not count here.
    changed |= conditions::summarize(cluster, &[condition::HEARTBEAT_HEALTHY], &now);
    let after = patience.map(|left| Duration::from_secs(left.unsigned_abs()));
    Health { changed, alive: patience.is_some(), after }
}

/// The finalizers that remain of a WorkloadCluster that is being deleted while its syncer is away; `None` when there is
/// nothing to change. Nobody is left to take the objects out of a physical cluster that is gone: waiting for it would
/// keep the WorkloadCluster, and with it the workspace, for ever.
fn left_without_syncer(cluster: &Value, alive: bool) -> Option<Vec<&str>> {
    let held = object::finalizers(cluster).any(|f| f == SYNCER_FINALIZER);
    (object::is_deleting(cluster) && !alive && held)
        .then(|| object::finalizers(cluster).filter(|f| *f != SYNCER_FINALIZER).collect())
}

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<ObjectKey>,
    listening: Listening,
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let listening = Listening::new(Timestamp::now(), context.heartbeat_threshold);
        Self { context, queue: Queue::default(), listening }
    }

    pub(crate) fn observe(&self, seen: &Seen<'_>) {
        if !seen.deleted
            && seen.parts.resource == WORKLOAD_CLUSTER.resource
            && seen.parts.group == WORKLOAD_CLUSTER.group
            && let Some(cluster) = seen.cluster()
        {
            self.queue.add(ObjectKey { cluster, namespace: String::new(), name: seen.parts.name.to_owned() });
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run(MANAGER, &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    async fn reconcile(&self, key: ObjectKey) -> Result<Action, Error> {
        let now = Timestamp::now();
        let since = self.listening.since(&key, now);
        let Some(current) = get(&self.context.store, &WORKLOAD_CLUSTER.group_resource(), &key.cluster, "", &key.name)
        else {
            return Ok(Action::Done);
        };
        let mut wanted = current.clone();
        let health = evaluate(&mut wanted, now, since, self.context.heartbeat_threshold);
        let client = self.context.client.cluster(key.cluster.as_str());
        let params = WriteParams::manager(MANAGER);
        let gvr = WORKLOAD_CLUSTER.gvr();
        if health.changed {
            // The syncer writes conditions of its own, so the version is checked.
            let patch = json!({
                "metadata": {"resourceVersion": object::resource_version(&current)},
                "status": {"conditions": wanted["status"]["conditions"]},
            });
            changed_is_fine(client.patch(&gvr, "", &key.name, "status", &Patch::Merge(&patch), &params).await)?;
            // What was written comes back as an event, for what is below.
        } else if let Some(finalizers) = left_without_syncer(&current, health.alive) {
            let patch = json!({"metadata": {
                "resourceVersion": object::resource_version(&current), "finalizers": finalizers,
            }});
            tracing::warn!(
                cluster = %key.cluster,
                workload_cluster = key.name,
                "the physical cluster is away: what was synced to it stays there"
            );
            changed_is_fine(client.patch(&gvr, "", &key.name, "", &Patch::Merge(&patch), &params).await)?;
        }
        Ok(self.listening.look_again(key, Timestamp::now(), health.after))
    }
}

/// Whoever was faster has caused an event, which brings the key back.
fn changed_is_fine(result: Result<Value, Error>) -> Result<(), Error> {
    match gone_is_fine(result) {
        Err(error) if error.is_conflict() => {
            tracing::debug!(%error, "the WorkloadCluster has changed meanwhile");
            Ok(())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_700_000_000 + seconds)
    }

    fn heard(seconds: i64) -> Value {
        json!({"status": {"lastSyncerHeartbeatTime": at(seconds).rfc3339()}})
    }

    const MINUTE: Duration = Duration::from_secs(60);

    fn long_ago() -> Timestamp {
        at(-100_000)
    }

    #[test]
    fn health_follows_the_heartbeat() {
        for (name, mut cluster, now, ready, message, after) in [
            ("never heard", json!({}), 0, "False", "No heartbeat yet seen".to_owned(), None),
            ("just heard", heard(0), 0, "True", String::new(), Some(60)),
            ("heard a while ago", heard(0), 45, "True", String::new(), Some(15)),
            ("too long ago", heard(0), 60, "False", format!("No heartbeat since {}", at(0).rfc3339()), None),
            ("from the future", heard(3600), 0, "True", String::new(), Some(60)),
            (
                "nonsense",
                json!({"status": {"lastSyncerHeartbeatTime": "x"}}),
                0,
                "False",
                "No heartbeat yet seen".into(),
                None,
            ),
        ] {
            let health = evaluate(&mut cluster, at(now), long_ago(), MINUTE);
            assert!(health.changed, "{name}");
            assert_eq!(health.alive, ready == "True", "{name}");
            assert_eq!(health.after, after.map(Duration::from_secs), "{name}");
            for kind in ["Ready", "HeartbeatHealthy"] {
                let c = conditions::get(&cluster, kind).unwrap();
                assert_eq!(c["status"], ready, "{name}");
                assert_eq!(c.get("message").and_then(Value::as_str).unwrap_or_default(), message, "{name}");
            }
            assert!(
                !evaluate(&mut cluster, at(now), long_ago(), MINUTE).changed,
                "{name}: nothing new is nothing to write"
            );
        }
    }

    /// Nobody was heard while kcp was down. What was well has the threshold to come back; what was away stays away.
    #[test]
    fn silence_counts_from_when_somebody_listens() {
        for (name, was, now, ready, after) in [
            ("just back", Some(true), 3600, "True", Some(60)),
            ("still in time", Some(true), 3659, "True", Some(1)),
            ("too late", Some(true), 3660, "False", None),
            ("was away before", Some(false), 3600, "False", Some(60)),
            ("never judged", None, 3600, "False", Some(60)),
        ] {
            let mut cluster = heard(0);
            match was {
                Some(true) => drop(evaluate(&mut cluster, at(0), at(0), MINUTE)),
                Some(false) => drop(evaluate(&mut cluster, at(60), at(0), MINUTE)),
                None => {}
            }
            let health = evaluate(&mut cluster, at(now), at(3600), MINUTE);
            assert_eq!(conditions::get(&cluster, "Ready").unwrap()["status"], ready, "{name}");
            assert_eq!((health.after, health.alive), (after.map(Duration::from_secs), after.is_some()), "{name}");
        }
        let mut unknown = json!({});
        evaluate(&mut unknown, at(0), at(0), MINUTE);
        assert!(!conditions::is_true(&unknown, "Ready"), "a syncer that never was there is not waited for");
    }

    #[test]
    fn coming_back_is_seen() {
        let mut cluster = heard(0);
        evaluate(&mut cluster, at(100), long_ago(), MINUTE);
        cluster["status"]["lastSyncerHeartbeatTime"] = at(101).rfc3339().into();
        assert!(evaluate(&mut cluster, at(101), long_ago(), MINUTE).changed);
        assert!(conditions::is_true(&cluster, "Ready"));
    }

    /// A missing type is shown by the syncer's condition and does not stop the others.
    #[test]
    fn missing_types_do_not_make_a_cluster_unready() {
        let mut cluster = heard(0);
        conditions::set(
            &mut cluster,
            &Condition::fails(condition::SYNCER_READY, "ResourcesMissing", "m"),
            "2026-01-01T00:00:00Z",
        );
        evaluate(&mut cluster, at(0), long_ago(), MINUTE);
        assert!(conditions::is_true(&cluster, "Ready") && !conditions::is_true(&cluster, condition::SYNCER_READY));
    }

    /// A WorkloadCluster whose syncer is gone can be deleted; one whose syncer lives waits for it to clean up.
    #[test]
    fn a_syncer_that_is_away_keeps_nothing() {
        let cluster = |deleting: bool, finalizers: &[&str], heard_at: Option<i64>| {
            let mut cluster = heard_at.map_or_else(|| json!({}), heard);
            cluster["metadata"] = json!({"finalizers": finalizers});
            if deleting {
                cluster["metadata"]["deletionTimestamp"] = at(100).rfc3339().into();
            }
            cluster
        };
        for (name, cluster, since, want) in [
            ("away", cluster(true, &[SYNCER_FINALIZER], Some(0)), 0, Some(vec![])),
            ("never heard", cluster(true, &[SYNCER_FINALIZER], None), 0, Some(vec![])),
            ("of others", cluster(true, &["a/b", SYNCER_FINALIZER], Some(0)), 0, Some(vec!["a/b"])),
            ("not listened to for long enough", cluster(true, &[SYNCER_FINALIZER], Some(0)), 99, None),
            ("alive", cluster(true, &[SYNCER_FINALIZER], Some(90)), 0, None),
            ("not deleted", cluster(false, &[SYNCER_FINALIZER], Some(0)), 0, None),
            ("not held", cluster(true, &["a/b"], Some(0)), 0, None),
        ] {
            let health = evaluate(&mut cluster.clone(), at(100), at(since), MINUTE);
            assert_eq!(left_without_syncer(&cluster, health.alive), want, "{name}");
        }
        let mut alive = cluster(true, &[SYNCER_FINALIZER], Some(90));
        assert_eq!(
            evaluate(&mut alive, at(100), long_ago(), MINUTE).after,
            Some(Duration::from_secs(50)),
            "and is looked at again"
        );
    }
}
