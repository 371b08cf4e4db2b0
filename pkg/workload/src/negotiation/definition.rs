//! The CustomResourceDefinition of a learned type.

use kcp_apimachinery::{GroupResource, gvk::compare_versions, object};
use kcp_apis::{
    apiresource::{
        API_APPROVED_ANNOTATION, API_APPROVED_VALUE, NEGOTIATED_API_RESOURCE, crd_name, is_learned, is_protected_group,
    },
    conditions,
};
use serde_json::{Map, Value, json};

use crate::read::text;

/// The definition that is there, if any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Existing<'a> {
    crd: Option<&'a Value>,
}

impl<'a> Existing<'a> {
    pub(super) fn of(crd: Option<&'a Value>) -> Self {
        Self { crd: crd.filter(|crd| !object::is_deleting(crd)) }
    }

    /// Whether people made it: it belongs to no NegotiatedAPIResource.
    pub(super) fn is_by_hand(&self) -> bool {
        self.crd.is_some_and(|crd| !is_learned(crd))
    }

    fn version(&self, name: &str) -> Option<&'a Value> {
        let versions = self.crd?.pointer("/spec/versions")?.as_array()?;
        versions.iter().find(|v| text(v, "/name") == name)
    }

    /// Whether it has the version.
    pub(super) fn has(&self, version: &str) -> bool {
        self.version(version).is_some()
    }

    /// Whether the version can be used.
    pub(super) fn serves(&self, version: &str) -> bool {
        let served = self.version(version).and_then(|v| v.get("served")).and_then(Value::as_bool) == Some(true);
        served && self.crd.is_some_and(|crd| conditions::is_true(crd, "Established"))
    }

    /// The schema that people gave the version.
    pub(super) fn enforced_schema(&self, version: &str) -> Option<&'a Value> {
        self.version(version).filter(|_| self.is_by_hand())?.pointer("/schema/openAPIV3Schema")
    }

    /// Why its names were not accepted.
    pub(super) fn trouble(&self) -> Option<String> {
        let accepted = conditions::get(self.crd?, "NamesAccepted")?;
        (text(accepted, "/status") == "False").then(|| text(accepted, "/message").to_owned())
    }
}

/// The definition of a type that all `negotiated` which are to be published give; `None` when none is.
pub(super) fn wanted(resource: &GroupResource, negotiated: &[Value]) -> Option<Value> {
    let mut published: Vec<&Value> = negotiated
        .iter()
        .filter(|n| n.pointer("/spec/publish").and_then(Value::as_bool) == Some(true) && !object::is_deleting(n))
        .collect();
    let version = |n: &Value| text(n, "/spec/groupVersion/version").to_owned();
    published.sort_by(|a, b| compare_versions(&version(a), &version(b)));
    let newest = published.first()?;
    let mut metadata = Map::new();
    metadata.insert("name".into(), crd_name(&resource.group, &resource.resource).into());
    if is_protected_group(&resource.group) {
        metadata.insert("annotations".into(), json!({API_APPROVED_ANNOTATION: API_APPROVED_VALUE}));
    }
    let owners: Vec<Value> = published
        .iter()
        .map(|n| {
            json!({
                "apiVersion": NEGOTIATED_API_RESOURCE.api_version(), "kind": NEGOTIATED_API_RESOURCE.kind,
                "name": object::name(n), "uid": object::uid(n),
            })
        })
        .collect();
    metadata.insert("ownerReferences".into(), owners.into());
    let mut names = Map::new();
    for field in ["plural", "singular", "kind", "listKind", "shortNames", "categories"] {
        if let Some(value) = newest.pointer(&format!("/spec/{field}")).filter(|v| !is_empty(v)) {
            names.insert(field.into(), value.clone());
        }
    }
    let versions: Vec<Value> = published.iter().enumerate().map(|(i, n)| version_of(n, i == 0)).collect();
    Some(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": {
            "group": resource.group,
            "scope": text(newest, "/spec/scope"),
            "names": names,
            "versions": versions,
        },
    }))
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_str().is_some_and(str::is_empty)
}

fn version_of(negotiated: &Value, storage: bool) -> Value {
    let mut version = json!({
        "name": text(negotiated, "/spec/groupVersion/version"),
        "served": true,
        "storage": storage,
        "schema": {"openAPIV3Schema": negotiated.pointer("/spec/openAPIV3Schema")},
    });
    let list = |pointer: &str| negotiated.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let mut subresources = Map::new();
    for sub in list("/spec/subResources") {
        match text(sub, "/name") {
            "status" => subresources.insert("status".into(), json!({})),
            "scale" => subresources.insert(
                "scale".into(),
                json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}),
            ),
            _ => None,
        };
    }
    let columns: Vec<Value> = list("/spec/columnDefinitions")
        .filter(|c| !text(c, "/jsonPath").is_empty())
        .map(|column| {
            let mut column = column.clone();
            object::as_map(&mut column).retain(|_, v| !is_empty(v));
            column
        })
        .collect();
    let map = object::as_map(&mut version);
    if !subresources.is_empty() {
        map.insert("subresources".into(), subresources.into());
    }
    if !columns.is_empty() {
        map.insert("additionalPrinterColumns".into(), columns.into());
    }
    version
}

/// Whether everything that `wanted` says is so already. Schemas and lists must be equal; beside fields that are wanted
/// there may be others, which the server has added.
pub(super) fn covers(existing: &Value, wanted: &Value) -> bool {
    match (existing, wanted) {
        (Value::Object(have), Value::Object(want)) => want.iter().all(|(key, value)| match have.get(key) {
            Some(found) if key == "openAPIV3Schema" => found == value,
            Some(found) => covers(found, value),
            None => false,
        }),
        (Value::Array(have), Value::Array(want)) => {
            have.len() == want.len() && have.iter().zip(want).all(|(h, w)| covers(h, w))
        }
        (have, want) => have == want,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::negotiation) fn by_hand(version: &str, schema: Value) -> Value {
        json!({
            "metadata": {"name": "deployments.apps"},
            "spec": {"versions": [{"name": version, "served": true, "schema": {"openAPIV3Schema": schema}}]},
            "status": {"conditions": [{"type": "Established", "status": "True"}]},
        })
    }

    pub(in crate::negotiation) fn learned(version: &str, established: bool) -> Value {
        let mut crd = by_hand(version, json!({"type": "object"}));
        crd["metadata"]["ownerReferences"] =
            json!([{"apiVersion": NEGOTIATED_API_RESOURCE.api_version(), "kind": NEGOTIATED_API_RESOURCE.kind}]);
        if !established {
            crd["status"] = json!({"conditions": [{"type": "NamesAccepted", "status": "False", "message": "taken"}]});
        }
        crd
    }

    fn negotiated(version: &str, publish: bool) -> Value {
        json!({
            "metadata": {"name": format!("deployments.{version}.apps"), "uid": version},
            "spec": {
                "groupVersion": {"group": "apps", "version": version}, "scope": "Namespaced", "plural": "deployments",
                "kind": "Deployment", "listKind": "DeploymentList", "shortNames": ["deploy"], "publish": publish,
                "subResources": [{"name": "scale"}, {"name": "status"}],
                "columnDefinitions": [
                    {"name": "Ready", "type": "string", "format": "", "description": "", "priority": 0, "jsonPath": ".status.r"},
                    {"name": "Hidden", "type": "string", "format": "", "description": "", "priority": 0},
                ],
                "openAPIV3Schema": {"type": "object"},
            },
        })
    }

    #[test]
    fn whose_definition_it_is() {
        let (theirs, ours) = (by_hand("v1", json!({})), learned("v1", true));
        assert!(Existing::of(Some(&theirs)).is_by_hand());
        assert!(!Existing::of(Some(&ours)).is_by_hand() && !Existing::of(None).is_by_hand());
        assert!(Existing::of(Some(&ours)).serves("v1") && !Existing::of(Some(&ours)).serves("v2"));
        let taken = learned("v1", false);
        assert!(!Existing::of(Some(&taken)).serves("v1"));
        assert_eq!(Existing::of(Some(&taken)).trouble().as_deref(), Some("taken"));
    }

    #[test]
    fn definitions() {
        let apps = GroupResource::new("apps", "deployments");
        assert_eq!(wanted(&apps, &[negotiated("v1", false)]), None);
        let crd = wanted(&apps, &[negotiated("v1beta1", true), negotiated("v1", true)]).unwrap();
        assert_eq!(crd["metadata"]["name"], "deployments.apps");
        assert_eq!(crd["metadata"]["ownerReferences"][1]["name"], "deployments.v1beta1.apps");
        assert!(crd["metadata"].get("annotations").is_none());
        assert_eq!(crd["spec"]["names"]["shortNames"], json!(["deploy"]));
        let v1 = &crd["spec"]["versions"][0];
        assert_eq!((v1["name"].as_str(), v1["storage"].as_bool()), (Some("v1"), Some(true)));
        assert_eq!(crd["spec"]["versions"][1]["storage"], false);
        assert_eq!(v1["subresources"]["scale"]["specReplicasPath"], ".spec.replicas");
        assert_eq!(
            v1["additionalPrinterColumns"],
            json!([{"name": "Ready", "type": "string", "priority": 0, "jsonPath": ".status.r"}])
        );
        let protected =
            wanted(&GroupResource::new("networking.k8s.io", "ingresses"), &[negotiated("v1", true)]).unwrap();
        assert_eq!(protected["metadata"]["annotations"][API_APPROVED_ANNOTATION], API_APPROVED_VALUE);
        let core = wanted(&GroupResource::new("", "pods"), &[negotiated("v1", true)]).unwrap();
        assert_eq!((core["metadata"]["name"].as_str(), core["spec"]["group"].as_str()), (Some("pods.core"), Some("")));
    }

    #[test]
    fn what_the_server_adds_is_no_difference() {
        let want = wanted(&GroupResource::new("apps", "deployments"), &[negotiated("v1", true)]).unwrap();
        let mut have = want.clone();
        have["spec"]["conversion"] = json!({"strategy": "None"});
        have["metadata"]["uid"] = "u".into();
        assert!(covers(&have, &want));
        have["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"] = json!({"a": {"type": "string"}});
        assert!(!covers(&have, &want), "a schema must be equal");
    }
}
