//! CRDs: updates, conditions and warnings.

use super::*;

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
