//! Cutting what is served out of the recorded document of a built-in group.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::REF_PREFIX;

/// A built-in resource that is served.
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// The plural, as in URLs.
    pub plural: &'a str,
    /// The verbs, as in discovery.
    pub verbs: &'a [String],
    /// The subresources.
    pub subresources: &'a [ServedSubresource<'a>],
}

/// A subresource that is served.
#[derive(Debug, Clone, Copy)]
pub struct ServedSubresource<'a> {
    /// Its name, such as `status`.
    pub name: &'a str,
    /// The verbs, as in discovery.
    pub verbs: &'a [String],
}

/// Reduces a recorded OpenAPI v3 document of one group and version to what is `served`: paths, the operations on them,
/// the media types that are spoken (no protobuf bodies) and the components that can be reached.
///
/// The old `/watch/` paths are left out although they work: no client looks for them here.
pub fn filter_builtin(document: &Value, served: &[Served<'_>]) -> Value {
    let mut out = document.clone();
    if let Some(Value::Object(paths)) = out.get_mut("paths") {
        let all = std::mem::take(paths);
        for (path, mut item) in all {
            if keep(&path, &mut item, served) {
                drop_protobuf(&mut item);
                paths.insert(path, item);
            }
        }
    }
    let reachable = reachable(&out);
    if let Some(Value::Object(schemas)) = out.pointer_mut("/components/schemas") {
        schemas.retain(|name, _| reachable.contains(name));
    }
    out
}

/// Whether anything of the path is served; removes the operations that are not.
fn keep(path: &str, item: &mut Value, served: &[Served<'_>]) -> bool {
    let Some((resource, subresource)) = resource_of(path) else {
        // `/apis/apps/v1/` itself, which describes discovery.
        return path.ends_with('/');
    };
    let Some(known) = served.iter().find(|s| s.plural == resource) else { return false };
    let verbs = match subresource {
        None => known.verbs,
        Some(name) => match known.subresources.iter().find(|s| s.name == name) {
            Some(sub) => sub.verbs,
            None => return false,
        },
    };
    let Value::Object(operations) = item else { return false };
    operations.retain(|_, operation| {
        let Some(action) = operation.get("x-kubernetes-action").and_then(Value::as_str) else { return true };
        let verb = match action {
            "post" => "create",
            "put" => "update",
            other => other,
        };
        verbs.iter().any(|v| v == verb)
    });
    operations.values().any(|o| o.get("x-kubernetes-action").is_some())
}

/// The resource and subresource that a path template names; `None` for `/watch/` paths and those of the group itself.
fn resource_of(path: &str) -> Option<(&str, Option<&str>)> {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return None,
    };
    let rest = match rest {
        ["namespaces", "{namespace}", rest @ ..] => rest,
        rest => rest,
    };
    match rest {
        [] | ["" | "watch", ..] => None,
        [resource] | [resource, "{name}"] => Some((resource, None)),
        [resource, "{name}", subresource] => Some((resource, Some(subresource))),
        _ => None,
    }
}

fn drop_protobuf(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !key.starts_with("application/vnd.kubernetes.protobuf"));
            map.values_mut().for_each(drop_protobuf);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_protobuf),
        _ => {}
    }
}

fn reachable(document: &Value) -> BTreeSet<String> {
    let empty = Map::new();
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object).unwrap_or(&empty);
    let mut found = BTreeSet::new();
    let mut waiting = Vec::new();
    if let Some(paths) = document.get("paths") {
        references(paths, &mut waiting);
    }
    while let Some(name) = waiting.pop() {
        if let Some(schema) = schemas.get(name)
            && found.insert(name.to_owned())
        {
            references(schema, &mut waiting);
        }
    }
    found
}

fn references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(to) if key == "$ref" => into.extend(to.strip_prefix(REF_PREFIX)),
                    value => references(value, into),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|v| references(v, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources() {
        for (path, want) in [
            ("/api/v1/namespaces", Some(("namespaces", None))),
            ("/api/v1/namespaces/{name}", Some(("namespaces", None))),
            ("/api/v1/namespaces/{name}/finalize", Some(("namespaces", Some("finalize")))),
            ("/api/v1/namespaces/{namespace}/configmaps/{name}", Some(("configmaps", None))),
            ("/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale", Some(("deployments", Some("scale")))),
            ("/apis/apps/v1/deployments", Some(("deployments", None))),
            ("/apis/apps/v1/watch/deployments", None),
            ("/apis/apps/v1/", None),
            ("/api/v1/namespaces/{namespace}/pods/{name}/proxy/{path}", None),
        ] {
            assert_eq!(resource_of(path), want, "{path}");
        }
    }
}
