use kcp_apimachinery::GroupVersionKind;
use serde_json::json;

use super::*;

fn object(spec: Value) -> Value {
    json!({"type": "object", "properties": {"metadata": {"type": "object"}, "spec": spec}})
}

/// Each row: existing, new, errors without narrowing, the narrowed schema or the errors with it.
#[test]
fn least_common_denominators() {
    type Errors = &'static [&'static str];
    let rows: Vec<(Value, Value, Errors, Result<Value, Errors>)> = vec![
        (json!({"type": "string"}), json!({"type": "string"}), &[], Ok(json!({"type": "string"}))),
        (
            json!({"type": "string"}),
            json!({"type": "integer"}),
            &["properties[spec].type: Invalid value: \"integer\": The type changed (was \"string\", now \"integer\")"],
            Err(&[
                "properties[spec].type: Invalid value: \"integer\": The type changed (was \"string\", now \"integer\")",
            ]),
        ),
        (json!({"type": "integer"}), json!({"type": "number"}), &[], Ok(json!({"type": "integer"}))),
        (
            json!({"type": "number"}),
            json!({"type": "integer"}),
            &["properties[spec].type: Invalid value: \"integer\": The type changed (was \"number\", now \"integer\")"],
            Ok(json!({"type": "integer"})),
        ),
        (
            json!({"type": "integer", "maximum": 3}),
            json!({"type": "integer", "maximum": 4}),
            &["properties[spec].maximum: Invalid value: 4: maximum value has been changed in an incompatible way"],
            Err(&["properties[spec].maximum: Invalid value: 4: maximum value has been changed in an incompatible way"]),
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!({"type": "string", "enum": ["b", "c"]}),
            &[
                "properties[spec].enum: Invalid value: [\"b\",\"c\"]: enum value has been changed in an incompatible way",
            ],
            Ok(json!({"type": "string", "enum": ["b"]})),
        ),
        (
            json!({"type": "string", "enum": ["a"]}),
            json!({"type": "string", "enum": ["b"]}),
            &["properties[spec].enum: Invalid value: [\"b\"]: enum value has been changed in an incompatible way"],
            Err(&["properties[spec].enum: Invalid value: [\"b\"]: enum value has been changed in an incompatible way"]),
        ),
        (
            json!({"type": "string", "enum": ["a"]}),
            json!({"type": "string"}),
            &[],
            Ok(json!({"type": "string", "enum": ["a"]})),
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
            &[
                "properties[spec].uniqueItems: Invalid value: true: uniqueItems value has been changed in an incompatible way",
            ],
            Ok(json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}})),
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string"}}),
            json!({"type": "array", "items": {"type": "string"}}),
            &[],
            Ok(json!({"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string"}})),
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}),
            json!({"type": "object", "properties": {"b": {"type": "string"}, "c": {"type": "string"}}}),
            &[
                "properties[spec].properties: Invalid value: [\"a\"]: properties have been removed in an incompatible way",
            ],
            Ok(json!({"type": "object", "properties": {"b": {"type": "string"}}})),
        ),
        (
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
            json!({"type": "object", "properties": {"b": {"type": "string"}}}),
            &[
                "properties[spec].properties: Invalid value: [\"a\"]: properties have been removed in an incompatible way",
            ],
            Err(&[
                "properties[spec].properties: Invalid value: [\"a\"]: properties have been removed in an incompatible way",
            ]),
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}),
            &[
                "properties[spec].required: Invalid value: [\"a\"]: required value has been changed in an incompatible way",
            ],
            Ok(json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}})),
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}}}),
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            &[],
            Ok(json!({"type": "object", "properties": {"a": {"type": "string"}}})),
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "number"}}),
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            &[
                "properties[spec].additionalProperties.type: Invalid value: \"integer\": The type changed (was \"number\", now \"integer\")",
            ],
            Ok(json!({"type": "object", "additionalProperties": {"type": "integer"}})),
        ),
        (
            json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}),
            json!({"x-kubernetes-int-or-string": true}),
            &[],
            Ok(json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})),
        ),
        (
            json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
            json!({"type": "object"}),
            &[
                "properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: null: x-kubernetes-preserve-unknown-fields value has been changed in an incompatible way",
            ],
            Err(&[
                "properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: null: x-kubernetes-preserve-unknown-fields value has been changed in an incompatible way",
            ]),
        ),
        (
            json!({"type": "string", "nullable": true, "default": "a"}),
            json!({"type": "string", "default": "b"}),
            &["properties[spec].nullable: Invalid value: null: nullable value has been changed in an incompatible way"],
            Ok(json!({"type": "string"})),
        ),
    ];
    for (existing, new, plain, narrowed) in rows {
        let (old, newer) = (object(existing.clone()), object(new.clone()));
        let texts =
            |r: Result<Value, FieldErrors>| r.map_err(|e| e.iter().map(ToString::to_string).collect::<Vec<_>>());
        match texts(lcd(&old, &newer, false)) {
            Ok(same) => assert!(plain.is_empty() && same == old, "{existing} {new}"),
            Err(errors) => assert_eq!(errors, plain, "{existing} {new}"),
        }
        match (texts(lcd(&old, &newer, true)), narrowed) {
            (Ok(got), Ok(want)) => assert_eq!(got, object(want), "{existing} {new}"),
            (Err(got), Err(want)) => assert_eq!(got, want, "{existing} {new}"),
            (got, want) => panic!("{existing} {new}: {got:?} {want:?}"),
        }
    }
}

/// What is narrowed can be narrowed to again without change, and is taken by both.
#[test]
fn narrowing_settles() {
    let a = object(json!({"type": "object", "properties": {
        "x": {"type": "number"}, "only": {"type": "string"}, "e": {"type": "string", "enum": ["1", "2"]}}}));
    let b = object(json!({"type": "object", "required": ["x"], "properties": {
        "x": {"type": "integer"}, "e": {"type": "string", "enum": ["2", "3"]}}}));
    let common = lcd(&a, &b, true).unwrap();
    for other in [&a, &b] {
        assert_eq!(lcd(&common, other, false).as_ref(), Ok(&common));
        assert_eq!(lcd(&common, other, true).as_ref(), Ok(&common));
    }
}

fn document(v3: bool) -> Value {
    let prefix = if v3 { "#/components/schemas/" } else { "#/definitions/" };
    let r = |name: &str| match v3 {
        true => json!({"allOf": [{"$ref": format!("{prefix}{name}")}], "default": {}}),
        false => json!({"$ref": format!("{prefix}{name}"), "description": "d"}),
    };
    let items = |name: &str| json!({"$ref": format!("{prefix}{name}")});
    let schemas = json!({
        "io.k8s.api.apps.v1.Deployment": {
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": "apps", "version": "v1", "kind": "Deployment"}],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"},
                "metadata": r("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
                "spec": r("Spec"),
            },
        },
        "Spec": {"type": "object", "required": ["template"], "properties": {
            "replicas": {"type": "integer", "format": "int32", "default": 1},
            "metadata": r("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"),
            "when": r("io.k8s.apimachinery.pkg.apis.meta.v1.Time"),
            "limit": r("io.k8s.apimachinery.pkg.api.resource.Quantity"),
            "port": r("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
            "raw": r("io.k8s.apimachinery.pkg.runtime.RawExtension"),
            "strategy": {"type": "object", "x-kubernetes-patch-strategy": "retainKeys", "properties": {"t": {"type": "string"}}},
            "containers": {"type": "array", "items": items("Container"),
                "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge"},
            "ports": {"type": "array", "items": items("Port"), "x-kubernetes-patch-merge-key": "containerPort",
                "x-kubernetes-patch-strategy": "merge", "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["containerPort", "protocol"]},
            "finalizers": {"type": "array", "items": {"type": "string"}, "x-kubernetes-patch-strategy": "merge"},
            "args": {"type": "array", "items": {"type": "string"}},
            "free": {},
        }},
        "Container": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        "Port": {"type": "object", "required": ["containerPort"], "properties": {
            "containerPort": {"type": "integer", "format": "int32"}, "protocol": {"type": "string"}}},
        "Loop": {"type": "object", "properties": {"next": r("Loop")},
            "x-kubernetes-group-version-kind": [{"group": "x", "version": "v1", "kind": "Loop"}]},
        "Hole": {"type": "object", "properties": {"next": r("Nowhere")},
            "x-kubernetes-group-version-kind": [{"group": "x", "version": "v1", "kind": "Hole"}]},
    });
    if v3 { json!({"components": {"schemas": schemas}}) } else { json!({"definitions": schemas}) }
}

#[test]
fn built_in_types_are_imported() {
    for v3 in [false, true] {
        let got = import(&document(v3), &GroupVersionKind::new("apps", "v1", "Deployment")).unwrap();
        assert_eq!(got["properties"]["metadata"], json!({"type": "object"}));
        assert!(!got.to_string().contains("$ref"), "{got}");
        let p = &got["properties"]["spec"]["properties"];
        for (field, want) in [
            ("replicas", json!({"type": "integer", "format": "int32"})),
            ("metadata", json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
            ("when", json!({"type": "string", "format": "date-time"})),
            ("port", json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]})),
            ("raw", json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
            ("free", json!({"x-kubernetes-preserve-unknown-fields": true})),
        ] {
            let mut value = p[field].clone();
            value.as_object_mut().unwrap().remove("description");
            assert_eq!(value, want, "{field}");
        }
        assert!(p["limit"]["pattern"].is_string());
        assert_eq!(p["strategy"]["x-kubernetes-patch-strategy"], "retainKeys");
        for (field, list_type, keys) in [
            ("containers", "map", json!(["name"])),
            ("ports", "map", json!(["containerPort", "protocol"])),
            ("finalizers", "set", Value::Null),
            ("args", "atomic", Value::Null),
        ] {
            assert_eq!(p[field]["x-kubernetes-list-type"], list_type, "{field}");
            assert_eq!(p[field]["x-kubernetes-list-map-keys"], keys, "{field}");
        }
        assert_eq!(p["containers"]["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(p["ports"]["items"]["properties"]["protocol"]["default"], "TCP");
        // What was imported is its own common denominator.
        assert_eq!(lcd(&got, &got, true).as_ref(), Ok(&got));
    }
}

#[test]
fn what_cannot_be_imported_is_refused() {
    let doc = document(true);
    let gvk = |kind: &str| GroupVersionKind::new("x", "v1", kind);
    assert_eq!(import(&doc, &gvk("Loop")), Err(ImportError::Recursive { path: "next".into(), name: "Loop".into() }));
    assert!(matches!(import(&doc, &gvk("Hole")), Err(ImportError::Unresolved { .. })));
    assert_eq!(import(&doc, &gvk("None")), Err(ImportError::NotFound(gvk("None"))));
    assert!(import(&json!([]), &gvk("None")).is_err());
}

/// What is imported from a real cluster makes a definition that the server takes, and can be patched strategically.
#[test]
fn recorded_types_become_definitions() {
    let mut schemas = serde_json::Map::new();
    for entry in std::fs::read_dir(format!("{}/../registry/data/schemas", env!("CARGO_MANIFEST_DIR"))).unwrap() {
        let file: Value = serde_json::from_slice(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        schemas.extend(file.as_object().unwrap().clone());
    }
    let document = json!({"components": {"schemas": schemas}});
    for (gvk, plural) in [
        (GroupVersionKind::new("apps", "v1", "Deployment"), "deployments"),
        (GroupVersionKind::new("", "v1", "Pod"), "pods"),
        (GroupVersionKind::new("", "v1", "Service"), "services"),
        (GroupVersionKind::new("batch", "v1", "CronJob"), "cronjobs"),
        (GroupVersionKind::new("networking.k8s.io", "v1", "Ingress"), "ingresses"),
        (GroupVersionKind::new("autoscaling", "v2", "HorizontalPodAutoscaler"), "horizontalpodautoscalers"),
    ] {
        let schema = import(&document, &gvk).unwrap();
        assert_eq!(lcd(&schema, &schema, false).as_ref(), Ok(&schema), "{gvk}");
        let group = if gvk.group.is_empty() { "core" } else { &gvk.group };
        let mut crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {
                "name": format!("{plural}.{group}"),
                "annotations": {"api-approved.kubernetes.io": "https://github.com/kcp-dev/kubernetes/pull/4"},
            },
            "spec": {
                "group": gvk.group, "scope": "Namespaced",
                "names": {"plural": plural, "kind": gvk.kind, "listKind": format!("{}List", gvk.kind)},
                "versions": [{"name": gvk.version, "served": true, "storage": true, "subresources": {"status": {}},
                              "schema": {"openAPIV3Schema": schema}}],
            },
        });
        crate::crd::default_crd(&mut crd);
        crate::crd::prepare_create(&mut crd);
        let mut errors = crate::crd::validate_create(&crd);
        tolerate_learned(&crd, &mut errors);
        assert_eq!(errors, [], "{gvk}");
    }
}

#[test]
fn imported_lists_are_merged_by_their_key() {
    let schema = import(&document(true), &GroupVersionKind::new("apps", "v1", "Deployment")).unwrap();
    let compiled = crate::Schema::compile(&schema).unwrap();
    let containers = compiled.root().field("spec").and_then(|n| n.field("containers")).unwrap();
    assert_eq!(containers.merge_key(), Some("name"));
    assert!(containers.patch_strategy().merge);
}

/// Only the group of a learned type is forgiven, nothing else.
#[test]
fn what_is_tolerated() {
    for (name, group, left) in [
        ("deployments.apps", "apps", None),
        ("pods.core", "", None),
        ("pods.core", "apps", Some("metadata.name, spec.group")),
        ("other.apps", "apps", Some("metadata.name, spec.group")),
        ("pods.Apps", "Apps", Some("metadata.name, spec.group")),
    ] {
        let plural = if name.starts_with("pods") { "pods" } else { "deployments" };
        let mut crd = json!({
            "metadata": {"name": name},
            "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "singular": "x", "kind": "K", "listKind": "KList"},
                     "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
        });
        crate::crd::prepare_create(&mut crd);
        let mut errors = crate::crd::validate_create(&crd);
        tolerate_learned(&crd, &mut errors);
        let paths: Vec<&str> = errors.iter().map(|e| e.path.as_str()).collect();
        assert_eq!((!paths.is_empty()).then(|| paths.join(", ")).as_deref(), left, "{name}: {errors:?}");
    }
}
