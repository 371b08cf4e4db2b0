//! CRDs: schemas.

use super::*;

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
