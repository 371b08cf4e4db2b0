//! The hooks of Workspaces: which type, whether it may be here, and the birth of the logical cluster behind it.

use std::{collections::BTreeSet, sync::Arc};

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath, Status, object, user};
use kcp_apis::{
    core::{self, LOGICAL_CLUSTER, phase},
    tenancy::{self, WORKSPACE_TYPE, types as names},
};
use kcp_authentication::identity;
use kcp_logicalcluster::{ClusterName, ClusterPath};
use kcp_storage::Op;
use serde_json::{Value, json};

use super::{
    birth::{Birth, Owner},
    life, logical,
    types::{self, TypeName},
};
use crate::{
    authority::Access,
    strategy::{Strategy, StrategyContext},
};

/// The hooks of Workspaces.
#[derive(Debug, Clone, Copy, Default)]
pub struct Workspaces;

impl Workspaces {
    /// The strategy, to be put into the table of types.
    pub fn strategy() -> Arc<dyn Strategy> {
        Arc::new(Self)
    }
}

fn forbidden(ctx: &StrategyContext<'_>, name: &str, detail: String) -> Status {
    Status::forbidden(&ctx.info.group_resource(), name, detail)
}

/// The path of the workspace that the request is in.
fn here(ctx: &StrategyContext<'_>) -> Result<ClusterPath, Status> {
    ctx.registry
        .tenancy()
        .path(ctx.cluster)
        .ok_or_else(|| Status::internal(format!("the logical cluster {} has no path", ctx.cluster)))
}

/// The type of the workspace that the request is in, with what it extends. A logical cluster without one counts as
/// the root.
fn own_type(ctx: &StrategyContext<'_>) -> Option<(TypeName, types::Resolved)> {
    let own = ctx.get(LOGICAL_CLUSTER.group, LOGICAL_CLUSTER.resource, "", core::LOGICAL_CLUSTER_NAME);
    let annotated =
        own.as_ref().and_then(|o| object::annotation(o, tenancy::TYPE_ANNOTATION)).and_then(TypeName::parse);
    let root = TypeName { path: ClusterName::ROOT.into(), name: names::ROOT.into() };
    types::resolve(ctx, ctx.cluster, &annotated.unwrap_or(root))
}

/// The type of a new workspace: as asked for, or what its parent's type says.
fn wanted_type(new: &Value, parent: Option<&(TypeName, types::Resolved)>) -> TypeName {
    let asked = new.pointer("/spec/type").and_then(TypeName::read);
    let default =
        || parent.and_then(|(_, p)| p.object.pointer("/spec/defaultChildWorkspaceType")).and_then(TypeName::read);
    asked.or_else(default).unwrap_or_else(|| TypeName { path: String::new(), name: names::UNIVERSAL.into() })
}

/// Whether workspaces of a type may be made in one of the parent's type, by this user.
fn check_type(
    ctx: &StrategyContext<'_>,
    name: &str,
    wanted: &TypeName,
    found: &types::Resolved,
    parent: Option<&(TypeName, types::Resolved)>,
) -> Result<(), Status> {
    if is_home(wanted) && is_homes(ctx) {
        // Nobody but the server makes anything there.
        return Ok(());
    }
    if let Some(cluster) = &found.cluster {
        let access = Access {
            verb: tenancy::USE_VERB,
            group: WORKSPACE_TYPE.group,
            version: WORKSPACE_TYPE.version,
            resource: WORKSPACE_TYPE.resource,
            name: &wanted.name,
            ..Access::default()
        };
        if !ctx.registry.may(cluster, ctx.user, &access) {
            let text = format!("unable to use workspacetype {wanted}: missing verb='use' permission on workspacetype");
            return Err(forbidden(ctx, name, text));
        }
    }
    let Some((parent_name, parent)) = parent else { return Ok(()) };
    let limit = |object: &Value, field: &str| object.pointer(&format!("/spec/{field}")).cloned().unwrap_or(Value::Null);
    let texts = |set: &BTreeSet<TypeName>| set.iter().map(TypeName::to_string).collect::<Vec<_>>().join(" ");
    if let Err(allowed) = types::allows(&limit(&found.object, "limitAllowedParents"), &wanted.path, &parent.aliases) {
        let text = format!(
            "workspace type {wanted} only allows [{}] workspaces as parents, but the parent type {parent_name} only implements [{}]",
            allowed.join(" "),
            texts(&parent.aliases)
        );
        return Err(forbidden(ctx, name, text));
    }
    if let Err(allowed) =
        types::allows(&limit(&parent.object, "limitAllowedChildren"), &parent_name.path, &found.aliases)
    {
        let text = format!(
            "workspace type {parent_name} only allows [{}] workspaces as children, but the type {wanted} only implements [{}]",
            allowed.join(" "),
            texts(&found.aliases)
        );
        return Err(forbidden(ctx, name, text));
    }
    Ok(())
}

/// Whether a type is that of home workspaces.
fn is_home(kind: &TypeName) -> bool {
    kind.path == ClusterName::ROOT && kind.name == names::HOME
}

/// Whether the request is in the workspace that holds the homes of all users.
fn is_homes(ctx: &StrategyContext<'_>) -> bool {
    let tenancy = ctx.registry.tenancy();
    tenancy
        .parent(ctx.cluster)
        .is_some_and(|(parent, name)| parent.as_str() == ClusterName::ROOT && name == tenancy::HOMES)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Keeps the phase among the labels, so that lists can select by it.
fn label_phase(object: &mut Value) {
    let phase = text(object, "/status/phase").to_owned();
    if !phase.is_empty() && object::label(object, tenancy::PHASE_LABEL) != Some(&phase) {
        object::set_label(object, tenancy::PHASE_LABEL, &phase);
    }
}

/// The server's finalizer stays while there is a logical cluster: without it, everything in the workspace would be left
/// behind where nobody finds it.
fn keep_finalizer(new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) {
    let has = |o: &Value| object::finalizers(o).any(|f| f == core::LOGICAL_CLUSTER_FINALIZER);
    let lives = || ClusterName::new(text(old, "/spec/cluster")).is_ok_and(|c| life::exists(ctx.snapshot, &c));
    if !has(old) || has(new) || !lives() {
        return;
    }
    let list = object::meta_mut(new).entry("finalizers").or_insert(Value::Null);
    if !list.is_array() {
        *list = json!([]);
    }
    if let Some(list) = list.as_array_mut() {
        list.push(core::LOGICAL_CLUSTER_FINALIZER.into());
    }
    ctx.warnings.add(format!("the finalizer {} stays until the workspace is empty", core::LOGICAL_CLUSTER_FINALIZER));
}

impl Workspaces {
    /// The path and the URL of the workspace.
    fn place(new: &Value, ctx: &StrategyContext<'_>) -> Result<(ClusterPath, String), Status> {
        let name = object::name(new);
        let invalid = |detail: &str| {
            let error = FieldError::invalid(&FieldPath::new("metadata.name"), name, detail);
            Status::invalid(&ctx.info.group_kind(), name, &vec![error])
        };
        let homes = ctx.cluster.as_str() == ClusterName::ROOT && name == tenancy::HOMES;
        if tenancy::RESERVED_NAMES.contains(&name) || homes && !ctx.user.in_group(user::MASTERS) {
            return Err(invalid("the name is reserved"));
        }
        let path = here(ctx)?.join(name).map_err(|_| invalid("must match ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))?;
        let url = format!("{}/clusters/{path}", ctx.registry.config.external_url);
        Ok((path, url))
    }
}

impl Strategy for Workspaces {
    fn reads_state(&self) -> bool {
        true
    }

    fn prepare_create(&self, new: &mut Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        let name = object::name(new).to_owned();
        let parent = own_type(ctx);
        let wanted = wanted_type(new, parent.as_ref());
        let Some((resolved, found)) = types::resolve(ctx, ctx.cluster, &wanted) else {
            return Err(forbidden(ctx, &name, format!("spec.type {:?} does not exist", wanted.name)));
        };
        check_type(ctx, &name, &resolved, &found, parent.as_ref())?;
        let (path, url) = Self::place(new, ctx)?;
        let cluster = ClusterName::generate();
        let spec = object::child_mut(new, "spec");
        spec.insert("type".into(), json!({"name": resolved.name, "path": resolved.path}));
        spec.insert("cluster".into(), cluster.as_str().into());
        spec.insert("URL".into(), url.as_str().into());
        for (key, value) in &found.labels {
            if object::label(new, key).is_none() {
                object::set_label(new, key, value);
            }
        }
        let owner = serde_json::to_string(ctx.user).unwrap_or_default();
        object::set_annotation(new, tenancy::OWNER_ANNOTATION, &owner);
        object::set_annotation(new, tenancy::CLUSTER_ANNOTATION, cluster.as_str());
        let finalizers = object::meta_mut(new).entry("finalizers").or_insert_with(|| Value::Array(Vec::new()));
        if let Some(list) = finalizers.as_array_mut()
            && !list.iter().any(|f| f == core::LOGICAL_CLUSTER_FINALIZER)
        {
            list.push(core::LOGICAL_CLUSTER_FINALIZER.into());
        }
        let birth = Birth {
            cluster: &cluster,
            path: &path,
            url: &url,
            workspace_type: "",
            owner: None,
            admin: "",
            directly_deletable: false,
            initializers: &found.initializers,
            ca_pem: "",
            now: ctx.now,
        };
        birth.state(new);
        label_phase(new);
        Ok(())
    }

    fn prepare_update(&self, new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        // They follow those of the logical cluster; ahead of them, nobody would finish what they say is done.
        logical::check_phase(old, new)
            .and_then(|()| logical::check_servers(old, new, ctx, &["phase", "initializers"]))
            .map_err(|text| forbidden(ctx, object::name(old), text))?;
        if ctx.subresource.is_empty() {
            // What the server has set is not lost by leaving it out.
            let named = text(new, "/spec/type/name").eq_ignore_ascii_case(text(old, "/spec/type/name"));
            let same_type = text(new, "/spec/type/path").is_empty() && named;
            for field in ["cluster", "URL", "type"] {
                let kept = old.pointer(&format!("/spec/{field}")).cloned();
                let spec = object::child_mut(new, "spec");
                if let Some(kept) = kept
                    && (spec.get(field).is_none_or(Value::is_null) || field == "type" && same_type)
                {
                    spec.insert(field.to_owned(), kept);
                }
            }
            if new.pointer("/spec/type") != old.pointer("/spec/type") {
                return Err(forbidden(ctx, object::name(old), "spec.type is immutable".to_owned()));
            }
            for key in [tenancy::OWNER_ANNOTATION, tenancy::CLUSTER_ANNOTATION] {
                if let Some(kept) = object::annotation(old, key) {
                    object::set_annotation(new, key, kept);
                }
            }
            keep_finalizer(new, old, ctx);
        }
        label_phase(new);
        Ok(())
    }

    fn mark_deleting(&self, object: &mut Value, _: &StrategyContext<'_>) {
        object::child_mut(object, "status").insert("phase".into(), phase::DELETING.into());
        label_phase(object);
    }

    fn validate_update(&self, new: &Value, old: &Value, _: &StrategyContext<'_>) -> FieldErrors {
        let mut errors = FieldErrors::new();
        for field in ["cluster", "URL"] {
            let pointer = format!("/spec/{field}");
            let (was, is) = (old.pointer(&pointer), new.pointer(&pointer));
            if was != is {
                let path = FieldPath::new(format!("spec.{field}"));
                errors.push(FieldError::invalid(&path, is.cloned().unwrap_or(Value::Null), "field is immutable"));
            }
        }
        errors
    }

    fn extra_ops(
        &self,
        new: &Value,
        old: Option<&Value>,
        ctx: &StrategyContext<'_>,
        ops: &mut Vec<Op>,
    ) -> Result<(), Status> {
        let cluster = ClusterName::new(text(new, "/spec/cluster")).map_err(Status::internal)?;
        if let Some(old) = old {
            // In one batch: from here on nothing new is made in it.
            let begins = object::is_deleting(new) && !object::is_deleting(old);
            return if begins { life::mark_deleting(ctx.snapshot, &cluster, ctx.now, ops) } else { Ok(()) };
        }
        let (path, url) = Self::place(new, ctx)?;
        let initializers: Vec<String> = new
            .pointer("/status/initializers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|v| v.as_str().map(str::to_owned))
            .collect();
        let workspace_type = format!("{}:{}", text(new, "/spec/type/path"), text(new, "/spec/type/name"));
        let birth = Birth {
            cluster: &cluster,
            path: &path,
            url: &url,
            workspace_type: &workspace_type,
            owner: Some(Owner { cluster: ctx.cluster, name: object::name(new), uid: object::uid(new) }),
            // A service account has another name in there, where its own may belong to somebody else.
            admin: &identity::seen_from(ctx.user, &cluster).username,
            directly_deletable: is_homes(ctx),
            initializers: &initializers,
            ca_pem: &ctx.registry.config.ca_pem,
            now: ctx.now,
        };
        ops.extend(birth.ops()?);
        Ok(())
    }

    fn status_takes_metadata(&self) -> bool {
        false
    }
}
