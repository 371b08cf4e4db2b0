//! The gate from outside: order of its steps, who gets what, and the texts, over the in-process entrance.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Fixture, body_json, body_text};
use http::Method;
use kcp_apiserver::{LimitOptions, Options};
use serde_json::json;

#[tokio::test]
async fn anonymous_gets_health_and_version_and_the_seeds_refusal() {
    // AN-04
    let f = Fixture::new();
    for path in [
        "/healthz",
        "/livez",
        "/readyz",
        "/readyz/ping",
        "/version",
        "/clusters/root:default/version",
        "/clusters/no:such/healthz",
    ] {
        assert_eq!(f.anonymous(Method::GET, path).await.status(), 200, "{path}");
    }
    let reply = f.anonymous(Method::GET, "/clusters/root:default/").await;
    assert_eq!(reply.status(), 403);
    assert_eq!(
        body_json(reply).await,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
            "message": "forbidden: User \"system:anonymous\" cannot get path \"/\": \"root:default\" workspace access not permitted",
            "details": {}, "code": 403,
        })
    );
    for path in ["/", "/api", "/apis", "/metrics", "/openapi/v2", "/openapi/v3", "/api/v1/namespaces", "/nosuch"] {
        assert_eq!(f.anonymous(Method::GET, path).await.status(), 403, "{path}");
    }
}

#[tokio::test]
async fn credentials_are_believed_or_refused() {
    // AN-02, AN-03, E-08
    let f = Fixture::new();
    for (header, code) in [
        (Some("Bearer admin"), 200),
        (Some("bearer admin"), 200),
        (Some("Bearer nonsense"), 401),
        (Some("Basic abc"), 401),
        (Some("Bearer "), 403),
        (None, 403),
    ] {
        let reply = f.send(Method::GET, "/clusters/root:default/api", header, &[], "").await;
        assert_eq!(reply.status(), code, "{header:?}");
    }
    let reply = f.send(Method::GET, "/api", Some("Bearer nonsense"), &[], "").await;
    assert_eq!(body_json(reply).await["message"], "Unauthorized");
}

#[tokio::test]
async fn no_workspace_is_told_apart_from_a_closed_one() {
    let f = Fixture::new();
    let text = |name: &str| {
        let path = format!("/clusters/{name}/api/v1/namespaces/default/secrets/s");
        let f = &f;
        async move {
            body_json(f.send(Method::GET, &path, Some("Bearer jane"), &[], "").await).await["message"]
                .as_str()
                .unwrap()
                .to_owned()
        }
    };
    let (closed, absent) = (text("root:default").await, text("root:nowhere").await);
    assert_eq!(closed.replace("root:default", "X"), absent.replace("root:nowhere", "X"));
    // A prefix of a name is another name.
    assert!(text("root:defaul").await.contains("\"root:defaul\" workspace access not permitted"));
    let reply = f.send(Method::GET, "/clusters/root:nowhere/api", Some("Bearer admin"), &[], "").await;
    assert_eq!(reply.status(), 404);
}

#[tokio::test]
async fn paths_without_meaning_are_404_for_everybody() {
    let f = Fixture::new();
    for path in [
        "//api",
        "/clusters/root::a/api",
        "/api/v1/namespaces/default/../x/secrets",
        "/clusters/root:default/api/v1/namespaces/a%2fb/secrets",
    ] {
        for token in [None, Some("Bearer admin"), Some("Bearer nonsense")] {
            let reply = f.send(Method::GET, path, token, &[], "").await;
            assert_eq!(
                (reply.status().as_u16(), body_text(reply).await.as_str()),
                (404, "404 page not found\n"),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn every_answer_carries_its_headers() {
    // T-02
    let f = Fixture::new();
    for (path, token) in [("/version", None), ("/api", None), ("/api", Some("Bearer admin")), ("//", None)] {
        let reply = f.send(Method::GET, path, token, &[], "").await;
        assert!(reply.headers().contains_key("audit-id") && reply.headers().contains_key("cache-control"), "{path}");
    }
    let reply = f.send(Method::GET, "/version", None, &[("audit-id", "mine")], "").await;
    assert_eq!(reply.headers()["audit-id"], "mine");
}

#[tokio::test]
async fn impersonation_is_checked_and_takes_effect() {
    // AN-13
    let f = Fixture::new();
    let jane = [("impersonate-user", "jane")];
    // The administrator may; jane has no access to the workspace.
    let reply = f.send(Method::GET, "/clusters/root:default/api", Some("Bearer admin"), &jane, "").await;
    assert_eq!(reply.status(), 403);
    assert!(
        body_json(reply).await["message"]
            .as_str()
            .unwrap()
            .starts_with("forbidden: User \"jane\" cannot get path \"/api\"")
    );
    // bob may enter but not impersonate.
    let reply = f.send(Method::GET, "/clusters/root:default/api", Some("Bearer bob"), &jane, "").await;
    assert!(
        body_json(reply).await["message"]
            .as_str()
            .unwrap()
            .contains("User \"bob\" cannot impersonate-on:user-info:get path \"/api\"")
    );
    let group = [("impersonate-group", "x")];
    assert_eq!(f.send(Method::GET, "/api", Some("Bearer admin"), &group, "").await.status(), 400);
}

#[tokio::test]
async fn every_route_is_closed_to_other_tenants() {
    // CVE-2026-39429's test: all routes come from the table that dispatches.
    let f = Fixture::new();
    let table = f.registry.types(&kcp_logicalcluster::ClusterName::root());
    for example in kcp_apiserver::routes::enumerate(&table, "default", "canary") {
        for token in [None, Some("Bearer jane")] {
            let method: Method = example.method.parse().unwrap();
            let path = format!("/clusters/root:default{}", example.path);
            let reply = f.send(method, &path, token, &[], "{}").await;
            let code = reply.status().as_u16();
            if example.public {
                assert_eq!(code, 200, "{example:?}");
            } else {
                assert_eq!(code, 403, "{example:?} {token:?}");
                assert!(!body_text(reply).await.contains("canary-value"));
            }
        }
    }
}

#[tokio::test]
async fn unknown_things_are_404_in_the_right_words() {
    // V-07, D-17
    let f = Fixture::new();
    for (path, json) in [
        ("/nosuch", false),
        ("/apis/nowhere.example.net", false),
        ("/apis/nowhere.example.net/v1", false),
        ("/apis/nowhere.example.net/v1/things", false),
        ("/api/v2", true),
        ("/api/v1/gizmos", true),
        ("/livez/no-such-check", false),
        ("/openapi/v3/apis/no/v1", false),
    ] {
        let reply = f.admin(Method::GET, path).await;
        assert_eq!(reply.status(), 404, "{path}");
        let text = body_text(reply).await;
        assert_eq!(text == "404 page not found\n", !json, "{path}: {text}");
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        assert_eq!(f.admin(method, "/api").await.status(), 405);
    }
}

#[tokio::test]
async fn a_namespace_cannot_be_reached_through_another() {
    // CVE-2019-11247: rights in namespace `a` must not reach what is not in `a`.
    let f = Fixture::new();
    for path in [
        "/api/v1/namespaces/a/namespaces/b",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/a/clusterroles/x",
        "/api/v1/namespaces/a/namespaces/b/status",
    ] {
        let reply = f.admin(Method::GET, path).await;
        assert_eq!(reply.status(), 404, "{path}");
        assert_eq!(body_json(reply).await["message"], "the server could not find the requested resource", "{path}");
    }
}

#[tokio::test]
async fn too_many_requests_are_refused_at_once() {
    // FC-01, E-11
    let limits = LimitOptions { read_only: 0, mutating: 0, total: 10 };
    let f = Fixture::with(Options { limits, ..Options::default() });
    let path = "/clusters/root:default/api/v1/namespaces/default/configmaps";
    for method in [Method::GET, Method::POST] {
        let reply = f.send(method, path, Some("Bearer bob"), &[], "{}").await;
        assert_eq!((reply.status().as_u16(), &reply.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    }
    // Administrators and watches are exempt.
    assert_eq!(f.admin(Method::GET, path).await.status(), 200);
    let watch = format!("{path}?watch=1");
    assert_eq!(f.send(Method::GET, &watch, Some("Bearer bob"), &[], "").await.status(), 200);
}

#[tokio::test]
async fn all_clusters_at_once_are_for_lists_and_watches() {
    // LC-03
    let f = Fixture::new();
    let all = "/clusters/*/api/v1/namespaces/default/configmaps";
    assert_eq!(f.admin(Method::GET, all).await.status(), 200);
    assert_eq!(f.admin(Method::GET, "/clusters/*/api/v1/configmaps?watch=1").await.status(), 200);
    for (method, path) in
        [(Method::POST, all.to_owned()), (Method::GET, format!("{all}/a")), (Method::DELETE, format!("{all}/a"))]
    {
        let reply = f.send(method.clone(), &path, Some("Bearer admin"), &[], r#"{"metadata":{"name":"a"}}"#).await;
        assert_eq!(reply.status(), 405, "{method} {path}");
    }
    // What all have in common can be discovered, by whoever may see all.
    for path in ["/clusters/*/api", "/clusters/*/openapi/v3"] {
        assert_eq!(f.admin(Method::GET, path).await.status(), 200, "{path}");
        assert_eq!(f.send(Method::GET, path, None, &[], "").await.status(), 403, "{path}");
    }
}

#[tokio::test]
async fn no_route_breaks_on_odd_requests() {
    // Whatever comes, an answer below 500 (504 for a revision that does not come).
    let f = Fixture::new();
    let table = f.registry.types(&kcp_logicalcluster::ClusterName::root());
    let bodies: [(&str, &[u8]); 6] = [
        ("application/json", b"{}"),
        ("application/json", b"[1,2"),
        ("application/yaml", b"a: [b: c: {"),
        ("application/json", b"\"text\""),
        ("application/vnd.kubernetes.protobuf", b"k8s\0\xff\xff"),
        ("application/merge-patch+json", b"{\"metadata\":{\"name\":3,\"labels\":[]},\"spec\":\"x\"}"),
    ];
    for example in kcp_apiserver::routes::enumerate(&table, "default", "odd") {
        for (content_type, body) in bodies {
            let method: Method = example.method.parse().unwrap();
            let headers =
                [("content-type", content_type), ("accept", "application/json;as=Table;g=meta.k8s.io;v=v1,*/*")];
            let path = format!("/clusters/root:default{}", example.path);
            let reply = f.send(method, &path, Some("Bearer admin"), &headers, body).await;
            assert!(reply.status().as_u16() < 500, "{example:?} {content_type} {}", reply.status());
        }
        let odd = example.path.replacen('/', "//", 2).replace("/namespaces/", "/%2e%2e/");
        let reply = f.admin(Method::GET, &format!("/clusters/root:default{odd}")).await;
        assert_eq!(reply.status(), 404, "{odd}");
    }
}
