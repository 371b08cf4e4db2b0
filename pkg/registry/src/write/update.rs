//! PUT (U-01 to U-15), and the way of every change of an existing object.

use kcp_admission::Operation;
use kcp_apimachinery::{FieldErrors, FieldPath, Status, object, status::reason, validation};
use kcp_authorization::{Attributes, forbidden};
use kcp_merge::managed;
use kcp_storage::{Expect, Key, Op, Prefix, Snapshot};
use serde_json::Value;

use super::{
    ATTEMPTS, Call, RETYPED, Refusal,
    patch::{Patch, Produced},
    revision_required,
};
use crate::{
    authority::Access,
    decode, encode,
    options::WriteVerb,
    read::{Existing, find, key_of},
    registry::Registry,
    request::{Body, Request, WriteOptions, Written},
    tenancy::life,
};

/// What is to become of an object.
pub(super) enum Change {
    /// It is replaced by this one.
    Replace(Value),
    /// It is patched.
    Patch(Patch),
    /// Its Scale is replaced by this one.
    ReplaceScale(Value),
    /// Its Scale is patched.
    Scale(Patch),
}

impl Registry {
    pub(crate) async fn write_over(
        &self,
        request: &Request,
        body: &Body,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        let options = options.check(WriteVerb::Update)?;
        let mut left = RETYPED;
        loop {
            let call = Call::new(self, request, options.clone())?;
            let outcome = call.put(body).await;
            if !call.begins_again(&outcome, &mut left) {
                return outcome;
            }
        }
    }
}

/// What one attempt has come to.
enum Attempt {
    Done(Written),
    Create(Produced),
    Again,
}

impl Call<'_> {
    async fn put(&self, body: &Body) -> Result<Written, Status> {
        if self.request.subresource == "scale" {
            let parsed = decode::expect_kind(body, "autoscaling", "v1", "Scale", &self.info, &self.types)?;
            return self.modify(&Change::ReplaceScale(parsed.value)).await;
        }
        let parsed = self.parse(body)?;
        let snapshot = self.registry.store().snapshot();
        let mut value = self.decode(parsed, &snapshot)?;
        drop(snapshot);
        self.place(&mut value)?;
        self.check_name(&value)?;
        self.modify(&Change::Replace(value)).await
    }

    /// Changes the object that the request names.
    pub(super) async fn modify(&self, change: &Change) -> Result<Written, Status> {
        let key = key_of(&self.info, self.cluster, self.namespace(), &self.request.name)?;
        for _ in 0..ATTEMPTS {
            match self.attempt(&key, change).await? {
                Attempt::Done(written) => return Ok(written),
                Attempt::Create(produced) => match self.create(produced.value, produced.tracked).await {
                    // Somebody else has made it meanwhile: then it is theirs that is changed. Who applies is never told
                    // that the object exists.
                    Err(status) if status.reason == reason::ALREADY_EXISTS => {}
                    outcome => return outcome,
                },
                Attempt::Again if self.is_retyped() => break,
                Attempt::Again => {}
            }
        }
        Err(Status::modified(&self.resource(), &self.request.name))
    }

    async fn attempt(&self, key: &Key, change: &Change) -> Result<Attempt, Status> {
        let snapshot = self.registry.store().snapshot();
        let Some(existing) = find(&self.info, &snapshot, self.cluster, key) else {
            return self.missing(change, &snapshot).map(Attempt::Create);
        };
        let old = self.renderer.tree(existing.revision, &existing.value);
        let Produced { value: mut new, tracked } = self.produce(change, &old, &snapshot)?;
        self.check_revision(change, &new, &existing)?;
        if !tracked {
            let schema = self.info.schema.get();
            managed::track_update(Some(&old), &mut new, &self.writer(), schema.root(), &self.reset_fields());
            if self.request.subresource == "scale" {
                super::meta::forget_scale_time(&mut new);
            }
        }
        self.admit(Operation::Update, &mut new, Some(&old))?;
        self.isolate(&mut new, &old);
        self.info.strategy.prepare_update(&mut new, &old, &self.context(&snapshot))?;
        self.count(&mut new, &old);
        self.validate_changed(&new, &old, &snapshot)?;
        self.admit_valid(Operation::Update, Some(&new), Some(&old))?;
        self.warn(&new, Some(&old), &snapshot);
        let expect = existing.entry.as_ref().map_or(Expect::Absent, |e| Expect::Revision(e.revision));
        if self.ends(&new) {
            return self.end(key, new, &existing, expect).await;
        }
        if managed::settle(&old, &mut new) {
            return self.written(&existing.value, false).map(Attempt::Done);
        }
        let mut ops = Vec::new();
        let stored = self.stored_form(&mut new)?;
        if self.options.dry_run {
            return self.written(&encode::encode_at(&new, existing.revision), false).map(Attempt::Done);
        }
        ops.push(Op::Put { key: key.clone(), value: stored.clone(), expect });
        self.guard_type(&mut ops);
        if existing.entry.is_none() {
            // What hides a virtual object is a new one.
            let resource = &self.info.storage.group_resource;
            life::guard(&snapshot, self.cluster, resource, &self.request.name, &mut ops)?;
        }
        self.info.strategy.extra_ops(&new, Some(&old), &self.context(&snapshot), &mut ops)?;
        match self.commit(ops).await {
            Ok(revision) => self.written(&stored.render(revision), false).map(Attempt::Done),
            Err(Refusal::Stale(_)) => Ok(Attempt::Again),
            Err(Refusal::Failed(status)) => Err(status),
        }
    }

    fn produce(&self, change: &Change, old: &Value, snapshot: &Snapshot) -> Result<Produced, Status> {
        match change {
            Change::Replace(value) => Ok(Produced { value: value.clone(), tracked: false }),
            Change::ReplaceScale(scale) => self.scaled(scale, old),
            Change::Scale(patch) => self.patched_scale(patch, old),
            Change::Patch(patch) => {
                let mut produced = self.patched(patch, Some(old), snapshot)?;
                self.place(&mut produced.value)?;
                self.check_name(&produced.value)?;
                Ok(produced)
            }
        }
    }

    /// What to make of a change to an object that does not exist (U-04, A-06, A-07).
    fn missing(&self, change: &Change, snapshot: &Snapshot) -> Result<Produced, Status> {
        let main = self.request.subresource.is_empty();
        match change {
            Change::Replace(value) if main && self.info.strategy.allow_create_on_update() => {
                self.authorize_create()?;
                Ok(Produced { value: value.clone(), tracked: false })
            }
            Change::Patch(patch) if main && patch.is_apply() => {
                self.authorize_create()?;
                let mut produced = self.patched(patch, None, snapshot)?;
                let meta = object::meta_mut(&mut produced.value);
                meta.entry("name").or_insert_with(|| self.request.name.as_str().into());
                self.place(&mut produced.value)?;
                self.check_name(&produced.value)?;
                let uid = object::uid(&produced.value);
                if !uid.is_empty() {
                    let detail = format!(
                        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                    );
                    return Err(Status::conflict(&self.resource(), &self.request.name, &detail));
                }
                Ok(produced)
            }
            _ => Err(self.not_found()),
        }
    }

    /// Who makes an object by changing it needs the right to create it too (AZ-11).
    fn authorize_create(&self) -> Result<(), Status> {
        let Some(authority) = self.registry.authority() else { return Ok(()) };
        let gvk = &self.info.gvk;
        let access = Access {
            verb: "create",
            group: &gvk.group,
            version: &gvk.version,
            resource: &self.info.resource,
            namespace: self.namespace(),
            name: &self.request.name,
            ..Access::default()
        };
        let verdict = authority.authorize(self.cluster, &self.request.user, &access);
        if verdict.allowed {
            return Ok(());
        }
        let question = Attributes::resource(&self.request.user, access.verb, access.group, access.resource);
        Err(forbidden(&question.named(access.namespace, access.name), verdict.reason))
    }

    /// The client's idea of which object it changes must be right (U-01, U-02, U-03, A-05).
    fn check_revision(&self, change: &Change, new: &Value, existing: &Existing) -> Result<(), Status> {
        let resource = self.resource();
        let given = object::resource_version(new);
        let uid = object::uid(new);
        if matches!(change, Change::Replace(_)) && !uid.is_empty() {
            let current = crate::scan::of_metadata(&existing.value, "uid").and_then(crate::scan::text);
            let current = current.unwrap_or_default();
            if uid != current {
                let group = if self.info.custom { format!("{}/", resource.group) } else { String::new() };
                let namespace =
                    if self.info.namespaced { format!("{}/", self.request.namespace) } else { String::new() };
                let detail = format!(
                    "StorageError: invalid object, Code: 4, Key: /registry/{group}{}/{namespace}{}, ResourceVersion: 0, \
                     AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {current}",
                    resource.resource, self.request.name
                );
                return Err(Status::conflict(&resource, &self.request.name, &detail));
            }
        }
        if matches!(given, "" | "0") {
            let scale = matches!(change, Change::ReplaceScale(_) | Change::Scale(_));
            if scale || self.info.strategy.allow_unconditional_update(&self.info) {
                return Ok(());
            }
            return Err(revision_required(&resource, &self.request.name));
        }
        if given.parse() == Ok(existing.revision) || (existing.entry.is_none() && self.was_virtual(given)) {
            return Ok(());
        }
        Err(Status::modified(&resource, &self.request.name))
    }

    /// Whether the object was virtual at a revision, as it is now: so watches show one that was uncovered.
    fn was_virtual(&self, revision: &str) -> bool {
        let key = key_of(&self.info, self.cluster, self.namespace(), &self.request.name);
        let (Ok(key), Ok(revision)) = (key, revision.parse()) else { return false };
        let then = self.registry.store().snapshot_at(revision, &Prefix::object(&key));
        then.is_ok_and(|then| then.get(&key).is_none())
    }

    fn validate_changed(&self, new: &Value, old: &Value, snapshot: &Snapshot) -> Result<(), Status> {
        let path = FieldPath::new("metadata");
        let part = |value: &'_ Value| value.get("metadata").cloned().unwrap_or(Value::Null);
        let (meta, old_meta) = (part(new), part(old));
        let mut errors =
            validation::validate_object_meta(&meta, self.info.namespaced, validation::name_is_path_segment, &path);
        let update = validation::validate_object_meta_update(&meta, &old_meta, &path);
        if !errors.is_empty() || !update.is_empty() {
            // Kubernetes looks at the metadata in the generic part and again in the strategy, and lists each finding
            // as often as it was found.
            errors.extend(update.clone());
            errors.extend(update);
            if !self.info.custom {
                errors.extend(self.own_metadata(new));
            }
        } else if self.info.strategy.checks_finalizers(&self.info) {
            let finalizers = meta.get("finalizers").unwrap_or(&Value::Null);
            errors.extend(validation::validate_core_finalizers(finalizers, &path.child("finalizers")));
        }
        if self.info.strategy.validates_by_schema() {
            let found = self.info.schema.get().validate(new, Some(old));
            errors.extend(if self.request.subresource == "status" && self.info.custom {
                below_status(found)
            } else {
                found
            });
        }
        errors.extend(self.info.strategy.validate_update(new, old, &self.context(snapshot)));
        if errors.is_empty() { Ok(()) } else { Err(self.invalid(&self.request.name, &errors)) }
    }

    /// Whether an object that is being deleted has nothing left to live for (U-10, G-05).
    fn ends(&self, new: &Value) -> bool {
        let grace = new.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
        object::is_deleting(new)
            && object::finalizers(new).next().is_none()
            && grace == 0
            && !self.info.strategy.is_held(new)
    }

    /// Deletes the object in the same request. The answer shows the old resourceVersion, the event a newer one.
    async fn end(&self, key: &Key, mut new: Value, existing: &Existing, expect: Expect) -> Result<Attempt, Status> {
        self.stored_form(&mut new)?;
        let shown = encode::encode_at(&new, existing.revision);
        if !self.options.dry_run {
            match self.commit(vec![Op::Delete { key: key.clone(), expect }]).await {
                Ok(_) => {}
                Err(Refusal::Stale(_)) => return Ok(Attempt::Again),
                Err(Refusal::Failed(status)) => return Err(status),
            }
        }
        self.written(&shown, false).map(Attempt::Done)
    }
}

/// Only `status` is validated at `/status`, so the texts name fields from there on, the paths do not (SC-14).
fn below_status(mut errors: FieldErrors) -> FieldErrors {
    for error in &mut errors {
        if let Some(short) = error.path.as_str().strip_prefix("status.") {
            let long = format!("{} in body", error.path);
            error.message = error.message.replace(&long, &format!("{short} in body"));
        }
    }
    errors
}
