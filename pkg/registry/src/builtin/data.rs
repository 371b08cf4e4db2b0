//! The recorded facts that are read at run time (`data/README.md`), embedded in the binary.
//!
//! A schema file is parsed when a kind of its package is first used and the tree is dropped after what was needed has
//! been compiled; nothing here is parsed at start.

use serde_json::{Map, Value};

/// A file of schemas: the name of its Go package (`apps.v1`), its text, and the packages that it refers to.
struct Package {
    name: &'static str,
    text: &'static str,
    needs: &'static [&'static str],
}

macro_rules! packages {
    ($($name:literal => [$($need:literal),*]),+ $(,)?) => {
        [$(Package {
            name: $name,
            text: include_str!(concat!("../../data/schemas/", $name, ".json")),
            needs: &[$($need),*],
        }),+]
    };
}

static PACKAGES: [Package; 19] = packages! {
    "meta" => [],
    // Besides what its own types refer to: what its subresources read and write.
    "core.v1" => ["meta", "authentication.v1", "autoscaling.v1"],
    "apiextensions.v1" => ["meta"],
    "apps.v1" => ["core.v1", "meta", "autoscaling.v1"],
    "authentication.v1" => ["meta"],
    "authorization.v1" => ["meta"],
    "autoscaling.v1" => ["meta"],
    "autoscaling.v2" => ["meta"],
    "batch.v1" => ["core.v1", "meta"],
    "certificates.v1" => ["meta"],
    "coordination.v1" => ["meta"],
    "discovery.v1" => ["core.v1", "meta"],
    "events.v1" => ["core.v1", "meta"],
    "networking.v1" => ["core.v1", "meta"],
    "node.v1" => ["core.v1", "meta"],
    "policy.v1" => ["meta"],
    "rbac.v1" => ["meta"],
    "scheduling.v1" => ["meta"],
    "storage.v1" => ["core.v1", "meta"],
};

/// The bootstrap RBAC objects as recorded: by resource, lists of objects without `apiVersion` and `kind`.
pub(super) const RBAC_BOOTSTRAP: &str = include_str!("../../data/rbac-bootstrap.json");

/// The package of a component: `apps.v1` of `io.k8s.api.apps.v1.Deployment`.
pub(super) fn package_of(component: &str) -> Option<&'static str> {
    let (path, _) = component.rsplit_once('.')?;
    let name = if path.starts_with("io.k8s.apimachinery.") {
        "meta"
    } else if path.starts_with("io.k8s.apiextensions-apiserver.") {
        "apiextensions.v1"
    } else {
        path.strip_prefix("io.k8s.api.")?
    };
    PACKAGES.iter().find(|p| p.name == name).map(|p| p.name)
}

/// The component that describes the schemas in definitions.
const SCHEMA_PROPS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// The components of one package, parsed anew. The files are checked by the tests, so an unknown or broken one is empty.
pub(super) fn components_of(package: &str) -> Map<String, Value> {
    let mut all: Map<String, Value> =
        PACKAGES.iter().find(|p| p.name == package).and_then(|p| serde_json::from_str(p.text).ok()).unwrap_or_default();
    // Ours: the definition of a type that was learned from another cluster says how it is patched there.
    let properties = all.get_mut(SCHEMA_PROPS).and_then(|s| s.get_mut("properties")).and_then(Value::as_object_mut);
    if let Some(properties) = properties {
        for field in ["x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy"] {
            properties.insert(field.to_owned(), serde_json::json!({"type": "string"}));
        }
    }
    all
}

/// The `components.schemas` that the component named needs: its package and those that it refers to.
///
/// Meant for compiling schemas and for OpenAPI documents; the caller drops it when done.
pub fn components(component: &str) -> Map<String, Value> {
    let Some(package) = package_of(component) else { return Map::new() };
    let Some(found) = PACKAGES.iter().find(|p| p.name == package) else { return Map::new() };
    let mut all = components_of(package);
    for need in found.needs {
        all.extend(components_of(need));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (k, v) in map {
                    match v {
                        Value::String(s) if k == "$ref" => {
                            out.push(s.rsplit('/').next().unwrap_or_default().to_owned())
                        }
                        other => references(other, out),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, out)),
            _ => {}
        }
    }

    /// Every file parses, and no schema refers to one that its package does not bring.
    #[test]
    fn files_are_whole() {
        for package in &PACKAGES {
            let own: Map<String, Value> = serde_json::from_str(package.text).unwrap();
            assert!(!own.is_empty(), "{}", package.name);
            let all = components(own.keys().next().unwrap());
            let mut refs = Vec::new();
            own.values().for_each(|v| references(v, &mut refs));
            for r in refs {
                assert!(all.contains_key(&r), "{} lacks {r}", package.name);
            }
        }
    }

    #[test]
    fn every_row_has_its_schema() {
        for row in super::super::table::rows() {
            let all = components(row.schema);
            let own = all.get(row.schema).unwrap_or_else(|| panic!("{}", row.schema));
            assert_eq!(own["x-kubernetes-group-version-kind"][0]["kind"], row.kind);
        }
    }
}
