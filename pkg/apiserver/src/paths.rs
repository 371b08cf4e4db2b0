//! What serves the paths that are no resources.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use kcp_apimachinery::Status;
use kcp_registry::TypeTable;

use crate::{
    discovery::{self, Ask, Asked},
    gate::Request,
    health::Probe,
    limits::Class,
    negotiate::Encoding,
    respond::{self, Reply},
    routes::{Handler, ROUTES},
    seams::Cluster,
    server::ApiServer,
};

const ONE_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

impl ApiServer {
    /// Answers a path that is no resource, once the gate let the request through.
    pub(crate) async fn path(&self, handler: Handler, path: &str, request: &Request<'_>) -> Result<Reply, Status> {
        match handler {
            Handler::Version => respond::json(StatusCode::OK, self.version.clone(), request.style(Encoding::Json)),
            Handler::Health => Ok(self.probe(path, request)),
            Handler::Metrics => Ok(self.metrics_text()),
            Handler::Snapshot => Ok(self.snapshot()),
            Handler::Index => self.index(request),
            Handler::OpenIdConfiguration => Ok(self.issuer_document(|i| i.configuration.clone(), "application/json")),
            Handler::Keys => Ok(self.issuer_document(|i| i.keys.clone(), "application/jwk-set+json")),
            Handler::Core => self.discovery(Ask::Core, request),
            Handler::Groups => self.discovery(Ask::Groups, request),
            Handler::CoreVersion => self.discovery(Ask::Version("", segment(path, 2)), request),
            Handler::Group => self.discovery(Ask::Group(segment(path, 2)), request),
            Handler::GroupVersion => self.discovery(Ask::Version(segment(path, 2), segment(path, 3)), request),
            Handler::OpenApiV2 | Handler::OpenApiIndex | Handler::OpenApiV3 => {
                self.openapi(handler, path, request, &self.types_of(request.cluster))
            }
        }
    }

    /// The types that a logical cluster has; of all at once, those that every one has.
    fn types_of(&self, cluster: &Cluster) -> Arc<TypeTable> {
        match cluster {
            Cluster::One(cluster) => self.registry.types(&cluster.name),
            Cluster::All => Arc::clone(self.registry.base()),
        }
    }

    fn probe(&self, path: &str, request: &Request<'_>) -> Reply {
        let Some((probe, check)) = Probe::of_path(path) else { return respond::page_not_found() };
        let exclude: Vec<&str> = request.query.all("exclude").collect();
        self.health.answer(probe, check, request.query.get("verbose").is_some(), &exclude)
    }

    fn metrics_text(&self) -> Reply {
        let text = self.metrics.text(self.limits.in_flight(Class::ReadOnly), self.limits.in_flight(Class::Mutating));
        let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        respond::full(StatusCode::OK, kind, text)
    }

    /// `/`: every path that is served, sorted (V-04).
    fn index(&self, request: &Request<'_>) -> Result<Reply, Status> {
        let mut paths = self.health.paths();
        paths.extend(
            ROUTES.iter().filter(|r| r.pattern != "/" && !r.pattern.contains(['{', '*'])).map(|r| r.pattern.to_owned()),
        );
        if let Cluster::One(cluster) = request.cluster {
            for group in self.registry.types(&cluster.name).groups() {
                let stem = if group.name.is_empty() { "/api".to_owned() } else { format!("/apis/{}", group.name) };
                paths.extend(group.versions.iter().map(|v| format!("{stem}/{}", v.version)));
                paths.push(stem);
            }
        }
        if self.issuer.is_none() {
            paths.retain(|p| !p.starts_with("/openid/") && !p.starts_with("/.well-known/"));
        }
        paths.sort();
        paths.dedup();
        respond::document(StatusCode::OK, &serde_json::json!({"paths": paths}), request.style(Encoding::Json))
    }

    fn issuer_document(
        &self,
        pick: impl Fn(&crate::server::IssuerDocuments) -> bytes::Bytes,
        kind: &'static str,
    ) -> Reply {
        match &self.issuer {
            None => respond::page_not_found(),
            Some(issuer) => {
                let mut reply = respond::full(StatusCode::OK, HeaderValue::from_static(kind), pick(issuer));
                reply.headers_mut().insert(header::CACHE_CONTROL, ONE_HOUR);
                reply
            }
        }
    }

    fn discovery(&self, ask: Ask<'_>, request: &Request<'_>) -> Result<Reply, Status> {
        let table = self.types_of(request.cluster);
        let asked = Asked {
            headers: request.headers,
            accept: request.accept(),
            pretty: request.pretty(),
            address: &self.options.external_address,
        };
        discovery::answer(ask, &table, &self.documents, &asked)
    }
}

/// A segment of a canonical path; the first is number 1.
fn segment(path: &str, number: usize) -> &str {
    path.split('/').nth(number).unwrap_or_default()
}
