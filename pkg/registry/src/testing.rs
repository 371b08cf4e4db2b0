//! What the tests of this crate share.

use std::sync::Arc;

use kcp_apimachinery::{GroupVersionKind, UserInfo};
use kcp_logicalcluster::ClusterName;
use kcp_storage::{Options, Store, Window};
use serde_json::{Value, json};

use crate::{
    Body, Config, LazySchema, ListOptions, Plain, Registry, Request, ResourceInfo, WriteOptions,
    builtin::{Profile, base_table},
};

/// A resource without a schema.
pub(crate) fn config_maps() -> ResourceInfo {
    let gvk = GroupVersionKind::new("", "v1", "ConfigMap");
    ResourceInfo::new(gvk, "configmaps", true, LazySchema::ready(kcp_schema::Schema::untyped()), Arc::new(Plain))
}

/// A registry over memory, as workspaces have it, and a logical cluster with a namespace `a`.
pub(crate) struct Fixture {
    pub(crate) registry: Arc<Registry>,
    pub(crate) cluster: ClusterName,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with_window(Window::default()).await
    }

    pub(crate) async fn with_window(window: Window) -> Self {
        Self::with(window, kcp_admission::Chain::default()).await
    }

    pub(crate) async fn with(window: Window, admission: kcp_admission::Chain) -> Self {
        let store = Store::open(Options { window, ..Options::memory() }).unwrap();
        let base = base_table(Profile::Workspace, &crate::strategies());
        let registry = Registry::new(Config {
            store,
            base,
            external_url: "https://kcp.test:6443".into(),
            ca_pem: "PEM".into(),
            admission,
        });
        let fixture = Self { registry, cluster: ClusterName::root() };
        fixture.make("v1/namespaces", "", json!({"metadata": {"name": "a"}})).await.unwrap();
        fixture
    }

    /// A request for `group/version/resource` or `version/resource`.
    pub(crate) fn request(&self, what: &str, namespace: &str) -> Request {
        self.request_in(&self.cluster, what, namespace)
    }

    pub(crate) fn request_in(&self, cluster: &ClusterName, what: &str, namespace: &str) -> Request {
        let parts: Vec<&str> = what.split('/').collect();
        let (group, version, resource) = match parts[..] {
            [version, resource] => ("", version, resource),
            [group, version, resource] => (group, version, resource),
            _ => panic!("{what}"),
        };
        let info = self
            .registry
            .types(cluster)
            .lookup(group, version, resource)
            .unwrap_or_else(|| panic!("{what} is not served"));
        let user =
            UserInfo { username: "tester".into(), groups: vec!["system:authenticated".into()], ..UserInfo::default() };
        Request::new(cluster.clone(), info, Arc::new(user)).in_namespace(namespace)
    }

    /// Completes an object with kind and apiVersion.
    pub(crate) fn body(request: &Request, mut object: Value) -> Body {
        if object.get("kind").is_none() {
            object["kind"] = request.info.gvk.kind.as_str().into();
            object["apiVersion"] = request.info.gvk.api_version().into();
        }
        Body::from(&object)
    }

    pub(crate) fn options() -> WriteOptions {
        WriteOptions { user_agent: "test/1".into(), ..WriteOptions::default() }
    }

    pub(crate) async fn make(
        &self,
        what: &str,
        namespace: &str,
        object: Value,
    ) -> Result<Value, kcp_apimachinery::Status> {
        let request = self.request(what, namespace);
        let body = Self::body(&request, object);
        let written = self.registry.create(&request, &body, &Self::options()).await?;
        assert!(written.created);
        Ok(serde_json::from_slice(&written.object).unwrap())
    }

    pub(crate) async fn get(&self, what: &str, namespace: &str, name: &str) -> Result<Value, kcp_apimachinery::Status> {
        let request = self.request(what, namespace).named(name);
        self.registry.get(&request, "").await.map(|bytes| serde_json::from_slice(&bytes).unwrap())
    }

    /// Names of the items of a list.
    pub(crate) async fn names(
        &self,
        what: &str,
        namespace: &str,
        options: ListOptions,
    ) -> Result<Vec<String>, kcp_apimachinery::Status> {
        let request = self.request(what, namespace);
        let mut list = self.registry.list(&request, &options).await?;
        Ok(list
            .items()
            .map(|i| serde_json::from_slice::<Value>(&i).unwrap()["metadata"]["name"].as_str().unwrap().to_owned())
            .collect())
    }

    /// Defines a namespaced type `things.example.com` with a schema for spec and status, and selectable fields.
    pub(crate) async fn define_things(&self) {
        self.make(
            "apiextensions.k8s.io/v1/customresourcedefinitions",
            "",
            things(json!({"size": {"type": "integer"}, "color": {"type": "string"}})),
        )
        .await
        .unwrap();
    }
}

/// A definition of `things.example.com`.
pub(crate) fn things(spec: Value) -> Value {
    json!({
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": spec},
                    "status": {"type": "object", "properties": {"ready": {"type": "boolean"}}}
                }}}
            }]
        }
    })
}

/// The type that [`things`] defines.
pub(crate) const THINGS: &str = "example.com/v1/things";
