//! Writes: what create, update, patch, apply and delete have in common.
//!
//! A write decides on one snapshot and commits with preconditions on everything that the decision rests on: the object
//! itself, its namespace, the definition of its type. When one of them has changed meanwhile, it decides again.

mod create;
mod delete;
mod meta;
mod patch;
pub(crate) mod scale;
mod update;

use std::sync::Arc;

use bytes::Bytes;
use kcp_admission as admission;
use kcp_apimachinery::{
    FieldError, FieldErrors, FieldPath, GroupKind, GroupResource, Status, object, status::reason, time::Timestamp,
    validation,
};
use kcp_logicalcluster::ClusterName;
use kcp_merge::managed::{ResetFields, Writer};
use kcp_storage::{Batch, CommitError, Expect, Key, Op, Revision, Snapshot, Stamped};
use serde_json::Value;

use crate::{
    decode::{self, FieldValidation, Parsed},
    encode,
    options::Write,
    registry::Registry,
    render::Renderer,
    request::{Body, Request, Written},
    scan,
    strategy::StrategyContext,
    types::{ResourceInfo, TypeTable},
};

/// The largest object that is stored (C-18).
pub(crate) const MAX_OBJECT: usize = 3 * 1024 * 1024;

/// How often a write that did not name a revision is decided anew because something changed in between (U-15). Each
/// time somebody else has made progress.
const ATTEMPTS: usize = 64;

/// How often a write begins again because the definition of its type has changed.
const RETYPED: usize = 8;

/// Why a commit did not happen.
pub(crate) enum Refusal {
    /// The precondition of the operation with this index does not hold: something has changed.
    Stale(usize),
    /// It cannot be.
    Failed(Status),
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self::Failed(status)
    }
}

/// One write.
pub(crate) struct Call<'a> {
    registry: &'a Registry,
    request: &'a Request,
    cluster: &'a ClusterName,
    /// The type as `types` has it: that of the request may be older.
    info: Arc<ResourceInfo>,
    types: Arc<TypeTable>,
    /// The revision of the definition that `info` was made of; `None` for built-in types.
    definition: Option<Revision>,
    renderer: Renderer,
    options: Write,
    now: Timestamp,
    /// The same as text.
    stamp: String,
    /// `group/version` of the endpoint.
    api_version: String,
}

impl<'a> Call<'a> {
    pub(crate) fn new(registry: &'a Registry, request: &'a Request, options: Write) -> Result<Self, Status> {
        let cluster = request.cluster()?;
        let types = registry.types(cluster);
        let definition = types.definition(&request.info.storage.group_resource).map(|d| d.revision);
        let info = match definition {
            None => Arc::clone(&request.info),
            Some(_) => {
                let gvr = request.info.gvr();
                types.lookup(&gvr.group, &gvr.version, &gvr.resource).ok_or_else(unserved)?
            }
        };
        let renderer = Renderer::new(&info, &types);
        let now = Timestamp::now();
        let api_version = info.gvk.api_version();
        let stamp = now.rfc3339();
        Ok(Self { registry, request, cluster, info, types, definition, renderer, options, now, stamp, api_version })
    }

    /// Whether the definition of the type has changed since the call began: what was made of the body may not be what
    /// the type is now.
    fn is_retyped(&self) -> bool {
        let types = self.registry.types(self.cluster);
        types.definition(&self.info.storage.group_resource).map(|d| d.revision) != self.definition
    }

    /// Whether a write that came to `outcome` is to begin again, from the body, because its type has changed.
    fn begins_again(&self, outcome: &Result<Written, Status>, left: &mut usize) -> bool {
        if outcome.is_ok() || *left == 0 || !self.is_retyped() {
            return false;
        }
        *left -= 1;
        true
    }

    /// Makes it part of a batch that the type is still what the write was decided by.
    fn guard_type(&self, ops: &mut Vec<Op>) {
        if let Some(revision) = self.definition
            && let Ok(key) = crate::crd::key_of(self.cluster, &self.info.storage.group_resource)
        {
            ops.push(Op::Check { key, expect: Expect::Revision(revision) });
        }
    }

    fn context<'s>(&'s self, snapshot: &'s Snapshot) -> StrategyContext<'s> {
        StrategyContext {
            registry: self.registry,
            snapshot,
            info: &self.info,
            cluster: self.cluster,
            namespace: self.namespace(),
            name: &self.request.name,
            subresource: &self.request.subresource,
            user: &self.request.user,
            now: self.now,
            dry_run: self.options.dry_run,
            warnings: &self.request.warnings,
        }
    }

    /// The namespace, empty for cluster-scoped kinds whatever the URL says.
    fn namespace(&self) -> &str {
        if self.info.namespaced { &self.request.namespace } else { "" }
    }

    fn resource(&self) -> GroupResource {
        self.info.group_resource()
    }

    fn not_found(&self) -> Status {
        Status::not_found(&self.resource(), &self.request.name)
    }

    fn writer(&self) -> Writer<'_> {
        Writer {
            manager: &self.options.manager,
            api_version: &self.api_version,
            subresource: &self.request.subresource,
            now: &self.stamp,
        }
    }

    /// The fields that the endpoint does not own, and the versions that the type has (F-10, F-11).
    fn reset_fields(&self) -> ResetFields {
        let reset = self.reset_paths();
        if !self.info.custom {
            return reset;
        }
        let group = &self.info.gvk.group;
        let served = self
            .types
            .versions(group)
            .into_iter()
            .filter(|v| self.types.lookup(group, &v.version, &self.info.resource).is_some());
        reset.with_versions(served.map(|v| v.to_string()))
    }

    /// As [`Call::reset_fields`], for an object that nobody owns anything of yet: its versions do not matter.
    fn reset_paths(&self) -> ResetFields {
        ResetFields::new(self.info.strategy.reset_paths(&self.info, &self.request.subresource))
    }

    /// Parses the body of a create or an update.
    fn parse(&self, body: &Body) -> Result<Parsed, Status> {
        decode::object(body, &self.info, &self.types).inspect_err(|_| {
            // What is not strict enough for an answer of its own is still a warning.
            let foreign = decode::foreign_fields(body, &self.info);
            if self.options.validation == FieldValidation::Warn {
                decode::findings(&[], &foreign).into_iter().for_each(|f| self.request.warnings.add(f));
            }
        })
    }

    /// Parses, checks, prunes and defaults a body (N-13, C-12, SC-04, SC-06).
    fn decode(&self, parsed: Parsed, snapshot: &Snapshot) -> Result<Value, Status> {
        let Parsed { mut value, duplicates } = parsed;
        let context = self.context(snapshot);
        if value.get("metadata").is_none_or(Value::is_null) {
            object::meta_mut(&mut value);
        }
        let unknown = self.info.strategy.decode(&mut value, &context)?;
        self.report(&duplicates, &unknown, |text| {
            Status::bad_request(format!(
                "{kind} in version {:?} cannot be handled as a {kind}: strict decoding error: {text}",
                self.info.gvk.version,
                kind = self.info.gvk.kind,
            ))
        })?;
        self.info.strategy.default(&mut value, &context);
        self.dedup_owners(&mut value);
        Ok(value)
    }

    /// Warns of unknown and duplicate fields, or refuses them (C-12).
    fn report(
        &self,
        duplicates: &[String],
        unknown: &[String],
        refuse: impl FnOnce(String) -> Status,
    ) -> Result<(), Status> {
        if self.options.validation == FieldValidation::Ignore || (duplicates.is_empty() && unknown.is_empty()) {
            return Ok(());
        }
        let findings = decode::findings(duplicates, unknown);
        if self.options.validation == FieldValidation::Strict {
            return Err(refuse(findings.join(", ")));
        }
        for finding in findings {
            self.request.warnings.add(finding);
        }
        Ok(())
    }

    /// The namespace in the body must be that of the URL (C-03).
    fn place(&self, value: &mut Value) -> Result<(), Status> {
        let meta = object::meta_mut(value);
        let given = meta.get("namespace").and_then(Value::as_str).unwrap_or_default();
        if !self.info.namespaced {
            meta.remove("namespace");
        } else if given.is_empty() {
            meta.insert("namespace".into(), self.request.namespace.as_str().into());
        } else if given != self.request.namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        Ok(())
    }

    /// The name in the body must be that of the URL (U-05).
    fn check_name(&self, value: &Value) -> Result<(), Status> {
        let (given, wanted) = (object::name(value), self.request.name.as_str());
        if given.is_empty() {
            return Err(Status::bad_request(format!(
                "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
            )));
        }
        if given == wanted {
            return Ok(());
        }
        Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({wanted})"
        )))
    }

    /// Mutating plug-ins.
    fn admit(&self, operation: admission::Operation, value: &mut Value, old: Option<&Value>) -> Result<(), Status> {
        let chain = &self.registry.config.admission;
        if chain.is_empty() { Ok(()) } else { chain.admit(&self.attributes(operation), value, old) }
    }

    /// Validating plug-ins.
    fn admit_valid(
        &self,
        operation: admission::Operation,
        value: Option<&Value>,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        let chain = &self.registry.config.admission;
        if chain.is_empty() { Ok(()) } else { chain.validate(&self.attributes(operation), value, old) }
    }

    fn attributes(&self, operation: admission::Operation) -> admission::Attributes<'_> {
        admission::Attributes {
            operation,
            cluster: self.cluster,
            kind: &self.info.gvk,
            resource: &self.info.resource,
            subresource: &self.request.subresource,
            namespace: self.namespace(),
            name: &self.request.name,
            user: &self.request.user,
            dry_run: self.options.dry_run,
        }
    }

    /// A namespace must exist and not be going away when something is made in it (G-06, C-14). The check is made part
    /// of the batch, so that a create never races the namespace's end.
    fn guard_namespace(&self, snapshot: &Snapshot, name: &str, ops: &mut Vec<Op>) -> Result<(), Status> {
        let namespace = self.namespace();
        if !self.info.namespaced {
            return Ok(());
        }
        let namespaces = GroupResource::new("", "namespaces");
        let missing = || Status::not_found(&namespaces, namespace);
        let key = Key::object(&namespaces, self.cluster, "", namespace).map_err(|_| missing())?;
        let entry = snapshot.get(&key).ok_or_else(missing)?;
        admission::namespace::may_create_in(&self.resource(), name, namespace, scan::is_deleting(&entry.value))?;
        ops.push(Op::Check { key, expect: Expect::Revision(entry.revision) });
        Ok(())
    }

    /// The definition of a custom type must not be going away when an instance is made (CRD-10). Part of the batch too.
    fn guard_definition(&self, name: &str, ops: &mut Vec<Op>) -> Result<(), Status> {
        let storage = &self.info.storage.group_resource;
        match self.types.definition(storage) {
            Some(definition) if definition.terminating => {
                let detail = "create not allowed while custom resource definition is terminating";
                return Err(Status::forbidden(&self.resource(), name, detail));
            }
            Some(_) => self.guard_type(ops),
            None if self.info.custom
                && self.registry.base().definition(storage).is_none()
                && !self.registry.is_base(&self.info) =>
            {
                return Err(unserved());
            }
            None => {}
        }
        Ok(())
    }

    /// The object in the form in which it is stored. `None`: it is too large.
    fn stored_form(&self, value: &mut Value) -> Result<Stamped, Status> {
        if self.info.strategy.converts() {
            self.info.strategy.store_form(value);
        }
        if let Some(map) = value.as_object_mut() {
            map.insert("apiVersion".into(), self.info.storage.api_version.as_str().into());
            map.insert("kind".into(), self.info.gvk.kind.as_str().into());
        }
        let stamped = encode::encode(value);
        if stamped.bytes.len() <= MAX_OBJECT {
            return Ok(stamped);
        }
        // Who owns what is worth less than the object (C-11).
        object::meta_mut(value).remove("managedFields");
        let stamped = encode::encode(value);
        if stamped.bytes.len() <= MAX_OBJECT {
            return Ok(stamped);
        }
        Err(Status::too_large(format!("Request entity too large: limit is {MAX_OBJECT}")))
    }

    async fn commit(&self, ops: Vec<Op>) -> Result<Revision, Refusal> {
        commit(self.registry, ops).await
    }

    /// The bytes of the answer for an object that was, or would have been, stored.
    fn answer(&self, stored: &Bytes) -> Bytes {
        self.renderer.render(self.cluster.as_str(), Revision::MAX, stored)
    }

    fn written(&self, stored: &Bytes, created: bool) -> Result<Written, Status> {
        if self.request.subresource == "scale"
            && let Some(paths) = &self.info.scale
        {
            let value = self.renderer.tree(Revision::MAX, stored);
            return Ok(Written { object: scale::render(&value, paths)?, created });
        }
        Ok(Written { object: self.answer(stored), created })
    }

    fn invalid(&self, name: &str, errors: &FieldErrors) -> Status {
        // Events of both groups are refused as those of the group that they are stored in.
        let kind = GroupKind::new(&self.info.storage.group_resource.group, &self.info.gvk.kind);
        Status::invalid(&kind, name, errors)
    }

    /// Findings of the metadata that every kind has, as the strategy of the kind sees them.
    fn own_metadata(&self, value: &Value) -> FieldErrors {
        let meta = value.get("metadata").unwrap_or(&Value::Null);
        let path = FieldPath::new("metadata");
        let strategy = &self.info.strategy;
        let mut errors = validation::validate_object_meta(meta, self.info.namespaced, strategy.name_rule(), &path);
        if strategy.checks_finalizers(&self.info) {
            let finalizers = meta.get("finalizers").unwrap_or(&Value::Null);
            errors.extend(validation::validate_core_finalizers(finalizers, &path.child("finalizers")));
        }
        errors
    }

    fn warn(&self, new: &Value, old: Option<&Value>, snapshot: &Snapshot) {
        if self.info.custom {
            let finalizers = new.pointer("/metadata/finalizers").unwrap_or(&Value::Null);
            for text in validation::finalizer_warnings(finalizers) {
                self.request.warnings.add(text);
            }
        }
        for text in self.info.strategy.warnings(new, old, &self.context(snapshot)) {
            self.request.warnings.add(text);
        }
    }
}

/// Commits a batch; failures become what the client is told.
pub(crate) async fn commit(registry: &Registry, ops: Vec<Op>) -> Result<Revision, Refusal> {
    match registry.store().commit(Batch { ops }).await {
        Ok(committed) => Ok(committed.revision),
        Err(CommitError::Conflict { index, .. }) => Err(Refusal::Stale(index)),
        Err(CommitError::Full { needed, available }) => Err(Refusal::Failed(Status::failure(
            507,
            reason::INSUFFICIENT_STORAGE,
            format!(
                "the server is out of storage: {available} bytes are left, {needed} are needed; objects can still be deleted"
            ),
        ))),
        Err(CommitError::TooLarge { limit, .. }) => {
            Err(Refusal::Failed(Status::too_large(format!("Request entity too large: limit is {limit}"))))
        }
        Err(CommitError::Closed) => Err(Refusal::Failed(
            Status::failure(503, reason::SERVICE_UNAVAILABLE, "the server is shutting down").with_retry_after(1),
        )),
        Err(e @ (CommitError::Invalid { .. } | CommitError::Engine(_))) => {
            tracing::error!(error = %e, "a write was not stored");
            Err(Refusal::Failed(Status::internal(e)))
        }
    }
}

/// Commits what follows from the state of the store: `ops` computes it, and is asked again when something changed in
/// between, `attempts` times at most. After that it is left to the next change.
///
/// # Errors
/// What the store refuses, except for stale preconditions.
pub(crate) async fn derive(registry: &Registry, attempts: usize, ops: impl Fn() -> Vec<Op>) -> Result<(), Status> {
    for _ in 0..attempts {
        let ops = ops();
        if ops.is_empty() {
            break;
        }
        match commit(registry, ops).await {
            Ok(_) => break,
            Err(Refusal::Stale(_)) => {}
            Err(Refusal::Failed(status)) => return Err(status),
        }
    }
    Ok(())
}

/// 404 for a type that there is no more.
fn unserved() -> Status {
    Status::failure(404, reason::NOT_FOUND, "the server could not find the requested resource")
}

/// 422 for an update that must name the revision that it changes (U-02). It names the resource, not the kind.
fn revision_required(resource: &GroupResource, name: &str) -> Status {
    let error = FieldError::invalid(&FieldPath::new("metadata.resourceVersion"), 0, "must be specified for an update");
    Status::invalid(&GroupKind::new(&resource.group, &resource.resource), name, &vec![error])
}
