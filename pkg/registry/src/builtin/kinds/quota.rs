//! ResourceQuotas and LimitRanges: their form. What counts against a quota is decided in [`crate::quota`]; limits and
//! defaults of LimitRanges are stored and not applied.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, Status, quantity::Quantity, validation};
use serde_json::{Value, json};

use super::{built_in, entries, immutable, list, set, text};
use crate::strategy::{Strategy, StrategyContext};

pub(super) struct ResourceQuotas;
pub(super) struct LimitRanges;

impl Strategy for ResourceQuotas {
    built_in!(no_defaults, shown_when_deleted);

    fn prepare_create(&self, new: &mut Value, _: &StrategyContext<'_>) -> Result<(), Status> {
        set(new, "status", json!({}));
        Ok(())
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        quota_spec(new)
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if ctx.subresource == "status" {
            amounts(new, "/status/hard", &FieldPath::new("status.hard"), &mut errors);
            amounts(new, "/status/used", &FieldPath::new("status.used"), &mut errors);
            return errors;
        }
        errors.extend(quota_spec(new));
        let (scopes, before) = (new.pointer("/spec/scopes"), old.pointer("/spec/scopes"));
        immutable(scopes, before, &FieldPath::new("spec.scopes"), &mut errors);
        errors
    }
}

impl Strategy for LimitRanges {
    built_in!(no_defaults, create_on_update);

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        limits(new)
    }

    fn validate_update(&self, new: &Value, _: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        limits(new)
    }
}

/// The names that mean something without a domain.
const STANDARD: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "services",
    "services.nodeports",
    "services.loadbalancers",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
];

/// Whether a resource is counted in whole numbers.
fn is_integer(resource: &str) -> bool {
    matches!(
        resource,
        "pods"
            | "services"
            | "services.nodeports"
            | "services.loadbalancers"
            | "replicationcontrollers"
            | "resourcequotas"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
    ) || (resource.contains('/') && !resource.contains("kubernetes.io/") && !resource.starts_with("requests."))
}

fn quota_spec(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    amounts(o, "/spec/hard", &FieldPath::new("spec.hard"), &mut errors);
    errors
}

fn amounts(o: &Value, pointer: &str, path: &FieldPath, errors: &mut FieldErrors) {
    for (resource, amount) in entries(o, pointer) {
        let path = path.key(resource);
        let messages = validation::qualified_name(resource);
        let known = resource.contains('/') || !messages.is_empty() || STANDARD.contains(&resource.as_str());
        errors.extend(messages.iter().map(|m| FieldError::invalid(&path, resource.as_str(), m)));
        if !known {
            errors.push(FieldError::invalid(&path, resource.as_str(), "must be a standard resource for quota"));
        }
        quantity(resource, amount, &path, errors);
    }
}

fn quantity(resource: &str, amount: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(found) = amount.as_str().and_then(Quantity::parse) else { return };
    if found.is_negative() {
        errors.push(FieldError::invalid(path, amount.clone(), "must be greater than or equal to 0"));
    }
    if is_integer(resource) && found.milli_value() % 1000 != 0 {
        errors.push(FieldError::invalid(path, amount.clone(), "must be an integer"));
    }
}

fn limits(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let path = FieldPath::new("spec.limits");
    let mut seen: Vec<&str> = Vec::new();
    for (i, limit) in list(o, "/spec/limits").iter().enumerate() {
        let path = path.index(i);
        let kind = text(limit, "/type");
        if kind.is_empty() {
            errors.push(FieldError::required(&path.child("type"), ""));
        } else if seen.contains(&kind) {
            errors.push(FieldError::duplicate(&path.child("type"), kind));
        }
        seen.push(kind);
        let read = |field: &str, resource: &str| {
            limit.get(field).and_then(|f| f.get(resource)).and_then(Value::as_str).and_then(Quantity::parse)
        };
        for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            for (resource, amount) in entries(limit, &format!("/{field}")) {
                quantity(resource, amount, &path.child(field).key(resource), &mut errors);
            }
        }
        // Each must not be more than the next.
        let shown = |q: &Quantity| q.to_string();
        for (low, high) in [
            ("min", "max"),
            ("min", "defaultRequest"),
            ("defaultRequest", "max"),
            ("defaultRequest", "default"),
            ("default", "max"),
        ] {
            for (resource, _) in entries(limit, &format!("/{low}")) {
                if let (Some(a), Some(b)) = (read(low, resource), read(high, resource))
                    && a > b
                {
                    let detail = match (low, high) {
                        ("min", "max") => format!("min value {} is greater than max value {}", shown(&a), shown(&b)),
                        ("min", _) => {
                            format!("min value {} is greater than default request value {}", shown(&a), shown(&b))
                        }
                        ("defaultRequest", "max") => {
                            format!("default request value {} is greater than max value {}", shown(&a), shown(&b))
                        }
                        ("defaultRequest", _) => {
                            format!(
                                "default request value {} is greater than default limit value {}",
                                shown(&a),
                                shown(&b)
                            )
                        }
                        _ => format!("default value {} is greater than max value {}", shown(&a), shown(&b)),
                    };
                    errors.push(FieldError::invalid(&path.child(low).key(resource), shown(&a), &detail));
                }
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: &FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    /// Y-08: amounts are whole and not negative.
    #[test]
    fn quotas() {
        for (hard, want) in [
            (json!({"secrets": "2", "count/bolts.example.dev": "1", "cpu": "1500m"}), vec![]),
            (
                json!({"secrets": "-1"}),
                vec!["spec.hard[secrets]: Invalid value: \"-1\": must be greater than or equal to 0"],
            ),
            (
                json!({"count/secrets": "1500m"}),
                vec!["spec.hard[count/secrets]: Invalid value: \"1500m\": must be an integer"],
            ),
            (
                json!({"gadgets": "1"}),
                vec!["spec.hard[gadgets]: Invalid value: \"gadgets\": must be a standard resource for quota"],
            ),
        ] {
            assert_eq!(texts(&quota_spec(&json!({"spec": {"hard": hard}}))), want);
        }
    }

    #[test]
    fn limit_ranges() {
        let o = json!({"spec": {"limits": [
            {"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}},
            {"type": "Container"},
            {}
        ]}});
        assert_eq!(
            texts(&limits(&o)),
            [
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
                "spec.limits[1].type: Duplicate value: \"Container\"",
                "spec.limits[2].type: Required value",
            ]
        );
    }
}
