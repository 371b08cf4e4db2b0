//! The hooks of LogicalClusters: the object describes the workspace that it is in, so who administers the workspace
//! reads it, and changes little of it.
//!
//! The server makes it and takes it away. Its spec, its place and its phase are the server's. Initializers go one by
//! one, each by somebody who may `initialize` workspaces of the type that it stands for.

use std::{collections::BTreeSet, sync::Arc};

use kcp_apimachinery::{Status, field::go_quote, object, user};
use kcp_apis::{
    core::{self, phase},
    tenancy::{self, WORKSPACE_TYPE},
};
use kcp_logicalcluster::{ClusterPath, ClusterRef};
use serde_json::Value;

use super::types::TypeName;
use crate::{
    authority::Access,
    strategy::{Strategy, StrategyContext},
};

/// The hooks of LogicalClusters.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogicalClusters;

impl LogicalClusters {
    /// The strategy, to be put into the table of types.
    pub fn strategy() -> Arc<dyn Strategy> {
        Arc::new(Self)
    }
}

fn forbidden(ctx: &StrategyContext<'_>, detail: &str) -> Status {
    Status::forbidden(&ctx.info.group_resource(), core::LOGICAL_CLUSTER_NAME, detail)
}

/// Where in the life of a workspace a phase is; nothing goes back.
pub(super) fn ordinal(phase: &str) -> usize {
    let order = [phase::SCHEDULING, phase::INITIALIZING, phase::READY, phase::TERMINATING, phase::DELETING];
    match phase {
        // It comes and goes while it is ready.
        phase::UNAVAILABLE | phase::INACTIVE => 2,
        _ => order.iter().position(|p| *p == phase).unwrap_or(0),
    }
}

/// 403 for a phase that comes before the present one.
pub(super) fn check_phase(old: &Value, new: &Value) -> Result<(), String> {
    let phase = |o: &'_ Value| o.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default().to_owned();
    let (was, is) = (phase(old), phase(new));
    if ordinal(&was) > ordinal(&is) {
        return Err(format!("cannot transition from {} to {}", go_quote(&was), go_quote(&is)));
    }
    Ok(())
}

/// 403 for fields of the status that only the server sets.
pub(super) fn check_servers(
    old: &Value,
    new: &Value,
    ctx: &StrategyContext<'_>,
    fields: &[&str],
) -> Result<(), String> {
    if ctx.user.in_group(user::MASTERS) {
        return Ok(());
    }
    let field = |o: &'_ Value, name: &str| o.pointer(&format!("/status/{name}")).cloned();
    match fields.iter().find(|name| field(old, name) != field(new, name)) {
        Some(name) => Err(format!("status.{name} is set by the server")),
        None => Ok(()),
    }
}

fn initializers(object: &Value) -> BTreeSet<&str> {
    object
        .pointer("/status/initializers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// Whether the user may sign off for an initializer.
fn may_initialize(ctx: &StrategyContext<'_>, initializer: &str) -> bool {
    let Some(name) =
        TypeName::parse(initializer).filter(|_| !initializer.starts_with(tenancy::SYSTEM_INITIALIZER_PREFIX))
    else {
        return false;
    };
    let place = ClusterPath::new(&name.path).ok().and_then(|p| ctx.registry.tenancy().resolve(&ClusterRef::Path(p)));
    let access = Access {
        verb: tenancy::INITIALIZE_VERB,
        group: WORKSPACE_TYPE.group,
        version: WORKSPACE_TYPE.version,
        resource: WORKSPACE_TYPE.resource,
        name: &name.name,
        ..Access::default()
    };
    place.is_some_and(|place| ctx.registry.may(&place.name, ctx.user, &access))
}

fn check_status(new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), String> {
    check_phase(old, new)?;
    let system = ctx.user.in_group(user::MASTERS);
    let (was, is) = (initializers(old), initializers(new));
    if !is.is_subset(&was) {
        return Err("status.initializers must not grow".into());
    }
    check_servers(old, new, ctx, &["phase", "URL"])?;
    if !system && let Some(gone) = was.difference(&is).find(|i| !may_initialize(ctx, i)) {
        return Err(format!(
            "unable to remove initializer {}: missing verb='initialize' permission on workspacetype",
            go_quote(gone)
        ));
    }
    let phase = new.pointer("/status/phase").and_then(Value::as_str).unwrap_or_default();
    if phase == phase::READY && !is.is_empty() {
        return Err("status.initializers is not empty".into());
    }
    Ok(())
}

impl Strategy for LogicalClusters {
    fn prepare_create(&self, _: &mut Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        Err(forbidden(ctx, "LogicalCluster cannot be created by user"))
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        if ctx.subresource == "status" {
            return check_status(new, old, ctx).map_err(|text| forbidden(ctx, &text));
        }
        for key in [core::PATH_ANNOTATION, tenancy::TYPE_ANNOTATION] {
            match object::annotation(old, key) {
                Some(kept) => object::set_annotation(new, key, kept),
                None => {
                    drop(new.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut).map(|a| a.remove(key)))
                }
            }
        }
        if new.get("spec") != old.get("spec") && !ctx.user.in_group(user::MASTERS) {
            return Err(forbidden(ctx, "spec is set by the server"));
        }
        Ok(())
    }

    /// It stays until the workspace is empty, and goes with the last of its content.
    fn is_held(&self, _: &Value) -> bool {
        true
    }

    fn before_delete(&self, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        let owned = old.pointer("/spec/owner").is_some_and(Value::is_object);
        let direct = old.pointer("/spec/directlyDeletable") == Some(&Value::Bool(true));
        if owned && (direct || object::is_deleting(old)) {
            return Ok(());
        }
        Err(forbidden(ctx, "LogicalCluster cannot be deleted"))
    }

    fn mark_deleting(&self, object: &mut Value, _: &StrategyContext<'_>) {
        object::child_mut(object, "status").insert("phase".into(), phase::DELETING.into());
    }
}
