//! The table of routes: the gate finds its handler here, and a test enumerates every route from the same table.

use kcp_registry::{ResourceInfo, TypeTable};

/// Who may come through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, anonymous too: health and version, nothing else.
    Public,
    /// Who is authorised for it in the logical cluster of the request.
    Authorized,
    /// Who is authorised for it in the logical cluster that stands for the whole server.
    Server,
}

/// What serves a path that is no resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handler {
    /// `/`: the list of paths (V-04).
    Index,
    /// `/version` (V-01).
    Version,
    /// Health checks (V-03).
    Health,
    /// `/metrics` (V-05).
    Metrics,
    /// `/snapshot`: a backup of the whole server.
    Snapshot,
    /// `/api` (D-01).
    Core,
    /// `/apis` (D-02).
    Groups,
    /// `/apis/<g>` (D-03).
    Group,
    /// `/api/<v>` (D-04).
    CoreVersion,
    /// `/apis/<g>/<v>` (D-04).
    GroupVersion,
    /// `/openapi/v2` (O-01, O-02).
    OpenApiV2,
    /// `/openapi/v3` (O-11).
    OpenApiIndex,
    /// `/openapi/v3/…` (O-12).
    OpenApiV3,
    /// `/.well-known/openid-configuration` (V-06).
    OpenIdConfiguration,
    /// `/openid/v1/jwks` (V-06).
    Keys,
}

/// A route that is no resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The path: `{}` stands for one segment, `*` at the end for one or more.
    pub pattern: &'static str,
    /// What serves it. All of them answer GET and HEAD only.
    pub handler: Handler,
    /// Who may come through.
    pub access: Access,
}

const fn route(pattern: &'static str, handler: Handler, access: Access) -> Route {
    Route { pattern, handler, access }
}

/// Every route that is no resource. A path that matches none is 404, once the caller was authorised to ask.
pub const ROUTES: &[Route] = &[
    route("/", Handler::Index, Access::Authorized),
    route("/api", Handler::Core, Access::Authorized),
    route("/apis", Handler::Groups, Access::Authorized),
    route("/api/{}", Handler::CoreVersion, Access::Authorized),
    route("/apis/{}", Handler::Group, Access::Authorized),
    route("/apis/{}/{}", Handler::GroupVersion, Access::Authorized),
    route("/openapi/v2", Handler::OpenApiV2, Access::Authorized),
    route("/openapi/v3", Handler::OpenApiIndex, Access::Authorized),
    route("/openapi/v3/*", Handler::OpenApiV3, Access::Authorized),
    route("/version", Handler::Version, Access::Public),
    route("/healthz", Handler::Health, Access::Public),
    route("/healthz/*", Handler::Health, Access::Public),
    route("/livez", Handler::Health, Access::Public),
    route("/livez/*", Handler::Health, Access::Public),
    route("/readyz", Handler::Health, Access::Public),
    route("/readyz/*", Handler::Health, Access::Public),
    route("/metrics", Handler::Metrics, Access::Server),
    route("/snapshot", Handler::Snapshot, Access::Server),
    route("/.well-known/openid-configuration", Handler::OpenIdConfiguration, Access::Authorized),
    route("/openid/v1/jwks", Handler::Keys, Access::Authorized),
];

/// The route of a canonical path.
pub fn find(path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|r| matches(r.pattern, path))
}

fn matches(pattern: &str, path: &str) -> bool {
    if let Some(stem) = pattern.strip_suffix('*') {
        return path.strip_prefix(stem).is_some_and(|rest| !rest.is_empty());
    }
    if !pattern.contains('{') {
        return pattern == path;
    }
    let (mut want, mut have) = (pattern.split('/'), path.split('/'));
    loop {
        match (want.next(), have.next()) {
            (None, None) => return true,
            (Some("{}"), Some(segment)) if !segment.is_empty() => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// A method on a path, with example names filled in: what a test calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The HTTP method.
    pub method: &'static str,
    /// The path below the cluster prefix.
    pub path: String,
    /// Whether everybody may come through.
    pub public: bool,
}

/// Every method on every path that a logical cluster with the types of `table` serves, for the namespace and object
/// name given: the generated test calls each as somebody who must not get in.
pub fn enumerate(table: &TypeTable, namespace: &str, name: &str) -> Vec<Example> {
    let mut out: Vec<Example> = ROUTES
        .iter()
        .map(|r| Example {
            method: "GET",
            path: r.pattern.replace("{}", "v1").replace('*', "ping"),
            public: r.access == Access::Public,
        })
        .collect();
    for info in table.iter() {
        resource(info, namespace, name, &mut out);
    }
    out
}

fn resource(info: &ResourceInfo, namespace: &str, name: &str, out: &mut Vec<Example>) {
    let root = match info.gvk.group.as_str() {
        "" => format!("/api/{}", info.gvk.version),
        group => format!("/apis/{group}/{}", info.gvk.version),
    };
    let all = format!("{root}/{}", info.resource);
    let collection =
        if info.namespaced { format!("{root}/namespaces/{namespace}/{}", info.resource) } else { all.clone() };
    let object = format!("{collection}/{name}");
    let mut add = |method, path: &str| out.push(Example { method, path: path.to_owned(), public: false });
    for verb in &info.verbs {
        match verb.as_str() {
            "list" | "deletecollection" => {
                let method = if verb == "list" { "GET" } else { "DELETE" };
                add(method, &collection);
                if info.namespaced && verb == "list" {
                    add(method, &all);
                }
            }
            "watch" => {
                add("GET", &format!("{collection}?watch=1&timeoutSeconds=1"));
                let legacy = collection.replacen(&root, &format!("{root}/watch"), 1);
                add("GET", &format!("{legacy}?timeoutSeconds=1"));
            }
            "create" => add("POST", &collection),
            "get" => add("GET", &object),
            "update" => add("PUT", &object),
            "patch" => add("PATCH", &object),
            "delete" => add("DELETE", &object),
            _ => {}
        }
    }
    for sub in &info.subresources {
        let path = format!("{object}/{}", sub.name);
        for verb in &sub.verbs {
            match verb.as_str() {
                "get" => add("GET", &path),
                "create" => add("POST", &path),
                "update" => add("PUT", &path),
                "patch" => add("PATCH", &path),
                "delete" => add("DELETE", &path),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_route() {
        for (path, want) in [
            ("/", Some(Handler::Index)),
            ("/api/v1", Some(Handler::CoreVersion)),
            ("/apis/g", Some(Handler::Group)),
            ("/apis/g/v", Some(Handler::GroupVersion)),
            ("/apis/g/v/x", None),
            ("/openapi/v3/apis/g/v", Some(Handler::OpenApiV3)),
            ("/readyz/poststarthook/x", Some(Handler::Health)),
            ("/readyzx", None),
            ("/debug/pprof", None),
            ("/metrics/x", None),
        ] {
            assert_eq!(find(path).map(|r| r.handler), want, "{path}");
        }
    }

    #[test]
    fn only_health_and_version_are_public() {
        // The table is what the generated tests enumerate.
        for route in ROUTES.iter().filter(|r| r.access == Access::Public) {
            assert!(
                ["/healthz", "/livez", "/readyz", "/version"].iter().any(|p| route.pattern.starts_with(p)),
                "{route:?}"
            );
        }
    }
}
