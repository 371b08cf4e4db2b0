//! The metadata that the server keeps: system fields, generation, owner references (C-01, C-06, C-07, U-06, U-07).

use kcp_apimachinery::{names, object};
use serde_json::Value;

use super::Call;

/// What no client sets (C-01).
const SYSTEM: [&str; 5] = ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"];

/// Takes out of a new object what the client may not set.
pub(super) fn wipe(value: &mut Value) {
    let meta = object::meta_mut(value);
    for field in SYSTEM {
        meta.remove(field);
    }
}

impl Call<'_> {
    /// Gives a new object its identity.
    pub(super) fn identify(&self, value: &mut Value) {
        let numbered = self.info.custom || self.info.has_generation;
        let meta = object::meta_mut(value);
        meta.insert("uid".into(), names::new_uid().into());
        meta.insert("creationTimestamp".into(), self.stamp.as_str().into());
        if numbered {
            meta.insert("generation".into(), 1.into());
        }
    }

    /// Keeps what an update may not change (U-06, U-12, U-11).
    pub(super) fn isolate(&self, new: &mut Value, old: &Value) {
        let strategy = &self.info.strategy;
        if self.request.subresource == "status" {
            let mut merged = old.clone();
            let status = new.get_mut("status").map(Value::take).filter(|s| !s.is_null());
            set(&mut merged, "status", status);
            if strategy.status_takes_metadata() {
                let meta = new.get_mut("metadata").map(Value::take);
                set(&mut merged, "metadata", meta);
            } else {
                let managed = new.pointer_mut("/metadata/managedFields").map(Value::take);
                let meta = object::meta_mut(&mut merged);
                match managed {
                    Some(list) => meta.insert("managedFields".into(), list),
                    None => meta.remove("managedFields"),
                };
            }
            *new = merged;
        } else if self.info.has_status && matches!(self.request.subresource.as_str(), "" | "scale") {
            set(new, "status", old.get("status").cloned());
        }
        let old_meta = old.get("metadata").unwrap_or(&Value::Null);
        let meta = object::meta_mut(new);
        meta.remove("selfLink");
        let mut keep = |field: &str, always: bool| {
            let kept = old_meta.get(field).filter(|v| !v.is_null());
            let given = meta.get(field).is_some_and(|v| !v.is_null() && v.as_str() != Some(""));
            match kept {
                Some(kept) if always || !given => {
                    meta.insert(field.to_owned(), kept.clone());
                }
                None if always => {
                    meta.remove(field);
                }
                _ => {}
            }
        };
        keep("creationTimestamp", true);
        keep("generation", true);
        keep("uid", false);
        keep("deletionTimestamp", object::is_deleting(old));
        keep("deletionGracePeriodSeconds", object::is_deleting(old));
        keep("resourceVersion", true);
    }

    /// Counts a change of what is wanted (U-07).
    pub(super) fn count(&self, new: &mut Value, old: &Value) {
        if !(self.info.custom || self.info.has_generation) || self.request.subresource == "status" {
            return;
        }
        if differs(new, old, self.info.has_status) {
            object::meta_mut(new).insert("generation".into(), (object::generation(old) + 1).into());
        }
    }

    /// Removes owner references that occur twice (C-06).
    pub(super) fn dedup_owners(&self, value: &mut Value) {
        let Some(owners) = value.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) else { return };
        let mut twice: Vec<String> = Vec::new();
        let mut kept: Vec<Value> = Vec::with_capacity(owners.len());
        for owner in owners.drain(..) {
            if kept.contains(&owner) {
                let uid = owner.get("uid").and_then(Value::as_str).unwrap_or_default().to_owned();
                if !twice.contains(&uid) {
                    twice.push(uid);
                }
            } else {
                kept.push(owner);
            }
        }
        *owners = kept;
        if !twice.is_empty() {
            self.request.warnings.add(format!(
                ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may \
                 reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
                twice.join(", ")
            ));
        }
    }
}

/// Entries of `/scale` have no time: Kubernetes derives them from those of the Scale, which knows none (F-19).
pub(super) fn forget_scale_time(value: &mut Value) {
    let entries = value.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten().filter(|e| e.get("subresource").is_some_and(|s| s == "scale")) {
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("time");
        }
    }
}

/// Sets or removes a field of the object.
pub(super) fn set(value: &mut Value, field: &str, to: Option<Value>) {
    let map = object::as_map(value);
    match to {
        Some(to) => {
            map.insert(field.to_owned(), to);
        }
        None => {
            map.remove(field);
        }
    }
}

/// Whether two states differ outside of the metadata, and outside of the status where that is a world of its own.
fn differs(new: &Value, old: &Value, has_status: bool) -> bool {
    let counts = |key: &str| !(matches!(key, "metadata" | "apiVersion" | "kind") || has_status && key == "status");
    let (Some(a), Some(b)) = (new.as_object(), old.as_object()) else { return new != old };
    let mut seen = 0;
    for (key, value) in a.iter().filter(|(k, _)| counts(k)) {
        seen += 1;
        if b.get(key) != Some(value) {
            return true;
        }
    }
    seen != b.keys().filter(|k| counts(k)).count()
}
