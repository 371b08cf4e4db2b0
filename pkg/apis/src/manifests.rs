//! The CustomResourceDefinitions of our kinds, embedded.

use std::sync::LazyLock;

use serde_json::Value;

use crate::Kind;

static TEXTS: [&str; Kind::ALL.len()] = [
    include_str!("../crds/apiresource.kcp.dev_apiresourceimports.yaml"),
    include_str!("../crds/apiresource.kcp.dev_negotiatedapiresources.yaml"),
    include_str!("../crds/core.kcp.io_logicalclusters.yaml"),
    include_str!("../crds/tenancy.kcp.io_workspaces.yaml"),
    include_str!("../crds/tenancy.kcp.io_workspacetypes.yaml"),
    include_str!("../crds/workload.kcp.dev_workloadclusters.yaml"),
];

#[expect(clippy::expect_used, reason = "the texts are part of the program and a test reads each")]
static CRDS: LazyLock<[Value; Kind::ALL.len()]> =
    LazyLock::new(|| TEXTS.map(|text| serde_saphyr::from_str(text).expect("an embedded manifest is YAML")));

/// The manifest of `kind`; `Null` for a kind that is not one of [`Kind::ALL`].
pub fn crd(kind: &Kind) -> &'static Value {
    static NONE: Value = Value::Null;
    Kind::ALL.iter().position(|k| k == kind).and_then(|at| CRDS.get(at)).unwrap_or(&NONE)
}

/// All manifests, in the order of [`Kind::ALL`].
pub fn crds() -> &'static [Value] {
    &*CRDS
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn manifests_say_what_the_constants_say() {
        for (kind, crd) in Kind::ALL.iter().zip(crds()) {
            assert_eq!(crd["metadata"]["name"], kind.crd_name(), "{kind:?}");
            assert_eq!(crd["spec"]["group"], kind.group);
            assert_eq!(crd["spec"]["scope"], "Cluster");
            let names = &crd["spec"]["names"];
            assert_eq!(names["plural"], kind.resource);
            assert_eq!(names["singular"], kind.singular);
            assert_eq!(names["kind"], kind.kind);
            assert_eq!(names["listKind"], format!("{}List", kind.kind));
            let versions = crd["spec"]["versions"].as_array().unwrap();
            assert_eq!(versions.len(), 1);
            assert_eq!(versions[0]["name"], kind.version);
            assert_eq!(versions[0]["subresources"]["status"], json!({}));
            let schema = &versions[0]["schema"]["openAPIV3Schema"];
            assert_eq!(schema["type"], "object");
            let conditions = &schema["properties"]["status"]["properties"]["conditions"];
            assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]), "{kind:?}");
            assert_eq!(kind.crd()["metadata"]["name"], kind.crd_name());
        }
    }

    /// The story's table: NAME TYPE PHASE URL and nothing else without `-o wide`.
    #[test]
    fn workspaces_are_printed_as_the_story_shows() {
        let columns = &tenancy_crd()["spec"]["versions"][0]["additionalPrinterColumns"];
        let shown: Vec<_> = columns
            .as_array()
            .unwrap()
            .iter()
            .filter(|c| c["priority"].as_i64().unwrap_or(0) == 0)
            .map(|c| c["name"].as_str().unwrap())
            .collect();
        assert_eq!(shown, ["Type", "Phase", "URL"]);
    }

    fn tenancy_crd() -> &'static Value {
        crate::tenancy::WORKSPACE.crd()
    }

    /// Every property has a type or takes anything on purpose: what makes a schema structural.
    #[test]
    fn schemas_are_structural() {
        fn walk(path: &str, schema: &Value) {
            let ok = schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == json!(true);
            assert!(ok, "{path} has no type");
            for (name, child) in schema["properties"].as_object().into_iter().flatten() {
                walk(&format!("{path}.{name}"), child);
            }
            for child in [&schema["items"], &schema["additionalProperties"]] {
                if child.is_object() {
                    walk(&format!("{path}[]"), child);
                }
            }
        }
        for crd in crds() {
            walk(crd["metadata"]["name"].as_str().unwrap(), &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
        }
    }
}
