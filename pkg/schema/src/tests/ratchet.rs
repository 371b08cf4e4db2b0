//! SC-13: what was invalid before and did not change is tolerated.

use serde_json::{Value, json};

use crate::Schema;

fn schema() -> std::sync::Arc<Schema> {
    let thing =
        json!({"type": "object", "properties": {"k": {"type": "string"}, "n": {"type": "integer", "maximum": 6}}});
    Schema::compile(&json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "speed": {"type": "integer", "maximum": 6},
        "mode": {"type": "string", "enum": ["slow"]},
        "name": {"type": "string"},
        "byIndex": {"type": "array", "items": thing},
        "byKey": {"type": "array", "items": thing, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]},
        "atomic": {"type": "array", "items": thing, "x-kubernetes-list-type": "atomic"},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}
    }}}}))
    .unwrap()
}

fn paths(old: Value, new: Value) -> Vec<String> {
    let errors = schema().validate(&json!({"spec": new}), Some(&json!({"spec": old})));
    errors.iter().map(|e| e.path.to_string()).collect()
}

#[test]
fn tolerates_what_did_not_change() {
    for (name, old, new, expected) in [
        (
            "unrelated change",
            json!({"speed": 9, "mode": "fast"}),
            json!({"speed": 9, "mode": "fast", "name": "x"}),
            vec![],
        ),
        ("changed value", json!({"speed": 9}), json!({"speed": 8}), vec!["spec.speed"]),
        ("new value", json!({}), json!({"speed": 9}), vec!["spec.speed"]),
        ("by index", json!({"byIndex": [{"n": 9}]}), json!({"byIndex": [{"n": 9}, {"n": 1}]}), vec![]),
        (
            "by index, moved",
            json!({"byIndex": [{"n": 9}]}),
            json!({"byIndex": [{"n": 1}, {"n": 9}]}),
            vec!["spec.byIndex[1].n"],
        ),
        (
            "by key, moved",
            json!({"byKey": [{"k": "a", "n": 9}]}),
            json!({"byKey": [{"k": "b", "n": 1}, {"k": "a", "n": 9}]}),
            vec![],
        ),
        (
            "by key, changed",
            json!({"byKey": [{"k": "a", "n": 9}]}),
            json!({"byKey": [{"k": "a", "n": 8}]}),
            vec!["spec.byKey[0].n"],
        ),
        (
            "atomic lists do not correlate",
            json!({"atomic": [{"n": 9}]}),
            json!({"atomic": [{"n": 9}, {"n": 1}]}),
            vec!["spec.atomic[0].n"],
        ),
        ("an unchanged atomic list", json!({"atomic": [{"n": 9}]}), json!({"atomic": [{"n": 9}], "name": "x"}), vec![]),
        ("duplicates were there", json!({"set": ["a", "a"]}), json!({"set": ["a", "a", "b", "b"]}), vec![]),
        ("new duplicates", json!({"set": ["a"]}), json!({"set": ["a", "a"]}), vec!["spec.set[1]"]),
    ] {
        assert_eq!(paths(old, new), expected, "{name}");
    }
}

/// SC-14: through `/status` only the status is looked at.
#[test]
fn status_is_validated_alone() {
    let schema = Schema::compile(&json!({"type": "object", "required": ["spec"], "properties": {
        "spec": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "status": {"type": "object", "required": ["phase"], "properties": {
            "phase": {"type": "string", "enum": ["Up", "Down"]}, "n": {"type": "integer"}}}}}))
    .unwrap();
    let old = json!({"spec": {"n": "x"}});
    let check =
        |new: Value| -> Vec<String> { schema.validate_status(&new, &old).iter().map(ToString::to_string).collect() };
    assert!(check(json!({"status": {"phase": "Up"}})).is_empty());
    assert_eq!(
        check(json!({"spec": {"n": "y"}, "status": {"n": "x", "phase": "Sideways"}})),
        [
            "status.n: Invalid value: \"string\": n in body must be of type integer: \"string\"",
            "status.phase: Unsupported value: \"Sideways\": supported values: \"Up\", \"Down\""
        ]
    );
    assert_eq!(check(json!({"status": {}})), ["status.phase: Required value"]);
}
