//! The scale subresource of a CRD version (CRD-17, B-02).

use kcp_apimachinery::{FieldError, FieldErrors, FieldPath};
use serde_json::Value;

use crate::path::SimplePath;

/// Where the scale subresource of a CRD version reads and writes (CRD-17).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePaths {
    /// `specReplicasPath`.
    pub spec_replicas: SimplePath,
    /// `statusReplicasPath`.
    pub status_replicas: SimplePath,
    /// `labelSelectorPath`.
    pub label_selector: Option<SimplePath>,
}

impl ScalePaths {
    /// From a CRD version; `None` when it has no scale subresource.
    pub fn of_version(version: &Value) -> Option<Self> {
        let scale = version.get("subresources")?.get("scale")?;
        let path = |name: &str| {
            scale.get(name).and_then(Value::as_str).filter(|path| !path.is_empty()).map(SimplePath::dotted)
        };
        Some(Self {
            spec_replicas: path("specReplicasPath")?,
            status_replicas: path("statusReplicasPath")?,
            label_selector: path("labelSelectorPath"),
        })
    }

    /// The replicas asked for; `None` when the field is absent or no whole number.
    pub fn spec_replicas(&self, object: &Value) -> Option<i64> {
        self.spec_replicas.get(object)?.as_i64()
    }

    /// The replicas there are; 0 when unknown.
    pub fn status_replicas(&self, object: &Value) -> i64 {
        self.status_replicas.get(object).and_then(Value::as_i64).unwrap_or(0)
    }

    /// The selector of the scaled things; empty when unknown.
    pub fn selector<'a>(&self, object: &'a Value) -> &'a str {
        let value = self.label_selector.as_ref().and_then(|path| path.get(object));
        value.and_then(Value::as_str).unwrap_or_default()
    }

    /// Asks for `replicas`.
    pub fn set_spec_replicas(&self, object: &mut Value, replicas: i64) {
        self.spec_replicas.set(object, replicas.into());
    }

    /// Checks what the object itself says about its scale (B-02), beside its schema.
    pub fn validate_spec(&self, object: &Value) -> FieldErrors {
        replicas(&self.spec_replicas, object)
    }

    /// Checks what the status says about the scale.
    pub fn validate_status(&self, object: &Value) -> FieldErrors {
        let mut errors = replicas(&self.status_replicas, object);
        if let Some(path) = &self.label_selector
            && let Some(value) = path.get(object).filter(|value| !value.is_string())
        {
            errors.push(wrong_type(path, value, Value::from(""), "string"));
        }
        errors
    }
}

fn replicas(path: &SimplePath, object: &Value) -> FieldErrors {
    let at = FieldPath::new(path.as_str());
    let Some(value) = path.get(object) else { return Vec::new() };
    match value.as_i64() {
        None => vec![wrong_type(path, value, Value::from(0), "int64")],
        Some(count) if count < 0 => vec![FieldError::invalid(&at, count, "should be a non-negative integer")],
        Some(count) if count > i64::from(i32::MAX) => {
            vec![FieldError::invalid(&at, count, &format!("should be less than or equal to {}", i32::MAX))]
        }
        Some(_) => Vec::new(),
    }
}

fn wrong_type(path: &SimplePath, value: &Value, shown: Value, expected: &str) -> FieldError {
    let kind = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    let printed = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let detail = format!("{} accessor error: {printed} is of the type {kind}, expected {expected}", path.as_str());
    FieldError::invalid(&FieldPath::new(path.as_str()), shown, &detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn gets_and_sets_replicas() {
        let version = json!({"subresources": {"scale": {
            "specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.sel"}}});
        let paths = ScalePaths::of_version(&version).unwrap();
        let mut object = json!({"status": {"n": 2, "sel": "a=b"}});
        assert_eq!(paths.spec_replicas(&object), None);
        assert_eq!(paths.status_replicas(&object), 2);
        assert_eq!(paths.selector(&object), "a=b");
        paths.set_spec_replicas(&mut object, 7);
        assert_eq!(object["spec"]["n"], 7);
        paths.spec_replicas.remove(&mut object);
        assert_eq!(object["spec"], json!({}));
    }

    #[test]
    fn checks_replicas() {
        let version = json!({"subresources": {"scale": {
            "specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.sel"}}});
        let paths = ScalePaths::of_version(&version).unwrap();
        for (spec, text) in [
            (json!({"n": 3}), None),
            (json!({}), None),
            (json!({"n": -1}), Some(".spec.n: Invalid value: -1: should be a non-negative integer")),
            (
                json!({"n": 2_147_483_648u32}),
                Some(".spec.n: Invalid value: 2147483648: should be less than or equal to 2147483647"),
            ),
            (
                json!({"n": "x"}),
                Some(".spec.n: Invalid value: 0: .spec.n accessor error: x is of the type string, expected int64"),
            ),
        ] {
            let errors = paths.validate_spec(&json!({"spec": spec}));
            assert_eq!(errors.first().map(ToString::to_string).as_deref(), text);
        }
        assert_eq!(paths.validate_status(&json!({"status": {"n": -1, "sel": 5}})).len(), 2);
    }
}
