//! Connections: TLS, client certificates, HTTP/1.1 and HTTP/2, limits, shutdown.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use common::Wiring;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kcp_apimachinery::UserInfo;
use kcp_apiserver::{
    ApiServer, Authenticator, Authorizer, BindError, ClusterResolver, ConnectionOptions, Listener, Options, Parts,
    Peer, Tls, TlsOptions,
};
use kcp_authentication::{
    pki::{CertificateAuthority, Identity},
    x509,
};
use kcp_logicalcluster::ClusterRef;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// Certificates are who they say, tokens as in the other tests.
struct Certificates;

impl Authenticator for Certificates {
    fn certificate(&self, certificate: &CertificateDer<'_>) -> Option<Peer> {
        x509::user_from_certificate(certificate).ok().map(|user| Peer { user: Arc::new(user), not_after: i64::MAX })
    }
    fn token(&self, token: &str, cluster: Option<&ClusterRef>) -> Option<Arc<UserInfo>> {
        Wiring.token(token, cluster)
    }
}

struct Running {
    address: SocketAddr,
    authority: CertificateAuthority,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

async fn start(options: ConnectionOptions) -> Running {
    let authority = CertificateAuthority::generate("test").unwrap();
    let identity = authority.issue_serving(&["localhost".into()]).unwrap();
    let tls = Tls::new(TlsOptions {
        certificates: identity.chain,
        key: identity.key,
        client_authorities: vec![authority.certificate().clone()],
    })
    .unwrap();
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.address();
    let api = ApiServer::new(Parts {
        registry: common::registry(),
        authenticator: Arc::new(Certificates),
        authorizer: Arc::new(Wiring) as Arc<dyn Authorizer>,
        resolver: Arc::new(Wiring) as Arc<dyn ClusterResolver>,
        issuer: None,
        options: Options::default(),
    });
    let shutdown = CancellationToken::new();
    let served = tokio::spawn(listener.serve(tls, api, options, shutdown.clone()));
    Running { address, authority, shutdown, served }
}

impl Running {
    async fn connect(&self, alpn: &[u8], client: Option<Identity>) -> tokio_rustls::client::TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.certificate().clone()).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(kcp_apiserver::provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    }

    fn request(&self, path: &str, token: Option<&str>) -> http::Request<Empty<Bytes>> {
        let mut request = http::Request::get(format!("https://localhost{path}")).header("host", "localhost");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        request.body(Empty::new()).unwrap()
    }

    /// GETs over a connection of its own.
    async fn get(&self, h2: bool, path: &str, token: Option<&str>, client: Option<Identity>) -> (u16, String) {
        let stream = TokioIo::new(self.connect(if h2 { b"h2" } else { b"http/1.1" }, client).await);
        let request = self.request(path, token);
        let reply = if h2 {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
            tokio::spawn(connection);
            sender.send_request(request).await.unwrap()
        };
        let code = reply.status().as_u16();
        (code, String::from_utf8_lossy(&reply.into_body().collect().await.unwrap().to_bytes()).into_owned())
    }
}

#[tokio::test]
async fn both_protocols_serve_the_same() {
    // T-09
    let server = start(ConnectionOptions::default()).await;
    for h2 in [false, true] {
        assert_eq!(server.get(h2, "/readyz", None, None).await, (200, "ok".into()));
        assert_eq!(server.get(h2, "/api", Some("admin"), None).await.0, 200);
        assert_eq!(server.get(h2, "/api", Some("nonsense"), None).await.0, 401);
        assert_eq!(server.get(h2, "/api", None, None).await.0, 403);
    }
}

#[tokio::test]
async fn client_certificates_are_identities_or_401() {
    // AN-01
    let server = start(ConnectionOptions::default()).await;
    let bob = || server.authority.issue_client("bob", Some("crew"), 1).unwrap();
    assert_eq!(server.get(true, "/api", None, Some(bob())).await.0, 200);
    let foreign = CertificateAuthority::generate("other").unwrap();
    let mallory = || foreign.issue_client("bob", Some("system:masters"), 1).unwrap();
    assert_eq!(server.get(true, "/api", None, Some(mallory())).await.0, 401);
    assert_eq!(server.get(false, "/readyz", None, Some(mallory())).await.0, 401);
    // A better credential on the same connection counts.
    assert_eq!(server.get(true, "/api", Some("admin"), Some(mallory())).await.0, 200);
}

#[tokio::test]
async fn a_slow_handshake_is_cut_off() {
    // CVE-2026-73500
    let options =
        ConnectionOptions { handshake: Duration::from_millis(100), half_open: 2, ..ConnectionOptions::default() };
    let server = start(options).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    // Those who say nothing are dropped, and whoever comes after them is served.
    assert_eq!(server.get(true, "/readyz", None, None).await.0, 200);
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed() {
    let options = ConnectionOptions { header_read: Duration::from_millis(300), ..ConnectionOptions::default() };
    let server = start(options).await;
    let used = TokioIo::new(server.connect(b"h2", None).await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), used).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(sender.send_request(server.request("/readyz", None)).await.unwrap().status(), 200);
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let mut silent = server.connect(alpn, None).await;
        let end = tokio::time::timeout(Duration::from_secs(10), silent.read_to_end(&mut Vec::new())).await;
        // With or without a farewell of TLS: it is over.
        let _ = end.expect("the connection was closed");
    }
    // Whoever has asked before may take its time.
    assert_eq!(sender.send_request(server.request("/readyz", None)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    // What a client sends is bounded before it costs anything.
    let server = start(ConnectionOptions::default()).await;
    let send = async |request: http::Request<Full<Bytes>>| {
        let stream = TokioIo::new(server.connect(b"http/1.1", None).await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.map(|r| r.status().as_u16())
    };
    let request =
        |path: &str| http::Request::post(path).header("host", "localhost").header("authorization", "Bearer admin");
    let long =
        request("/api/v1/namespaces/a/configmaps").header("x-long", "x".repeat(1 << 20)).body(Full::default()).unwrap();
    assert_eq!(send(long).await.unwrap(), 431);
    let long = request(&format!("/api?{}", "a=1&".repeat(10_000))).body(Full::default()).unwrap();
    assert_eq!(send(long).await.unwrap(), 400);
    let big = request("/api/v1/namespaces/a/configmaps").body(Full::from(vec![b' '; 4 << 20])).unwrap();
    assert_eq!(send(big).await.unwrap(), 413);
}

/// A body that was announced before its type's definition changed is judged by the definition that there is when it has
/// come in (SC-04).
#[tokio::test]
async fn a_slow_body_is_judged_by_the_newest_schema() {
    let server = start(ConnectionOptions::default()).await;
    let send = async |method: &str, path: &str, content_type: &str, body: serde_json::Value| {
        let stream = TokioIo::new(server.connect(b"http/1.1", None).await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("authorization", "Bearer admin").header("content-type", content_type);
        sender.send_request(request.body(Full::<Bytes>::from(body.to_string())).unwrap()).await.unwrap().status()
    };
    let definition = |required: &[&str]| {
        let schema = json!({"type": "object", "properties": {"colour": {"type": "string"}}, "required": required});
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "tiles.example.dev"},
            "spec": {
                "group": "example.dev", "scope": "Cluster", "names": {"plural": "tiles", "kind": "Tile"},
                "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
            },
        })
    };
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(send("POST", definitions, "application/json", definition(&[])).await, 201);

    let mut slow = server.connect(b"http/1.1", None).await;
    let body = r#"{"apiVersion": "example.dev/v1", "kind": "Tile", "metadata": {"name": "a"}}"#;
    let head = format!(
        "POST /apis/example.dev/v1/tiles HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer admin\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // That the body is asked for says that everything else has been looked at.
    let mut asked = [0; 25];
    slow.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    let changed = json!({"spec": definition(&["colour"])["spec"]});
    let path = format!("{definitions}/tiles.example.dev");
    assert_eq!(send("PATCH", &path, "application/merge-patch+json", changed).await, 200);

    slow.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(10), slow.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 422 "), "{answer}");
    assert!(answer.contains("colour: Required value"), "{answer}");
}

#[tokio::test]
async fn a_watch_over_websocket() {
    // T-14, W-16
    let server = start(ConnectionOptions::default()).await;
    let mut stream = server.connect(b"http/1.1", None).await;
    let head = "GET /api/v1/namespaces?watch=1&timeoutSeconds=1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.YWRtaW4, base64.binary.k8s.io\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut got)).await.unwrap().unwrap();
    let end = got.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&got[..end]).to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-protocol: base64.binary.k8s.io"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
    // The farewell after the deadline: nothing has happened in between.
    assert_eq!(&got[end..], [0x88, 2, 0x03, 0xe8]);
}

#[tokio::test]
async fn shutdown_lets_requests_finish_and_returns() {
    // W-22
    let server = start(ConnectionOptions::default()).await;
    let stream = TokioIo::new(server.connect(b"h2", None).await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    assert_eq!(sender.send_request(server.request("/readyz", None)).await.unwrap().status(), 200);
    server.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), server.served).await.unwrap().unwrap();
    // The client was told with GOAWAY: its side ends without an error.
    assert!(tokio::time::timeout(Duration::from_secs(5), connection).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn a_taken_port_says_so() {
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let error = Listener::bind(listener.address()).await.unwrap_err();
    assert!(matches!(error, BindError::InUse(_)));
    assert!(error.to_string().contains("already in use"), "{error}");
}
