//! Reading the cluster's objects from the index. What was written is there at once, so a reconcile never acts on the past.

use kcp_apimachinery::GroupResource;
use kcp_storage::{Key, Prefix};
use serde_json::Value;

use crate::{Context, controller_of};

impl Context {
    /// One object.
    pub(crate) fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = Key::object(&GroupResource::new(group, resource), &self.cluster, namespace, name).ok()?;
        serde_json::from_slice(&self.store.get(&key)?.value).ok()
    }

    /// All objects of a resource in a namespace.
    pub(crate) fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value> {
        let Ok(prefix) = Prefix::namespace(&GroupResource::new(group, resource), &self.cluster, namespace) else {
            return Vec::new();
        };
        let snapshot = self.store.snapshot();
        snapshot.range(&prefix, None).filter_map(|(_, e)| serde_json::from_slice(&e.value).ok()).collect()
    }

    /// The objects of a resource in a namespace whose controller is the object of `kind` with `uid`.
    pub(crate) fn owned(&self, group: &str, resource: &str, namespace: &str, kind: &str, uid: &str) -> Vec<Value> {
        let mut all = self.list(group, resource, namespace);
        all.retain(|o| controller_of(o, kind).is_some_and(|(_, u)| u == uid));
        all
    }
}

/// A number at a path, or `default`.
pub(crate) fn number(object: &Value, path: &str, default: i64) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or(default)
}
