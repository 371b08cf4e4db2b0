//! Leases (Y-06): leader election rests on their strict conflicts.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath};
use serde_json::Value;

use super::{built_in, not_negative, text};
use crate::strategy::{Strategy, StrategyContext};

pub(super) struct Leases;

impl Strategy for Leases {
    built_in!(no_defaults, create_on_update, conditional);

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        lease(new)
    }

    fn validate_update(&self, new: &Value, _: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        lease(new)
    }
}

fn lease(o: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let spec = FieldPath::new("spec");
    if let Some(seconds) = o.pointer("/spec/leaseDurationSeconds").and_then(Value::as_i64)
        && seconds <= 0
    {
        errors.push(FieldError::invalid(&spec.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
    }
    not_negative(o, "/spec/leaseTransitions", &spec.child("leaseTransitions"), &mut errors);
    if !text(o, "/spec/preferredHolder").is_empty() && text(o, "/spec/strategy").is_empty() {
        let detail = "may only be specified if strategy is defined";
        errors.push(FieldError::forbidden(&spec.child("preferredHolder"), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers() {
        for (spec, want) in [
            (json!({"leaseDurationSeconds": 15, "leaseTransitions": 0}), vec![]),
            (
                json!({"leaseDurationSeconds": 0, "leaseTransitions": -1}),
                vec![
                    "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                    "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
                ],
            ),
        ] {
            let found: Vec<String> = lease(&json!({"spec": spec})).iter().map(ToString::to_string).collect();
            assert_eq!(found, want);
        }
    }
}
