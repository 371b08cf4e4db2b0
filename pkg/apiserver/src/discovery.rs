//! Discovery: what a logical cluster serves (D-01 to D-17), made from its type table.

use bytes::Bytes;
use http::StatusCode;
use kcp_apimachinery::Status;
use kcp_registry::types::{GroupInfo, ResourceInfo, SubresourceInfo, TypeTable, VersionInfo};
use serde_json::{Map, Value, json};

use crate::{
    cache::Documents,
    negotiate::{self, Encoding, Endpoint, Form},
    respond::{self, Reply, Style},
};

/// The exact content type of aggregated discovery: clients compare its parameters (D-09).
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Which document is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask<'a> {
    /// `/api`.
    Core,
    /// `/apis`.
    Groups,
    /// `/apis/<g>`.
    Group(&'a str),
    /// `/api/<v>` or `/apis/<g>/<v>`.
    Version(&'a str, &'a str),
}

/// What discovery needs to know about the request.
pub(crate) struct Asked<'a> {
    pub(crate) headers: &'a http::HeaderMap,
    pub(crate) accept: Option<&'a str>,
    pub(crate) pretty: bool,
    /// `host:port` for clients that ask where the server is (D-01).
    pub(crate) address: &'a str,
}

/// Answers a discovery request.
///
/// # Errors
/// 404 for a version that a built-in group does not have, 406 when the client accepts nothing that there is.
pub(crate) fn answer(ask: Ask<'_>, table: &TypeTable, cache: &Documents, asked: &Asked<'_>) -> Result<Reply, Status> {
    let endpoint = match ask {
        Ask::Core | Ask::Groups => Endpoint::AggregatedDiscovery,
        _ => Endpoint::Discovery,
    };
    let accepted = negotiate::negotiate(asked.accept, endpoint)?;
    let aggregated = accepted.form == Form::AggregatedDiscovery;
    let name = match ask {
        Ask::Core if aggregated => "aggregated core".to_owned(),
        Ask::Groups if aggregated => "aggregated groups".to_owned(),
        Ask::Core => format!("core {}", asked.address),
        Ask::Groups => "groups".to_owned(),
        Ask::Group(group) => format!("group {group}"),
        Ask::Version(group, version) => format!("version {group}/{version}"),
    };
    let made = cache.get(table.generation(), &name, || {
        let value = make(ask, aggregated, table, asked.address)?;
        let mut bytes = serde_json::to_vec(&value).map_err(|e| Missing::Broken(Status::internal(e)))?;
        bytes.push(b'\n');
        Ok(Bytes::from(bytes))
    });
    let document = match made {
        Ok(document) => document,
        Err(Missing::Group) => return Ok(respond::page_not_found()),
        Err(Missing::Version) => return Err(respond::unknown_resource()),
        Err(Missing::Broken(status)) => return Err(status),
    };
    if accepted.encoding == Encoding::Yaml || asked.pretty {
        let style = Style { encoding: accepted.encoding, pretty: asked.pretty, gzip: false };
        return respond::json(StatusCode::OK, document.bytes.clone(), style);
    }
    let content_type = if aggregated { AGGREGATED } else { "application/json" };
    document.answer(asked.headers, content_type, "Accept", false)
}

enum Missing {
    /// Nobody knows the group: the text of unknown paths (D-17).
    Group,
    /// A built-in group does not have the version: a Status (D-17).
    Version,
    Broken(Status),
}

fn make(ask: Ask<'_>, aggregated: bool, table: &TypeTable, address: &str) -> Result<Value, Missing> {
    let groups = table.groups();
    let find = |name: &str| groups.iter().find(|g| g.name == name);
    Ok(match ask {
        Ask::Core | Ask::Groups if aggregated => {
            let core = matches!(ask, Ask::Core);
            let items: Vec<Value> = groups.iter().filter(|g| g.name.is_empty() == core).map(aggregated_group).collect();
            json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
        }
        Ask::Core => {
            let versions: Vec<&str> =
                find("").map(|g| g.versions.iter().map(|v| v.version.as_str()).collect()).unwrap_or_default();
            json!({
                "kind": "APIVersions",
                "versions": versions,
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
            })
        }
        Ask::Groups => {
            let list: Vec<Value> = groups.iter().filter(|g| !g.name.is_empty()).map(group).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list})
        }
        Ask::Group(name) => {
            let mut value = find(name).map(group).ok_or(Missing::Group)?;
            if let Some(map) = value.as_object_mut() {
                map.insert("kind".into(), "APIGroup".into());
                map.insert("apiVersion".into(), "v1".into());
            }
            value
        }
        Ask::Version(group, version) => {
            let Some(found) = find(group) else {
                return Err(if group.is_empty() { Missing::Version } else { Missing::Group });
            };
            let Some(served) = found.versions.iter().find(|v| v.version == version) else {
                return Err(if is_built_in(found) { Missing::Version } else { Missing::Group });
            };
            resource_list(&found.name, served)
        }
    })
}

/// Whether a group has a built-in type: its paths are then known to Kubernetes' router.
pub(crate) fn is_built_in(group: &GroupInfo) -> bool {
    group.versions.iter().flat_map(|v| &v.resources).any(|r| !r.custom)
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn group(info: &GroupInfo) -> Value {
    let versions: Vec<Value> = info
        .versions
        .iter()
        .map(|v| json!({"groupVersion": group_version(&info.name, &v.version), "version": v.version}))
        .collect();
    let preferred = versions.first().cloned().unwrap_or_default();
    json!({"name": info.name, "versions": versions, "preferredVersion": preferred})
}

/// Subresources in the order of discovery: by name for built-in types, as defined for custom ones.
fn subresources(info: &ResourceInfo) -> Vec<&SubresourceInfo> {
    let mut all: Vec<&SubresourceInfo> = info.subresources.iter().collect();
    if !info.custom {
        all.sort_by(|a, b| a.name.cmp(&b.name));
    }
    all
}

/// Verbs in the order of discovery: custom types have an order of their own (D-06).
fn verbs(info: &ResourceInfo) -> Value {
    const CUSTOM: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
    if !info.custom {
        return info.verbs.clone().into();
    }
    let mut verbs: Vec<&str> = info.verbs.iter().map(String::as_str).collect();
    verbs.sort_by_key(|v| CUSTOM.iter().position(|c| c == v));
    verbs.into()
}

fn put(map: &mut Map<String, Value>, key: &str, list: &[String]) {
    if !list.is_empty() {
        map.insert(key.to_owned(), list.to_vec().into());
    }
}

fn resource_list(group: &str, served: &VersionInfo) -> Value {
    let mut resources: Vec<Value> = Vec::new();
    for info in &served.resources {
        let mut map = Map::new();
        map.insert("name".into(), info.resource.as_str().into());
        map.insert("singularName".into(), info.singular.as_str().into());
        map.insert("namespaced".into(), info.namespaced.into());
        map.insert("kind".into(), info.gvk.kind.as_str().into());
        map.insert("verbs".into(), verbs(info));
        put(&mut map, "shortNames", &info.short_names);
        put(&mut map, "categories", &info.categories);
        if !info.storage_version_hash.is_empty() {
            map.insert("storageVersionHash".into(), info.storage_version_hash.as_str().into());
        }
        resources.push(map.into());
        for sub in subresources(info) {
            let mut map = Map::new();
            map.insert("name".into(), format!("{}/{}", info.resource, sub.name).into());
            map.insert("singularName".into(), "".into());
            map.insert("namespaced".into(), info.namespaced.into());
            map.insert("kind".into(), sub.kind.kind.as_str().into());
            map.insert("verbs".into(), sub.verbs.clone().into());
            if (sub.kind.group.as_str(), sub.kind.version.as_str()) != (group, served.version.as_str()) {
                map.insert("group".into(), sub.kind.group.as_str().into());
                map.insert("version".into(), sub.kind.version.as_str().into());
            }
            resources.push(map.into());
        }
    }
    // The core group's list has no apiVersion of its own; clients have lived with that since v1.
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version(group, &served.version), "resources": resources});
    if !group.is_empty()
        && let Some(map) = list.as_object_mut()
    {
        map.insert("apiVersion".into(), "v1".into());
    }
    list
}

/// Kinds of the group's own version are left out for built-in types, as Kubernetes does; clients fill them in.
fn response_kind(info: &ResourceInfo, kind: &kcp_apimachinery::GroupVersionKind) -> Value {
    let own = kind.group == info.gvk.group && kind.version == info.gvk.version;
    if own && !info.custom {
        json!({"group": "", "version": "", "kind": kind.kind})
    } else {
        json!({"group": kind.group, "version": kind.version, "kind": kind.kind})
    }
}

fn aggregated_group(info: &GroupInfo) -> Value {
    let versions: Vec<Value> = info
        .versions
        .iter()
        .map(|v| {
            let resources: Vec<Value> = v.resources.iter().map(|r| aggregated_resource(r)).collect();
            json!({"version": v.version, "freshness": "Current", "resources": resources})
        })
        .collect();
    let metadata = if info.name.is_empty() { json!({}) } else { json!({"name": info.name}) };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(info: &ResourceInfo) -> Value {
    let mut map = Map::new();
    map.insert("resource".into(), info.resource.as_str().into());
    map.insert("responseKind".into(), response_kind(info, &info.gvk));
    map.insert("scope".into(), if info.namespaced { "Namespaced" } else { "Cluster" }.into());
    map.insert("singularResource".into(), info.singular.as_str().into());
    map.insert("verbs".into(), verbs(info));
    put(&mut map, "shortNames", &info.short_names);
    put(&mut map, "categories", &info.categories);
    let subs: Vec<Value> = subresources(info)
        .into_iter()
        .map(|s| json!({"subresource": s.name, "responseKind": response_kind(info, &s.kind), "verbs": s.verbs}))
        .collect();
    if !subs.is_empty() {
        map.insert("subresources".into(), subs.into());
    }
    map.into()
}
