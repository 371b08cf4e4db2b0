//! POST (C-01 to C-18), and what PUT and apply do to a name that does not exist.

use kcp_admission::Operation;
use kcp_apimachinery::{Status, names::generate_name, object, status::reason};
use kcp_merge::managed;
use kcp_storage::{Expect, Op};
use serde_json::Value;

use super::{ATTEMPTS, Call, RETYPED, Refusal, meta};
use crate::{
    decode, encode,
    options::WriteVerb,
    quota,
    read::{find, key_of},
    registry::Registry,
    request::{Body, Request, WriteOptions, Written},
    tenancy::life,
};

/// How often a name is generated before the client is told to try again (C-04).
const NAMES: usize = 8;

impl Registry {
    pub(crate) async fn write_new(
        &self,
        request: &Request,
        body: &Body,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let options = options.check(WriteVerb::Create)?;
        let mut left = RETYPED;
        loop {
            let call = Call::new(self, request, options.clone())?;
            let outcome = call.post(body).await;
            if !call.begins_again(&outcome, &mut left) {
                return outcome;
            }
        }
    }
}

impl Call<'_> {
    async fn post(&self, body: &Body) -> Result<Written, Status> {
        if !self.request.subresource.is_empty() {
            return self.create_subresource(body);
        }
        let parsed = self.parse(body)?;
        let snapshot = self.registry.store().snapshot();
        let mut value = self.decode(parsed, &snapshot)?;
        if !self.info.is_stored() {
            // Answers made from the question say who asked.
            let schema = self.info.schema.get();
            managed::track_update(None, &mut value, &self.writer(), schema.root(), &self.reset_fields());
            let answer = self.info.strategy.review(value, &self.context(&snapshot))?;
            return Ok(Written { object: encode::encode_at(&answer, 0), created: true });
        }
        drop(snapshot);
        self.place(&mut value)?;
        if !self.request.name.is_empty() {
            self.check_name(&value)?;
        }
        self.create(value, false).await
    }

    /// Stores a decoded object. `tracked`: its managedFields are up to date.
    pub(super) async fn create(&self, mut value: Value, tracked: bool) -> Result<Written, Status> {
        let with_revision = !matches!(object::resource_version(&value), "" | "0");
        meta::wipe(&mut value);
        if !tracked {
            let schema = self.info.schema.get();
            let owned = value.pointer("/metadata/managedFields").is_some();
            let reset = if owned { self.reset_fields() } else { self.reset_paths() };
            managed::track_update(None, &mut value, &self.writer(), schema.root(), &reset);
        }
        let generated = object::name(&value).is_empty() && !object::meta_str(&value, "generateName").is_empty();
        let mut left = if generated { NAMES } else { ATTEMPTS };
        // What is prepared depends on the name and on what is stored; when either changes it is prepared anew.
        let original = (generated || self.info.strategy.reads_state()).then(|| value.clone());
        let mut prepared = false;
        let mut turn = None;
        loop {
            left -= 1;
            let snapshot = self.registry.store().snapshot();
            if let Some(original) = &original
                && prepared
            {
                value.clone_from(original);
                prepared = false;
            }
            let mut guards = Vec::new();
            let given = object::name(&value).to_owned();
            life::guard(&snapshot, self.cluster, &self.info.storage.group_resource, &given, &mut guards)?;
            self.guard_definition(&given, &mut guards)?;
            self.guard_namespace(&snapshot, &given, &mut guards)?;
            if !prepared {
                self.admit(Operation::Create, &mut value, None)?;
                if generated {
                    let name = generate_name(object::meta_str(&value, "generateName"));
                    object::meta_mut(&mut value).insert("name".into(), name.into());
                }
                self.identify(&mut value);
                if self.info.has_status {
                    meta::set(&mut value, "status", None);
                }
                self.info.strategy.prepare_create(&mut value, &self.context(&snapshot))?;
                self.validate_new(&value, &snapshot)?;
                self.admit_valid(Operation::Create, Some(&value), None)?;
                self.warn(&value, None, &snapshot);
                if with_revision {
                    // The text and the code are Kubernetes' (C-02).
                    let text = "resourceVersion should not be set on objects to be created";
                    return Err(Status::failure(500, reason::UNKNOWN, text));
                }
                prepared = true;
            }
            let name = object::name(&value).to_owned();
            let key = key_of(&self.info, self.cluster, self.namespace(), &name)?;
            if let Some(existing) = find(&self.info, &snapshot, self.cluster, &key) {
                if generated && left > 0 {
                    continue;
                }
                return Err(self.exists(&name, generated, crate::scan::is_deleting(&existing.value)));
            }
            if self.info.namespaced
                && quota::charge(&snapshot, self.cluster, self.namespace(), &self.info, &name, &mut guards)?
                && turn.is_none()
                && !self.options.dry_run
            {
                turn = Some(self.registry.turns().take(self.cluster, self.namespace()).await);
                left += 1;
                continue;
            }
            let mut ops = Vec::with_capacity(guards.len() + 1);
            let mut shown = value;
            let stored = self.stored_form(&mut shown)?;
            if self.options.dry_run {
                return self.written(&encode::encode_at(&shown, 0), true);
            }
            ops.push(Op::Put { key, value: stored.clone(), expect: Expect::Absent });
            ops.append(&mut guards);
            self.info.strategy.extra_ops(&shown, None, &self.context(&snapshot), &mut ops)?;
            match self.commit(ops).await {
                Ok(revision) => return self.written(&stored.render(revision), true),
                Err(Refusal::Failed(status)) => return Err(status),
                Err(Refusal::Stale(0)) if !generated || left == 0 => return Err(self.exists(&name, generated, false)),
                Err(Refusal::Stale(_)) if left == 0 || self.is_retyped() => {
                    return Err(Status::modified(&self.resource(), &name));
                }
                Err(Refusal::Stale(_)) => {}
            }
            value = self.unstored(shown);
        }
    }

    /// Back from the stored form, for another attempt.
    fn unstored(&self, mut value: Value) -> Value {
        if self.info.strategy.converts() {
            self.info.strategy.serve_form(&mut value);
        }
        if let Some(map) = value.as_object_mut() {
            map.insert("apiVersion".into(), self.api_version.as_str().into());
        }
        value
    }

    fn exists(&self, name: &str, generated: bool, deleting: bool) -> Status {
        let mut status = Status::already_exists(&self.resource(), name);
        if generated {
            status.message.push_str(", the server was not able to generate a unique name for the object");
            return status.with_retry_after(1);
        }
        if deleting {
            status.message.insert_str(0, "object is being deleted: ");
        }
        status
    }

    fn validate_new(&self, value: &Value, snapshot: &kcp_storage::Snapshot) -> Result<(), Status> {
        let mut errors = self.own_metadata(value);
        if self.info.strategy.validates_by_schema() {
            errors.extend(self.info.schema.get().validate(value, None));
        }
        errors.extend(self.info.strategy.validate_create(value, &self.context(snapshot)));
        if errors.is_empty() { Ok(()) } else { Err(self.invalid(object::name(value), &errors)) }
    }

    /// POST to a subresource of an object (C-17).
    fn create_subresource(&self, body: &Body) -> Result<Written, Status> {
        let unknown = || Status::not_found(&self.resource(), &self.request.name);
        let kind = &self.info.subresource(&self.request.subresource).ok_or_else(unknown)?.kind;
        let parsed = decode::expect_kind(body, &kind.group, &kind.version, &kind.kind, &self.info, &self.types)?;
        let snapshot = self.registry.store().snapshot();
        let key = key_of(&self.info, self.cluster, self.namespace(), &self.request.name)?;
        let parent = find(&self.info, &snapshot, self.cluster, &key).ok_or_else(unknown)?;
        let parent = self.renderer.tree(parent.revision, &parent.value);
        let name = object::name(&parsed.value);
        if !name.is_empty() && name != self.request.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                self.request.name
            )));
        }
        let mut asked = parsed.value;
        if let Some(schema) = crate::builtin::subresource_schema(kind) {
            let api_version = kind.api_version();
            object::meta_mut(&mut asked);
            let writer = managed::Writer { api_version: &api_version, ..self.writer() };
            managed::track_update(None, &mut asked, &writer, schema.root(), &managed::ResetFields::default());
        }
        let answer = self.info.strategy.create_subresource(asked, &parent, &self.context(&snapshot))?;
        Ok(Written { object: encode::encode_at(&answer, 0), created: true })
    }
}
