//! Namespaces (G-01 to G-10): held by `spec.finalizers`, marked by their phase.

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, Status, object, validation};
use serde_json::{Value, json};

use super::{built_in, keep, list, set, text};
use crate::strategy::{Strategy, StrategyContext};

/// The label that selectors over names use.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// The finalizer of the controller that empties a namespace.
const KUBERNETES: &str = "kubernetes";
/// Those that nobody may delete (G-06).
const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

pub(super) struct Namespaces;

fn force_label(namespace: &mut Value) {
    let name = object::name(namespace).to_owned();
    if !name.is_empty() {
        object::set_label(namespace, NAME_LABEL, &name);
    }
}

impl Strategy for Namespaces {
    built_in!(shown_when_deleted, label_name);

    fn default(&self, new: &mut Value, _: &StrategyContext<'_>) {
        force_label(new);
    }

    fn prepare_create(&self, new: &mut Value, _: &StrategyContext<'_>) -> Result<(), Status> {
        // Once more: a generated name was not known when defaults were set.
        force_label(new);
        set(new, "status", json!({"phase": "Active"}));
        let spec = object::child_mut(new, "spec");
        let finalizers = spec.entry("finalizers").or_insert_with(|| json!([]));
        if let Value::Array(all) = finalizers
            && !all.iter().any(|f| f == KUBERNETES)
        {
            all.push(KUBERNETES.into());
        }
        Ok(())
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        match ctx.subresource {
            "finalize" => keep(new, old, "status"),
            "" => keep(new, old, "spec"),
            _ => {}
        }
        Ok(())
    }

    fn validate_create(&self, new: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        finalizers(new)
    }

    fn validate_update(&self, new: &Value, _: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        match ctx.subresource {
            "status" => phase(new),
            _ => finalizers(new),
        }
    }

    fn is_held(&self, namespace: &Value) -> bool {
        !list(namespace, "/spec/finalizers").is_empty()
    }

    fn mark_deleting(&self, namespace: &mut Value, _: &StrategyContext<'_>) {
        object::child_mut(namespace, "status").insert("phase".into(), "Terminating".into());
        // Namespaces know no grace.
        object::meta_mut(namespace).remove("deletionGracePeriodSeconds");
    }

    fn before_delete(&self, namespace: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        let name = object::name(namespace);
        if PROTECTED.contains(&name) {
            return Err(Status::forbidden(&ctx.info.group_resource(), name, "this namespace may not be deleted"));
        }
        Ok(())
    }
}

fn finalizers(namespace: &Value) -> FieldErrors {
    match namespace.pointer("/spec/finalizers") {
        Some(found) => validation::validate_core_finalizers(found, &FieldPath::new("spec.finalizers")),
        None => FieldErrors::new(),
    }
}

fn phase(namespace: &Value) -> FieldErrors {
    let (wanted, detail) = if object::is_deleting(namespace) {
        ("Terminating", "may only be 'Terminating' if `deletionTimestamp` is not empty")
    } else {
        ("Active", "may only be 'Active' if `deletionTimestamp` is empty")
    };
    match text(namespace, "/status/phase") {
        phase if phase == wanted => FieldErrors::new(),
        phase => vec![FieldError::invalid(&FieldPath::new("status.Phase"), phase, detail)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B-07, G-05: tokens of `/finalize` are qualified or one of the known ones.
    #[test]
    fn tokens() {
        assert!(finalizers(&json!({"spec": {"finalizers": ["kubernetes", "example.dev/hold"]}})).is_empty());
        let errors = finalizers(&json!({"spec": {"finalizers": ["unqualified"]}}));
        assert_eq!(
            errors[0].to_string(),
            "spec.finalizers[0]: Invalid value: \"unqualified\": name is neither a standard finalizer name nor is it fully qualified"
        );
    }

    #[test]
    fn phases() {
        assert!(phase(&json!({"metadata": {}, "status": {"phase": "Active"}})).is_empty());
        assert_eq!(phase(&json!({"metadata": {}, "status": {"phase": "Terminating"}})).len(), 1);
        let deleting =
            json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}, "status": {"phase": "Terminating"}});
        assert!(phase(&deleting).is_empty());
    }

    /// G-01, G-02: the name's label is forced; the finalizers in the spec hold a namespace.
    #[test]
    fn label_and_hold() {
        let mut ns = json!({"metadata": {"name": "a", "labels": {NAME_LABEL: "b", "x": "y"}}});
        force_label(&mut ns);
        assert_eq!(ns["metadata"]["labels"], json!({NAME_LABEL: "a", "x": "y"}));
        let mut unnamed = json!({"metadata": {"generateName": "a-"}});
        force_label(&mut unnamed);
        assert_eq!(unnamed, json!({"metadata": {"generateName": "a-"}}));
        assert!(Namespaces.is_held(&json!({"spec": {"finalizers": ["kubernetes"]}})));
        assert!(!Namespaces.is_held(&json!({"spec": {}})));
    }
}
