//! CRDs: columns, paths, conversions and rules.

use super::*;

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
