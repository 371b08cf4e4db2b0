//! No value and no schema makes the walks panic.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::Schema;

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("a".to_owned()),
        Just("b".to_owned()),
        Just("metadata".to_owned()),
        Just("name".to_owned()),
        Just("apiVersion".to_owned()),
        Just(String::new()),
        "[a-z]{1,3}",
    ]
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((names(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn keywords() -> impl Strategy<Value = Map<String, Value>> {
    let one = prop_oneof![
        prop_oneof!["object", "array", "string", "integer", "number", "boolean", "zebra"]
            .prop_map(|t| ("type", json!(t))),
        prop::sample::select(vec!["int32", "date-time", "ipv4", "duration", "zip"]).prop_map(|f| ("format", json!(f))),
        prop::sample::select(vec!["^a+$", "[", "\\p{L}", "(a{2,3})*", "(?i)x"]).prop_map(|p| ("pattern", json!(p))),
        any::<f64>().prop_map(|n| ("multipleOf", json!(n))),
        any::<i64>().prop_map(|n| ("minimum", json!(n))),
        any::<f64>().prop_map(|n| ("maximum", json!(n))),
        (-2i64..3).prop_map(|n| ("maxLength", json!(n))),
        (-2i64..3).prop_map(|n| ("minItems", json!(n))),
        (-2i64..3).prop_map(|n| ("maxProperties", json!(n))),
        values().prop_map(|v| ("default", v)),
        values().prop_map(|v| ("enum", v)),
        prop::collection::vec(names(), 0..3).prop_map(|r| ("required", json!(r))),
        prop::sample::select(vec!["set", "map", "atomic"]).prop_map(|t| ("x-kubernetes-list-type", json!(t))),
        prop::collection::vec(names(), 0..3).prop_map(|k| ("x-kubernetes-list-map-keys", json!(k))),
        any::<bool>().prop_map(|b| ("x-kubernetes-preserve-unknown-fields", json!(b))),
        any::<bool>().prop_map(|b| ("x-kubernetes-embedded-resource", json!(b))),
        any::<bool>().prop_map(|b| ("x-kubernetes-int-or-string", json!(b))),
        any::<bool>().prop_map(|b| ("nullable", json!(b))),
        any::<bool>().prop_map(|b| ("additionalProperties", json!(b))),
    ];
    prop::collection::vec(one, 0..6).prop_map(|list| list.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn schemas() -> impl Strategy<Value = Value> {
    keywords().prop_map(Value::Object).prop_recursive(4, 24, 4, |inner| {
        (keywords(), prop::collection::vec((names(), inner.clone()), 0..4), prop::collection::vec(inner, 0..3), 0..5u8)
            .prop_map(|(mut schema, properties, nested, place)| {
                let properties: Map<String, Value> = properties.into_iter().collect();
                schema.insert("properties".to_owned(), properties.into());
                let (key, value) = match (place, nested) {
                    (0, nested) => ("anyOf", json!(nested)),
                    (1, nested) => ("oneOf", json!(nested)),
                    (2, nested) => ("allOf", json!(nested)),
                    (3, nested) => ("items", nested.into_iter().next().unwrap_or_default()),
                    (_, nested) => ("not", nested.into_iter().next().unwrap_or_default()),
                };
                schema.insert(key.to_owned(), value);
                Value::Object(schema)
            })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics(schema in schemas(), value in values(), old in values()) {
        let crd = json!({"metadata": {"name": "a.b.c"}, "spec": {"versions": [
            {"name": "v1", "schema": {"openAPIV3Schema": schema}}]}});
        let mut defaulted = crd.clone();
        crate::crd::default_crd(&mut defaulted);
        let _ = crate::crd::validate_create(&defaulted);
        let _ = crate::crd::validate_update(&defaulted, &crd);
        if let Ok(compiled) = Schema::compile(&schema) {
            let mut pruned = value.clone();
            compiled.prune(&mut pruned);
            prop_assert!(compiled.prune(&mut pruned).is_empty(), "pruning twice finds nothing");
            compiled.default(&mut pruned);
            let mut again = pruned.clone();
            compiled.default(&mut again);
            let _ = compiled.validate(&pruned, None);
            let _ = compiled.validate(&value, Some(&old));
            prop_assert!(
                compiled.validate_at(&kcp_apimachinery::FieldPath::root(), &value, Some(&value)).is_empty(),
                "unchanged values are tolerated"
            );
            let _ = compiled.mismatch(&value);
        }
    }

    /// A value of any shape where a CRD is expected.
    #[test]
    fn crds_of_any_shape(value in values(), spec in values()) {
        for mut crd in [value.clone(), json!({"metadata": value, "spec": spec, "status": value})] {
            let before = crd.clone();
            crate::crd::default_crd(&mut crd);
            let _ = crate::crd::validate_create(&crd);
            let _ = crate::crd::validate_update(&crd, &before);
        }
    }
}

#[test]
fn deep_trees_are_cut_off() {
    let mut schema = json!({"type": "string"});
    let mut value = json!("x");
    for _ in 0..1000 {
        schema = json!({"type": "object", "properties": {"a": schema}});
        value = json!({"a": value});
    }
    assert!(Schema::compile(&schema).is_err());
    let open = Schema::compile(&json!({"type": "object", "properties": {
        "a": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}))
    .unwrap();
    open.prune(&mut value);
    open.default(&mut value);
    let _ = open.validate(&value, None);
    std::mem::forget(value);
    std::mem::forget(schema);
}
