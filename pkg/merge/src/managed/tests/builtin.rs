//! Built-in types: Go's zero values, the metadata, first applies and client-side apply.

use super::*;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Definitions as the server publishes them, cut to what matters here.
fn builtin(kind: &str) -> Arc<Schema> {
    let meta = json!({"allOf": [{"$ref": format!("#/components/schemas/{META}")}], "default": {}});
    let reference = |name: &str| json!({"allOf": [{"$ref": format!("#/components/schemas/{name}")}]});
    let with_default = |name: &str| {
        let mut r = reference(name);
        r["default"] = json!({});
        r
    };
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let kind_of = |kind: &str, mut properties: Value| {
        properties["metadata"] = meta.clone();
        properties["apiVersion"] = json!({"type": "string"});
        properties["kind"] = json!({"type": "string"});
        json!({"type": "object", "properties": properties,
               "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": kind}]})
    };
    let named = json!({"type": "object", "required": ["name"], "x-kubernetes-map-type": "atomic",
                       "properties": {"name": {"type": "string", "default": ""}}});
    let definitions = json!({
        META: {"type": "object", "properties": {}},
        "ConfigMap": kind_of("ConfigMap", json!({"data": texts})),
        "Named": named,
        "ServiceAccount": kind_of("ServiceAccount", json!({
            "imagePullSecrets": {"type": "array", "items": {"$ref": "#/components/schemas/Named"}, "x-kubernetes-list-type": "atomic"},
            "secrets": {"type": "array", "items": {"$ref": "#/components/schemas/Named"},
                        "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        })),
        "Container": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string", "default": ""},
            "image": {"type": "string"},
            "resources": with_default("Resources"),
            "probe": reference("Resources"),
        }},
        "Resources": {"type": "object", "properties": {"limits": texts}},
        "PodSpec": {"type": "object", "required": ["containers"], "properties": {
            "containers": {"type": "array", "items": {"$ref": "#/components/schemas/Container"},
                           "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
            "restartPolicy": {"type": "string"},
        }},
        "PodTemplate": {"type": "object", "properties": {"metadata": meta, "spec": with_default("PodSpec")}},
        "DeploymentSpec": {"type": "object", "required": ["selector", "template"], "properties": {
            "replicas": {"type": "integer"},
            "selector": {"allOf": [{"$ref": "#/components/schemas/Selector"}]},
            "strategy": with_default("Strategy"),
            "template": with_default("PodTemplate"),
        }},
        "Selector": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"matchLabels": texts}},
        "Strategy": {"type": "object", "properties": {"type": {"type": "string"}, "rollingUpdate": reference("Rolling")}},
        "Rolling": {"type": "object", "properties": {"maxSurge": {"type": "string", "format": "int-or-string"}}},
        "Deployment": kind_of("Deployment", json!({"spec": with_default("DeploymentSpec"), "status": with_default("Resources")})),
    });
    Schema::compile_builtin(definitions.as_object().unwrap(), kind).unwrap()
}

fn config_maps() -> Bench {
    Bench::new(builtin("ConfigMap"), "v1")
}

fn config_map(body: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "uid": "u1"}});
    crate::merge_patch(&mut object, &body);
    object
}

fn configuration(body: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf"}});
    crate::merge_patch(&mut object, &body);
    object
}

/// C-11: structs that a Go type always has are there before their first field; pointers and maps are not.
#[test]
fn create_of_a_deployment() {
    let mut b = Bench::new(builtin("Deployment"), "apps/v1");
    b.update("kubectl-create", json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"app": "web"}, "creationTimestamp": null},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "creationTimestamp": null},
                "spec": {"containers": [{"name": "c", "image": "i", "resources": {}, "probe": {}}], "restartPolicy": "Always"},
            },
        },
        "status": {},
    }));
    assert_eq!(
        b.fields("kubectl-create", "Update"),
        json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {
                "f:replicas": {}, "f:selector": {},
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
                "f:template": {
                    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
                    "f:spec": {
                        "f:containers": {"k:{\"name\":\"c\"}": {
                            ".": {}, "f:image": {}, "f:name": {}, "f:probe": {}, "f:resources": {},
                        }},
                        "f:restartPolicy": {},
                    },
                },
            },
        })
    );
}

/// F-02, F-06..F-08, F-18: two appliers and an updater on one ConfigMap.
#[test]
fn life_of_a_config_map() {
    let mut b = config_maps();
    let alpha = json!({"metadata": {"labels": {"x": "1"}}, "data": {"a": "1", "b": "1"}});
    b.apply("alpha", configuration(alpha), false).unwrap();
    assert_eq!(
        b.fields("alpha", "Apply"),
        json!({"f:data": {"f:a": {}, "f:b": {}}, "f:metadata": {"f:labels": {"f:x": {}}}})
    );
    b.apply("beta", configuration(json!({"data": {"c": "1"}})), false).unwrap();
    b.apply("beta", configuration(json!({"data": {"a": "1", "c": "1"}})), false).unwrap();
    let status = b.apply("beta", configuration(json!({"data": {"a": "2", "b": "3", "c": "1"}})), false).unwrap_err();
    assert_eq!(status.message, "Apply failed with 2 conflicts: conflicts with \"alpha\":\n- .data.a\n- .data.b");

    b.apply("beta", configuration(json!({"data": {"a": "2", "c": "1"}})), true).unwrap();
    assert_eq!(b.fields("alpha", "Apply")["f:data"], json!({"f:b": {}}));
    b.apply("alpha", configuration(json!({"metadata": {"labels": {"x": "1"}}, "data": {"a": "2"}})), false).unwrap();
    assert_eq!(b.object()["data"], json!({"a": "2", "c": "1"}));

    // A map that is applied empty is owned as such; what others own stays.
    b.apply("alpha", configuration(json!({"metadata": {"labels": {"x": "1"}}, "data": {}})), false).unwrap();
    assert_eq!(b.object()["data"], json!({"a": "2", "c": "1"}));
    assert_eq!(b.fields("alpha", "Apply")["f:data"], json!({}));

    b.merge("editor", &json!({"data": {"c": "9", "d": "1"}}));
    assert_eq!(b.fields("editor", "Update"), json!({"f:data": {"f:c": {}, "f:d": {}}}));
    assert_eq!(b.fields("beta", "Apply"), json!({"f:data": {"f:a": {}}}));
    assert_eq!(b.owners(), ["beta/Apply", "alpha/Apply", "editor/Update"]);
    let status = b.apply("beta", configuration(json!({"data": {"a": "2", "c": "1"}})), false).unwrap_err();
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.c");

    b.apply("beta", configuration(json!({})), false).unwrap();
    assert_eq!(b.object()["data"], json!({"c": "9", "d": "1"}));
    assert_eq!(b.owners(), ["alpha/Apply", "editor/Update"]);
}

/// F-23: finalizers are a set, owner references a map whose items are atomic.
#[test]
fn metadata_lists() {
    let mut b = config_maps();
    b.update("tool", config_map(json!({"data": {"a": "1"}})));
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "landlord", "uid": "u2"});
    let meta = json!({"finalizers": ["e/f1", "e/f2"], "annotations": {"k": "v"}, "ownerReferences": [owner]});
    b.apply("meta", configuration(json!({"metadata": meta})), false).unwrap();
    assert_eq!(
        b.fields("meta", "Apply"),
        json!({"f:metadata": {
            "f:annotations": {"f:k": {}},
            "f:finalizers": {"v:\"e/f1\"": {}, "v:\"e/f2\"": {}},
            "f:ownerReferences": {"k:{\"uid\":\"u2\"}": {}},
        }})
    );
    b.apply("meta", configuration(json!({})), false).unwrap();
    assert_eq!(
        b.object()["metadata"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["managedFields", "name", "uid"]
    );
    assert_eq!(b.owners(), ["tool/Update"]);
}

/// F-12: lists that are atomic conflict as a whole, items of map lists are owned one by one.
#[test]
fn lists_of_a_service_account() {
    let mut b = Bench::new(builtin("ServiceAccount"), "v1");
    let body = |fields: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}});
        crate::merge_patch(&mut object, &fields);
        object
    };
    let lists = json!({"secrets": [{"name": "s1"}, {"name": "s2"}], "imagePullSecrets": [{"name": "i1"}]});
    b.apply("a", body(lists), false).unwrap();
    assert_eq!(
        b.fields("a", "Apply"),
        json!({"f:imagePullSecrets": {}, "f:secrets": {"k:{\"name\":\"s1\"}": {}, "k:{\"name\":\"s2\"}": {}}})
    );
    let status = b.apply("b", body(json!({"imagePullSecrets": [{"name": "i2"}]})), false).unwrap_err();
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"a\": .imagePullSecrets");
}

/// F-13, F-15: a reset object is not tracked until it is applied; then the rest belongs to before-first-apply.
#[test]
fn before_first_apply() {
    let mut b = config_maps();
    b.update("tool", config_map(json!({"data": {"p": "1"}})));
    let mut reset = b.object().clone();
    reset["metadata"]["managedFields"] = json!([{}]);
    b.update("tool", reset);
    assert_eq!(managed_fields(b.object()), None);
    b.merge("tool", &json!({"data": {"r": "1"}}));
    assert_eq!(managed_fields(b.object()), None, "still not tracked");
    b.merge("tool", &json!({"data": {"r": null}}));

    b.apply("late", configuration(json!({"data": {"q": "1"}})), false).unwrap();
    assert_eq!(b.fields("late", "Apply"), json!({"f:data": {"f:q": {}}}));
    assert_eq!(b.fields("before-first-apply", "Update"), json!({"f:data": {".": {}, "f:p": {}}}));
    let status = b.apply("late", configuration(json!({"data": {"q": "1", "p": "2"}})), false).unwrap_err();
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.p");
}

/// F-14: what kubectl applied on the client is its own on the server.
#[test]
fn from_client_side_apply() {
    const LAST: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let last = "{\"apiVersion\":\"v1\",\"data\":{\"p\":\"1\"},\"kind\":\"ConfigMap\",\"metadata\":{\"annotations\":{},\"name\":\"conf\"}}\n";
    let start = || {
        let mut b = config_maps();
        b.update(
            "kubectl-client-side-apply",
            config_map(json!({"metadata": {"annotations": {LAST: last}}, "data": {"p": "1"}})),
        );
        b
    };
    let mut b = start();
    let status = b.apply("other", configuration(json!({"data": {"p": "2"}})), false).unwrap_err();
    assert_eq!(status.code, 409, "only kubectl is believed");

    let mut b = start();
    b.apply("kubectl", configuration(json!({"data": {"p": "2"}})), false).unwrap();
    assert_eq!(b.fields("kubectl", "Apply"), json!({"f:data": {"f:p": {}}}));
    assert_eq!(
        b.fields("kubectl-client-side-apply", "Update"),
        json!({"f:data": {}, "f:metadata": {"f:annotations": {".": {}, format!("f:{LAST}"): {}}}})
    );
    assert_eq!(
        b.object()["metadata"]["annotations"][LAST],
        "{\"apiVersion\":\"v1\",\"data\":{\"p\":\"2\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"conf\"}}\n"
    );
    let before = b.object().clone();
    b.apply("kubectl", configuration(json!({"data": {"p": "2"}})), false).unwrap();
    assert_eq!(b.object(), &before);

    // What somebody has changed since is a conflict after all.
    let mut b = start();
    b.merge("editor", &json!({"data": {"p": "3"}}));
    let status = b.apply("kubectl", configuration(json!({"data": {"p": "2"}})), false).unwrap_err();
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.p");
}

/// F-01: fields that the type does not have.
#[test]
fn unknown_field() {
    let status = config_maps().apply("x", configuration(json!({"colour": "red"})), false).unwrap_err();
    assert_eq!(
        status.message,
        "failed to create typed patch object (/conf; /v1, Kind=ConfigMap): .colour: field not declared in schema"
    );
}
