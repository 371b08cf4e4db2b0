//! What is special to each built-in kind.
//!
//! Every kind decodes through the codec of its Go type and validates by hand with Kubernetes' texts; the schema only
//! drops unknown fields. `built_in!` writes that part of a [`Strategy`].

mod account;
mod cluster;
mod config;
mod event;
mod jobs;
mod lease;
mod namespace;
mod pod_checks;
mod pods;
mod quota;
mod rbac;
mod review;
mod service;
mod signing;
mod workloads;

pub(super) use account::TOKEN_REQUEST;

use std::sync::Arc;

use kcp_apimachinery::{FieldErrors, FieldPath, Status};
use serde_json::{Map, Value};

use crate::{
    strategy::{Strategy, StrategyContext},
    types::ResourceInfo,
};

/// The part of a strategy that all built-in kinds share, and the flags by which they differ.
macro_rules! built_in {
    ($($flag:ident),* $(,)?) => {
        fn decode(
            &self,
            object: &mut serde_json::Value,
            ctx: &crate::strategy::StrategyContext<'_>,
        ) -> Result<Vec<String>, kcp_apimachinery::Status> {
            super::decode(object, ctx)
        }
        fn validates_by_schema(&self) -> bool {
            false
        }
        $(built_in!(@ $flag);)*
    };
    (@ no_defaults) => {
        fn default(&self, _: &mut serde_json::Value, _: &crate::strategy::StrategyContext<'_>) {}
    };
    (@ create_on_update) => {
        fn allow_create_on_update(&self) -> bool {
            true
        }
    };
    (@ conditional) => {
        fn allow_unconditional_update(&self, _: &crate::types::ResourceInfo) -> bool {
            false
        }
    };
    (@ shown_when_deleted) => {
        fn returns_object_on_delete(&self) -> bool {
            true
        }
    };
    (@ status) => {
        fn prepare_create(
            &self,
            new: &mut serde_json::Value,
            ctx: &crate::strategy::StrategyContext<'_>,
        ) -> Result<(), kcp_apimachinery::Status> {
            super::fill(new, ctx);
            Ok(())
        }
    };
    (@ label_name) => {
        fn name_rule(&self) -> kcp_apimachinery::validation::NameFn {
            kcp_apimachinery::validation::name_is_label
        }
    };
    (@ path_name) => {
        fn name_rule(&self) -> kcp_apimachinery::validation::NameFn {
            kcp_apimachinery::validation::name_is_path_segment
        }
    };
}
use built_in;

/// A kind without hooks of its own: what it is, is in its flags.
#[derive(Debug, Clone, Copy)]
struct Simple {
    create_on_update: bool,
    conditional: bool,
    shown_when_deleted: bool,
}

impl Strategy for Simple {
    fn decode(&self, object: &mut Value, ctx: &StrategyContext<'_>) -> Result<Vec<String>, Status> {
        decode(object, ctx)
    }
    fn validates_by_schema(&self) -> bool {
        false
    }
    fn default(&self, _: &mut Value, _: &StrategyContext<'_>) {}
    fn prepare_create(&self, new: &mut Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        fill(new, ctx);
        Ok(())
    }
    fn allow_create_on_update(&self) -> bool {
        self.create_on_update
    }
    fn allow_unconditional_update(&self, _: &ResourceInfo) -> bool {
        !self.conditional
    }
    fn returns_object_on_delete(&self) -> bool {
        self.shown_when_deleted
    }
}

/// Drops what the schema does not know and brings the rest into the form of the Go type.
fn decode(object: &mut Value, ctx: &StrategyContext<'_>) -> Result<Vec<String>, Status> {
    let unknown = ctx.info.schema.get().prune(object);
    super::codec::apply(&ctx.info.openapi_name, object)
        .map_err(|text| undecodable(&ctx.info.gvk.version, &ctx.info.gvk.kind, &text))?;
    Ok(unknown)
}

/// Writes the fields that are always there, among them the status that a new object was stripped of.
fn fill(object: &mut Value, ctx: &StrategyContext<'_>) {
    // Decoded before, so this cannot fail; if it did the object would be complete in all but those fields.
    let _ = super::codec::apply(&ctx.info.openapi_name, object);
}

/// 400 for a body that is not of its kind (E-13).
fn undecodable(version: &str, kind: &str, text: &str) -> Status {
    Status::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {text}"))
}

/// The strategy of a built-in resource; `None` for CustomResourceDefinitions, which are not this module's.
pub(super) fn strategy(group: &str, version: &str, resource: &str) -> Option<Arc<dyn Strategy>> {
    const PLAIN: Simple = Simple { create_on_update: false, conditional: false, shown_when_deleted: false };
    const SHOWN: Simple = Simple { shown_when_deleted: true, ..PLAIN };
    Some(match (group, resource) {
        ("apiextensions.k8s.io", _) => return None,
        ("", "namespaces") => Arc::new(namespace::Namespaces),
        ("", "secrets") => Arc::new(config::Secrets),
        ("", "configmaps") => Arc::new(config::ConfigMaps),
        ("", "serviceaccounts") => Arc::new(account::ServiceAccounts),
        ("" | "events.k8s.io", "events") => Arc::new(event::Events { new_group: !group.is_empty() }),
        ("", "resourcequotas") => Arc::new(quota::ResourceQuotas),
        ("", "limitranges") => Arc::new(quota::LimitRanges),
        ("coordination.k8s.io", "leases") => Arc::new(lease::Leases),
        ("certificates.k8s.io", _) => Arc::new(signing::SigningRequests),
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => {
            Arc::new(rbac::Roles { namespaced: resource == "roles" })
        }
        ("rbac.authorization.k8s.io", _) => Arc::new(rbac::Bindings { namespaced: resource == "rolebindings" }),
        ("authorization.k8s.io" | "authentication.k8s.io", _) => Arc::new(review::Reviews),
        ("", "pods") => Arc::new(pods::Pods),
        ("", "podtemplates") => Arc::new(pods::PodTemplates),
        ("", "replicationcontrollers") => Arc::new(workloads::ReplicationControllers),
        ("apps", "deployments") => Arc::new(workloads::Deployments),
        ("apps", "replicasets") => Arc::new(workloads::ReplicaSets),
        ("apps", "statefulsets") => Arc::new(workloads::StatefulSets),
        ("apps", "daemonsets") => Arc::new(workloads::DaemonSets),
        ("batch", "jobs") => Arc::new(jobs::Jobs),
        ("batch", "cronjobs") => Arc::new(jobs::CronJobs),
        ("autoscaling", _) => Arc::new(cluster::Autoscalers { v1: version == "v1" }),
        ("policy", _) => Arc::new(cluster::DisruptionBudgets),
        ("", "services") => Arc::new(service::Services),
        ("networking.k8s.io", "ingresses") => Arc::new(service::Ingresses),
        ("networking.k8s.io", "networkpolicies") => Arc::new(service::NetworkPolicies),
        ("", "persistentvolumes") => Arc::new(cluster::Volumes),
        ("", "persistentvolumeclaims") => Arc::new(cluster::Claims),
        ("storage.k8s.io", "storageclasses") => Arc::new(cluster::StorageClasses),
        ("scheduling.k8s.io", _) => Arc::new(cluster::PriorityClasses),
        ("", "endpoints") => Arc::new(Simple { create_on_update: true, ..PLAIN }),
        ("node.k8s.io", _) => Arc::new(Simple { create_on_update: true, conditional: true, ..PLAIN }),
        ("storage.k8s.io", "csidrivers" | "csinodes" | "volumeattachments") => {
            Arc::new(Simple { conditional: true, ..SHOWN })
        }
        ("storage.k8s.io", "volumeattributesclasses") => Arc::new(SHOWN),
        _ => Arc::new(PLAIN),
    })
}

/// Whether writes of a kind keep `metadata.generation` (C-07, U-07).
pub(super) fn has_generation(group: &str, resource: &str) -> bool {
    matches!(
        (group, resource),
        ("", "pods" | "replicationcontrollers")
            | ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
            | ("batch" | "policy" | "discovery.k8s.io" | "scheduling.k8s.io" | "apiextensions.k8s.io", _)
            | ("networking.k8s.io", "ingresses" | "ingressclasses" | "networkpolicies")
    )
}

// What follows reads and changes trees; absent and wrong types are alike, as everything has been decoded before.

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn entries<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

/// Sets a field of an object.
fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    kcp_apimachinery::object::as_map(object).insert(field.to_owned(), value.into());
}

/// Sets a field unless it has a value.
fn set_default(map: &mut Map<String, Value>, field: &str, value: impl Into<Value>) {
    if map.get(field).is_none_or(Value::is_null) {
        map.insert(field.to_owned(), value.into());
    }
}

/// Sets a text field unless it has one that is not empty.
fn set_default_text(map: &mut Map<String, Value>, field: &str, value: &str) {
    if map.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
        map.insert(field.to_owned(), value.into());
    }
}

/// Runs `change` on every map of a list.
fn each(map: &mut Map<String, Value>, field: &str, mut change: impl FnMut(&mut Map<String, Value>)) {
    for item in map.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
        if let Value::Object(inner) = item {
            change(inner);
        }
    }
}

/// Runs `change` on the map at `field`, when there is one.
fn within(map: &mut Map<String, Value>, field: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    if let Some(Value::Object(inner)) = map.get_mut(field) {
        change(inner);
    }
}

/// `field is immutable` when a value differs from its old one.
fn immutable(new: Option<&Value>, old: Option<&Value>, path: &FieldPath, errors: &mut FieldErrors) {
    if new.unwrap_or(&Value::Null) != old.unwrap_or(&Value::Null) {
        let value = new.cloned().unwrap_or(Value::Null);
        errors.push(kcp_apimachinery::FieldError::invalid(path, value, "field is immutable"));
    }
}

/// Copies `field` of `old` to `new`, absence included.
fn keep(new: &mut Value, old: &Value, field: &str) {
    let Value::Object(map) = new else { return };
    match old.get(field) {
        Some(value) => {
            map.insert(field.to_owned(), value.clone());
        }
        None => {
            map.remove(field);
        }
    }
}

/// The number at a pointer, refused when negative.
fn not_negative(object: &Value, pointer: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(number) = object.pointer(pointer).and_then(Value::as_i64)
        && number < 0
    {
        errors.push(kcp_apimachinery::FieldError::invalid(path, number, "must be greater than or equal to 0"));
    }
}
