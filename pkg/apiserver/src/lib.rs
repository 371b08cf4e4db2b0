//! The HTTP side of the API server: TLS and connections, the one gate, negotiation, streaming, discovery, OpenAPI,
//! limits, metrics, health.
//!
//! Everything that reaches [`ApiServer`], over a connection or from a caller in this process, passes the same gate
//! (`gate.rs`); there is no other way to a handler. Who people are, what they may do and which logical clusters there
//! are is injected ([`Authenticator`], [`Authorizer`], [`ClusterResolver`]); the verbs are `kcp_registry`'s.

mod attributes;
mod backup;
mod body;
mod cache;
mod discovery;
mod expiring;
mod gate;
mod gather;
mod gzip;
mod health;
mod impersonate;
mod limits;
mod listener;
mod metrics;
mod negotiate;
mod openapi;
pub mod path;
mod paths;
mod query;
mod reply;
mod resources;
mod respond;
pub mod routes;
mod seams;
mod server;
mod table;
mod tls;
mod watch;
mod websocket;
mod yaml;

pub use body::{Body, BodyError, ChunkStream, MAX_BODY, RequestBody};
pub use health::{Health, Probe};
pub use limits::LimitOptions;
pub use listener::{BindError, Connection, ConnectionOptions, Listener};
pub use metrics::Metrics;
pub use respond::Reply;
pub use seams::{Authenticator, Authorizer, Cluster, ClusterResolver, Peer, Resolved};
pub use server::{ApiServer, IssuerDocuments, Options, Parts};
pub use tls::{Tls, TlsError, TlsOptions, provider};
