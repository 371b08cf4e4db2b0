//! The server: what it is made of, and its two entrances, one for connections and one for callers in this process.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kcp_apimachinery::UserInfo;
use kcp_registry::Registry;
use serde_json::{Value, json};

use crate::{
    body::RequestBody,
    cache::Documents,
    gate::Caller,
    health::Health,
    limits::{LimitOptions, Limits},
    listener::Connection,
    metrics::Metrics,
    respond::Reply,
    seams::{Authenticator, Authorizer, ClusterResolver},
    watch::WatchesEnd,
};

/// What can be set.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many requests may be in work at once.
    pub limits: LimitOptions,
    /// The longest that a request other than a watch may take (T-06).
    pub request_timeout: Duration,
    /// The same for writes (T-11).
    pub write_timeout: Duration,
    /// The shortest and longest life of a watch without `timeoutSeconds` (W-08).
    pub watch_timeout: (Duration, Duration),
    /// How often an idle watch gets a bookmark (W-09).
    pub bookmark_interval: Duration,
    /// How much memory discovery and OpenAPI documents may hold.
    pub document_cache_bytes: usize,
    /// `host:port` under which clients reach the server (D-01).
    pub external_address: String,
    /// The version of this program, shown in `gitVersion` after the Kubernetes version (V-01).
    pub version: String,
    /// The commit this program was built from.
    pub commit: String,
    /// When this program was built, RFC 3339.
    pub build_date: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: LimitOptions::default(),
            request_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(34),
            watch_timeout: (Duration::from_secs(30 * 60), Duration::from_secs(60 * 60)),
            bookmark_interval: Duration::from_secs(60),
            document_cache_bytes: 16 * 1024 * 1024,
            external_address: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: String::new(),
            build_date: String::new(),
        }
    }
}

/// The documents of the service account issuer (V-06).
#[derive(Debug, Clone)]
pub struct IssuerDocuments {
    /// `/.well-known/openid-configuration`.
    pub configuration: Bytes,
    /// `/openid/v1/jwks`.
    pub keys: Bytes,
}

/// What the server is made of.
pub struct Parts {
    /// The verbs.
    pub registry: Arc<Registry>,
    /// Who people are.
    pub authenticator: Arc<dyn Authenticator>,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// Which logical clusters there are.
    pub resolver: Arc<dyn ClusterResolver>,
    /// The documents of the service account issuer, if there is one.
    pub issuer: Option<IssuerDocuments>,
    /// What can be set.
    pub options: Options,
}

/// The server. Shared by `Arc`.
pub struct ApiServer {
    pub(crate) registry: Arc<Registry>,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) resolver: Arc<dyn ClusterResolver>,
    pub(crate) issuer: Option<IssuerDocuments>,
    pub(crate) options: Options,
    pub(crate) limits: Limits,
    pub(crate) health: Health,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) documents: Documents,
    pub(crate) version: Bytes,
    pub(crate) watches_end: Arc<WatchesEnd>,
}

impl std::fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiServer").field("options", &self.options).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Puts the server together. It listens nowhere yet.
    pub fn new(parts: Parts) -> Arc<Self> {
        let version = serde_json::to_vec(&version(&parts.options)).unwrap_or_default();
        let health = Health::default();
        let store = parts.registry.store().clone();
        health.add("storage", move || store.failed().map_or(Ok(()), |error| Err(error.to_string())));
        Arc::new(Self {
            limits: Limits::new(parts.options.limits),
            health,
            metrics: Arc::new(Metrics::default()),
            documents: Documents::new(parts.options.document_cache_bytes),
            version: version.into(),
            watches_end: Arc::default(),
            registry: parts.registry,
            authenticator: parts.authenticator,
            authorizer: parts.authorizer,
            resolver: parts.resolver,
            issuer: parts.issuer,
            options: parts.options,
        })
    }

    /// Answers a request that came over a connection.
    pub async fn serve(&self, head: http::request::Parts, body: RequestBody, connection: &Connection) -> Reply {
        self.answer(head, body, Caller::Remote(connection)).await
    }

    /// Answers a request from this process. With an identity the request is made as that user, and credentials in its
    /// headers are ignored; without one it is treated like one from the network. Everything else is the same.
    pub async fn call(&self, request: http::Request<Bytes>, identity: Option<Arc<UserInfo>>) -> Reply {
        let (head, body) = request.into_parts();
        let caller = identity.map_or(Caller::Local, Caller::Known);
        self.answer(head, RequestBody::Full(body), caller).await
    }

    /// The health checks.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// The metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The verbs.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Who people are.
    pub(crate) fn authenticator(&self) -> &dyn Authenticator {
        &*self.authenticator
    }

    /// Ends every watch cleanly, and every watch that begins later: clients resume elsewhere or later (W-22).
    pub fn end_watches(&self) {
        self.watches_end.come();
    }
}

/// `/version` (V-01, V-02): the Kubernetes version whose API this is, then our own.
fn version(options: &Options) -> Value {
    const MAJOR: &str = "1";
    const MINOR: &str = "36";
    let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": "35",
        "gitVersion": format!("v{MAJOR}.{MINOR}.0+kcp-{}", options.version),
        "gitCommit": or(&options.commit, "unknown"),
        "gitTreeState": "clean",
        "buildDate": or(&options.build_date, "1970-01-01T00:00:00Z"),
        "goVersion": "rust",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }),
    })
}
