//! CRDs accepted and refused, with the texts of a Kubernetes 1.36 API server.

use kcp_apimachinery::FieldErrors;
use serde_json::{Value, json};

mod life;
mod names;
mod schemas;
mod surface;

use super::*;

const GROUP: &str = "x.example.dev";
const LABEL: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const SCHEMA: &str = "spec.validation.openAPIV3Schema";

fn pen() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("pens.{GROUP}")},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": "pens", "kind": "Pen"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]
        }
    })
}

/// A pen whose parts at the given pointers are others.
fn pen_with(changes: &[(&str, Value)]) -> Value {
    let mut crd = pen();
    for (pointer, value) in changes {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let parent = crd.pointer_mut(parent).unwrap();
        match value {
            Value::Null => {
                parent.as_object_mut().unwrap().remove(field);
            }
            value => parent[field] = value.clone(),
        }
    }
    crd
}

fn pen_schema(schema: Value) -> Value {
    pen_with(&[("/spec/versions/0/schema/openAPIV3Schema", schema)])
}

/// A pen whose schema has one property `spec`.
fn pen_spec(spec: Value) -> Value {
    pen_schema(json!({"type": "object", "properties": {"spec": spec}}))
}

fn shown(errors: &FieldErrors) -> Vec<String> {
    let mut shown: Vec<String> =
        errors.iter().map(|e| format!("{} | {} | {}", e.path, e.kind.reason(), e.message)).collect();
    shown.sort();
    shown
}

fn created(mut crd: Value) -> (Value, Vec<String>) {
    default_crd(&mut crd);
    prepare_create(&mut crd);
    let errors = shown(&validate_create(&crd));
    (crd, errors)
}

fn check(name: &str, crd: Value, expected: &[String]) {
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(created(crd).1, expected, "{name}");
}

fn version(name: &str, storage: bool) -> Value {
    json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object"}}})
}

fn version_shown(name: &str, storage: bool) -> String {
    format!(
        "{{\"Name\":\"{name}\",\"Served\":true,\"Storage\":{storage},\"Deprecated\":false,\"DeprecationWarning\":null,\
         \"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}}"
    )
}
