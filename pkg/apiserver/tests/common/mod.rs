//! A server on the memory engine with three tokens: `admin` (may everything), `bob` (may enter `root:default` and do
//! everything there but impersonate) and `jane` (may nothing).
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::BodyExt as _;
use kcp_apimachinery::{Status, UserInfo};
use kcp_apiserver::{
    ApiServer, Authenticator, Authorizer, Cluster, ClusterResolver, Options, Parts, Peer, Reply, Resolved,
};
use kcp_authorization::Attributes;
use kcp_logicalcluster::{ClusterName, ClusterRef};
use kcp_registry::{Registry, Verdict};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

pub struct Fixture {
    pub api: Arc<ApiServer>,
    pub registry: Arc<Registry>,
}

pub struct Wiring;

impl Authenticator for Wiring {
    fn certificate(&self, _certificate: &CertificateDer<'_>) -> Option<Peer> {
        None
    }
    fn token(&self, token: &str, _cluster: Option<&ClusterRef>) -> Option<Arc<UserInfo>> {
        let groups = match token {
            "admin" => vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
            "bob" | "jane" => vec!["system:authenticated".to_owned()],
            _ => return None,
        };
        Some(Arc::new(UserInfo { username: token.to_owned(), groups, ..UserInfo::default() }))
    }
}

impl ClusterResolver for Wiring {
    fn resolve(&self, reference: &ClusterRef) -> Result<Option<Resolved>, Status> {
        Ok(match reference {
            ClusterRef::Path(p) if matches!(p.as_str(), "root" | "root:default") => {
                Some(Resolved { name: ClusterName::root(), path: p.as_str().into(), warning: None })
            }
            ClusterRef::System(name) => Some(Resolved::named(name.clone())),
            _ => None,
        })
    }
    fn default_cluster(&self) -> Resolved {
        Resolved::named(ClusterName::root())
    }
}

impl Authorizer for Wiring {
    fn authorize(&self, cluster: &Cluster, attributes: &Attributes<'_>) -> Verdict {
        let allowed = match attributes.user.username.as_str() {
            "admin" => true,
            "bob" => !attributes.verb.starts_with("impersonate"),
            _ => false,
        };
        let reason = match cluster {
            Cluster::One(c) if !allowed && attributes.user.username != "bob" => {
                format!("{:?} workspace access not permitted", c.path)
            }
            _ => String::new(),
        };
        Verdict { allowed, denied: false, reason }
    }
}

impl Fixture {
    pub fn new() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        let registry = registry();
        let api = ApiServer::new(Parts {
            registry: Arc::clone(&registry),
            authenticator: Arc::new(Wiring),
            authorizer: Arc::new(Wiring),
            resolver: Arc::new(Wiring),
            issuer: None,
            options,
        });
        Self { api, registry }
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Reply {
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_str(token).unwrap());
        }
        for (name, value) in headers {
            request.headers_mut().append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        self.api.call(request, None).await
    }

    pub async fn anonymous(&self, method: Method, path: &str) -> Reply {
        self.send(method, path, None, &[], "").await
    }

    pub async fn admin(&self, method: Method, path: &str) -> Reply {
        self.send(method, path, Some("Bearer admin"), &[], "").await
    }

    pub async fn write(&self, method: Method, path: &str, content_type: &str, body: impl Into<Bytes>) -> (u16, Value) {
        let reply = self.send(method, path, Some("Bearer admin"), &[("content-type", content_type)], body).await;
        (reply.status().as_u16(), body_json(reply).await)
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let reply = self.admin(Method::GET, path).await;
        (reply.status().as_u16(), body_json(reply).await)
    }
}

pub async fn body_bytes(reply: Reply) -> Bytes {
    reply.into_body().collect().await.unwrap().to_bytes()
}

pub async fn body_text(reply: Reply) -> String {
    String::from_utf8(body_bytes(reply).await.to_vec()).unwrap()
}

pub async fn body_json(reply: Reply) -> Value {
    let text = body_text(reply).await;
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}
/// A registry over an empty store with the types of a workspace.
pub fn registry() -> Arc<Registry> {
    use kcp_registry::builtin::{Profile, base_table};
    Registry::new(kcp_registry::Config {
        store: kcp_storage::Store::open(kcp_storage::Options::memory()).unwrap(),
        base: base_table(Profile::Workspace, &kcp_registry::strategies()),
        external_url: "https://localhost:6443".into(),
        ca_pem: String::new(),
        admission: kcp_admission::Chain::default(),
    })
}
