use proptest::prelude::*;

use super::*;

/// `group/version ns=<ns> resource/name/sub flags` of a path, or the non-resource path, or the error.
fn show(path: &str) -> String {
    match parse(path) {
        Err(e) => format!("{e:?}"),
        Ok(Parsed { cluster, target }) => {
            let prefix = match cluster {
                None => String::new(),
                Some(ClusterRef::Wildcard) => "[*] ".to_owned(),
                Some(ClusterRef::System(n)) => format!("[{n}] "),
                Some(ClusterRef::Path(p)) => format!("[{p}] "),
            };
            match target {
                Target::Path(p) => format!("{prefix}{p}"),
                Target::Resource(r) => format!(
                    "{prefix}{}|{}|{}{}|{}|{}|{}{}{}",
                    r.group,
                    r.version,
                    r.namespace,
                    if r.through_namespace { "/" } else { "" },
                    r.resource,
                    r.name,
                    r.subresource,
                    if r.legacy_watch { " watch" } else { "" },
                    if r.excess { " excess" } else { "" }
                ),
            }
        }
    }
}

#[test]
fn paths_mean_one_thing() {
    // T-04, W-17, D-03, LC-01
    for (path, want) in [
        ("/", "/"),
        ("/api", "/api"),
        ("/api/", "/api"),
        ("/api/v1", "/api/v1"),
        ("/apis/g", "/apis/g"),
        ("/apis/g/", "/apis/g"),
        ("/apis/g/v1", "/apis/g/v1"),
        ("/openapi/v3/apis/g/v1", "/openapi/v3/apis/g/v1"),
        ("/readyz/ping", "/readyz/ping"),
        ("/api/v1/pods", "|v1||pods||"),
        ("/api/v1/pods/", "|v1||pods||"),
        ("/api/v1/namespaces", "|v1||namespaces||"),
        ("/api/v1/namespaces/ns", "|v1|ns|namespaces|ns|"),
        ("/api/v1/namespaces/ns/status", "|v1|ns|namespaces|ns|status"),
        ("/api/v1/namespaces/ns/finalize", "|v1|ns|namespaces|ns|finalize"),
        ("/api/v1/namespaces/ns/finalize/x", "|v1|ns|namespaces|ns|finalize excess"),
        ("/api/v1/namespaces/ns/pods", "|v1|ns/|pods||"),
        ("/api/v1/namespaces/ns/pods/p", "|v1|ns/|pods|p|"),
        ("/api/v1/namespaces/ns/pods/p/status", "|v1|ns/|pods|p|status"),
        ("/api/v1/namespaces/ns/pods/p/proxy/x", "|v1|ns/|pods|p|proxy excess"),
        ("/apis/apps/v1/deployments", "apps|v1||deployments||"),
        ("/apis/apps/v1/namespaces/ns/deployments/d/scale", "apps|v1|ns/|deployments|d|scale"),
        ("/apis/apps/v1/nodes/n/status", "apps|v1||nodes|n|status"),
        ("/api/v1/watch/namespaces/ns/pods", "|v1|ns/|pods|| watch"),
        ("/api/v1/watch/namespaces/ns/pods/p", "|v1|ns/|pods|p| watch"),
        ("/api/v1/watch/namespaces", "|v1||namespaces|| watch"),
        ("/api/v1/namespaces/a/namespaces/b", "|v1|a/|namespaces|b|"),
        ("/api/v1/watch", "|v1||watch||"),
        ("/clusters/root:a", "[root:a] /"),
        ("/clusters/root:a/", "[root:a] /"),
        ("/clusters/root:a/api", "[root:a] /api"),
        ("/clusters/root%3Aa/api", "[root:a] /api"),
        ("/clusters/*/apis/g/v1/w", "[*] g|v1||w||"),
        ("/clusters/system:admin/version", "[system:admin] /version"),
        ("/clusters/root/clusters/root", "[root] /clusters/root"),
        ("/clusters/root/api/v1/namespaces/a/secrets/b", "[root] |v1|a/|secrets|b|"),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:admin",
            "rbac.authorization.k8s.io|v1||clusterroles|system:admin|",
        ),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/a%20b", "rbac.authorization.k8s.io|v1||clusterroles|a b|"),
        // Names of these kinds may hold what Kubernetes does not refuse in a segment.
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/a%5Cb%22c%EF%BF%BD",
            "rbac.authorization.k8s.io|v1||clusterroles|a\\b\"c\u{fffd}|",
        ),
    ] {
        assert_eq!(show(path), want, "{path}");
    }
}

#[test]
fn paths_that_are_refused() {
    // What a hostile client may try with a path.
    for path in [
        "",
        "api",
        "//",
        "//api",
        "/api//v1",
        "/api/v1//pods",
        "/api/v1/namespaces//configmaps",
        "/api/v1/namespaces/default/../kube-system/configmaps",
        "/api/v1/namespaces/default/./configmaps",
        "/api/v1/namespaces/%2e%2e/configmaps",
        "/api/v1/namespaces/default/configmaps/..%2f..%2fsecrets",
        "/api/v1/namespaces/default/configmaps/a%2fb",
        "/api/v1/namespaces/default/configmaps/a%252fb",
        "/api/v1/namespaces/default/configmaps/a%00b",
        "/api/v1/namespaces/default/configmaps/%ff%fe",
        "/api/v1/namespaces/default/configmaps/%",
        "/api/v1/namespaces/default/configmaps/a%0a",
        "/clusters",
        "/clusters/",
        "/clusters//api",
        "/clusters/Root/api",
        "/clusters/root:/api",
        "/clusters/root::a/api",
        "/clusters/:root/api",
        "/clusters/root:a%2fb/api",
        "/clusters/root;a/api",
        "/clusters/root./api",
        "/clusters/**/api",
        "/clusters/%2e%2e/api",
        "/a/b/c/d/e/f/g/h/i/j/k/l/m",
    ] {
        assert!(parse(path).is_err(), "{path}: {}", show(path));
    }
}

/// Writes a parsed path back; parsing the result must give the same.
fn render(parsed: &Parsed<'_>) -> String {
    let esc = |s: &str| percent_encoding::utf8_percent_encode(s, percent_encoding::NON_ALPHANUMERIC).to_string();
    let mut out = String::new();
    match &parsed.cluster {
        None => {}
        Some(ClusterRef::Wildcard) => out.push_str("/clusters/*"),
        Some(ClusterRef::System(n)) => out.push_str(&format!("/clusters/{n}")),
        Some(ClusterRef::Path(p)) => out.push_str(&format!("/clusters/{p}")),
    }
    match &parsed.target {
        Target::Path(p) => p.split('/').filter(|s| !s.is_empty()).for_each(|s| {
            out.push('/');
            out.push_str(&esc(s));
        }),
        Target::Resource(r) => {
            out.push_str(&if r.group.is_empty() { "/api".into() } else { format!("/apis/{}", esc(&r.group)) });
            out.push_str(&format!("/{}", esc(&r.version)));
            if r.legacy_watch {
                out.push_str("/watch");
            }
            if r.through_namespace {
                out.push_str(&format!("/namespaces/{}", esc(&r.namespace)));
            }
            for part in [&r.resource, &r.name, &r.subresource] {
                if !part.is_empty() {
                    out.push_str(&format!("/{}", esc(part)));
                }
            }
        }
    }
    if out.is_empty() { "/".into() } else { out }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Any text: no panic, and no part of the result can hold a separator or traverse.
    #[test]
    fn any_text_is_canonical_or_refused(path in "[/a-z%.0-9:*\\\\;]{0,60}|\\PC{0,40}") {
        if let Ok(parsed) = parse(&path)
            && let Target::Resource(r) = &parsed.target
        {
            for part in [&r.group, &r.version, &r.namespace, &r.resource, &r.name, &r.subresource] {
                prop_assert!(!part.contains(['/', '\0', '%']) && *part != "." && *part != "..");
            }
        }
    }

    /// Paths out of the grammar's own words: what is parsed, written back and parsed again is the same.
    #[test]
    fn parsing_is_stable(parts in prop::collection::vec(
        prop::sample::select(vec!["api", "apis", "v1", "g.io", "namespaces", "ns", "watch", "pods", "p", "status",
            "finalize", "clusters", "root:a", "system:admin", "*", "%61", "a%20b", "..", "", "%2f"]), 0..12)) {
        let path = format!("/{}", parts.join("/"));
        if let Ok(parsed) = parse(&path)
            && !matches!(&parsed.target, Target::Resource(r) if r.excess)
        {
            let written = render(&parsed);
            let again = parse(&written);
            prop_assert_eq!(again.as_ref(), Ok(&parsed), "{} -> {}", path, written);
        }
    }
}
