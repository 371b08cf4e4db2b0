//! Deployments make replica sets, one for each pod template.

use std::sync::Arc;

use kcp_apimachinery::{GroupVersionResource, object, time::Timestamp};
use kcp_apis::conditions::{self, ConditionStatus};
use kcp_client::{DeleteParams, Error, Patch, WriteParams, gone_or_changed_is_fine};
use kcp_controller::{Action, Queue, run};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{CONCURRENCY, Context, controller_of, objects::number};

const HASH_LABEL: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";
const MANAGER: &str = "deployment-controller";

pub(crate) struct Controller {
    context: Arc<Context>,
    queue: Queue<(String, String)>,
}

fn deployments() -> GroupVersionResource {
    GroupVersionResource::new("apps", "v1", "deployments")
}

fn replica_sets() -> GroupVersionResource {
    GroupVersionResource::new("apps", "v1", "replicasets")
}

impl Controller {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self { context, queue: Queue::default() }
    }

    pub(crate) fn observe(&self, namespace: &str, name: &str) {
        self.queue.add((namespace.to_owned(), name.to_owned()));
    }

    /// A replica set has changed: its deployment counts again.
    pub(crate) fn observe_owned(&self, namespace: &str, replica_set: &[u8]) {
        let Ok(object) = serde_json::from_slice::<Value>(replica_set) else { return };
        if let Some((name, _)) = controller_of(&object, "Deployment") {
            self.observe(namespace, name);
        }
    }

    pub(crate) async fn run(&self, stop: &CancellationToken) {
        run("deployment", &self.queue, CONCURRENCY, stop, |key| self.reconcile(key)).await;
    }

    async fn reconcile(&self, (namespace, name): (String, String)) -> Result<Action, Error> {
        let Some(deployment) = self.context.get("apps", "deployments", &namespace, &name) else {
            return Ok(Action::Done);
        };
        if object::is_deleting(&deployment) {
            return Ok(Action::Done);
        }
        let mut sets = self.context.owned("apps", "replicasets", &namespace, "Deployment", object::uid(&deployment));
        let hash = template_hash(&deployment["spec"]["template"]);
        let wanted = number(&deployment, "/spec/replicas", 1);
        let recreate = deployment.pointer("/spec/strategy/type").is_some_and(|t| t == "Recreate");
        let paused = deployment.pointer("/spec/paused").is_some_and(|p| p == true);
        sets.sort_by_key(revision);
        let latest = sets.last().map_or(0, revision);
        let current = sets.iter().position(|s| object::label(s, HASH_LABEL) == Some(&hash));
        let current = match current {
            Some(i) => sets.remove(i),
            None if paused => Value::Null,
            None => {
                let old_run = sets.iter().any(|s| number(s, "/status/replicas", 0) > 0);
                let start = if recreate && old_run { 0 } else { wanted };
                let set = replica_set(&deployment, &hash, start, latest + 1);
                match self
                    .context
                    .client
                    .create(&replica_sets(), &namespace, &set, &WriteParams::manager(MANAGER))
                    .await
                {
                    Ok(set) => set,
                    Err(e) if e.is_already_exists() => return Err(e),
                    Err(e) => return Err(e),
                }
            }
        };
        if !paused {
            self.roll(&namespace, &current, &sets, wanted, recreate).await?;
            self.clean_up(&namespace, &deployment, &sets).await?;
        }
        self.write_status(&namespace, &deployment, &current, &sets, wanted).await?;
        Ok(Action::Done)
    }

    /// Moves replicas from the old sets to the current one: all at once after the old ones are gone, or the old ones
    /// when the new ones are available.
    async fn roll(
        &self,
        namespace: &str,
        current: &Value,
        old: &[Value],
        wanted: i64,
        recreate: bool,
    ) -> Result<(), Error> {
        if current.is_null() {
            return Ok(());
        }
        let old_run = old.iter().any(|s| number(s, "/status/replicas", 0) > 0);
        if number(current, "/spec/replicas", 0) != wanted && !(recreate && old_run) {
            self.scale(namespace, object::name(current), wanted).await?;
        }
        let available = number(current, "/status/availableReplicas", 0) >= wanted;
        if recreate || available {
            for set in old.iter().filter(|s| number(s, "/spec/replicas", 0) > 0) {
                self.scale(namespace, object::name(set), 0).await?;
            }
        }
        Ok(())
    }

    async fn scale(&self, namespace: &str, name: &str, replicas: i64) -> Result<(), Error> {
        let patch = json!({"spec": {"replicas": replicas}});
        self.context
            .client
            .patch(&replica_sets(), namespace, name, "", &Patch::Merge(&patch), &WriteParams::manager(MANAGER))
            .await
            .map(drop)
    }

    /// Forgets the oldest empty sets beyond the history limit.
    async fn clean_up(&self, namespace: &str, deployment: &Value, old: &[Value]) -> Result<(), Error> {
        let keep = usize::try_from(number(deployment, "/spec/revisionHistoryLimit", 10)).unwrap_or(0);
        let empty: Vec<&Value> = old
            .iter()
            .filter(|s| number(s, "/spec/replicas", 0) == 0 && number(s, "/status/replicas", 0) == 0)
            .collect();
        for set in empty.iter().take(empty.len().saturating_sub(keep)) {
            let params = DeleteParams { uid: Some(object::uid(set).to_owned()), ..DeleteParams::default() };
            self.context.client.delete(&replica_sets(), namespace, object::name(set), &params).await?;
        }
        Ok(())
    }

    async fn write_status(
        &self,
        namespace: &str,
        deployment: &Value,
        current: &Value,
        old: &[Value],
        wanted: i64,
    ) -> Result<(), Error> {
        let changed = with_status(deployment, current, old, wanted, &Timestamp::now().rfc3339());
        if changed["status"] == deployment["status"] {
            return Ok(());
        }
        let (name, params) = (object::name(deployment), WriteParams::manager(MANAGER));
        let written = self.context.client.update(&deployments(), namespace, name, "status", &changed, &params).await;
        gone_or_changed_is_fine(written)
    }
}

fn revision(set: &Value) -> i64 {
    object::annotation(set, REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

/// Ten characters that stand for a pod template.
fn template_hash(template: &Value) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    Sha256::digest(template.to_string())
        .iter()
        .take(10)
        .map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()]))
        .collect()
}

fn replica_set(deployment: &Value, hash: &str, replicas: i64, revision: i64) -> Value {
    let mut template = deployment["spec"]["template"].clone();
    object::set_label(&mut template, HASH_LABEL, hash);
    let mut selector = deployment["spec"]["selector"].clone();
    object::child_mut(&mut selector, "matchLabels").insert(HASH_LABEL.into(), hash.into());
    json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{}-{hash}", object::name(deployment)),
            "labels": template["metadata"]["labels"],
            "annotations": {REVISION: revision.to_string()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": object::name(deployment), "uid": object::uid(deployment), "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    })
}

fn with_status(deployment: &Value, current: &Value, old: &[Value], wanted: i64, now: &str) -> Value {
    let all = || old.iter().chain(std::iter::once(current));
    let sum = |path: &str| all().map(|s| number(s, path, 0)).sum::<i64>();
    let (replicas, ready, available) =
        (sum("/status/replicas"), sum("/status/readyReplicas"), sum("/status/availableReplicas"));
    let updated = number(current, "/status/replicas", 0);
    let mut out = deployment.clone();
    let status = object::child_mut(&mut out, "status");
    status.insert("observedGeneration".into(), object::generation(deployment).into());
    for (field, n) in [
        ("replicas", replicas),
        ("updatedReplicas", updated),
        ("readyReplicas", ready),
        ("availableReplicas", available),
        ("unavailableReplicas", (wanted - available).max(0)),
    ] {
        if n > 0 {
            status.insert(field.into(), n.into());
        } else {
            status.remove(field);
        }
    }
    let mut set = |kind: &str, good: bool, reason: &str, message: &str| {
        // Set without the time of its last update, which only a change moves.
        let updated = conditions::get(&out, kind).map(|c| c["lastUpdateTime"].clone());
        let condition = |out: &mut Value, time: Value| {
            let list = out.pointer_mut("/status/conditions").and_then(Value::as_array_mut);
            if let Some(c) = list.and_then(|l| l.iter_mut().find(|c| c["type"] == kind)).and_then(Value::as_object_mut)
            {
                if time.is_null() {
                    c.remove("lastUpdateTime")
                } else {
                    c.insert("lastUpdateTime".into(), time)
                };
            }
        };
        condition(&mut out, Value::Null);
        let changed = conditions::set_condition(&mut out, kind, ConditionStatus::from(good), reason, message, now);
        condition(&mut out, updated.filter(|_| !changed).unwrap_or_else(|| now.into()));
    };
    if available >= wanted {
        set("Available", true, "MinimumReplicasAvailable", "Deployment has minimum availability.");
    } else {
        set("Available", false, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.");
    }
    let name = object::name(current);
    if updated >= wanted && number(current, "/status/availableReplicas", 0) >= wanted && replicas == updated {
        set(
            "Progressing",
            true,
            "NewReplicaSetAvailable",
            &format!("ReplicaSet \"{name}\" has successfully progressed."),
        );
    } else {
        set("Progressing", true, "ReplicaSetUpdated", &format!("ReplicaSet \"{name}\" is progressing."));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, ready: i64) -> Value {
        json!({"metadata": {"name": name}, "spec": {"replicas": ready}, "status": {"replicas": ready, "readyReplicas": ready, "availableReplicas": ready}})
    }

    #[test]
    fn a_finished_rollout_says_so_and_then_nothing_new() {
        let d = json!({"metadata": {"name": "d", "generation": 2}, "spec": {"replicas": 1}});
        let done = with_status(&d, &set("d-1", 1), &[], 1, "t1");
        let reason = |v: &Value, kind: &str| conditions::get(v, kind).map(|c| c["reason"].clone());
        assert_eq!(reason(&done, "Available"), Some("MinimumReplicasAvailable".into()));
        assert_eq!(reason(&done, "Progressing"), Some("NewReplicaSetAvailable".into()));
        assert_eq!(done["status"]["availableReplicas"], 1);
        assert!(done["status"].get("unavailableReplicas").is_none());
        assert_eq!(with_status(&done, &set("d-1", 1), &[], 1, "t2"), done, "a second look changes nothing");
        let rolling = with_status(&d, &set("d-2", 0), &[set("d-1", 1)], 1, "t1");
        assert_eq!(reason(&rolling, "Progressing"), Some("ReplicaSetUpdated".into()));
    }

    #[test]
    fn the_hash_ignores_itself() {
        let t = json!({"metadata": {"labels": {"a": "b"}}, "spec": {}});
        let hash = template_hash(&t);
        let d = json!({"metadata": {"name": "d", "uid": "u"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": t}});
        let rs = replica_set(&d, &hash, 1, 1);
        assert_eq!(template_hash(&rs["spec"]["template"]), hash);
        assert_eq!(rs["spec"]["selector"]["matchLabels"][HASH_LABEL], hash.as_str());
    }
}
