//! PATCH: the four kinds of patches, and server-side apply (F-01 to F-23).

use kcp_apimachinery::{FieldError, FieldPath, GroupKind, GroupVersionKind, Status, object};
use kcp_merge::{JsonPatch, managed, merge_patch, strategic_merge};
use kcp_storage::Snapshot;
use serde_json::Value;

use super::{Call, RETYPED, scale, update::Change};
use crate::{
    decode::{self, Parsed},
    options::WriteVerb,
    parse::check_paths,
    registry::Registry,
    request::{Body, PatchKind, Request, WriteOptions, Written},
};

/// A patch, parsed.
pub(super) enum Patch {
    Json(JsonPatch),
    Merge(Parsed),
    Strategic(Parsed),
    Apply(Parsed),
}

/// What a change has made of an object.
pub(super) struct Produced {
    pub(super) value: Value,
    /// Its managedFields are up to date.
    pub(super) tracked: bool,
}

impl Registry {
    pub(crate) async fn write_patch(
        &self,
        request: &Request,
        kind: PatchKind,
        body: &Body,
        options: &WriteOptions,
    ) -> Result<Written, Status> {
        if kind == PatchKind::Strategic && request.info.custom && !request.info.strategic_merge {
            // Garbage collectors and kubectl rely on it.
            return Err(Status::unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            ));
        }
        let options = options.check(WriteVerb::Patch(kind))?;
        let patch = Patch::parse(kind, body)?;
        let change = if request.subresource == "scale" { Change::Scale(patch) } else { Change::Patch(patch) };
        let mut left = RETYPED;
        loop {
            let call = Call::new(self, request, options.clone())?;
            if let Change::Scale(Patch::Apply(parsed)) | Change::Patch(Patch::Apply(parsed)) = &change {
                call.check_applied(&parsed.value)?;
            }
            let outcome = call.modify(&change).await;
            if !call.begins_again(&outcome, &mut left) {
                return outcome;
            }
        }
    }
}

impl Patch {
    fn parse(kind: PatchKind, body: &Body) -> Result<Self, Status> {
        if kind == PatchKind::Json {
            return JsonPatch::parse(&body.json).map(Self::Json);
        }
        let what = if kind == PatchKind::Apply { "error decoding YAML" } else { "error decoding patch" };
        let parsed = decode::parse(body)
            .map_err(|e| Status::bad_request(format!("{what}: {}", decode::go_json_error(&body.json, &e))))?;
        if !parsed.value.is_object() {
            return Err(Status::bad_request(format!(
                "{what}: json: cannot unmarshal into Go value of type map[string]interface {{}}"
            )));
        }
        Ok(match kind {
            PatchKind::Merge => Self::Merge(parsed),
            PatchKind::Strategic => Self::Strategic(parsed),
            PatchKind::Json | PatchKind::Apply => Self::Apply(parsed),
        })
    }

    /// The findings of the patch itself.
    fn duplicates(&self) -> &[String] {
        match self {
            Self::Json(_) => &[],
            Self::Merge(p) | Self::Strategic(p) | Self::Apply(p) => &p.duplicates,
        }
    }

    pub(super) fn is_apply(&self) -> bool {
        matches!(self, Self::Apply(_))
    }
}

impl Call<'_> {
    /// What can be said of an applied configuration before the object is known (F-01).
    fn check_applied(&self, applied: &Value) -> Result<(), Status> {
        if self.request.subresource == "scale" {
            return managed::check_type(applied, &GroupVersionKind::new("autoscaling", "v1", "Scale"));
        }
        managed::check_type(applied, &self.info.gvk)
    }

    /// Applies a patch to `old`, or makes an object of an applied configuration when there is none.
    pub(super) fn patched(&self, patch: &Patch, old: Option<&Value>, snapshot: &Snapshot) -> Result<Produced, Status> {
        let schema = self.info.schema.get();
        let mut tracked = false;
        let empty = Value::Null;
        let base = old.unwrap_or(&empty);
        let value = match patch {
            Patch::Json(patch) => {
                let mut value = base.clone();
                patch.apply(&mut value)?;
                check_paths(&value)?;
                value
            }
            Patch::Merge(patch) => {
                let mut value = base.clone();
                merge_patch(&mut value, &patch.value);
                value
            }
            Patch::Strategic(patch) => strategic_merge(base, &patch.value, schema.root())?,
            Patch::Apply(applied) => {
                tracked = true;
                let applied = applied.value.clone();
                managed::apply(old, applied, self.options.force, &self.writer(), schema.root(), &self.reset_fields())?
            }
        };
        let value = self.decode_patched(value, patch, snapshot)?;
        Ok(Produced { value, tracked })
    }

    /// What decoding a body is for other verbs; its failures have the patched object in their text.
    fn decode_patched(&self, mut value: Value, patch: &Patch, snapshot: &Snapshot) -> Result<Value, Status> {
        if !value.is_object() {
            return Err(Status::bad_request("the patched object is not an object"));
        }
        let apply = patch.is_apply();
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("apiVersion"), text("kind"));
        if version != self.api_version && !version.is_empty() {
            return Err(Status::bad_request(format!(
                "the API version in the data ({version}) does not match the expected API version ({})",
                self.api_version
            )));
        }
        if kind != self.info.gvk.kind && !kind.is_empty() {
            let error = FieldError::invalid(&FieldPath::new("kind"), kind, &format!("must be {}", self.info.gvk.kind));
            return Err(self.invalid(&self.request.name, &vec![error]));
        }
        let context = self.context(snapshot);
        let shown = value.clone();
        let refuse = |why: &str| {
            let error = FieldError::invalid(&FieldPath::new("patch"), shown.to_string(), why);
            Status::invalid(&GroupKind::default(), "", &vec![error])
        };
        let unknown = self
            .info
            .strategy
            .decode(&mut value, &context)
            .map_err(|status| if apply { status } else { refuse(&status.message) })?;
        self.report(patch.duplicates(), &unknown, |text| refuse(&format!("strict decoding error: {text}")))?;
        self.info.strategy.default(&mut value, &context);
        self.dedup_owners(&mut value);
        Ok(value)
    }

    /// A patch of `/scale`: of the Scale of `old`, or an applied one.
    pub(super) fn patched_scale(&self, patch: &Patch, old: &Value) -> Result<Produced, Status> {
        let paths = self.info.scale.as_ref().ok_or_else(|| self.not_found())?;
        let schema = self.info.schema.get();
        if let Patch::Apply(applied) = patch {
            let replicas: Vec<&str> = scale::fields(&paths.spec_replicas).collect();
            let configuration = managed::scale_configuration(&applied.value, &self.info.gvk, &replicas)?;
            scale::wanted(&applied.value, &self.request.name)?;
            let value = managed::apply(
                Some(old),
                configuration,
                self.options.force,
                &self.writer(),
                schema.root(),
                &self.reset_fields(),
            )?;
            return Ok(Produced { value, tracked: true });
        }
        let before = scale::of(old, paths)?;
        let after = match patch {
            Patch::Json(patch) => {
                let mut value = before;
                patch.apply(&mut value)?;
                value
            }
            Patch::Merge(patch) | Patch::Strategic(patch) | Patch::Apply(patch) => {
                let mut value = before;
                merge_patch(&mut value, &patch.value);
                value
            }
        };
        self.scaled(&after, old)
    }

    /// `old` with the replicas of a Scale, under the revision and uid that the Scale names.
    pub(super) fn scaled(&self, wanted: &Value, old: &Value) -> Result<Produced, Status> {
        let paths = self.info.scale.as_ref().ok_or_else(|| self.not_found())?;
        self.check_name(wanted)?;
        let replicas = scale::wanted(wanted, &self.request.name)?;
        let mut value = old.clone();
        scale::set(&mut value, paths, replicas);
        let meta = object::meta_mut(&mut value);
        for field in ["resourceVersion", "uid"] {
            match object::meta_str(wanted, field) {
                "" => {}
                given => {
                    meta.insert(field.to_owned(), given.into());
                }
            }
        }
        Ok(Produced { value, tracked: false })
    }
}
