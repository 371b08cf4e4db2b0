//! CustomResourceDefinitions: their strategy, the types they define, and the names they hold.

mod compile;
mod served;
mod settle;

use std::sync::Arc;

use kcp_apimachinery::{FieldErrors, FieldPath, GroupResource, Status, object, validation};
use kcp_apis::apiresource::{NEGOTIATION_USER, crd_name};
use kcp_logicalcluster::ClusterName;
use kcp_schema::{compat::tolerate_learned, crd};
use kcp_storage::{Key, KeyError};
use serde_json::Value;

use crate::{
    builtin::tidy_metadata,
    strategy::{Strategy, StrategyContext},
};

pub(crate) use compile::resource;
pub(crate) use served::Served;
pub(crate) use settle::{settle, unsettled};

/// The API group of definitions.
pub const GROUP: &str = "apiextensions.k8s.io";
/// Their plural.
pub const RESOURCE: &str = "customresourcedefinitions";

/// The key prefix of definitions.
pub fn group_resource() -> GroupResource {
    GroupResource::new(GROUP, RESOURCE)
}

/// The key of a definition.
pub(crate) fn key(cluster: &ClusterName, name: &str) -> Result<Key, KeyError> {
    Key::object(&group_resource(), cluster, "", name)
}

/// The key of the definition of a custom type, learned ones of the core group included.
pub(crate) fn key_of(cluster: &ClusterName, resource: &GroupResource) -> Result<Key, KeyError> {
    key(cluster, &crd_name(&resource.group, &resource.resource))
}

/// The hooks of definitions (CRD-01 to CRD-22).
#[derive(Debug, Clone, Copy, Default)]
pub struct Definitions;

impl Definitions {
    /// The strategy, to be put into the table of built-in types.
    pub fn strategy() -> Arc<dyn Strategy> {
        Arc::new(Self)
    }
}

/// Findings about the metadata are made by the verbs; the rules of definitions make them again.
fn without(mut errors: FieldErrors, known: &FieldErrors) -> FieldErrors {
    errors.retain(|e| !known.contains(e));
    errors
}

impl Strategy for Definitions {
    fn decode(&self, object: &mut Value, ctx: &StrategyContext<'_>) -> Result<Vec<String>, Status> {
        let schema = ctx.info.schema.get();
        let unknown = schema.prune(object);
        if let Some(mismatch) = schema.mismatch(object) {
            let kind = &ctx.info.gvk.kind;
            return Err(Status::bad_request(format!(
                "{kind} in version \"v1\" cannot be handled as a {kind}: {mismatch}"
            )));
        }
        tidy_metadata(object);
        Ok(unknown)
    }

    fn default(&self, object: &mut Value, _: &StrategyContext<'_>) {
        crd::default_crd(object);
    }

    fn validates_by_schema(&self) -> bool {
        false
    }

    /// The one that keeps a definition until its objects are gone has no slash, which the rule of core kinds forbids.
    fn checks_finalizers(&self, _: &crate::types::ResourceInfo) -> bool {
        false
    }

    /// The controller that empties a definition lets it go through `/status`, where the rules of the spec, which an old
    /// definition may break, do not stand in the way.
    fn status_takes_metadata(&self) -> bool {
        true
    }

    fn prepare_create(&self, new: &mut Value, _: &StrategyContext<'_>) -> Result<(), Status> {
        crd::prepare_create(new);
        Ok(())
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        if ctx.subresource.is_empty() {
            crd::prepare_update(new, old);
        } else {
            // Of the metadata sent to `/status` only finalizers count.
            let kept = old.get("metadata").and_then(Value::as_object);
            let meta = object::meta_mut(new);
            for field in ["labels", "annotations", "ownerReferences"] {
                match kept.and_then(|m| m.get(field)) {
                    Some(value) => meta.insert(field.to_owned(), value.clone()),
                    None => meta.remove(field),
                };
            }
        }
        Ok(())
    }

    fn validate_create(&self, new: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        let meta = new.get("metadata").unwrap_or(&Value::Null);
        let known = validation::validate_object_meta(meta, false, self.name_rule(), &FieldPath::new("metadata"));
        let mut errors = crd::validate_create(new);
        if ctx.user.username == NEGOTIATION_USER {
            tolerate_learned(new, &mut errors);
        }
        without(errors, &known)
    }

    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        let part = |value: &Value| value.get("metadata").cloned().unwrap_or_default();
        let known = validation::validate_object_meta_update(&part(new), &part(old), &FieldPath::new("metadata"));
        let mut errors = if ctx.subresource == "status" {
            crd::validate_status_update(new, old)
        } else {
            crd::validate_update(new, old)
        };
        // Group and names cannot change, so what was let in stays in whoever writes.
        tolerate_learned(old, &mut errors);
        without(errors, &known)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>, ctx: &StrategyContext<'_>) -> Vec<String> {
        if ctx.subresource.is_empty() { crd::format_warnings(new, old) } else { Vec::new() }
    }

    fn allow_unconditional_update(&self, _: &crate::types::ResourceInfo) -> bool {
        false
    }

    /// The first DELETE only marks: the finalizer comes with the mark (CRD-10).
    fn is_held(&self, object: &Value) -> bool {
        !object::is_deleting(object)
    }

    fn mark_deleting(&self, object: &mut Value, ctx: &StrategyContext<'_>) {
        let list = object::meta_mut(object).entry("finalizers").or_insert(Value::Null);
        if !list.is_array() {
            *list = Value::Array(Vec::new());
        }
        if let Some(list) = list.as_array_mut()
            && !list.iter().any(|f| f == crd::CLEANUP_FINALIZER)
        {
            list.push(crd::CLEANUP_FINALIZER.into());
        }
        let message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon";
        crd::status::set_condition(
            object,
            "Terminating",
            "True",
            "InstanceDeletionPending",
            message,
            &ctx.now.rfc3339(),
        );
    }
}
