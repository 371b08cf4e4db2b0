//! Which types are synced, found out from what both sides serve.

use std::collections::BTreeSet;

use kcp_apimachinery::{GroupResource, GroupVersionResource};
use kcp_apis::workload;
use kcp_client::{Client, Error};
use serde_json::Value;

/// A resource as one server serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) gvr: GroupVersionResource,
    pub(crate) kind: String,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) subresources: BTreeSet<String>,
}

/// What `--resources` names, and what is synced in any case.
pub(crate) fn requested(flags: &[String]) -> BTreeSet<GroupResource> {
    let always = ["configmaps", "secrets", "serviceaccounts"].map(str::to_owned);
    flags.iter().chain(&always).map(|text| parse(text.trim())).filter(|r| !r.resource.is_empty()).collect()
}

/// `deployments.apps` or `configmaps`; `core` is the empty group.
fn parse(text: &str) -> GroupResource {
    match text.split_once('.') {
        Some((resource, group)) => GroupResource::new(if group == "core" { "" } else { group }, resource),
        None => GroupResource::new("", text),
    }
}

/// The versions of a resource that a server serves, the preferred one first; none when it does not know it.
pub(crate) async fn discover(client: &Client, resource: &GroupResource) -> Result<Vec<Served>, Error> {
    let versions: Vec<String> = if resource.group.is_empty() {
        vec!["v1".to_owned()]
    } else {
        match client.get_path(&format!("/apis/{}", resource.group)).await {
            Ok(group) => group["versions"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|v| v["version"].as_str().map(str::to_owned))
                .collect(),
            Err(e) if e.is_not_found() => return Ok(Vec::new()),
            Err(e) => return Err(e),
        }
    };
    let mut found = Vec::new();
    for version in versions {
        let path = if resource.group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{}/{version}", resource.group)
        };
        let list = match client.get_path(&path).await {
            Ok(list) => list,
            Err(e) if e.is_not_found() => continue,
            Err(e) => return Err(e),
        };
        found.extend(served(&list, resource, &version));
    }
    Ok(found)
}

fn served(list: &Value, resource: &GroupResource, version: &str) -> Option<Served> {
    let all = list["resources"].as_array()?;
    let entry = all.iter().find(|r| r["name"] == resource.resource.as_str())?;
    let verbs: Vec<&str> = entry["verbs"].as_array()?.iter().filter_map(Value::as_str).collect();
    if !["list", "watch"].iter().all(|v| verbs.contains(v)) {
        return None;
    }
    let prefix = format!("{}/", resource.resource);
    Some(Served {
        gvr: GroupVersionResource::new(&resource.group, version, &resource.resource),
        kind: entry["kind"].as_str()?.to_owned(),
        singular: entry["singularName"].as_str().unwrap_or_default().to_owned(),
        short_names: texts(&entry["shortNames"]),
        categories: texts(&entry["categories"]),
        namespaced: entry["namespaced"] == true,
        subresources: all.iter().filter_map(|r| r["name"].as_str()?.strip_prefix(&prefix).map(str::to_owned)).collect(),
    })
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What a resource looks like on both sides, in the first version that both serve; `Err` names the side that lacks it.
pub(crate) fn common(up: &[Served], down: &[Served]) -> Result<(Served, Served), Missing> {
    if down.is_empty() {
        return Err(Missing::Downstream);
    }
    if up.is_empty() {
        return Err(Missing::Upstream);
    }
    let pair =
        up.iter().find_map(|u| down.iter().find(|d| d.gvr.version == u.gvr.version).map(|d| (u.clone(), d.clone())));
    match pair {
        Some((u, _)) if !u.namespaced => Err(Missing::ClusterScoped),
        Some(pair) => Ok(pair),
        None => Err(Missing::CommonVersion),
    }
}

/// Why a requested type is not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Missing {
    /// The physical cluster does not have it.
    Downstream,
    /// The workspace does not have it (yet).
    Upstream,
    /// Both have it, in different versions.
    CommonVersion,
    /// It lives outside of namespaces.
    ClusterScoped,
}

impl Missing {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Downstream => "not found in the physical cluster",
            Self::Upstream => "not found in the workspace",
            Self::CommonVersion => "served in different versions by the workspace and the physical cluster",
            Self::ClusterScoped => "not namespaced, so it is not synced",
        }
    }
}

/// The selector of everything that is assigned to a WorkloadCluster.
pub(crate) fn selector(workload_cluster: &str) -> String {
    format!("{}={workload_cluster}", workload::CLUSTER_LABEL)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_common_version_is_taken() {
        let list = json!({"resources": [{"name": "widgets", "kind": "Widget", "namespaced": true, "verbs": ["list", "watch"]}, {"name": "widgets/status"}]});
        let r = GroupResource::new("example.com", "widgets");
        let of = |v: &str| served(&list, &r, v).unwrap();
        let (u, d) = common(&[of("v2"), of("v1")], &[of("v1")]).unwrap();
        assert_eq!((u.gvr.version.as_str(), d.gvr.version.as_str()), ("v1", "v1"));
        assert!(u.subresources.contains("status"));
        assert_eq!(common(&[of("v1")], &[]), Err(Missing::Downstream));
        assert_eq!(common(&[], &[of("v1")]), Err(Missing::Upstream));
        assert_eq!(common(&[of("v1")], &[of("v2")]), Err(Missing::CommonVersion));
    }

    #[test]
    fn some_types_are_always_synced() {
        let all = requested(&["deployments.apps".into(), "pods.core".into()]);
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["configmaps", "pods", "secrets", "serviceaccounts", "deployments.apps"]);
    }
}
