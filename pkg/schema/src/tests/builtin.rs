//! Built-in types: one arena, recursion, lists, patches and lenient places.

use serde_json::{Map, Value, json};

use crate::{Builtins, ListType, Schema};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const CRD: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

fn components() -> Map<String, Value> {
    let reference = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let all_of = |name: &str| json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}], "default": {}});
    let mut map = Map::new();
    let mut add = |name: &str, schema: Value| map.insert(name.to_owned(), schema);
    add(META, json!({"type": "object", "properties": {"name": {"type": "string"}}}));
    add(
        "example.Pod",
        json!({
            "type": "object",
            "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Pod"}],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": all_of(META),
                "size": reference("io.k8s.apimachinery.pkg.api.resource.Quantity"),
                "port": reference("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
                "raw": reference("io.k8s.apimachinery.pkg.runtime.RawExtension"),
                "ports": {
                    "type": "array", "items": all_of("example.Port"),
                    "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                    "x-kubernetes-patch-merge-key": "port", "x-kubernetes-patch-strategy": "merge"
                },
                "selector": {"allOf": [{"$ref": "#/components/schemas/example.Port"}], "x-kubernetes-map-type": "atomic",
                             "x-kubernetes-patch-strategy": "merge,retainKeys"},
                "child": reference("example.Tree"),
                "schema": reference(&format!("{CRD}JSONSchemaProps"))
            }
        }),
    );
    add(
        "example.Port",
        json!({"type": "object", "properties": {
        "port": {"type": "integer", "format": "int32", "default": 0},
        "protocol": {"type": "string", "default": "TCP"}}}),
    );
    add(
        "example.Tree",
        json!({"type": "object", "properties": {
        "left": reference("example.Tree"), "leaves": {"type": "array", "items": reference("example.Tree")}}}),
    );
    add("io.k8s.apimachinery.pkg.api.resource.Quantity", json!({"oneOf": [{"type": "string"}, {"type": "number"}]}));
    add(
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
    );
    add("io.k8s.apimachinery.pkg.runtime.RawExtension", json!({"type": "object"}));
    add(
        &format!("{CRD}JSONSchemaProps"),
        json!({"type": "object", "properties": {
        "type": {"type": "string"},
        "items": reference(&format!("{CRD}JSONSchemaPropsOrArray")),
        "not": reference(&format!("{CRD}JSONSchemaProps")),
        "additionalProperties": reference(&format!("{CRD}JSONSchemaPropsOrBool")),
        "default": reference(&format!("{CRD}JSON"))}}),
    );
    add(&format!("{CRD}JSONSchemaPropsOrArray"), json!({}));
    add(&format!("{CRD}JSONSchemaPropsOrBool"), json!({}));
    add(&format!("{CRD}JSON"), json!({}));
    map
}

#[test]
fn navigates_definitions() {
    let schema = Schema::compile_builtin(&components(), "example.Pod").unwrap();
    let root = schema.root();
    let ports = root.field("ports").unwrap();
    assert_eq!(ports.list_type(), ListType::Map(&["port".to_owned(), "protocol".to_owned()]));
    assert_eq!(ports.merge_key(), Some("port"));
    assert!(ports.patch_strategy().merge);
    let port = ports.items().unwrap();
    assert_eq!(port.field("protocol").unwrap().default_value(), Some(&json!("TCP")));
    assert_eq!(port.field("port").unwrap().default_value(), None, "zero values are no defaults");
    assert!(root.field("port").unwrap().is_int_or_string());
    assert!(root.field("metadata").unwrap().is_meta());
    assert_eq!(root.field("metadata").unwrap().field("ownerReferences").unwrap().merge_key(), Some("uid"));
    let selector = root.field("selector").unwrap();
    assert!(selector.map_atomic() && selector.patch_strategy().retain_keys);
    assert!(!port.map_atomic(), "a copy does not change its original");
    let tree = root.field("child").unwrap();
    assert_eq!(tree.id(), tree.field("leaves").unwrap().items().unwrap().field("left").unwrap().id());
    assert_eq!(
        Schema::compile_builtin(&components(), "example.None").err().as_deref(),
        Some("no definition example.None")
    );
}

#[test]
fn prunes_and_checks_types() {
    let schema = Schema::compile_builtin(&components(), "example.Pod").unwrap();
    let mut value = json!({"metadata": {"name": "a", "x": 1}, "raw": {"any": {"thing": 1}}, "size": {"odd": 1}, "what": 1,
        "child": {"left": {"left": {"y": 1}}},
        "schema": {"bad": 1, "default": {"any": 1}, "additionalProperties": true,
                   "items": {"type": "string", "quiet": 1, "items": [{"type": "x", "quiet": 2}]}, "not": {"worse": 1}}});
    assert_eq!(schema.prune(&mut value), ["metadata.x", "child.left.left.y", "schema.bad", "schema.not.worse", "what"]);
    assert_eq!(value["schema"]["items"], json!({"type": "string", "items": [{"type": "x"}]}), "dropped, unreported");
    assert_eq!(value["schema"]["default"], json!({"any": 1}));
    for (object, path) in [
        (json!({"ports": {"port": 1}}), Some("ports")),
        (json!({"ports": [{"port": 3_000_000_000u32}]}), Some("ports.port")),
        (json!({"ports": [{"port": "80"}]}), Some("ports.port")),
        (
            json!({"port": "http", "size": 5, "ports": null, "schema": {"items": {}, "additionalProperties": false}}),
            None,
        ),
        (json!({"metadata": {"creationTimestamp": null, "generation": 1.5}}), Some("metadata.generation")),
    ] {
        assert_eq!(schema.mismatch(&object).map(|m| m.path).as_deref(), path, "{object}");
    }
    for (object, text) in [
        (json!({"ports": [{"port": "80"}]}), "string into Go struct field Port.ports.port of type int32"),
        (json!({"ports": "x"}), "string into Go struct field Pod.ports of type []example.Port"),
        (json!({"selector": []}), "array into Go struct field Pod.selector of type example.Port"),
        (
            json!({"metadata": {"labels": {"a": 1}}}),
            "number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            json!({"metadata": {"annotations": "x"}}),
            "string into Go struct field ObjectMeta.metadata.annotations of type map[string]string",
        ),
    ] {
        let found = schema.mismatch(&object).map(|m| m.to_string());
        assert_eq!(found, Some(format!("json: cannot unmarshal {text}")), "{object}");
    }
    let mut value = json!({"ports": [{"port": 80}]});
    schema.default(&mut value);
    assert_eq!(value, json!({"ports": [{"port": 80, "protocol": "TCP"}]}));
}

#[test]
fn kinds_share_an_arena() {
    let components = components();
    let all = Builtins::compile([&components]).unwrap();
    assert_eq!(all.names().collect::<Vec<_>>(), ["example.Pod"]);
    let count = all.schema("example.Pod").unwrap().node_count();
    assert_eq!(count, all.node_count());
    assert!(all.schema("example.Port").is_none(), "only kinds are types");
}
