//! The scale subresource (F-19).
//!
//! A write to `/scale` changes one field of the parent, the replicas. Ownership is therefore kept on the parent
//! only: the caller sets the field, then calls [`super::track_update`] or [`super::apply`] on the parent with the
//! subresource `scale`. What was applied as a Scale is turned into a configuration of the parent here.

use kcp_apimachinery::{GroupVersionKind, Status};
use serde_json::{Map, Value, json};

/// The configuration of the parent that applying `scale` to `/scale` stands for: its name and its replicas.
///
/// `replicas` is the path of the field in the parent, such as `["spec", "replicas"]`. Fails with 400 when the body
/// is no Scale.
pub fn scale_configuration(scale: &Value, parent: &GroupVersionKind, replicas: &[&str]) -> Result<Value, Status> {
    super::check_type(scale, &GroupVersionKind::new("autoscaling", "v1", "Scale"))?;
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "managedFields"] {
        if let Some(value) = scale.get("metadata").and_then(|m| m.get(field)) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let mut configuration = json!({"apiVersion": parent.api_version(), "kind": parent.kind, "metadata": metadata});
    if let Some(value) = scale.pointer("/spec/replicas") {
        let mut here = &mut configuration;
        for name in replicas {
            let map = kcp_apimachinery::object::as_map(here);
            here = map.entry(*name).or_insert(Value::Null);
        }
        *here = value.clone();
    }
    Ok(configuration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_becomes_its_parent() {
        let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
                           "metadata": {"name": "e1", "labels": {}}, "spec": {"replicas": 2}});
        let parent = GroupVersionKind::new("example.dev", "v1", "Engine");
        assert_eq!(
            scale_configuration(&scale, &parent, &["spec", "size", "n"]).unwrap(),
            json!({"apiVersion": "example.dev/v1", "kind": "Engine", "metadata": {"name": "e1"},
                   "spec": {"size": {"n": 2}}})
        );
        let other = json!({"apiVersion": "v1", "kind": "Scale"});
        assert_eq!(scale_configuration(&other, &parent, &["spec"]).unwrap_err().code, 400);
    }
}
