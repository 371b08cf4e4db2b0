//! `/scale`: the replicas of an object as an `autoscaling/v1` Scale (B-02, B-03, F-19).

use bytes::Bytes;
use kcp_apimachinery::{FieldError, FieldPath, GroupKind, Status, object, selectors::LabelSelector};
use serde_json::{Map, Value, json};

use crate::{encode, types::ScalePaths};

const MAX_REPLICAS: i64 = i32::MAX as i64;

/// The fields of a path such as `.spec.replicas`.
pub(super) fn fields(path: &str) -> impl Iterator<Item = &str> {
    path.split('.').filter(|f| !f.is_empty())
}

fn get<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    fields(path).try_fold(object, |at, field| at.get(field))
}

/// The Scale of an object.
pub(crate) fn of(object: &Value, paths: &ScalePaths) -> Result<Value, Status> {
    let replicas = get(object, &paths.spec_replicas)
        .and_then(Value::as_i64)
        .ok_or_else(|| Status::internal(format!("the spec replicas field {:?} does not exist", paths.spec_replicas)))?;
    let mut meta = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = object.pointer(&format!("/metadata/{field}")) {
            meta.insert(field.to_owned(), value.clone());
        }
    }
    let mut status = json!({"replicas": get(object, &paths.status_replicas).and_then(Value::as_i64).unwrap_or(0)});
    let selector = paths.label_selector.as_deref().and_then(|path| get(object, path));
    let selector = match selector {
        Some(Value::String(text)) => text.clone(),
        Some(value) if paths.structured_selector => {
            LabelSelector::from_object(value).map(|s| s.to_string()).unwrap_or_default()
        }
        _ => String::new(),
    };
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    let spec = if replicas == 0 { json!({}) } else { json!({"replicas": replicas}) };
    Ok(json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta, "spec": spec, "status": status}))
}

/// The bytes of the Scale of an object.
pub(crate) fn render(object: &Value, paths: &ScalePaths) -> Result<Bytes, Status> {
    let scale = of(object, paths)?;
    Ok(encode::encode_at(&scale, object::resource_version(object).parse().unwrap_or(0)))
}

/// The replicas that a Scale asks for.
pub(super) fn wanted(scale: &Value, name: &str) -> Result<i64, Status> {
    let given = scale.pointer("/spec/replicas").filter(|v| !v.is_null());
    let path = FieldPath::new("spec.replicas");
    let refuse = |error: FieldError| Status::invalid(&GroupKind::new("autoscaling", "Scale"), name, &vec![error]);
    let Some(given) = given else { return Ok(0) };
    let Some(replicas) = given.as_i64().filter(|n| *n <= MAX_REPLICAS) else {
        return Err(Status::bad_request(
            "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of type int32",
        ));
    };
    if replicas < 0 {
        return Err(refuse(FieldError::invalid(&path, replicas, "must be greater than or equal to 0")));
    }
    Ok(replicas)
}

/// Sets the replicas of an object.
pub(super) fn set(object: &mut Value, paths: &ScalePaths, replicas: i64) {
    let mut at = object;
    let path: Vec<&str> = fields(&paths.spec_replicas).collect();
    let Some((last, above)) = path.split_last() else { return };
    for field in above {
        at = object::as_map(at).entry((*field).to_owned()).or_insert(Value::Null);
    }
    object::as_map(at).insert((*last).to_owned(), replicas.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> ScalePaths {
        ScalePaths {
            spec_replicas: ".spec.replicas".into(),
            status_replicas: ".status.replicas".into(),
            label_selector: Some(".status.selector".into()),
            structured_selector: false,
        }
    }

    #[test]
    fn scales_are_read_and_written_b02() {
        let mut object = json!({"metadata": {"name": "e", "resourceVersion": "7", "labels": {"a": "b"}},
            "spec": {"replicas": 2}, "status": {"replicas": 1, "selector": "app=x"}});
        let scale = of(&object, &paths()).unwrap();
        assert_eq!(
            scale,
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "e", "resourceVersion": "7"},
                "spec": {"replicas": 2}, "status": {"replicas": 1, "selector": "app=x"}})
        );
        set(&mut object, &paths(), 5);
        assert_eq!(object["spec"]["replicas"], 5);
        let error = of(&json!({"spec": {}}), &paths()).unwrap_err();
        assert_eq!(error.message, "Internal error occurred: the spec replicas field \".spec.replicas\" does not exist");
        assert_eq!(wanted(&json!({"spec": {"replicas": -1}}), "e").unwrap_err().code, 422);
        assert_eq!(wanted(&json!({"spec": {}}), "e").unwrap(), 0);
    }
}
