//! What the imports of one version of a type have in common.

use kcp_apimachinery::{FieldErrors, object};
use kcp_apis::apiresource::SchemaUpdateStrategy;
use kcp_schema::compat::lcd;
use serde_json::{Value, json};

use super::definition::Existing;
use crate::read::text;

/// What was negotiated.
#[derive(Debug, PartialEq)]
pub(super) struct Negotiation {
    /// The spec that the NegotiatedAPIResource shall have, without `publish`; `None` when it shall go.
    pub(super) spec: Option<Value>,
    /// For each import whether it can take the negotiated schema, or why not.
    pub(super) verdicts: Vec<Result<(), String>>,
}

/// Names and looks: taken from the oldest import.
const COPIED: [&str; 10] = [
    "groupVersion",
    "scope",
    "plural",
    "singular",
    "shortNames",
    "kind",
    "listKind",
    "categories",
    "columnDefinitions",
    "openAPIV3Schema",
];

/// Negotiates; `imports` are sorted, the oldest first.
pub(super) fn negotiate(
    imports: &[&Value],
    negotiated: Option<&Value>,
    existing: &Existing<'_>,
    version: &str,
) -> Negotiation {
    let Some(first) = imports.first() else { return Negotiation { spec: None, verdicts: Vec::new() } };
    let mut spec = json!({});
    for field in COPIED {
        if let (Some(value), Some(map)) = (first.pointer(&format!("/spec/{field}")), spec.as_object_mut()) {
            map.insert(field.to_owned(), value.clone());
        }
    }
    let (schema, verdicts) = match existing.enforced_schema(version) {
        Some(enforced) => (enforced.clone(), imports.iter().map(|i| takes(enforced, first, i)).collect()),
        None => common(imports, negotiated, existing.serves(version)),
    };
    let map = object::as_map(&mut spec);
    map.insert("openAPIV3Schema".into(), schema);
    let shared = subresources(imports, &verdicts);
    if !shared.is_empty() {
        map.insert("subResources".into(), shared.into());
    }
    Negotiation { spec: Some(spec), verdicts }
}

/// The common denominator, as far as the imports allow what is there to be altered.
fn common(imports: &[&Value], negotiated: Option<&Value>, published: bool) -> (Value, Vec<Result<(), String>>) {
    let Some(first) = imports.first() else { return (Value::Null, Vec::new()) };
    let mut fresh = schema(first).clone();
    let mut verdicts: Vec<Result<(), String>> = vec![Ok(())];
    for import in imports.get(1..).unwrap_or_default() {
        let verdict = same_names(first, import).and_then(|()| match lcd(&fresh, schema(import), true) {
            Ok(narrowed) => {
                fresh = narrowed;
                Ok(())
            }
            Err(errors) => Err(joined(&errors)),
        });
        verdicts.push(verdict);
    }
    let Some(current) = negotiated.map(schema).filter(|current| **current != fresh) else {
        return (fresh, verdicts);
    };
    let strategies: Vec<SchemaUpdateStrategy> =
        imports.iter().map(|i| SchemaUpdateStrategy::parse(text(i, "/spec/schemaUpdateStrategy"))).collect();
    if strategies.iter().all(|s| s.may_update(published)) {
        return (fresh, verdicts);
    }
    (current.clone(), imports.iter().map(|i| takes(current, first, i)).collect())
}

/// Whether an import takes everything that `fixed` takes.
fn takes(fixed: &Value, first: &Value, import: &Value) -> Result<(), String> {
    same_names(first, import)?;
    lcd(fixed, schema(import), false).map(drop).map_err(|errors| joined(&errors))
}

fn same_names(first: &Value, import: &Value) -> Result<(), String> {
    for field in ["kind", "scope"] {
        let (was, now) = (text(first, &format!("/spec/{field}")), text(import, &format!("/spec/{field}")));
        if was != now {
            return Err(format!("spec.{field}: The {field} changed (was {was:?}, now {now:?})"));
        }
    }
    Ok(())
}

fn schema(object: &Value) -> &Value {
    static NONE: Value = Value::Null;
    object.pointer("/spec/openAPIV3Schema").unwrap_or(&NONE)
}

fn joined(errors: &FieldErrors) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

/// The subresources that all imports have which take the schema.
fn subresources(imports: &[&Value], verdicts: &[Result<(), String>]) -> Vec<Value> {
    let list =
        |import: &Value| import.pointer("/spec/subResources").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut taking = imports.iter().zip(verdicts).filter(|(_, v)| v.is_ok()).map(|(i, _)| list(i));
    let first = taking.next().unwrap_or_default();
    taking.fold(first, |shared, next| shared.into_iter().filter(|s| next.contains(s)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(location: &str, properties: Value, strategy: &str) -> Value {
        json!({
            "metadata": {"name": format!("deployments.{location}.v1.apps")},
            "spec": {
                "groupVersion": {"group": "apps", "version": "v1"}, "scope": "Namespaced", "plural": "deployments",
                "singular": "deployment", "kind": "Deployment", "listKind": "DeploymentList", "shortNames": ["deploy"],
                "subResources": [{"name": "status"}, {"name": "scale"}], "location": location,
                "schemaUpdateStrategy": strategy,
                "openAPIV3Schema": {"type": "object", "properties": properties},
            },
        })
    }

    fn of(spec: &Value) -> Value {
        json!({"spec": spec})
    }

    #[test]
    fn one_import_is_taken_as_it_is() {
        let a = import("a", json!({"x": {"type": "string"}}), "UpdateUnpublished");
        let plan = negotiate(&[&a], None, &Existing::of(None), "v1");
        let spec = plan.spec.unwrap();
        assert_eq!(plan.verdicts, [Ok(())]);
        assert_eq!(spec["openAPIV3Schema"], a["spec"]["openAPIV3Schema"]);
        assert_eq!(spec["subResources"], json!([{"name": "status"}, {"name": "scale"}]));
        assert_eq!(spec["shortNames"], json!(["deploy"]));
        assert!(spec.get("location").is_none() && spec.get("schemaUpdateStrategy").is_none());
        assert_eq!(negotiate(&[], Some(&of(&spec)), &Existing::of(None), "v1").spec, None, "the last import went");
    }

    #[test]
    fn two_imports_meet_in_the_middle() {
        let a = import("a", json!({"x": {"type": "number"}, "y": {"type": "string"}}), "UpdateUnpublished");
        let mut b = import("b", json!({"x": {"type": "integer"}}), "UpdateUnpublished");
        b["spec"]["subResources"] = json!([{"name": "status"}]);
        let c = import("c", json!({"x": {"type": "boolean"}}), "UpdateUnpublished");
        let plan = negotiate(&[&a, &b, &c], None, &Existing::of(None), "v1");
        let spec = plan.spec.unwrap();
        assert_eq!(spec["openAPIV3Schema"]["properties"], json!({"x": {"type": "integer"}}));
        assert_eq!(spec["subResources"], json!([{"name": "status"}]));
        assert_eq!(
            plan.verdicts,
            [
                Ok(()),
                Ok(()),
                Err("properties[x].type: Invalid value: \"boolean\": The type changed (was \"integer\", now \"boolean\")".into())
            ]
        );
    }

    /// What is published is altered only when the imports say so.
    #[test]
    fn published_schemas_are_kept() {
        let wide = json!({"x": {"type": "string"}, "y": {"type": "string"}});
        let narrow = json!({"x": {"type": "string"}});
        let crd = crate::negotiation::definition::tests::learned("v1", true);
        let existing = Existing::of(Some(&crd));
        for (strategy, want_wide) in [("UpdateUnpublished", true), ("UpdatePublished", false), ("UpdateNever", true)] {
            let a = import("a", wide.clone(), strategy);
            let b = import("b", narrow.clone(), strategy);
            let known = of(&negotiate(&[&a], None, &Existing::of(None), "v1").spec.unwrap());
            let plan = negotiate(&[&a, &b], Some(&known), &existing, "v1");
            let properties = &plan.spec.unwrap()["openAPIV3Schema"]["properties"];
            assert_eq!(*properties == wide, want_wide, "{strategy}");
            assert_eq!(plan.verdicts[1].is_err(), want_wide, "{strategy}");
        }
        let a = import("a", wide, "UpdateUnpublished");
        let b = import("b", narrow, "UpdateUnpublished");
        let known = of(&negotiate(&[&a], None, &Existing::of(None), "v1").spec.unwrap());
        let plan = negotiate(&[&a, &b], Some(&known), &Existing::of(None), "v1");
        assert_eq!(plan.verdicts, [Ok(()), Ok(())], "not published yet");
    }

    #[test]
    fn definitions_made_by_hand_rule() {
        let crd = crate::negotiation::definition::tests::by_hand(
            "v1",
            json!({"type": "object", "properties": {"x": {"type": "string"}}}),
        );
        let existing = Existing::of(Some(&crd));
        let good = import("a", json!({"x": {"type": "string"}, "more": {"type": "string"}}), "UpdatePublished");
        let bad = import("b", json!({"x": {"type": "integer"}}), "UpdatePublished");
        let plan = negotiate(&[&good, &bad], None, &existing, "v1");
        assert_eq!(plan.spec.unwrap()["openAPIV3Schema"], crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
        assert!(plan.verdicts[0].is_ok() && plan.verdicts[1].is_err());
    }

    #[test]
    fn other_kinds_under_the_same_name_do_not_fit() {
        let a = import("a", json!({}), "");
        let mut b = import("b", json!({}), "");
        b["spec"]["scope"] = "Cluster".into();
        let plan = negotiate(&[&a, &b], None, &Existing::of(None), "v1");
        assert_eq!(plan.verdicts[1], Err("spec.scope: The scope changed (was \"Namespaced\", now \"Cluster\")".into()));
    }
}
