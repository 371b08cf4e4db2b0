use super::*;
use crate::validation::{name_is_label, name_is_path_segment, name_is_subdomain};

fn errors(meta: Value, namespaced: bool) -> Vec<String> {
    let path = FieldPath::new("metadata");
    validate_object_meta(&meta, namespaced, name_is_subdomain, &path).iter().map(FieldError::to_string).collect()
}

#[test]
fn good_metadata_passes() {
    let meta = json!({
        "name": "a.b", "namespace": "ns", "generateName": "a-", "generation": 1,
        "labels": {"a": "b", "example.com/c": ""}, "annotations": {"Example.com/D": "anything at all"},
        "finalizers": ["example.com/f", "orphan"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "u", "controller": true}],
        "managedFields": [{"manager": "kubectl", "operation": "Apply", "fieldsType": "FieldsV1"}]
    });
    assert_eq!(errors(meta, true), Vec::<String>::new());
}

#[test]
fn bad_metadata_is_named_c05_c06() {
    let cases = [
        (json!({}), "metadata.name: Required value: name or generateName is required"),
        (json!({"name": "a", "namespace": "n"}), "metadata.namespace: Forbidden: not allowed on this type"),
        (
            json!({"name": "a", "generation": -1}),
            "metadata.generation: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            json!({"name": "a", "finalizers": ["orphan", "foregroundDeletion"]}),
            "metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: finalizer orphan and foregroundDeletion cannot be both set",
        ),
        (
            json!({"name": "a", "annotations": {"a": "y".repeat(270_000)}}),
            "metadata.annotations: Too long: may not be more than 262144 bytes",
        ),
        (
            json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n"}]}),
            "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
        ),
        (
            json!({"name": "a", "managedFields": [{"operation": "Steal"}]}),
            "metadata.managedFields[0].operation: Invalid value: \"Steal\": must be `Apply` or `Update`",
        ),
    ];
    for (meta, want) in cases {
        assert_eq!(errors(meta, false), [want]);
    }
    assert_eq!(errors(json!({"name": "a"}), true), ["metadata.namespace: Required value"]);
    let many = json!({"name": "a..b", "labels": {"-x": "ok", "ok": "not ok!"}, "annotations": {"bad key": "x"}});
    assert_eq!(errors(many, false).len(), 4);
    let two = json!([{"apiVersion": "v1", "kind": "A", "name": "x", "uid": "1", "controller": true}, {"apiVersion": "v1", "kind": "B", "name": "y", "uid": "2", "controller": true}]);
    let found = validate_owner_references(&two, &FieldPath::new("o"));
    assert!(found[0].message.ends_with("Found \"true\" in references for A/x and B/y"), "{}", found[0].message);
}

#[test]
fn names_follow_their_kind() {
    assert!(name_is_subdomain("a-", true).is_empty());
    assert_eq!(name_is_subdomain("a-", false).len(), 1);
    assert_eq!(name_is_subdomain("-", true).len(), 1);
    assert_eq!(name_is_label("a.b", false), ["must not contain dots"]);
    assert!(name_is_path_segment("system:Node_x", false).is_empty());
}

#[test]
fn updates_keep_what_is_fixed_u09() {
    let path = FieldPath::new("metadata");
    let check = |new: Value, old: Value| -> Vec<String> {
        validate_object_meta_update(&new, &old, &path).iter().map(FieldError::to_string).collect()
    };
    assert!(check(json!({"name": "a", "uid": "u"}), json!({"name": "a", "uid": "u", "namespace": ""})).is_empty());
    assert_eq!(
        check(json!({"name": "a", "uid": "w"}), json!({"name": "a", "uid": "u"})),
        ["metadata.uid: Invalid value: \"w\": field is immutable"]
    );
    assert_eq!(
        check(
            json!({"name": "a", "deletionTimestamp": "t", "finalizers": ["x/b", "x/a", "x/old"]}),
            json!({"name": "a", "deletionTimestamp": "t", "finalizers": ["x/old"]})
        ),
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"x/a\", \"x/b\"}"
        ]
    );
    assert_eq!(
        check(json!({"generation": 1}), json!({"generation": 2})),
        ["metadata.generation: Invalid value: 1: must not be decremented"]
    );
}

#[test]
fn finalizers_of_built_in_kinds_are_qualified() {
    let list = json!(["plainfinalizer", "kubernetes", "example.dev/x"]);
    let found = validate_core_finalizers(&list, &FieldPath::new("metadata.finalizers"));
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "metadata.finalizers[0]: Invalid value: \"plainfinalizer\": name is neither a standard finalizer name nor is it fully qualified"
    );
    assert_eq!(finalizer_warnings(&list).len(), 1);
}

#[test]
fn field_managers_are_printable_c10() {
    let path = FieldPath::new("fieldManager");
    let found = validate_field_manager("a\u{7}b", &path);
    assert_eq!(
        found[0].to_string(),
        "fieldManager: Invalid value: \"a\\ab\": invalid character U+0007 (at position 1)"
    );
    assert_eq!(validate_field_manager(&"x".repeat(129), &path)[0].message, "Too long: may not be more than 128 bytes");
}
