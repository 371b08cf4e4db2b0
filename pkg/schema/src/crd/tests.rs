//! CRDs accepted and refused, with the texts of a Kubernetes 1.36 API server.

use kcp_apimachinery::FieldErrors;
use serde_json::{Value, json};

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

/// CRD-02: what is filled in and what a new CRD's status is.
#[test]
fn defaults_and_prepares() {
    let mut given = pen();
    given["spec"]["preserveUnknownFields"] = false.into();
    given["spec"]["names"]["shortNames"] = json!([]);
    given["spec"]["versions"][0]["additionalPrinterColumns"] = Value::Null;
    let (crd, errors) = created(given);
    assert_eq!(errors, Vec::<String>::new());
    assert_eq!(
        crd["spec"],
        json!({
            "conversion": {"strategy": "None"},
            "group": GROUP,
            "names": {"kind": "Pen", "listKind": "PenList", "plural": "pens", "singular": "pen"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                          "served": true, "storage": true}]
        })
    );
    assert_eq!(
        crd["status"],
        json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": ["v1"]})
    );
    check("a lower-case kind is fine", pen_with(&[("/spec/names/kind", json!("pen"))]), &[]);
}

/// CRD-01, CRD-06, CRD-13, CRD-15, CRD-22.
#[test]
fn refuses_names_and_versions() {
    let invalid = |path: &str, text: &str| format!("{path} | FieldValueInvalid | Invalid value: {text}");
    check(
        "name",
        pen_with(&[("/metadata/name", json!(format!("pencils.{GROUP}")))]),
        &[invalid("metadata.name", &format!("\"pencils.{GROUP}\": must be spec.names.plural+\".\"+spec.group"))],
    );
    check(
        "group",
        pen_with(&[("/metadata/name", json!("pens.example")), ("/spec/group", json!("example"))]),
        &[invalid("spec.group", "\"example\": should be a domain with at least one dot")],
    );
    check(
        "plural",
        pen_with(&[("/metadata/name", json!(format!("Pens.{GROUP}"))), ("/spec/names/plural", json!("Pens"))]),
        &[
            invalid(
                "metadata.name",
                &format!(
                    "\"Pens.{GROUP}\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                ),
            ),
            invalid("spec.names.plural", &format!("\"Pens\": {LABEL}")),
        ],
    );
    check(
        "listKind",
        pen_with(&[("/spec/names/listKind", json!("Pen"))]),
        &[invalid("spec.names.listKind", "\"Pen\": kind and listKind may not be the same")],
    );
    check(
        "no versions",
        pen_with(&[("/spec/versions", json!([]))]),
        &[
            invalid("spec.versions", "[]: must have exactly one version marked as storage version"),
            invalid("status.storedVersions", "null: must have at least one stored version"),
        ],
    );
    check(
        "two storage",
        pen_with(&[("/spec/versions", json!([version("v1", true), version("v2", true)]))]),
        &[
            invalid(
                "spec.versions",
                &format!(
                    "[{},{}]: must have exactly one version marked as storage version",
                    version_shown("v1", true),
                    version_shown("v2", true)
                ),
            ),
            invalid("status.storedVersions", "[\"v1\"]: must have the storage version v2"),
        ],
    );
    check(
        "no storage",
        pen_with(&[("/spec/versions", json!([version("v1", false), version("v2", false)]))]),
        &[
            invalid(
                "spec.versions",
                &format!(
                    "[{},{}]: must have exactly one version marked as storage version",
                    version_shown("v1", false),
                    version_shown("v2", false)
                ),
            ),
            invalid("status.storedVersions", "null: must have at least one stored version"),
        ],
    );
    check(
        "twice",
        pen_with(&[("/spec/versions", json!([version("v1", true), version("v1", false)]))]),
        &[invalid(
            "spec.versions",
            &format!(
                "[{},{}]: must contain unique version names",
                version_shown("v1", true),
                version_shown("v1", false)
            ),
        )],
    );
    check(
        "version name",
        pen_with(&[("/spec/versions", json!([version("V_1", true)]))]),
        &[
            invalid("spec.version", &format!("\"V_1\": {LABEL}")),
            invalid("spec.versions[0].name", &format!("\"V_1\": {LABEL}")),
        ],
    );
    check("scope", pen_with(&[("/spec/scope", json!("Galactic"))]), &[
        "spec.scope | FieldValueNotSupported | Unsupported value: \"Galactic\": supported values: \"Cluster\", \"Namespaced\"".to_owned(),
    ]);
    check(
        "no schema",
        pen_with(&[("/spec/versions/0/schema", Value::Null)]),
        &["spec.versions[0].schema.openAPIV3Schema | FieldValueRequired | Required value".to_owned()],
    );
    check(
        "preserve",
        pen_with(&[("/spec/preserveUnknownFields", json!(true))]),
        &[invalid(
            "spec.preserveUnknownFields",
            "true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        )],
    );
    let protected = [("/metadata/name", json!("pens.x.k8s.io")), ("/spec/group", json!("x.k8s.io"))];
    check("protected", pen_with(&protected), &[
        "metadata.annotations[api-approved.kubernetes.io] | FieldValueRequired | Required value: protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111".to_owned(),
    ]);
    for (annotation, fine) in [("https://x.dev/1", true), ("unapproved, for tests", true), ("yes", false)] {
        let mut crd = pen_with(&protected);
        crd["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": annotation});
        assert_eq!(created(crd).1.is_empty(), fine, "{annotation}");
    }
}

/// SC-01, SC-02, SC-06, SC-08.
#[test]
fn refuses_schemas() {
    let at = |path: &str, rest: &str| format!("{SCHEMA}{path} | {rest}");
    let spec = ".properties[spec]";
    for (name, crd, expected) in [
        (
            "no type",
            pen_spec(json!({"properties": {"a": {"type": "string"}}})),
            at(
                &format!("{spec}.type"),
                "FieldValueRequired | Required value: must not be empty for specified object fields",
            ),
        ),
        (
            "root",
            pen_schema(json!({"type": "string"})),
            at(".type", "FieldValueInvalid | Invalid value: \"string\": must be object at the root"),
        ),
        (
            "unique",
            pen_spec(json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true})),
            at(
                &format!("{spec}.uniqueItems"),
                "FieldValueForbidden | Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ),
        ),
        (
            "ref",
            pen_spec(json!({"$ref": "#/x"})),
            at(&format!("{spec}.$ref"), "FieldValueForbidden | Forbidden: $ref is not supported"),
        ),
        (
            "both",
            pen_spec(
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            ),
            at(
                &format!("{spec}.additionalProperties"),
                "FieldValueForbidden | Forbidden: additionalProperties and properties are mutual exclusive",
            ),
        ),
        (
            "junctor",
            pen_spec(
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "anyOf": [{"properties": {"a": {"type": "string", "minLength": 1}}}]}),
            ),
            at(
                &format!("{spec}.anyOf[0].properties[a].type"),
                "FieldValueForbidden | Forbidden: must be empty to be structural",
            ),
        ),
        (
            "incomplete",
            pen_spec(json!({"type": "object", "anyOf": [{"properties": {"b": {"minLength": 1}}}]})),
            at(
                &format!("{spec}.properties[b]"),
                &format!(
                    "FieldValueRequired | Required value: because it is defined in {SCHEMA}{spec}.anyOf[0].properties[b]"
                ),
            ),
        ),
        (
            "metadata",
            pen_schema(
                json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            ),
            at(
                ".properties[metadata]",
                "FieldValueForbidden | Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            ),
        ),
        (
            "bad default",
            pen_spec(json!({"type": "object", "properties": {"n": {"type": "integer", "default": "x"}}})),
            at(
                &format!("{spec}.properties[n].default"),
                "FieldValueTypeInvalid | Invalid value: \"string\":  in body must be of type integer: \"string\"",
            ),
        ),
        (
            "unpruned default",
            pen_spec(json!({"type": "object", "properties": {"n": {"type": "object", "default": {"x": 1}}}})),
            at(
                &format!("{spec}.properties[n].default"),
                "FieldValueInvalid | Invalid value: {\"x\":1}: must not have unknown fields",
            ),
        ),
        (
            "default in metadata",
            pen_schema(
                json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "default": "x"}}}}}),
            ),
            at(
                ".properties[metadata].properties[name].default",
                "FieldValueForbidden | Forbidden: must not be set in top-level metadata",
            ),
        ),
        (
            "no keys",
            pen_spec(
                json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
            ),
            at(
                &format!("{spec}.x-kubernetes-list-map-keys"),
                "FieldValueRequired | Required value: must not be empty if x-kubernetes-list-type is map",
            ),
        ),
        (
            "optional key",
            pen_spec(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
            ),
            at(
                &format!("{spec}.items.properties[k].default"),
                "FieldValueRequired | Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ),
        ),
        (
            "set of objects",
            pen_spec(
                json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
            ),
            at(
                &format!("{spec}.items.x-kubernetes-map-type"),
                "FieldValueInvalid | Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
            ),
        ),
        (
            "unknown type",
            pen_spec(json!({"type": "text"})),
            at(
                &format!("{spec}.type"),
                "FieldValueNotSupported | Unsupported value: \"text\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ),
        ),
        (
            "pattern",
            pen_spec(json!({"type": "object", "properties": {"a": {"type": "string", "pattern": "["}}})),
            at(
                &format!("{spec}.properties[a].pattern"),
                "FieldValueInvalid | Invalid value: \"[\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ]: `[`",
            ),
        ),
    ] {
        check(name, crd, &[expected]);
    }
    for (name, crd) in [
        ("closed", pen_spec(json!({"type": "object", "additionalProperties": false}))),
        ("int-or-string with a type", pen_spec(json!({"type": "string", "x-kubernetes-int-or-string": true}))),
        (
            "int-or-string",
            pen_spec(
                json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}], "pattern": "^a"}),
            ),
        ),
        (
            "names",
            pen_schema(
                json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}}}),
            ),
        ),
        ("format", pen_spec(json!({"type": "object", "properties": {"a": {"type": "string", "format": "zipcode"}}}))),
    ] {
        check(name, crd, &[]);
    }
}

/// Settings that differ between versions are reported at their version.
#[test]
fn paths_of_versions() {
    let mut bad = version("v2", false);
    bad["schema"]["openAPIV3Schema"] = json!({"type": "object", "properties": {"a": {"type": "array"}}});
    check("schema", pen_with(&[("/spec/versions", json!([version("v1", true), bad]))]), &[
        "spec.versions[1].schema.openAPIV3Schema.properties[a].items | FieldValueRequired | Required value: must be specified".to_owned(),
    ]);
}

/// CRD-16, CRD-17, CRD-18.
#[test]
fn refuses_columns_paths_and_selectable_fields() {
    let first = "/spec/versions/0";
    let with = |field: &str, value: Value| pen_with(&[(&format!("{first}/{field}"), value)]);
    check("column", with("additionalPrinterColumns", json!([{"name": "A", "type": "text", "jsonPath": "spec.a"}])), &[
        "spec.additionalPrinterColumns[0].JSONPath | FieldValueInvalid | Invalid value: \"spec.a\": must be a simple json path starting with .".to_owned(),
        "spec.additionalPrinterColumns[0].type | FieldValueInvalid | Invalid value: \"text\": must be one of boolean,date,integer,number,string".to_owned(),
    ]);
    check("scale", with("subresources", json!({"scale": {"specReplicasPath": ".status.n", "statusReplicasPath": ".spec.n"}})), &[
        "spec.subresources.scale.specReplicasPath | FieldValueInvalid | Invalid value: \".status.n\": should be a json path under .spec".to_owned(),
        "spec.subresources.scale.statusReplicasPath | FieldValueInvalid | Invalid value: \".spec.n\": should be a json path under .status".to_owned(),
    ]);
    let selectable = |fields: &[&str], spec: Value| {
        let mut crd = pen_spec(spec);
        crd["spec"]["versions"][0]["selectableFields"] = fields.iter().map(|path| json!({"jsonPath": path})).collect();
        crd
    };
    let text = json!({"type": "object", "properties": {"a": {"type": "string"}, "l": {"type": "array", "items": {"type": "string"}}}});
    for (path, expected) in [
        (".spec.b", "\".spec.b\": is an invalid path: does not refer to a valid field"),
        (".metadata.name", "\".metadata.name\": is an invalid path: does not refer to a valid field"),
        (".spec['a']", "\".spec['a']\": is an invalid path: array notation is not allowed"),
        ("spec.a", "\"spec.a\": is an invalid path: expected [ or . but got: spec"),
        (
            ".spec.l",
            "\".spec.l\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
        ),
    ] {
        check(
            path,
            selectable(&[path], text.clone()),
            &[format!("spec.selectableFields[0].jsonPath | FieldValueInvalid | Invalid value: {expected}")],
        );
    }
    let names: Vec<String> = (0..9).map(|n| format!("f{n}")).collect();
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|n| (n.clone(), json!({"type": "string"}))).collect();
    let paths: Vec<String> = names.iter().map(|n| format!(".spec.{n}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    check(
        "many",
        selectable(&paths, json!({"type": "object", "properties": properties})),
        &["spec.selectableFields | FieldValueTooMany | Too many: 9: must have at most 8 items".to_owned()],
    );
}

/// CRD-19: malformed settings get the texts of Kubernetes, webhooks are refused plainly.
#[test]
fn refuses_conversions() {
    let with = |conversion: Value| pen_with(&[("/spec/conversion", conversion)]);
    let at = |field: &str, rest: &str| format!("spec.conversion.{field} | {rest}");
    let (config, reviews) = ("webhookClientConfig", "conversionReviewVersions");
    let only = "FieldValueForbidden | Forbidden: should not be set when strategy is not set to Webhook";
    check(
        "None",
        with(
            json!({"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://x.example.dev/c"}}}),
        ),
        &[at(config, only), at(reviews, only)],
    );
    check(
        "empty",
        with(json!({"strategy": "Webhook"})),
        &[
            at(config, "FieldValueRequired | Required value: required when strategy is set to Webhook"),
            at(reviews, "FieldValueRequired | Required value"),
        ],
    );
    check(
        "both",
        with(
            json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v2"], "clientConfig": {"url": "http://x", "service": {"name": "a", "namespace": "b"}}}}),
        ),
        &[
            at(config, "FieldValueRequired | Required value: exactly one of url or service is required"),
            at(reviews, "FieldValueInvalid | Invalid value: [\"v2\"]: must include at least one of v1, v1beta1"),
        ],
    );
    let webhook = |config: Value| {
        with(json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": config}}))
    };
    let fine = webhook(json!({"service": {"name": "a", "namespace": "b", "path": "/convert"}}));
    check(
        "unsupported",
        fine,
        &[at(
            "strategy",
            "FieldValueForbidden | Forbidden: this server does not support conversion webhooks; use the strategy None, with which versions differ in their apiVersion only",
        )],
    );
    check(
        "url",
        webhook(json!({"url": "http://u@h/p?q#f"})),
        &[
            at(
                "webhookClientConfig.url",
                "FieldValueInvalid | Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            ),
            at(
                "webhookClientConfig.url",
                "FieldValueInvalid | Invalid value: \"u\": user information is not permitted in the URL",
            ),
            at(
                "webhookClientConfig.url",
                "FieldValueInvalid | Invalid value: \"f\": fragments are not permitted in the URL",
            ),
            at(
                "webhookClientConfig.url",
                "FieldValueInvalid | Invalid value: \"q\": query parameters are not permitted in the URL",
            ),
        ],
    );
}

/// Malformed rules get the texts of Kubernetes, well-formed ones are refused plainly.
#[test]
fn refuses_validation_rules() {
    let with = |rule: Value| {
        pen_spec(
            json!({"type": "object", "properties": {"a": {"type": "integer"}}, "x-kubernetes-validations": [rule]}),
        )
    };
    let at = |rest: &str| format!("{SCHEMA}.properties[spec].x-kubernetes-validations{rest}");
    check(
        "empty",
        with(json!({"rule": " "})),
        &[at("[0].rule | FieldValueRequired | Required value: rule is not specified")],
    );
    check(
        "message",
        with(json!({"rule": "true", "message": "a\nb", "messageExpression": "1", "reason": "Nope", "fieldPath": "x"})),
        &[
            at("[0].fieldPath | FieldValueInvalid | Invalid value: \"x\": must be a valid path"),
            at("[0].message | FieldValueInvalid | Invalid value: \"a\\nb\": must not contain line breaks"),
            at(
                "[0].reason | FieldValueNotSupported | Unsupported value: \"Nope\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
            ),
        ],
    );
    check(
        "optional",
        with(json!({"rule": "true", "optionalOldSelf": true})),
        &[at(
            "[0].optionalOldSelf | FieldValueInvalid | Invalid value: true: may not be set if oldSelf is not used in rule",
        )],
    );
    check(
        "old in atomic",
        pen_spec(json!({"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}},
            "x-kubernetes-validations": [{"rule": "self.a >= oldSelf.a"}]}})),
        &[format!(
            "{SCHEMA}.properties[spec].items.x-kubernetes-validations[0].rule | FieldValueInvalid | Invalid value: \"self.a >= oldSelf.a\": oldSelf cannot be used on the uncorrelatable portion of the schema within {SCHEMA}.properties[spec]"
        )],
    );
    check(
        "unsupported",
        with(json!({"rule": "self.a > 0", "message": "m"})),
        &[at(" | FieldValueForbidden | Forbidden: this server does not support CEL validation rules")],
    );
}

/// CRD-06, CRD-07, B-08.
#[test]
fn checks_updates() {
    let (mut old, errors) =
        created(pen_with(&[("/spec/versions", json!([version("v1", true), version("v2", false)]))]));
    assert!(errors.is_empty(), "{errors:?}");
    let update = |old: &Value, change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        default_crd(&mut new);
        prepare_update(&mut new, old);
        let errors = shown(&validate_update(&new, old));
        (new, errors)
    };
    assert!(update(&old, &|crd| crd["spec"]["scope"] = "Cluster".into()).1.is_empty(), "before it is established");
    let names = status::NamesInUse::default();
    assert!(status::reconcile(&mut old, &names, "2026-01-01T00:00:00Z"));
    let immutable = |path: &str, value: &str| {
        vec![format!("{path} | FieldValueInvalid | Invalid value: {value:?}: field is immutable")]
    };
    assert_eq!(update(&old, &|crd| crd["spec"]["scope"] = "Cluster".into()).1, immutable("spec.scope", "Cluster"));
    assert_eq!(update(&old, &|crd| crd["spec"]["names"]["kind"] = "Ink".into()).1, immutable("spec.names.kind", "Ink"));
    assert_eq!(
        update(&old, &|crd| crd["spec"]["group"] = "o.example.dev".into()).1,
        immutable("spec.group", "o.example.dev")
    );

    let (both, errors) = update(&old, &|crd| {
        crd["spec"]["versions"][0]["storage"] = false.into();
        crd["spec"]["versions"][1]["storage"] = true.into();
    });
    assert_eq!((both["status"]["storedVersions"].clone(), errors), (json!(["v1", "v2"]), vec![]));
    let (_, errors) = update(&both, &|crd| {
        crd["spec"]["versions"].as_array_mut().unwrap().remove(0);
    });
    assert_eq!(
        errors,
        [
            "status.storedVersions[0] | FieldValueInvalid | Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions"
        ]
    );
    let mut status = both.clone();
    status["status"]["storedVersions"] = json!(["v1", "v7"]);
    assert!(validate_status_update(&status, &both).is_empty());

    // What was wrong before may stay while something else changes.
    let mut broken = old.clone();
    broken["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({"type": "object", "properties": {"a": {}}});
    assert!(update(&broken, &|crd| crd["spec"]["names"]["shortNames"] = json!(["p"])).1.is_empty());
    assert!(!update(&old, &|crd| crd["spec"] = broken["spec"].clone()).1.is_empty());
}

/// CRD-03, CRD-04, CRD-05, CRD-14, CRD-15: conditions and names.
#[test]
fn computes_the_status() {
    let now = "2026-01-01T00:00:00Z";
    let (mut first, _) =
        created(pen_with(&[("/spec/names/shortNames", json!(["pn"])), ("/spec/names/categories", json!(["all"]))]));
    assert!(status::reconcile(&mut first, &status::NamesInUse::default(), now));
    assert_eq!(
        first["status"],
        json!({
            "acceptedNames": {"categories": ["all"], "kind": "Pen", "listKind": "PenList", "plural": "pens", "shortNames": ["pn"], "singular": "pen"},
            "conditions": [
                {"lastTransitionTime": now, "message": "no conflicts found", "reason": "NoConflicts", "status": "True", "type": "NamesAccepted"},
                {"lastTransitionTime": now, "message": "the initial names have been accepted", "reason": "InitialNamesAccepted", "status": "True", "type": "Established"},
            ],
            "storedVersions": ["v1"]
        })
    );
    assert!(
        !status::reconcile(&mut first, &status::NamesInUse::default(), "2027-01-01T00:00:00Z"),
        "nothing changes twice"
    );

    let (mut other, _) = created(pen_with(&[
        ("/metadata/name", json!(format!("otherpens.{GROUP}"))),
        ("/spec/names", json!({"plural": "otherpens", "singular": "pen", "kind": "Pen", "shortNames": ["pn"]})),
    ]));
    let used = status::NamesInUse::collect([&first, &other], GROUP, &format!("otherpens.{GROUP}"));
    assert!(status::reconcile(&mut other, &used, now));
    assert_eq!(other["status"]["acceptedNames"], json!({"kind": "", "plural": "otherpens"}));
    let condition = |crd: &Value, kind: &str| {
        let found = status::condition(crd, kind).cloned().unwrap_or_default();
        [&found["status"], &found["reason"], &found["message"]].map(|v| v.as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(condition(&other, "NamesAccepted"), ["False", "ListKindConflict", "\"PenList\" is already in use"]);
    assert_eq!(condition(&other, "Established"), ["False", "NotAccepted", "not all names are accepted"]);
    assert!(status::reconcile(&mut other, &status::NamesInUse::default(), now), "the winner is gone");
    assert!(status::is_true(&other, "Established"));
    assert_eq!(other["status"]["acceptedNames"]["kind"], "Pen");

    other["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({"type": "string"});
    status::reconcile(&mut other, &status::NamesInUse::default(), now);
    assert_eq!(
        condition(&other, "NonStructuralSchema"),
        [
            "True",
            "Violations",
            "spec.validation.openAPIV3Schema.type: Invalid value: \"string\": must be object at the root"
        ]
    );

    let mut approved = pen_with(&[("/spec/group", json!("x.k8s.io"))]);
    approved["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "https://a.b/c"});
    status::reconcile(&mut approved, &status::NamesInUse::default(), now);
    assert_eq!(
        condition(&approved, "KubernetesAPIApprovalPolicyConformant"),
        ["True", "ApprovedAnnotation", "approved in https://a.b/c"]
    );
}

/// CRD-09, SC-10: warnings.
#[test]
fn warns() {
    let mut crd = pen();
    crd["spec"]["versions"] = json!([
        {"name": "v1", "served": true, "storage": true},
        {"name": "v1beta1", "served": true, "deprecated": true},
        {"name": "v2alpha1", "served": true, "deprecated": true, "deprecationWarning": "going away"},
        {"name": "v3", "served": false}
    ]);
    assert_eq!(deprecation_warning(&crd, "v1"), None);
    assert_eq!(
        deprecation_warning(&crd, "v1beta1").as_deref(),
        Some("x.example.dev/v1beta1 Pen is deprecated; use x.example.dev/v1 Pen")
    );
    assert_eq!(deprecation_warning(&crd, "v2alpha1").as_deref(), Some("going away"));
    crd["spec"]["versions"][0]["deprecated"] = true.into();
    assert_eq!(deprecation_warning(&crd, "v1").as_deref(), Some("x.example.dev/v1 Pen is deprecated"));

    let odd = pen_spec(
        json!({"type": "object", "properties": {"a": {"type": "string", "format": "zipcode"}, "b": {"type": "string", "format": "date"}}}),
    );
    assert_eq!(format_warnings(&odd, None), ["unrecognized format \"zipcode\""]);
    assert!(format_warnings(&odd, Some(&odd)).is_empty());
}
