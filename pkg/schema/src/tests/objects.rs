//! Pruning, defaulting and validating objects of one rich custom type.

use serde_json::{Value, json};

use crate::Schema;

fn robot() -> std::sync::Arc<Schema> {
    Schema::compile(&json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 20}}},
            "spec": {
                "type": "object",
                "required": ["speed"],
                "properties": {
                    "speed": {"type": "integer", "minimum": 1, "maximum": 100},
                    "name": {"type": "string", "maxLength": 12, "pattern": "^[a-z]+$"},
                    "mode": {"type": "string", "enum": ["fast", "slow"], "default": "slow"},
                    "arms": {"type": "array", "maxItems": 4, "x-kubernetes-list-type": "set",
                             "items": {"type": "string", "maxLength": 9}},
                    "ports": {"type": "array", "maxItems": 5, "x-kubernetes-list-type": "map",
                              "x-kubernetes-list-map-keys": ["id"],
                              "items": {"type": "object", "required": ["id"],
                                        "properties": {"id": {"type": "integer"}, "v": {"type": "string"}}}},
                    "ios": {"x-kubernetes-int-or-string": true},
                    "nul": {"type": "string", "nullable": true},
                    "nuldef": {"type": "string", "default": "d"},
                    "nest": {"type": "object", "required": ["req"],
                             "properties": {"deep": {"type": "integer", "default": 7}, "req": {"type": "string"}}},
                    "defobj": {"type": "object", "default": {}, "properties": {"x": {"type": "string", "default": "y"}}},
                    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                            "properties": {"known": {"type": "object", "properties": {"k": {"type": "string"}}}}},
                    "emb": {"type": "object", "x-kubernetes-embedded-resource": true,
                            "x-kubernetes-preserve-unknown-fields": true},
                    "map": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "integer"}},
                    "num": {"type": "number", "multipleOf": 0.5, "exclusiveMinimum": true, "minimum": 0},
                    "i32": {"type": "integer", "format": "int32"},
                    "when": {"type": "string", "format": "date-time"},
                    "alt": {"type": "object", "properties": {"p": {"type": "string"}, "q": {"type": "string"}},
                            "oneOf": [{"required": ["p"]}, {"required": ["q"]}]},
                    "either": {"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]},
                    "both": {"type": "string", "allOf": [{"minLength": 2}, {"pattern": "^b"}]},
                    "never": {"type": "string", "not": {"pattern": "^x"}},
                    "min": {"type": "integer"}
                }
            },
            "status": {"type": "object", "properties": {"phase": {"type": "string", "enum": ["Up", "Down"]}}}
        }
    }))
    .unwrap()
}

fn object(spec: Value) -> Value {
    json!({"apiVersion": "x.example.dev/v1", "kind": "Robot", "metadata": {"name": "bad"}, "spec": spec})
}

/// Prunes, defaults and validates as a create does; the findings as `path | reason | message`.
fn findings(mut value: Value) -> Vec<String> {
    let schema = robot();
    schema.prune(&mut value);
    schema.default(&mut value);
    let errors = schema.validate(&value, None);
    errors.iter().map(|e| format!("{} | {} | {}", e.path, e.kind.reason(), e.message)).collect()
}

/// SC-04, SC-05, SC-06: what a write makes of an object.
#[test]
fn prunes_and_defaults() {
    for (given, dropped, stored) in [
        (
            json!({"speed": 5, "nest": {"req": "x"}, "nul": null, "nuldef": null, "min": null}),
            vec![],
            json!({"defobj": {"x": "y"}, "mode": "slow", "nest": {"deep": 7, "req": "x"}, "nul": null, "nuldef": "d",
                   "speed": 5}),
        ),
        (
            json!({"speed": 5.0, "extra": 1, "nest": {"req": "x", "zz": 1}, "map": {"a": 1},
                   "any": {"free": {"a": [1]}, "known": {"k": "v", "pruned": 1}}, "ports": [{"id": 1, "w": 2}]}),
            vec!["spec.any.known.pruned", "spec.extra", "spec.nest.zz", "spec.ports[0].w"],
            json!({"any": {"free": {"a": [1]}, "known": {"k": "v"}}, "defobj": {"x": "y"}, "map": {"a": 1},
                   "mode": "slow", "nest": {"deep": 7, "req": "x"}, "nuldef": "d", "speed": 5,
                   "ports": [{"id": 1}]}),
        ),
        (
            json!({"speed": 5, "emb": {"apiVersion": "v1", "kind": "Thing", "data": {"any": 1},
                                       "metadata": {"name": "n", "unknown": "x"}}}),
            vec!["spec.emb.metadata.unknown"],
            json!({"defobj": {"x": "y"}, "emb": {"apiVersion": "v1", "data": {"any": 1}, "kind": "Thing",
                   "metadata": {"name": "n"}}, "mode": "slow", "nuldef": "d", "speed": 5}),
        ),
    ] {
        let schema = robot();
        let mut value = object(given);
        assert_eq!(schema.prune(&mut value), dropped);
        schema.default(&mut value);
        assert_eq!(value["spec"].to_string(), stored.to_string());
    }
    let mut value = json!({"bogus": 1, "metadata": {"name": "x", "labels": {"a": "b"}, "managedFields": [{"fieldsV1": {"f:x": {}}}],
                                        "wrong": 1}, "spec": null});
    assert_eq!(robot().prune(&mut value), ["metadata.wrong", "bogus"], "metadata comes first");
    robot().default(&mut value);
    assert_eq!(value["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:x": {}}));
    assert_eq!(value.get("spec"), None, "a null without default is dropped");
}

/// What an object has wrong in thousands of places is said of a hundred, and all of it is dropped or refused.
#[test]
fn findings_are_bounded() {
    let many = |value: Value| (0..5000).map(|i| (format!("k{i}"), value.clone())).collect::<serde_json::Map<_, _>>();
    let mut unknown = object(json!({"speed": 5, "nest": many(json!(1))}));
    assert_eq!(robot().prune(&mut unknown).len(), 100);
    assert_eq!(unknown["spec"]["nest"], json!({}), "what is not reported is dropped too");
    let schema = Schema::compile(&json!({
        "type": "object",
        "properties": {
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        },
    }))
    .unwrap();
    let pairs: Vec<String> = (0..5000).flat_map(|i| [i, i]).map(|i| i.to_string()).collect();
    for wrong in [json!({"map": many(json!("x"))}), json!({"set": pairs})] {
        assert_eq!(schema.validate(&wrong, None).len(), 100);
    }
}

/// SC-07 … SC-12, E-06: every refused object and the texts that say why.
#[test]
fn refuses_with_the_texts_of_kubernetes() {
    let invalid = "FieldValueInvalid";
    for (spec, expected) in [
        (json!({"speed": 1, "ios": "50%"}), vec![]),
        (json!({"speed": 1, "ios": 5}), vec![]),
        (json!({"speed": 5.0}), vec![]),
        (json!({"speed": 1, "alt": {"p": "1"}, "either": "bx", "both": "bb", "never": "y"}), vec![]),
        (json!({"name": "x"}), vec!["spec.speed | FieldValueRequired | Required value".to_owned()]),
        (
            json!({"speed": 101}),
            vec![format!("spec.speed | {invalid} | Invalid value: 101: spec.speed in body should be less than or equal to 100")],
        ),
        (
            json!({"speed": "five"}),
            vec!["spec.speed | FieldValueTypeInvalid | Invalid value: \"string\": spec.speed in body must be of type integer: \"string\"".to_owned()],
        ),
        (
            json!({"speed": 1.5}),
            vec![
                "spec.speed | FieldValueTypeInvalid | Invalid value: \"number\": spec.speed in body must be of type integer: \"number\"".to_owned(),
                format!("<nil> | {invalid} | Invalid value: \"\": Checked value must be of type integer (default format) in spec.speed"),
            ],
        ),
        (
            json!({"speed": 1, "name": "ABC"}),
            vec![format!("spec.name | {invalid} | Invalid value: \"ABC\": spec.name in body should match '^[a-z]+$'")],
        ),
        (
            json!({"speed": 1, "name": "abcdefghijklmnop"}),
            vec!["spec.name | FieldValueTooLong | Too long: may not be more than 12 bytes".to_owned()],
        ),
        (
            json!({"speed": 1, "mode": "medium"}),
            vec!["spec.mode | FieldValueNotSupported | Unsupported value: \"medium\": supported values: \"fast\", \"slow\"".to_owned()],
        ),
        (
            json!({"speed": 1, "arms": ["x", "x", "x"]}),
            vec!["spec.arms[1] | FieldValueDuplicate | Duplicate value: \"x\"".to_owned()],
        ),
        (
            json!({"speed": 1, "arms": ["a", "b", "c", "d", "e"]}),
            vec!["spec.arms | FieldValueTooMany | Too many: 5: must have at most 4 items".to_owned()],
        ),
        (
            json!({"speed": 1, "ports": [{"id": 1}, {"id": 1}]}),
            vec!["spec.ports[1] | FieldValueDuplicate | Duplicate value: {\"id\":1}".to_owned()],
        ),
        (
            json!({"speed": 1, "map": {"a": 1, "b": 2, "c": 3}}),
            vec!["spec.map | FieldValueTooMany | Too many: 3: must have at most 2 items".to_owned()],
        ),
        (
            json!({"speed": 1, "num": 0.7}),
            vec![format!("spec.num | {invalid} | Invalid value: 0.7: spec.num in body should be a multiple of 0.5")],
        ),
        (
            json!({"speed": 1, "num": 0}),
            vec![
                format!("spec.num | {invalid} | Invalid value: 0: factor MultipleOf declared for spec.num must be positive: 0"),
                format!("spec.num | {invalid} | Invalid value: 0: spec.num in body should be greater than 0"),
            ],
        ),
        (
            json!({"speed": 1, "i32": 3_000_000_000u32}),
            vec![format!("<nil> | {invalid} | Invalid value: \"\": Checked value must be of type integer with format int32 in spec.i32")],
        ),
        (
            json!({"speed": 1, "when": "yesterday"}),
            vec!["spec.when | FieldValueTypeInvalid | Invalid value: \"yesterday\": spec.when in body must be of type date-time: \"yesterday\"".to_owned()],
        ),
        (
            json!({"speed": 1, "alt": {"p": "1", "q": "2"}}),
            vec![format!("<nil> | {invalid} | Invalid value: \"\": \"spec.alt\" must validate one and only one schema (oneOf). Found 2 valid alternatives")],
        ),
        (
            json!({"speed": 1, "either": "c"}),
            vec![
                format!("<nil> | {invalid} | Invalid value: \"\": \"spec.either\" must validate at least one schema (anyOf)"),
                format!("spec.either | {invalid} | Invalid value: \"c\": spec.either in body should match '^a'"),
            ],
        ),
        (
            json!({"speed": 1, "both": "c"}),
            vec![
                format!("spec.both | {invalid} | Invalid value: \"c\": spec.both in body should be at least 2 chars long"),
                format!("spec.both | {invalid} | Invalid value: \"c\": spec.both in body should match '^b'"),
                format!("<nil> | {invalid} | Invalid value: \"\": \"spec.both\" must validate all the schemas (allOf). None validated"),
            ],
        ),
        (
            json!({"speed": 1, "never": "x"}),
            vec![format!("<nil> | {invalid} | Invalid value: \"\": \"spec.never\" must not validate the schema (not)")],
        ),
        (json!({"speed": 1, "nest": {}}), vec!["spec.nest.req | FieldValueRequired | Required value".to_owned()]),
        (
            json!({"speed": 1, "ios": true}),
            vec!["spec.ios | FieldValueTypeInvalid | Invalid value: \"boolean\": spec.ios in body must be of type integer,string: \"boolean\"".to_owned()],
        ),
        (
            json!({"speed": 1, "emb": {"metadata": {"name": "n"}}}),
            vec![
                "spec.emb.apiVersion | FieldValueRequired | Required value".to_owned(),
                "spec.emb.kind | FieldValueRequired | Required value".to_owned(),
            ],
        ),
        (
            json!({"speed": 1, "emb": {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "N!", "labels": {"x y": "z"}}}}),
            vec![format!("spec.emb.metadata.labels | {invalid} | Invalid value: \"x y\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")],
        ),
    ] {
        assert_eq!(findings(object(spec.clone())), expected, "{spec}");
    }
}

/// SC-16, SC-14: the schema may narrow names; a missing spec is one finding; status is validated like the rest.
#[test]
fn checks_names_presence_and_status() {
    let mut long = object(json!({"speed": 1}));
    long["metadata"]["name"] = "xxxxxxxxxxxxxxxxxxxxx".into();
    assert_eq!(findings(long), ["metadata.name | FieldValueTooLong | Too long: may not be more than 20 bytes"]);
    assert_eq!(findings(json!({"metadata": {"name": "n"}})), ["spec | FieldValueRequired | Required value"]);
    let mut status = object(json!({"speed": 1}));
    status["status"] = json!({"phase": "Sideways"});
    assert_eq!(
        findings(status),
        ["status.phase | FieldValueNotSupported | Unsupported value: \"Sideways\": supported values: \"Up\", \"Down\""]
    );
}

/// Metadata of a wrong shape is a malformed request, not an invalid object.
#[test]
fn finds_what_cannot_be_decoded() {
    let mismatch = robot().mismatch(&json!({"metadata": {"labels": {"a": 1}}, "spec": 5})).unwrap();
    assert_eq!(
        mismatch.to_string(),
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    );
    assert_eq!(robot().mismatch(&object(json!({"speed": "x"}))), None);
}

/// C-12: nothing is known to be unknown without a schema.
#[test]
fn the_untyped_schema_keeps_everything() {
    let schema = Schema::untyped();
    let mut value = json!({"a": {"b": [null, 1.0]}});
    let before = value.clone();
    assert!(schema.prune(&mut value).is_empty());
    schema.default(&mut value);
    assert_eq!(value, before);
    assert!(schema.validate(&value, None).is_empty());
    assert!(schema.root().field("anything").is_none());
}

#[test]
fn equal_schemas_have_equal_hashes() {
    let a = Schema::compile(&json!({"type": "object"})).unwrap();
    let b = Schema::compile(&json!({"type": "object"})).unwrap();
    let c = Schema::compile(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})).unwrap();
    assert_eq!(a.content_hash(), b.content_hash());
    assert_ne!(a.content_hash(), c.content_hash());
}
