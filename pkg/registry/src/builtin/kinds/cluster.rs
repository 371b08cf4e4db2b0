//! Volumes, claims, classes, disruption budgets and autoscalers.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, Status, object};
use serde_json::{Map, Value, json};

use super::{built_in, immutable, list, not_negative, set, set_default, set_default_text, text, within};
use crate::strategy::{Strategy, StrategyContext};

pub(super) struct Volumes;
pub(super) struct Claims;
pub(super) struct StorageClasses;
pub(super) struct PriorityClasses;
pub(super) struct DisruptionBudgets;
pub(super) struct Autoscalers {
    /// The first version, which has one metric and fields of its own; the second is the stored one.
    pub(super) v1: bool,
}

impl Strategy for Volumes {
    built_in!(shown_when_deleted);

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        within(object::as_map(o), "spec", |spec| {
            set_default_text(spec, "persistentVolumeReclaimPolicy", "Retain");
            set_default_text(spec, "volumeMode", "Filesystem");
            within(spec, "hostPath", |h| set_default(h, "type", ""));
        });
    }

    fn prepare_create(&self, new: &mut Value, _: &StrategyContext<'_>) -> Result<(), Status> {
        set(new, "status", json!({"phase": "Pending"}));
        Ok(())
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        let spec = FieldPath::new("spec");
        if list(new, "/spec/accessModes").is_empty() {
            errors.push(FieldError::required(&spec.child("accessModes"), ""));
        }
        if text(new, "/spec/capacity/storage").is_empty() {
            errors.push(FieldError::required(&spec.child("capacity"), ""));
        }
        errors
    }
}

impl Strategy for Claims {
    built_in!(shown_when_deleted);

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        within(object::as_map(o), "spec", |spec| set_default_text(spec, "volumeMode", "Filesystem"));
    }

    fn prepare_create(&self, new: &mut Value, _: &StrategyContext<'_>) -> Result<(), Status> {
        set(new, "status", json!({"phase": "Pending"}));
        Ok(())
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        let spec = FieldPath::new("spec");
        if list(new, "/spec/accessModes").is_empty() {
            errors.push(FieldError::required(&spec.child("accessModes"), "at least 1 access mode is required"));
        }
        if text(new, "/spec/resources/requests/storage").is_empty() {
            errors.push(FieldError::required(&spec.child("resources").key("storage"), ""));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if ctx.subresource == "status" {
            return errors;
        }
        let fixed = |o: &Value| {
            let mut spec = o.get("spec").cloned().unwrap_or(Value::Null);
            let map = object::as_map(&mut spec);
            map.remove("volumeAttributesClassName");
            if text(old, "/spec/volumeName").is_empty() {
                map.remove("volumeName");
            }
            within(map, "resources", |r| {
                r.remove("requests");
            });
            spec
        };
        if fixed(new) != fixed(old) {
            let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            errors.push(FieldError::forbidden(&FieldPath::new("spec"), detail));
        }
        errors
    }
}

impl Strategy for StorageClasses {
    built_in!(shown_when_deleted);

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        let map = object::as_map(o);
        set_default_text(map, "reclaimPolicy", "Delete");
        set_default_text(map, "volumeBindingMode", "Immediate");
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        if text(new, "/provisioner").is_empty() {
            return vec![FieldError::required(&FieldPath::new("provisioner"), "")];
        }
        FieldErrors::new()
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = self.validate_create(new, ctx);
        for field in ["parameters", "provisioner", "reclaimPolicy"] {
            if new.get(field) != old.get(field) {
                let detail = format!("updates to {field} are forbidden.");
                errors.push(FieldError::forbidden(&FieldPath::new(field), &detail));
            }
        }
        let (mode, before) = (new.get("volumeBindingMode"), old.get("volumeBindingMode"));
        immutable(mode, before, &FieldPath::new("volumeBindingMode"), &mut errors);
        errors
    }
}

impl Strategy for PriorityClasses {
    built_in!();

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        set_default_text(object::as_map(o), "preemptionPolicy", "PreemptLowerPriority");
    }

    fn validate_update(&self, new: &Value, old: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        let value = |o: &Value| o.get("value").and_then(Value::as_i64).unwrap_or(0);
        if value(new) != value(old) {
            errors.push(FieldError::forbidden(&FieldPath::new("value"), "may not be changed in an update."));
        }
        let (policy, before) = (new.get("preemptionPolicy"), old.get("preemptionPolicy"));
        immutable(policy, before, &FieldPath::new("preemptionPolicy"), &mut errors);
        errors
    }
}

impl Strategy for DisruptionBudgets {
    built_in!(no_defaults, conditional, status);

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        let spec = FieldPath::new("spec");
        if new.pointer("/spec/minAvailable").is_some() && new.pointer("/spec/maxUnavailable").is_some() {
            let shown = new.get("spec").cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(&spec, shown, "minAvailable and maxUnavailable cannot be both set"));
        }
        for field in ["minAvailable", "maxUnavailable"] {
            not_negative(new, &format!("/spec/{field}"), &spec.child(field), &mut errors);
        }
        errors
    }

    fn validate_update(&self, new: &Value, _: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" { FieldErrors::new() } else { self.validate_create(new, ctx) }
    }
}

/// What the first version cannot say is kept in this annotation.
const METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";

impl Strategy for Autoscalers {
    built_in!(status);

    fn converts(&self) -> bool {
        self.v1
    }

    fn store_form(&self, o: &mut Value) {
        if self.v1 {
            to_v2(o);
        }
    }

    fn serve_form(&self, o: &mut Value) {
        if self.v1 {
            to_v1(o);
        }
    }

    fn default(&self, o: &mut Value, _: &StrategyContext<'_>) {
        within(object::as_map(o), "spec", |spec| {
            set_default(spec, "minReplicas", 1);
            if !self.v1 && spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                spec.insert("metrics".into(), json!([cpu_metric(80)]));
            }
        });
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        autoscaler(new)
    }

    fn validate_update(&self, new: &Value, _: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        if ctx.subresource == "status" { FieldErrors::new() } else { autoscaler(new) }
    }
}

fn cpu_metric(percent: i64) -> Value {
    json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}})
}

fn is_cpu(metric: &Value) -> bool {
    text(metric, "/type") == "Resource"
        && text(metric, "/resource/name") == "cpu"
        && metric.pointer("/resource/target/averageUtilization").is_some()
}

fn to_v2(o: &mut Value) {
    let kept = object::annotation(o, METRICS_ANNOTATION).and_then(|text| serde_json::from_str::<Vec<Value>>(text).ok());
    let map = object::as_map(o);
    let mut metrics = kept.unwrap_or_default();
    let restored = !metrics.is_empty();
    within(map, "spec", |spec| {
        if let Some(percent) = spec.remove("targetCPUUtilizationPercentage").and_then(|p| p.as_i64()) {
            metrics.insert(0, cpu_metric(percent));
        }
        // Who says nothing gets a target for the CPU.
        if metrics.is_empty() {
            metrics.push(cpu_metric(80));
        }
        set_default(spec, "metrics", metrics);
    });
    within(map, "status", |status| {
        if let Some(percent) = status.remove("currentCPUUtilizationPercentage").and_then(|p| p.as_i64()) {
            let current =
                json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}]);
            set_default(status, "currentMetrics", current);
        }
    });
    if restored {
        drop_annotation(map);
    }
}

fn drop_annotation(map: &mut Map<String, Value>) {
    within(map, "metadata", |meta| {
        within(meta, "annotations", |a| {
            a.remove(METRICS_ANNOTATION);
        });
        if meta.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
            meta.remove("annotations");
        }
    });
}

fn to_v1(o: &mut Value) {
    let mut rest: Vec<Value> = Vec::new();
    let map = object::as_map(o);
    within(map, "spec", |spec| {
        for metric in spec.remove("metrics").and_then(|m| m.as_array().cloned()).unwrap_or_default() {
            if is_cpu(&metric) && !spec.contains_key("targetCPUUtilizationPercentage") {
                let percent = metric.pointer("/resource/target/averageUtilization").cloned().unwrap_or(Value::Null);
                spec.insert("targetCPUUtilizationPercentage".into(), percent);
            } else {
                rest.push(metric);
            }
        }
    });
    within(map, "status", |status| {
        let current = status.remove("currentMetrics").unwrap_or(Value::Null);
        let cpu = current.as_array().into_iter().flatten().find(|m| text(m, "/resource/name") == "cpu");
        if let Some(percent) = cpu.and_then(|m| m.pointer("/resource/current/averageUtilization")) {
            status.insert("currentCPUUtilizationPercentage".into(), percent.clone());
        }
        status.remove("conditions");
    });
    if !rest.is_empty() {
        object::set_annotation(o, METRICS_ANNOTATION, &Value::Array(rest).to_string());
    }
}

fn autoscaler(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let spec = FieldPath::new("spec");
    let number = |field: &str| o.pointer(&format!("/spec/{field}")).and_then(Value::as_i64);
    let (min, max) = (number("minReplicas").unwrap_or(1), number("maxReplicas").unwrap_or(0));
    if min < 1 {
        errors.push(FieldError::invalid(&spec.child("minReplicas"), min, "must be greater than or equal to 1"));
    }
    if max < 1 {
        errors.push(FieldError::invalid(&spec.child("maxReplicas"), max, "must be greater than 0"));
    }
    if max < min {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(&spec.child("maxReplicas"), max, detail));
    }
    for field in ["kind", "name"] {
        if text(o, &format!("/spec/scaleTargetRef/{field}")).is_empty() {
            errors.push(FieldError::required(&spec.child("scaleTargetRef").child(field), ""));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both versions of an autoscaler are one object.
    #[test]
    fn autoscalers_convert() {
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 50}}});
        let v2 = json!({"metadata": {"name": "h"}, "spec": {"maxReplicas": 3, "metrics": [cpu_metric(70), memory]}});
        let autoscalers = Autoscalers { v1: true };
        let mut o = v2.clone();
        autoscalers.serve_form(&mut o);
        assert_eq!(o["spec"], json!({"maxReplicas": 3, "targetCPUUtilizationPercentage": 70}));
        assert!(object::annotation(&o, METRICS_ANNOTATION).unwrap().contains("memory"));
        autoscalers.store_form(&mut o);
        assert_eq!(o, v2);
        let mut bare = json!({"spec": {"maxReplicas": 3}});
        autoscalers.store_form(&mut bare);
        assert_eq!(bare["spec"]["metrics"], json!([cpu_metric(80)]));
    }

    #[test]
    fn autoscalers_are_checked() {
        let target = json!({"kind": "Deployment", "name": "d"});
        assert!(
            autoscaler(&json!({"spec": {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": target}})).is_empty()
        );
        let found: Vec<String> =
            autoscaler(&json!({"spec": {"minReplicas": 4, "maxReplicas": 3, "scaleTargetRef": target}}))
                .iter()
                .map(ToString::to_string)
                .collect();
        assert_eq!(found, ["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"]);
    }
}
