//! The verbs over HTTP, in process, on the memory engine: forms of answers, streams, discovery and OpenAPI.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{io::Read as _, time::Duration};

use bytes::Bytes;
use common::{Fixture, body_bytes, body_json};
use http::{Method, header};
use http_body_util::BodyExt as _;
use kcp_apiserver::{Options, Reply};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const TABLE: &str =
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

async fn fixture() -> Fixture {
    with(Options::default()).await
}

async fn with(options: Options) -> Fixture {
    let f = Fixture::with(options);
    let (code, namespace) =
        f.write(Method::POST, "/api/v1/namespaces", "application/json", r#"{"metadata":{"name":"default"}}"#).await;
    assert!(code == 201 || code == 409, "{namespace}");
    f
}

fn map(name: &str, value: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": "x"}}, "data": {"k": value}}).to_string()
}

/// The next complete events of a watch.
struct Events {
    reply: Reply,
    buffer: Vec<u8>,
}

impl Events {
    async fn open(f: &Fixture, path: &str, accept: &str) -> Self {
        let reply = f.send(Method::GET, path, Some("Bearer admin"), &[("accept", accept)], "").await;
        assert_eq!(reply.status(), 200, "{}", body_json(reply).await);
        Self { reply, buffer: Vec::new() }
    }

    /// The next event, or `None` at the end of the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = tokio::time::timeout(Duration::from_secs(10), self.reply.body_mut().frame())
                .await
                .expect("an event in time")?;
            self.buffer.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
    }
}

#[tokio::test]
async fn an_object_lives() {
    // E-01, N-02, N-03, A-01
    let f = fixture().await;
    let (code, made) = f.write(Method::POST, MAPS, "application/json", map("a", "1")).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!((&made["kind"], &made["data"]["k"]), (&json!("ConfigMap"), &json!("1")));
    assert_eq!(f.write(Method::POST, MAPS, "application/json", map("a", "1")).await.0, 409);
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: {k: 'v'}\n";
    assert_eq!(f.write(Method::POST, MAPS, "application/yaml", yaml).await.0, 201);
    assert_eq!(f.write(Method::POST, MAPS, "application/xml", "<x/>").await.0, 415);

    let path = format!("{MAPS}/a");
    let (code, patched) = f.write(Method::PATCH, &path, "application/merge-patch+json", r#"{"data":{"k":"2"}}"#).await;
    assert_eq!((code, &patched["data"]["k"]), (200, &json!("2")));
    assert_eq!(f.write(Method::PATCH, &path, "application/json", "{}").await.0, 415);
    let (code, applied) = f
        .write(
            Method::PATCH,
            &format!("{path}?fieldManager=m&force=true"),
            "application/apply-patch+yaml",
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  j: x\n",
        )
        .await;
    assert_eq!((code, &applied["data"]), (200, &json!({"j": "x", "k": "2"})), "{applied}");
    let (code, gone) =
        f.write(Method::DELETE, &path, "application/json", r#"{"propagationPolicy":"Background"}"#).await;
    assert_eq!((code, &gone["status"], &gone["details"]["name"]), (200, &json!("Success"), &json!("a")));
    assert_eq!(f.get(&path).await.0, 404);
    for (method, path) in [
        (Method::PUT, MAPS.to_owned()),
        (Method::POST, path),
        (Method::POST, "/api/v1/configmaps".into()),
        (Method::DELETE, "/api/v1/namespaces".into()),
    ] {
        let (code, status) = f.write(method.clone(), &path, "application/json", map("a", "1")).await;
        assert_eq!((code, &status["details"]), (405, &json!({})), "{method} {path}");
    }
}

#[tokio::test]
async fn objects_come_in_every_form() {
    // P-01, P-02, P-03, P-08, N-03, N-08
    let f = fixture().await;
    f.write(Method::POST, MAPS, "application/json", map("a", "1")).await;
    let ask = async |path: &str, accept: &str| {
        let reply = f.send(Method::GET, path, Some("Bearer admin"), &[("accept", accept)], "").await;
        (reply.status().as_u16(), body_bytes(reply).await)
    };
    let parse = |b: &Bytes| serde_json::from_slice::<Value>(b).unwrap();
    let one = format!("{MAPS}/a");

    for path in [&one, MAPS] {
        let table = parse(&ask(path, TABLE).await.1);
        assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
        assert_eq!(table["columnDefinitions"][0]["name"], "Name");
        assert_eq!(table["rows"][0]["cells"][0], "a");
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert!(table["rows"][0]["object"].get("data").is_none());
        assert!(table["metadata"]["resourceVersion"].is_string());
    }
    let table = parse(&ask(&format!("{one}?includeObject=Object"), TABLE).await.1);
    assert_eq!(table["rows"][0]["object"]["data"]["k"], "1");
    assert_eq!(ask(&format!("{one}?includeObject=All"), TABLE).await.0, 400);

    let partial = parse(&ask(&one, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").await.1);
    assert_eq!(
        (&partial["kind"], &partial["metadata"]["name"], partial.get("data")),
        (&json!("PartialObjectMetadata"), &json!("a"), None)
    );
    let list = parse(&ask(MAPS, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io").await.1);
    assert_eq!(
        (&list["kind"], &list["items"][0]["metadata"]["name"]),
        (&json!("PartialObjectMetadataList"), &json!("a"))
    );
    assert_eq!(ask(&one, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io").await.0, 406);
    assert_eq!(ask(MAPS, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").await.0, 406);

    let text = String::from_utf8(ask(&one, "application/yaml").await.1.to_vec()).unwrap();
    assert!(text.contains("kind: ConfigMap\n"), "{text}");
    let text = String::from_utf8(ask(&format!("{one}?pretty=true"), "application/json").await.1.to_vec()).unwrap();
    assert!(text.contains("\n  \"kind\": \"ConfigMap\""), "{text}");
}

#[tokio::test]
async fn long_lists_are_streamed() {
    // FC-06, T-08
    let f = fixture().await;
    for i in 0..300 {
        f.write(Method::POST, MAPS, "application/json", map(&format!("m{i:03}"), &"x".repeat(1024))).await;
    }
    for (accept, root) in [
        ("application/json", "items"),
        (TABLE, "rows"),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "items"),
    ] {
        let path = format!("{MAPS}?includeObject=Object");
        let plain = f.send(Method::GET, &path, Some("Bearer admin"), &[("accept", accept)], "").await;
        assert!(plain.headers().get(header::CONTENT_ENCODING).is_none());
        let plain = body_json(plain).await;
        assert_eq!(plain[root].as_array().unwrap().len(), 300, "{accept}");
        let packed = f
            .send(Method::GET, &path, Some("Bearer admin"), &[("accept", accept), ("accept-encoding", "gzip")], "")
            .await;
        if packed.headers().get(header::CONTENT_ENCODING).is_some() {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&*body_bytes(packed).await).read_to_end(&mut text).unwrap();
            let unpacked: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(unpacked[root].as_array().unwrap().len(), 300, "{accept}");
        } else {
            assert!(body_bytes(packed).await.len() < 160 * 1024, "{accept}");
        }
    }
}

#[tokio::test]
async fn a_watch_shows_what_happens() {
    // W-01, W-02, W-04, W-08, P-06, P-08
    let f = fixture().await;
    f.write(Method::POST, MAPS, "application/json", map("a", "1")).await;
    let path = format!("{MAPS}?watch=1&timeoutSeconds=1");
    let mut plain = Events::open(&f, &path, "application/json").await;
    let mut table = Events::open(&f, &path, TABLE).await;
    let mut partial = Events::open(&f, &path, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").await;
    let first = plain.next().await.unwrap();
    assert_eq!((&first["type"], &first["object"]["data"]["k"]), (&json!("ADDED"), &json!("1")));
    f.write(Method::PATCH, &format!("{MAPS}/a"), "application/merge-patch+json", r#"{"data":{"k":"2"}}"#).await;
    f.write(Method::DELETE, &format!("{MAPS}/a"), "application/json", "").await;
    for (kind, value) in [("MODIFIED", "2"), ("DELETED", "2")] {
        let event = plain.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]["data"]["k"]), (&json!(kind), &json!(value)));
    }
    for (kind, columns) in [("ADDED", true), ("MODIFIED", false), ("DELETED", false)] {
        let event = table.next().await.unwrap();
        assert_eq!((&event["type"], event["object"]["columnDefinitions"].is_array()), (&json!(kind), columns));
        assert_eq!(event["object"]["rows"][0]["cells"][0], "a");
        let event = partial.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]["kind"]), (&json!(kind), &json!("PartialObjectMetadata")));
    }
    // The streams end cleanly at their deadline.
    assert_eq!((plain.next().await, table.next().await), (None, None));
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark_and_idle_watches_get_more() {
    // W-09, W-10, W-15, P-06
    let f = with(Options { bookmark_interval: Duration::from_millis(20), ..Options::default() }).await;
    f.write(Method::POST, MAPS, "application/json", map("a", "1")).await;
    let path =
        format!("{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    for accept in ["application/json", TABLE] {
        let mut events = Events::open(&f, &path, accept).await;
        assert_eq!(events.next().await.unwrap()["type"], "ADDED");
        let end = events.next().await.unwrap();
        assert_eq!(end["type"], "BOOKMARK");
        let object = if accept == TABLE { &end["object"]["rows"][0]["object"] } else { &end["object"] };
        assert_eq!(object["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
        let more = events.next().await.unwrap();
        assert_eq!(more["type"], "BOOKMARK");
    }
}

#[tokio::test]
async fn watches_end_with_the_server() {
    // W-22
    let f = fixture().await;
    let mut events = Events::open(&f, &format!("{MAPS}?watch=1"), "application/json").await;
    f.api.end_watches();
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn the_old_watch_path_works_and_contradictions_do_not() {
    // W-17, S-08
    let f = fixture().await;
    f.write(Method::POST, MAPS, "application/json", map("a", "1")).await;
    f.write(Method::POST, MAPS, "application/json", map("b", "1")).await;
    let path = "/api/v1/watch/namespaces/default/configmaps/b";
    let mut events = Events::open(&f, path, "application/json").await;
    assert_eq!(events.next().await.unwrap()["object"]["metadata"]["name"], "b");
    assert_eq!(f.get(&format!("{path}?fieldSelector=metadata.name%3Da")).await.0, 400);
    assert_eq!(f.get(&format!("{MAPS}?watch=1&timeoutSeconds=x")).await.0, 400);
}

#[tokio::test]
async fn discovery_says_what_is_served() {
    // D-01 to D-13
    let f = fixture().await;
    let (_, core) = f.get("/api").await;
    assert_eq!((&core["kind"], &core["versions"]), (&json!("APIVersions"), &json!(["v1"])));
    let (_, list) = f.get("/api/v1").await;
    let maps = list["resources"].as_array().unwrap().iter().find(|r| r["name"] == "configmaps").unwrap();
    assert_eq!((&maps["shortNames"], &maps["storageVersionHash"]), (&json!(["cm"]), &json!("qFsyl6wFWjQ=")));
    let (_, group) = f.get("/apis/rbac.authorization.k8s.io/").await;
    assert_eq!((&group["kind"], &group["preferredVersion"]["version"]), (&json!("APIGroup"), &json!("v1")));

    let accept = ("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let reply = f.send(Method::GET, "/apis", Some("Bearer admin"), &[accept], "").await;
    assert_eq!(reply.headers()[header::CONTENT_TYPE], accept.1);
    assert_eq!(reply.headers()[header::VARY], "Accept");
    let etag = reply.headers()[header::ETAG].to_str().unwrap().to_owned();
    let known = f.send(Method::GET, "/apis", Some("Bearer admin"), &[accept, ("if-none-match", &etag)], "").await;
    assert_eq!(known.status(), 304);
    // Discovery never lies: whatever can be listed is there.
    for item in body_json(reply).await["items"].as_array().unwrap() {
        let group = item["metadata"]["name"].as_str().unwrap();
        for version in item["versions"].as_array().unwrap() {
            for resource in version["resources"].as_array().unwrap() {
                if resource["verbs"].as_array().unwrap().contains(&json!("list")) {
                    let path = format!(
                        "/apis/{group}/{}/{}",
                        version["version"].as_str().unwrap(),
                        resource["resource"].as_str().unwrap()
                    );
                    assert_eq!(f.get(&path).await.0, 200, "{path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn openapi_describes_it() {
    // O-01, O-02, O-05, O-06, O-11, O-12, O-13, O-17
    let f = fixture().await;
    let (_, index) = f.get("/openapi/v3").await;
    let url = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert!(url.starts_with("/openapi/v3/api/v1?hash="), "{url}");
    let reply = f.admin(Method::GET, &url).await;
    assert_eq!(reply.headers()[header::CACHE_CONTROL], "public, immutable");
    let document = body_json(reply).await;
    let patch = &document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "ConfigMap", "{patch}");
    for wanted in ["dryRun", "fieldManager", "fieldValidation", "force"] {
        assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == wanted), "{wanted}");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(
        schemas.contains_key("io.k8s.api.core.v1.ConfigMap")
            && schemas.contains_key("io.k8s.api.core.v1.ConfigMapList")
    );
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name} is referred to and missing");
    }
    assert_eq!(f.admin(Method::GET, "/openapi/v3/api/v1?hash=OLD").await.status(), 301);

    let (_, v2) = f.get("/openapi/v2").await;
    assert_eq!(v2["swagger"], "2.0");
    assert_eq!(
        v2["definitions"]["io.k8s.api.core.v1.ConfigMap"]["x-kubernetes-group-version-kind"][0]["kind"],
        "ConfigMap"
    );
    let accept = ("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
    let reply = f.send(Method::GET, "/openapi/v2", Some("Bearer admin"), &[accept], "").await;
    assert_eq!(reply.headers()[header::CONTENT_TYPE], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
}

#[tokio::test]
async fn protobuf_is_read_and_answered_in_json() {
    // N-05, X-01: what typed clients send. A field: its tag, its length, its content; all are short here.
    const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
    fn field(number: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
        let content = content.as_ref();
        [&[number << 3 | 2, content.len() as u8], content].concat()
    }
    fn body(version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
        [&b"k8s\0"[..], &field(1, [field(1, version), field(2, kind)].concat()), &field(2, object)].concat()
    }
    let f = fixture().await;
    let named = field(1, [field(1, "pb"), field(2, "")].concat());
    let data = field(2, [field(1, "k"), field(2, "v")].concat());
    let (code, created) =
        f.write(Method::POST, MAPS, PROTOBUF, body("v1", "ConfigMap", &[named.clone(), data].concat())).await;
    assert_eq!((code, &created["data"], &created["metadata"]["generateName"]), (201, &json!({"k": "v"}), &Value::Null));
    let path = format!("{MAPS}/pb");
    for (method, path, sent, code, text) in [
        (Method::POST, MAPS, body("v1", "ConfigMap", &named), 409, "already exists"),
        (Method::PUT, path.as_str(), body("v1", "ConfigMap", &named), 200, ""),
        (Method::POST, MAPS, body("v1", "Secret", &named), 400, "cannot be handled as a ConfigMap"),
        (Method::POST, MAPS, body("v1", "ConfigMap", b"\x0a\x09"), 400, "proto: core.v1.ConfigMap field 1"),
        (Method::POST, MAPS, b"{}".to_vec(), 400, "does not appear to be a protobuf message"),
        (Method::POST, MAPS, body("example.org/v1", "Widget", b""), 415, "unknown format"),
        (Method::DELETE, path.as_str(), body("v1", "DeleteOptions", &field(2, field(1, "other"))), 409, "precondition"),
        (Method::DELETE, path.as_str(), body("v1", "DeleteOptions", b""), 200, ""),
    ] {
        let (got, reply) = f.write(method.clone(), path, PROTOBUF, sent).await;
        assert_eq!(got, code, "{method} {reply}");
        assert!(reply["message"].as_str().unwrap_or_default().contains(text), "{reply}");
    }
}
