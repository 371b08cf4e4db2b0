//! CRDs: names, groups and versions.

use super::*;

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
