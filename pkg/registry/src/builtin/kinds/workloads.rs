//! Controllers of pods: deployments, replica sets, stateful sets, daemon sets, replication controllers.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, object};
use serde_json::{Map, Value, json};

use super::{
    built_in, each, immutable, keep, not_negative, pod_checks, pods, set_default, set_default_text, text, within,
};
use crate::strategy::{Strategy, StrategyContext};

pub(super) struct Deployments;
pub(super) struct ReplicaSets;
pub(super) struct StatefulSets;
pub(super) struct DaemonSets;
pub(super) struct ReplicationControllers;

const ALWAYS: [&str; 1] = ["Always"];

fn replicas(o: &Value, errors: &mut FieldErrors) {
    let spec = FieldPath::new("spec");
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        not_negative(o, &format!("/spec/{field}"), &spec.child(field), errors);
    }
}

fn immutable_selector(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let path = FieldPath::new("spec.selector");
    immutable(new.pointer("/spec/selector"), old.pointer("/spec/selector"), &path, errors);
}

/// The type of a strategy and that its parameters fit; `field` is `strategy` or `updateStrategy`.
fn rollout(o: &Value, field: &str, types: [&str; 2], errors: &mut FieldErrors) {
    let path = FieldPath::new("spec").child(field);
    let kind = text(o, &format!("/spec/{field}/type"));
    if !types.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, &types));
    }
    let rolling = o.pointer(&format!("/spec/{field}/rollingUpdate"));
    if kind == "Recreate" && rolling.is_some() {
        let detail = "may not be specified when strategy `type` is 'Recreate'";
        errors.push(FieldError::forbidden(&path.child("rollingUpdate"), detail));
    }
    let zero = |v: Option<&Value>| v.is_some_and(|v| matches!(v.as_str(), Some("0%" | "0")) || v.as_i64() == Some(0));
    if let Some(rolling) = rolling.filter(|_| kind == "RollingUpdate" && field == "strategy")
        && zero(rolling.get("maxSurge"))
        && zero(rolling.get("maxUnavailable"))
    {
        let at = path.child("rollingUpdate").child("maxUnavailable");
        errors.push(FieldError::invalid(&at, 0, "may not be 0 when `maxSurge` is 0"));
    }
}

impl Strategy for Deployments {
    built_in!(status);

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        within(object::as_map(o), "spec", |spec| {
            set_default(spec, "replicas", 1);
            set_default(spec, "revisionHistoryLimit", 10);
            set_default(spec, "progressDeadlineSeconds", 600);
            let strategy = object::as_map(spec.entry("strategy").or_insert(Value::Null));
            set_default_text(strategy, "type", "RollingUpdate");
            if strategy.get("type").is_some_and(|t| t == "RollingUpdate") {
                let rolling = object::as_map(strategy.entry("rollingUpdate").or_insert(Value::Null));
                set_default(rolling, "maxUnavailable", "25%");
                set_default(rolling, "maxSurge", "25%");
            }
            pods::template_defaults(spec);
        });
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        deployment(new)
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" {
            return FieldErrors::new();
        }
        let mut errors = deployment(new);
        immutable_selector(new, old, &mut errors);
        errors
    }
}

fn deployment(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    replicas(o, &mut errors);
    pod_checks::selector_and_template(o, "deployment", &ALWAYS, &mut errors);
    rollout(o, "strategy", ["Recreate", "RollingUpdate"], &mut errors);
    let number = |field: &str| o.pointer(&format!("/spec/{field}")).and_then(Value::as_i64);
    if let Some(deadline) = number("progressDeadlineSeconds") {
        let path = FieldPath::new("spec.progressDeadlineSeconds");
        not_negative(o, "/spec/progressDeadlineSeconds", &path, &mut errors);
        if deadline <= number("minReadySeconds").unwrap_or(0) {
            errors.push(FieldError::invalid(&path, deadline, "must be greater than minReadySeconds"));
        }
    }
    errors
}

impl Strategy for ReplicaSets {
    built_in!(status);

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        within(object::as_map(o), "spec", |spec| {
            set_default(spec, "replicas", 1);
            pods::template_defaults(spec);
        });
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        replicas(new, &mut errors);
        pod_checks::selector_and_template(new, "replicaset", &ALWAYS, &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" {
            return FieldErrors::new();
        }
        let mut errors = self.validate_create(new, ctx);
        immutable_selector(new, old, &mut errors);
        errors
    }
}

impl Strategy for StatefulSets {
    built_in!(status);

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        within(object::as_map(o), "spec", |spec| {
            set_default(spec, "replicas", 1);
            set_default(spec, "revisionHistoryLimit", 10);
            set_default_text(spec, "podManagementPolicy", "OrderedReady");
            let strategy = object::as_map(spec.entry("updateStrategy").or_insert(Value::Null));
            set_default_text(strategy, "type", "RollingUpdate");
            if strategy.get("type").is_some_and(|t| t == "RollingUpdate") {
                set_default(object::as_map(strategy.entry("rollingUpdate").or_insert(Value::Null)), "partition", 0);
            }
            let retention = object::as_map(spec.entry("persistentVolumeClaimRetentionPolicy").or_insert(Value::Null));
            set_default_text(retention, "whenDeleted", "Retain");
            set_default_text(retention, "whenScaled", "Retain");
            each(spec, "volumeClaimTemplates", |claim| {
                set_default_text(claim, "kind", "PersistentVolumeClaim");
                set_default_text(claim, "apiVersion", "v1");
                within(claim, "spec", |s| set_default_text(s, "volumeMode", "Filesystem"));
                claim.insert("status".into(), json!({"phase": "Pending"}));
            });
            pods::template_defaults(spec);
        });
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        stateful_set(new)
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" {
            return FieldErrors::new();
        }
        let mut errors = stateful_set(new);
        const MUTABLE: [&str; 7] = [
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ];
        let rest = |o: &Value| -> Map<String, Value> {
            let all = o.get("spec").and_then(Value::as_object).cloned().unwrap_or_default();
            all.into_iter().filter(|(field, _)| !MUTABLE.contains(&field.as_str())).collect()
        };
        if rest(new) != rest(old) {
            errors.push(FieldError::forbidden(
                &FieldPath::new("spec"),
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ));
        }
        errors
    }
}

fn stateful_set(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    replicas(o, &mut errors);
    let policies = ["OrderedReady", "Parallel"];
    let policy = text(o, "/spec/podManagementPolicy");
    if !policies.contains(&policy) {
        let detail = format!("must be '{}' or '{}'", policies[0], policies[1]);
        errors.push(FieldError::invalid(&FieldPath::new("spec.podManagementPolicy"), policy, &detail));
    }
    rollout(o, "updateStrategy", ["RollingUpdate", "OnDelete"], &mut errors);
    pod_checks::selector_and_template(o, "statefulset", &ALWAYS, &mut errors);
    errors
}

impl Strategy for DaemonSets {
    built_in!(status);

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        within(object::as_map(o), "spec", |spec| {
            set_default(spec, "revisionHistoryLimit", 10);
            let strategy = object::as_map(spec.entry("updateStrategy").or_insert(Value::Null));
            set_default_text(strategy, "type", "RollingUpdate");
            if strategy.get("type").is_some_and(|t| t == "RollingUpdate") {
                let rolling = object::as_map(strategy.entry("rollingUpdate").or_insert(Value::Null));
                set_default(rolling, "maxUnavailable", 1);
                set_default(rolling, "maxSurge", 0);
            }
            pods::template_defaults(spec);
        });
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        replicas(new, &mut errors);
        rollout(new, "updateStrategy", ["RollingUpdate", "OnDelete"], &mut errors);
        pod_checks::selector_and_template(new, "daemonset", &ALWAYS, &mut errors);
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" {
            return FieldErrors::new();
        }
        let mut errors = self.validate_create(new, ctx);
        immutable_selector(new, old, &mut errors);
        errors
    }
}

impl Strategy for ReplicationControllers {
    built_in!(status);

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        let labels = o.pointer("/spec/template/metadata/labels").cloned();
        let map = object::as_map(o);
        within(map, "spec", |spec| {
            set_default(spec, "replicas", 1);
            if let Some(labels) = &labels {
                set_default(spec, "selector", labels.clone());
            }
            pods::template_defaults(spec);
        });
        if let Some(labels) = labels {
            within(map, "metadata", |meta| set_default(meta, "labels", labels));
        }
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        replication_controller(new)
    }

    fn validate_update(&self, new: &Value, _: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" { FieldErrors::new() } else { replication_controller(new) }
    }
}

fn replication_controller(o: &Value) -> FieldErrors {
    // The selector is a map of labels; the checks know the form of the newer kinds.
    let mut newer = json!({"spec": {}});
    keep(&mut newer, o, "spec");
    if let Some(selector) = newer.pointer_mut("/spec/selector") {
        *selector = json!({"matchLabels": selector.take()});
    }
    let mut errors = FieldErrors::new();
    replicas(o, &mut errors);
    pod_checks::selector_and_template(&newer, "replicationcontroller", &ALWAYS, &mut errors);
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: &FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn good() -> Value {
        let mut spec = json!({"containers": [{"name": "c", "image": "i"}]});
        pods::spec_defaults(object::as_map(&mut spec));
        json!({"spec": {
            "replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "strategy": {"type": "Recreate"},
            "updateStrategy": {"type": "OnDelete"}, "podManagementPolicy": "Parallel",
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": spec}
        }})
    }

    /// The refusals that authors of deployments meet.
    #[test]
    fn deployments() {
        assert_eq!(texts(&deployment(&good())), Vec::<String>::new());
        let with = |pointer: &str, value: Value| {
            let mut o = good();
            *o.pointer_mut(pointer).unwrap() = value;
            texts(&deployment(&o))
        };
        assert_eq!(
            with("/spec/replicas", json!(-1)),
            ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
        );
        assert_eq!(
            with("/spec/strategy", json!({"type": "Recreate", "rollingUpdate": {}})),
            ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"]
        );
        assert_eq!(
            with("/spec/strategy", json!({"type": "Replace"})),
            ["spec.strategy.type: Unsupported value: \"Replace\": supported values: \"Recreate\", \"RollingUpdate\""]
        );
        assert_eq!(
            with("/spec/template/spec/restartPolicy", json!("Never")),
            ["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""]
        );
    }

    /// U-14: selectors are for ever.
    #[test]
    fn selectors_are_immutable() {
        let (old, mut new) = (good(), good());
        new["spec"]["selector"]["matchLabels"]["a"] = "c".into();
        let mut errors = FieldErrors::new();
        immutable_selector(&new, &old, &mut errors);
        assert_eq!(
            texts(&errors),
            ["spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"c\"}}: field is immutable"]
        );
    }

    #[test]
    fn others() {
        assert!(stateful_set(&good()).is_empty());
        let mut rc = good();
        rc["spec"]["selector"] = json!({"a": "b"});
        assert!(replication_controller(&rc).is_empty());
        rc["spec"]["selector"] = json!({"a": "x"});
        assert_eq!(replication_controller(&rc).len(), 1);
    }
}
