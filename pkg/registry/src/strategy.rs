//! What is special to a kind: hooks that the verbs call at fixed places.
//!
//! The verbs do everything that all kinds have in common (system fields, generation, status isolation, managedFields,
//! finalizers, metadata validation, schema pruning, defaulting and validation); a strategy says what one kind does
//! differently. All hooks are pure functions of objects and a snapshot: nothing in them waits.

use std::fmt;

use kcp_apimachinery::{
    FieldErrors, Status, UserInfo,
    time::Timestamp,
    validation::{NameFn, name_is_subdomain},
};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Op, Snapshot};
use serde_json::Value;

use crate::{authority::Access, registry::Registry, request::Warnings, types::ResourceInfo};

/// What a hook may look at.
pub struct StrategyContext<'a> {
    /// The registry: other types, the store.
    pub registry: &'a Registry,
    /// The state that this request decides on. Reads of one request all come from here.
    pub snapshot: &'a Snapshot,
    /// The resource in the version of the request.
    pub info: &'a ResourceInfo,
    /// The logical cluster.
    pub cluster: &'a ClusterName,
    /// The namespace, empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// The name in the URL, empty when there is none.
    pub name: &'a str,
    /// The subresource, empty for the object itself.
    pub subresource: &'a str,
    /// Who asks.
    pub user: &'a UserInfo,
    /// The time of the request.
    pub now: Timestamp,
    /// Nothing will be stored (C-09).
    pub dry_run: bool,
    /// Where warnings for the client go.
    pub warnings: &'a Warnings,
}

impl StrategyContext<'_> {
    /// Reads an object of this logical cluster, as stored, virtual ones included. Parses it: do not call it in loops.
    pub fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.registry.read_value(self.snapshot, self.cluster, group, resource, namespace, name)
    }

    /// Whether the user may do `access` in this logical cluster. `true` while no authority is installed, as in tests of
    /// the registry alone.
    pub fn may(&self, access: &Access<'_>) -> bool {
        self.registry.may(self.cluster, self.user, access)
    }
}

impl fmt::Debug for StrategyContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StrategyContext({} {}/{})", self.cluster, self.namespace, self.name)
    }
}

/// Which fields are not the user's to write at an endpoint: their managers do not own them (F-10).
pub type ResetPaths = &'static [&'static str];

/// The hooks of a kind. Every one has a default that does what ordinary kinds and custom resources do.
pub trait Strategy: Send + Sync {
    /// Brings a decoded body into its canonical form and returns the paths of the fields that were dropped because
    /// nobody knows them (C-12). The default prunes by the schema and writes metadata as all kinds have it. Runs before
    /// defaulting.
    ///
    /// # Errors
    /// 400 when the object cannot be decoded.
    fn decode(&self, object: &mut Value, ctx: &StrategyContext<'_>) -> Result<Vec<String>, Status> {
        let unknown = ctx.info.schema.get().prune(object);
        crate::builtin::tidy_metadata(object);
        Ok(unknown)
    }

    /// Whether objects of this version differ from their stored form in more than `apiVersion` (`events.k8s.io`, the
    /// two versions of autoscalers). Reads of such kinds parse and convert; all others copy bytes.
    fn converts(&self) -> bool {
        false
    }

    /// Brings an object of this version into its stored form; `apiVersion` and `kind` are left to the caller.
    fn store_form(&self, object: &mut Value) {
        let _ = object;
    }

    /// Brings a stored object into the form of this version; `apiVersion` and `kind` are left to the caller.
    fn serve_form(&self, object: &mut Value) {
        let _ = object;
    }

    /// Fills in defaults. The default applies those of the schema.
    fn default(&self, object: &mut Value, ctx: &StrategyContext<'_>) {
        ctx.info.schema.get().default(object);
    }

    /// Before a new object is validated: system fields are set already.
    ///
    /// # Errors
    /// Whatever the client is to be told.
    fn prepare_create(&self, new: &mut Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        let _ = (new, ctx);
        Ok(())
    }

    /// Whether [`Strategy::prepare_create`] depends on the state of other objects: it is then called anew, with the
    /// object as it came, when the state has changed before the commit.
    fn reads_state(&self) -> bool {
        false
    }

    /// Before a changed object is validated. System fields are kept already; on the main endpoint `status` is that of
    /// `old` when the kind has the subresource, on `/status` all else is. For other subresources this hook alone says
    /// what of `old` is kept.
    ///
    /// # Errors
    /// Whatever the client is to be told.
    fn prepare_update(&self, new: &mut Value, old: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        let _ = (new, old, ctx);
        Ok(())
    }

    /// Whether metadata sent to `/status` is taken (labels, annotations, finalizers); most kinds keep the stored one.
    fn status_takes_metadata(&self) -> bool {
        false
    }

    /// Validation beyond metadata and schema.
    fn validate_create(&self, new: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        let _ = (new, ctx);
        FieldErrors::new()
    }

    /// Validation beyond metadata and schema.
    fn validate_update(&self, new: &Value, old: &Value, ctx: &StrategyContext<'_>) -> FieldErrors {
        let _ = (new, old, ctx);
        FieldErrors::new()
    }

    /// Whether the schema's validation (types, formats, required fields, …) runs for this kind. Built-in kinds whose
    /// decoder and hand-written validation say the same with other texts answer `false`.
    fn validates_by_schema(&self) -> bool {
        true
    }

    /// What names of this kind look like (C-05).
    fn name_rule(&self) -> NameFn {
        name_is_subdomain
    }

    /// Whether finalizers must be well-known or have a domain (C-06). Custom resources only warn.
    fn checks_finalizers(&self, info: &ResourceInfo) -> bool {
        !info.custom
    }

    /// Warnings for a write that succeeded.
    fn warnings(&self, new: &Value, old: Option<&Value>, ctx: &StrategyContext<'_>) -> Vec<String> {
        let _ = (new, old, ctx);
        Vec::new()
    }

    /// Fields that the endpoint does not own (F-10). The default: `status` on the main endpoint when there is a
    /// subresource for it, `metadata` and `spec` on `/status`.
    fn reset_paths(&self, info: &ResourceInfo, subresource: &str) -> ResetPaths {
        match subresource {
            "" if info.has_status => &["status"],
            "status" => &["metadata", "spec"],
            _ => &[],
        }
    }

    /// PUT to a name that does not exist creates (U-04).
    fn allow_create_on_update(&self) -> bool {
        false
    }

    /// PUT without a resourceVersion overwrites (U-02). Never for custom resources.
    fn allow_unconditional_update(&self, info: &ResourceInfo) -> bool {
        !info.custom
    }

    /// The same for patches; rarely different.
    fn allow_unconditional_patch(&self) -> bool {
        true
    }

    /// DELETE answers with the object rather than with a Status.
    fn returns_object_on_delete(&self) -> bool {
        false
    }

    /// DELETE marks the object only, though it has no finalizers: its `spec` holds it (namespaces, G-02).
    fn is_held(&self, object: &Value) -> bool {
        let _ = object;
        false
    }

    /// How many seconds an object lives on after a DELETE that asked for `requested` of them. More than 0 marks it
    /// and leaves its removal to a later DELETE with 0, which comes from who runs it; only pods know such a thing.
    fn grace_seconds(&self, object: &Value, requested: Option<i64>) -> i64 {
        let _ = (object, requested);
        0
    }

    /// Changes an object that is being marked as deleted (namespaces set their phase).
    fn mark_deleting(&self, object: &mut Value, ctx: &StrategyContext<'_>) {
        let _ = (object, ctx);
    }

    /// Before a delete.
    ///
    /// # Errors
    /// Why it must not be, such as 403 for the namespace `default`.
    fn before_delete(&self, object: &Value, ctx: &StrategyContext<'_>) -> Result<(), Status> {
        let _ = (object, ctx);
        Ok(())
    }

    /// More writes in the batch that writes `new`, such as the birth of a Workspace's logical cluster; `old` is
    /// `None` for a create. Not called for dry runs.
    ///
    /// # Errors
    /// Whatever the client is to be told.
    fn extra_ops(
        &self,
        new: &Value,
        old: Option<&Value>,
        ctx: &StrategyContext<'_>,
        ops: &mut Vec<Op>,
    ) -> Result<(), Status> {
        let _ = (new, old, ctx, ops);
        Ok(())
    }

    /// Answers a create of a kind that is not stored (reviews, C-16).
    ///
    /// # Errors
    /// Whatever the client is to be told.
    fn review(&self, object: Value, ctx: &StrategyContext<'_>) -> Result<Value, Status> {
        let _ = object;
        Err(Status::method_not_allowed(&ctx.info.group_resource(), "create"))
    }

    /// Answers a create of a subresource (`serviceaccounts/x/token`, C-17); `parent` is the object that it is of.
    ///
    /// # Errors
    /// Whatever the client is to be told.
    fn create_subresource(&self, body: Value, parent: &Value, ctx: &StrategyContext<'_>) -> Result<Value, Status> {
        let _ = (body, parent);
        Err(Status::method_not_allowed(&ctx.info.group_resource(), "create"))
    }
}

impl fmt::Debug for dyn Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strategy")
    }
}

/// The strategy of custom resources and of every kind without peculiarities.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Strategy for Plain {}
