use std::collections::BTreeMap;

use super::*;

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

fn all_verbs() -> Vec<String> {
    strings(&["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"])
}

fn widget_schema() -> Value {
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 10}}},
            "spec": {
                "description": "What is wanted.",
                "type": "object",
                "required": ["size", "maybe"],
                "properties": {
                    "size": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 9, "default": 3},
                    "maybe": {"type": "string", "nullable": true},
                    "port": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                            "properties": {"a": {"type": "string"}}},
                    "template": {"type": "object", "x-kubernetes-embedded-resource": true,
                                 "properties": {"spec": {"type": "object"}}},
                    "color": {"type": "string", "enum": ["red", "blue"], "pattern": "^[a-z]+$"},
                    "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                             "items": {"type": "object", "required": ["name"],
                                       "properties": {"name": {"type": "string"}}}},
                    "free": {"type": "object", "additionalProperties": {"type": "string"}},
                },
                "oneOf": [{"required": ["port"]}, {"required": ["color"]}],
            },
        },
    })
}

fn widget<'a>(schema: Option<&'a Value>, verbs: &'a [String]) -> ResourceDoc<'a> {
    ResourceDoc {
        gvk: GroupVersionKind::new("example.io", "v1", "Widget"),
        plural: "widgets",
        list_kind: "WidgetList",
        namespaced: true,
        verbs,
        status: true,
        scale: true,
        schema,
        selectable_fields: &[],
        strategic_merge: false,
    }
}

fn gv() -> GroupVersion {
    GroupVersion::new("example.io", "v1")
}

#[test]
fn components_are_named_by_the_reversed_group() {
    for (group, want) in [("example.io", "io.example.v1.K"), ("apps", "apps.v1.K"), ("", "core.v1.K")] {
        assert_eq!(component_name(&GroupVersionKind::new(group, "v1", "K")), want);
    }
}

/// O-05, O-06, O-10: what kubectl looks for in operations.
#[test]
fn operations_say_what_they_are_about() {
    let (schema, verbs) = (widget_schema(), all_verbs());
    let doc = v3_document(&gv(), &[widget(Some(&schema), &verbs)]);
    let paths = doc["paths"].as_object().unwrap();
    let base = "/apis/example.io/v1/namespaces/{namespace}/widgets";
    let names: Vec<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "/apis/example.io/v1/namespaces/{namespace}/widgets",
            "/apis/example.io/v1/namespaces/{namespace}/widgets/{name}",
            "/apis/example.io/v1/namespaces/{namespace}/widgets/{name}/scale",
            "/apis/example.io/v1/namespaces/{namespace}/widgets/{name}/status",
            "/apis/example.io/v1/widgets",
        ]
    );
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in paths {
        for (method, op) in item.as_object().unwrap().iter().filter(|(m, _)| *m != "parameters") {
            assert!(op["x-kubernetes-action"].is_string(), "{path} {method}");
            let gvk = &op["x-kubernetes-group-version-kind"];
            assert!(gvk.is_object(), "{path} {method}");
            if !path.ends_with("/scale") {
                assert_eq!(*gvk, json!({"group": "example.io", "version": "v1", "kind": "Widget"}));
            }
            assert!(ids.insert(op["operationId"].as_str().unwrap().to_owned()), "{path} {method}: id twice");
        }
    }
    let patch = &paths[&format!("{base}/{{name}}")]["patch"];
    let parameters: Vec<&str> =
        patch["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(parameters, ["dryRun", "fieldManager", "fieldValidation", "force", "pretty"]);
    let types: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert_eq!(types, ["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"]);
    assert_eq!(patch["operationId"], "patchExampleIoV1NamespacedWidget");
    assert_eq!(paths[base]["post"]["tags"], json!(["exampleIo_v1"]));
    assert_eq!(paths[base]["delete"]["x-kubernetes-action"], "deletecollection");
    assert_eq!(paths[&format!("{base}/{{name}}/scale")]["get"]["x-kubernetes-group-version-kind"]["kind"], "Scale");
}

/// D-06: a type that is being deleted takes nothing new.
#[test]
fn only_served_verbs_are_described() {
    let schema = widget_schema();
    let verbs = strings(&["delete", "deletecollection", "get", "list", "watch"]);
    let doc = v3_document(&gv(), &[widget(Some(&schema), &verbs)]);
    let text = doc.to_string();
    assert!(!text.contains("\"post\"") && !text.contains("\"put\"") && !text.contains("\"patch\""));
}

#[test]
fn imported_types_take_strategic_patches() {
    let (schema, verbs) = (widget_schema(), all_verbs());
    let doc = v3_document(&gv(), &[ResourceDoc { strategic_merge: true, ..widget(Some(&schema), &verbs) }]);
    assert!(doc.to_string().contains("application/strategic-merge-patch+json"));
}

/// O-09, O-14, O-16: the whole schema, with what every object has.
#[test]
fn definitions_are_complete() {
    let (schema, verbs) = (widget_schema(), all_verbs());
    let fields = strings(&[".spec.color"]);
    let doc = v3_document(&gv(), &[ResourceDoc { selectable_fields: &fields, ..widget(Some(&schema), &verbs) }]);
    let w = &doc["components"]["schemas"]["io.example.v1.Widget"];
    assert_eq!(
        w["x-kubernetes-group-version-kind"],
        json!([{"group": "example.io", "version": "v1", "kind": "Widget"}])
    );
    assert_eq!(w["x-kubernetes-selectable-fields"], json!([{"fieldPath": "spec.color"}]));
    let meta = json!([{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]);
    assert_eq!(w["properties"]["metadata"]["allOf"], meta);
    let spec = &w["properties"]["spec"];
    assert_eq!((&spec["properties"]["size"]["default"], spec["oneOf"].is_array()), (&json!(3), true));
    let template = &spec["properties"]["template"];
    assert_eq!(template["properties"]["metadata"]["allOf"], meta);
    assert_eq!(template["required"], json!(["kind", "apiVersion"]));
    let list = &doc["components"]["schemas"]["io.example.v1.WidgetList"];
    assert_eq!(list["required"], json!(["items"]));
    assert_eq!(list["properties"]["items"]["items"]["$ref"], "#/components/schemas/io.example.v1.Widget");
    unresolved(&doc, &doc, REF_PREFIX);
}

/// Every reference leads somewhere.
fn unresolved(doc: &Value, value: &Value, prefix: &str) {
    match value {
        Value::Object(map) => {
            for (k, v) in map {
                if let (true, Some(target)) = (k == "$ref", v.as_str()) {
                    let name = target.strip_prefix(prefix).unwrap_or_else(|| panic!("{target}"));
                    let known = doc.pointer("/components/schemas").or_else(|| doc.get("definitions")).unwrap();
                    assert!(known.get(name).is_some(), "{target}");
                }
                unresolved(doc, v, prefix);
            }
        }
        Value::Array(list) => list.iter().for_each(|v| unresolved(doc, v, prefix)),
        _ => {}
    }
}

/// O-08, row by row.
#[test]
fn version_2_is_loosened() {
    let (schema, verbs) = (widget_schema(), all_verbs());
    let doc = v3_document(&gv(), &[widget(Some(&schema), &verbs)]);
    let v2 = v2_document([&doc], "v1.36.0");
    unresolved(&v2, &v2, "#/definitions/");
    assert!(!v2.to_string().contains("#/components"));
    let w = &v2["definitions"]["io.example.v1.Widget"];
    assert_eq!(w["properties"]["metadata"]["$ref"], "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    let spec = &w["properties"]["spec"];
    assert_eq!(spec.get("oneOf"), None);
    assert_eq!(spec["required"], json!(["size"]), "a nullable field cannot be required");
    let p = &spec["properties"];
    for (field, want) in [
        ("maybe", json!({})),
        ("port", json!({"x-kubernetes-int-or-string": true})),
        ("any", json!({"x-kubernetes-preserve-unknown-fields": true})),
        ("size", json!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 9})),
        ("color", json!({"type": "string", "enum": ["red", "blue"], "pattern": "^[a-z]+$"})),
        ("free", json!({"type": "object", "additionalProperties": {"type": "string"}})),
    ] {
        assert_eq!(p[field], want, "{field}");
    }
}

#[test]
fn version_2_roots() {
    let verbs = all_verbs();
    let bare = json!({"type": "object", "x-kubernetes-group-version-kind": [{"group": "example.io", "version": "v1", "kind": "Widget"}]});
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"type": "string"}}});
    for schema in [Some(&open), None] {
        let doc = v3_document(&gv(), &[widget(schema, &verbs)]);
        assert_eq!(v2_document([&doc], "v1")["definitions"]["io.example.v1.Widget"], bare);
    }
    let array = json!({"type": "object", "properties": {"l": {"type": "array"}}});
    let doc = v3_document(&gv(), &[widget(Some(&array), &verbs)]);
    assert_eq!(v2_document([&doc], "v1")["definitions"]["io.example.v1.Widget"]["properties"]["l"], json!({}));
}

/// O-06, O-07 in version 2: bodies and query parameters become parameters.
#[test]
fn version_2_operations() {
    let (schema, verbs) = (widget_schema(), all_verbs());
    let doc = v3_document(&gv(), &[widget(Some(&schema), &verbs)]);
    let v2 = v2_document([&doc], "v1");
    let patch = &v2["paths"]["/apis/example.io/v1/namespaces/{namespace}/widgets/{name}"]["patch"];
    assert_eq!(patch["consumes"][0], "application/apply-patch+yaml");
    assert_eq!(patch["produces"], json!(["application/json", "application/yaml"]));
    let parameters = patch["parameters"].as_array().unwrap();
    assert_eq!(parameters[0]["in"], "body");
    assert_eq!(parameters[1]["name"], "dryRun");
    assert_eq!(parameters[1]["type"], "string");
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Widget");
}

#[test]
fn indexes_and_keys() {
    assert_eq!(document_key(&GroupVersion::new("", "v1")), "api/v1");
    assert_eq!(document_key(&gv()), "apis/example.io/v1");
    let index = v3_index([("api/v1", "AB")]);
    assert_eq!(index, json!({"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=AB"}}}));
    let hash = content_hash(b"");
    assert!(hash.starts_with("CF83E1357EEFB8BD") && hash.len() == 128);
}

fn builtin_document() -> Value {
    let verbs_op = |action: &str, kind: &str| {
        json!({"x-kubernetes-action": action, "x-kubernetes-group-version-kind": {"group": "", "version": "v1", "kind": kind},
               "responses": {"200": {"content": {
                   "application/json": {"schema": {"$ref": format!("#/components/schemas/{kind}")}},
                   "application/vnd.kubernetes.protobuf": {"schema": {"$ref": format!("#/components/schemas/{kind}")}}}}}})
    };
    json!({
        "openapi": "3.0.0",
        "paths": {
            "/api/v1/": {"get": {"responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/APIResourceList"}}}}}}},
            "/api/v1/namespaces/{namespace}/a": {"get": verbs_op("list", "A"), "post": verbs_op("post", "A"), "parameters": []},
            "/api/v1/namespaces/{namespace}/a/{name}/status": {"get": verbs_op("get", "A")},
            "/api/v1/namespaces/{namespace}/b/{name}": {"get": verbs_op("get", "B")},
            "/api/v1/watch/a": {"get": verbs_op("watchlist", "A")},
        },
        "components": {"schemas": {
            "APIResourceList": {"type": "object"},
            "A": {"type": "object", "properties": {"c": {"allOf": [{"$ref": "#/components/schemas/C"}], "default": {}}}},
            "B": {"type": "object"},
            "C": {"type": "object", "properties": {"c": {"$ref": "#/components/schemas/C"}}},
        }},
    })
}

#[test]
fn builtin_documents_are_cut_to_what_is_served() {
    let verbs = strings(&["get", "list"]);
    let out = filter_builtin(&builtin_document(), &[Served { plural: "a", verbs: &verbs, subresources: &[] }]);
    let paths: Vec<&String> = out["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths, ["/api/v1/", "/api/v1/namespaces/{namespace}/a"]);
    let item = &out["paths"]["/api/v1/namespaces/{namespace}/a"];
    assert!(item.get("get").is_some() && item.get("post").is_none() && item.get("parameters").is_some());
    assert!(!out.to_string().contains("protobuf"));
    let names: Vec<&String> = out["components"]["schemas"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["A", "APIResourceList", "C"]);
    let v2 = v2_document([&out], "v1");
    assert_eq!(v2["definitions"]["A"]["properties"]["c"], json!({"$ref": "#/definitions/C"}));
}

#[test]
fn documents_of_one_group_are_merged() {
    let (schema, verbs) = (widget_schema(), all_verbs());
    let a = v3_document(&gv(), &[widget(Some(&schema), &verbs)]);
    let other = ResourceDoc {
        gvk: GroupVersionKind::new("example.io", "v1", "Gadget"),
        plural: "gadgets",
        list_kind: "GadgetList",
        ..widget(Some(&schema), &verbs)
    };
    let merged = merge_documents([a, v3_document(&gv(), &[other])]);
    for name in ["io.example.v1.Widget", "io.example.v1.Gadget"] {
        assert!(merged["components"]["schemas"][name].is_object());
    }
    assert_eq!(merged["paths"].as_object().unwrap().len(), 10);
}

/// A decoder of its own for the wire format: fields by number, in order.
fn decode(mut bytes: &[u8]) -> BTreeMap<u64, Vec<Vec<u8>>> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut out: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            0 => varint(&mut bytes).to_le_bytes().to_vec(),
            1 => {
                let (value, rest) = bytes.split_at(8);
                bytes = rest;
                value.to_vec()
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                value.to_vec()
            }
            wire => panic!("wire type {wire}"),
        };
        out.entry(tag >> 3).or_default().push(value);
    }
    out
}

/// The value of the entry `name` of a map field.
fn entry(message: &[u8], field: u64, name: &str) -> Vec<u8> {
    let fields = decode(message);
    let entries = fields.get(&field).unwrap_or_else(|| panic!("no field {field} for {name}"));
    let found = entries.iter().map(|e| decode(e)).find(|e| e[&1][0] == name.as_bytes());
    found.unwrap_or_else(|| panic!("no {name}"))[&2][0].clone()
}

fn text(message: &[u8], field: u64) -> String {
    String::from_utf8(decode(message)[&field][0].clone()).unwrap()
}

/// O-02: the message decodes, and what kubectl reads is where the schema of the message puts it.
#[test]
fn gnostic_message() {
    let (schema, verbs) = (widget_schema(), all_verbs());
    let doc = v3_document(&gv(), &[widget(Some(&schema), &verbs)]);
    let bytes = gnostic::encode(&v2_document([&doc], "v1.36.0"));
    let document = decode(&bytes);
    assert_eq!(document[&1][0], b"2.0");
    assert_eq!(text(&document[&2][0], 2), "v1.36.0");

    let definitions = &document[&9][0];
    let w = entry(definitions, 1, "io.example.v1.Widget");
    let w_fields = decode(&w);
    assert_eq!(w_fields[&19], [b"spec".to_vec()], "required");
    assert_eq!(text(&w_fields[&22][0], 1), "object", "type");
    let extension = decode(&w_fields[&31][0]);
    assert_eq!(extension[&1][0], b"x-kubernetes-group-version-kind");
    let yaml = text(&extension[&2][0], 2);
    assert_eq!(
        serde_json::from_str::<Value>(&yaml).unwrap(),
        json!([{"group": "example.io", "version": "v1", "kind": "Widget"}])
    );
    let spec = entry(&w_fields[&25][0], 1, "spec");
    assert_eq!(text(&spec, 4), "What is wanted.");
    let spec_properties = decode(&spec)[&25][0].clone();
    let size = decode(&entry(&spec_properties, 1, "size"));
    assert_eq!(size[&2][0], b"int32");
    assert_eq!(size[&7][0], 9.0f64.to_le_bytes());
    let color = decode(&entry(&spec_properties, 1, "color"));
    assert_eq!(text(&color[&20][1], 2), "\"blue\"\n");
    let list = decode(&entry(&spec_properties, 1, "list"));
    let item = decode(&list[&23][0])[&1][0].clone();
    assert_eq!(decode(&item)[&19][0], b"name");
    let free = decode(&entry(&spec_properties, 1, "free"));
    assert_eq!(text(&decode(&decode(&free[&21][0])[&1][0])[&22][0], 1), "string");

    let path = entry(&document[&8][0], 2, "/apis/example.io/v1/namespaces/{namespace}/widgets/{name}");
    let patch = decode(&decode(&path)[&8][0]);
    assert_eq!(patch[&5][0], b"patchExampleIoV1NamespacedWidget");
    let names: Vec<String> = patch[&8]
        .iter()
        .map(|item| {
            let parameter = decode(&decode(item)[&1][0]);
            match parameter.get(&1) {
                Some(body) => text(&body[0], 2),
                None => text(&decode(&parameter[&2][0])[&3][0], 4),
            }
        })
        .collect();
    assert_eq!(names, ["body", "dryRun", "fieldManager", "fieldValidation", "force", "pretty"]);
}

/// Nothing panics, whatever a schema holds.
#[test]
fn odd_schemas() {
    let verbs = all_verbs();
    for schema in [
        json!(null),
        json!(true),
        json!([]),
        json!({"properties": 3, "required": "x", "items": [], "additionalProperties": 1, "allOf": {}, "type": ["a"]}),
        json!({"properties": {"a": null, "b": {"items": true}}, "required": [1, null], "enum": 4}),
    ] {
        let doc = v3_document(&gv(), &[widget(Some(&schema), &verbs)]);
        gnostic::encode(&v2_document([&doc], "v1"));
    }
}
